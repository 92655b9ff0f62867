//! How the bytes of a training step rise and fall.

use std::collections::HashMap;
use std::ops::Range;

use packlight_record::BlockFacts;

use crate::log::{At, Log};
use crate::{LayerChoices, LeftOut};

/// The places of a step at which layers save something, in forward order. In the backward pass, a place
/// and all before it still keep what they saved.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub(crate) places: Vec<Place>,
    /// The blocks that can be recomputed, in forward order.
    pub(crate) blocks: Vec<Block>,
    /// Those that cannot, and why.
    pub(crate) apart: Vec<LeftOut>,
    /// Whether what a step holds beside what is kept counts, too.
    pub(crate) whole_step: bool,
    /// Whether it is known what a step holds beside what is kept.
    pub(crate) known: bool,
}

/// A place of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The name of the layer, whatever it saves.
    pub(crate) name: String,
    /// The number of the layer whose input is saved here.
    pub(crate) layer: Option<usize>,
    /// The numbers of all layers that save this input, if it is the first place of one.
    pub(crate) savers: Vec<usize>,
    /// Bytes of masks and statistics.
    pub(crate) fixed: u64,
    /// Bytes of the layer's input; none if it is no layer of those that can be packed.
    pub(crate) raw: u64,
    /// Bytes that the step holds beside what is kept, while the backward pass is here, if all of the layer's input is
    /// restored at a time.
    pub(crate) beside: u64,
    /// The same if nothing is restored of it.
    pub(crate) exact: u64,
}

/// A block that can be recomputed.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) facts: BlockFacts,
    pub(crate) places: Range<usize>,
    /// Seconds of its forward pass, where they were measured.
    pub(crate) seconds: Option<f64>,
    /// What these seconds cost in a search, in units of error.
    pub(crate) price: f64,
}

impl Timeline {
    /// The step of a network that `log` is of. Nothing beside what is kept counts.
    pub(crate) fn new(layers: &[LayerChoices], log: &Log) -> Self {
        let places = places(layers, log);
        let mut blocks = Vec::new();
        let mut apart = Vec::new();
        for facts in &log.blocks {
            match place_of(facts, layers, &places) {
                Ok(places) => {
                    blocks.push(Block { facts: facts.clone(), places, seconds: None, price: 0.0 })
                }
                Err(reason) => {
                    apart.push(LeftOut { layer: facts.block.clone(), codec: None, reason });
                }
            }
        }
        Self { places, blocks, apart, whole_step: false, known: !log.course.is_empty() }
    }

    /// What is held beside what is kept, if it counts, where so many bytes of the layer's input are restored at a time.
    pub(crate) fn beside(&self, place: &Place, restored: u64) -> u64 {
        match self.whole_step {
            true => place.exact.max((place.beside + restored).saturating_sub(place.raw)),
            false => 0,
        }
    }

    /// The most that is held while a block is recomputed, less what is kept for layers before it.
    pub(crate) fn block_peak(&self, block: &Block) -> u64 {
        match self.whole_step {
            true => block.facts.step_bytes,
            false => block.facts.input_bytes + block.facts.again_bytes,
        }
    }

    /// The peak of a step whose layers have these choices, except those in `recomputed` blocks, which are
    /// exact; and what is kept at the end of its forward pass.
    ///
    /// Layers that save the same tensor and pack it alike share one copy. All copies of a tensor count from
    /// the first layer on that saves it. Others of its layers count as if they had to restore it, whatever their
    /// choices, so that the limit at each place depends on the choice there alone.
    pub(crate) fn peak<'a>(
        &self,
        layers: &'a [LayerChoices],
        chosen: &[usize],
        recomputed: &[usize],
        bytes: impl Fn(&'a crate::Choice) -> u64,
    ) -> (u64, u64) {
        let is_inside = |place: usize| {
            recomputed.iter().find(|&&block| self.blocks[block].places.contains(&place))
        };
        let (mut peak, mut kept) = (0, 0);
        for (number, place) in self.places.iter().enumerate() {
            if let Some(&block) = is_inside(number) {
                let block = &self.blocks[block];
                if block.places.start == number {
                    peak = peak.max(kept + self.block_peak(block));
                    kept += block.facts.input_bytes;
                }
                continue;
            }
            kept += place.fixed;
            let mut restored = place.raw;
            if !place.savers.is_empty() {
                if let Some(layer) = place.layer {
                    restored = layers[layer].choices[chosen[layer]].restored_bytes;
                }
                let mut copies: Vec<&str> = Vec::new();
                for &layer in &place.savers {
                    let choice = &layers[layer].choices[chosen[layer]];
                    if !copies.contains(&choice.copy.as_str()) {
                        copies.push(&choice.copy);
                        kept += bytes(choice);
                    }
                }
            }
            peak = peak.max(kept + self.beside(place, restored));
        }
        (peak, kept)
    }

    /// The block that a layer is in, if it is in one of `recomputed`.
    pub(crate) fn block_of(&self, layer: usize, recomputed: &[usize]) -> Option<usize> {
        let is_in = |block: &&usize| {
            let places = &self.places[self.blocks[**block].places.clone()];
            places.iter().any(|place| place.layer == Some(layer))
        };
        recomputed.iter().find(is_in).copied()
    }
}

/// The places in forward order. A log that does not know the order of masks and statistics has them last.
fn places(layers: &[LayerChoices], log: &Log) -> Vec<Place> {
    let number = |name: &str| layers.iter().position(|layer| layer.facts.layer == name);
    let fixed = |name: &str| {
        let own = log.fixed.iter().filter(|((layer, _), _)| layer == name);
        own.map(|(_, bytes)| bytes).sum::<u64>()
    };
    let place = |at: &At| {
        let layer = number(&at.layer);
        Place {
            name: at.layer.clone(),
            layer,
            savers: Vec::new(),
            fixed: fixed(&at.layer),
            raw: layer.map_or(0, |layer| layers[layer].facts.raw_bytes),
            beside: if layer.is_some() { at.beside } else { at.exact },
            exact: at.exact,
        }
    };
    let mut places: Vec<Place> = log.course.iter().map(place).collect();
    // Layers that only share what others have saved, behind the layer before them.
    for (layer, choices) in layers.iter().enumerate() {
        let at = |layer: usize| places.iter().position(|place| place.layer == Some(layer));
        if at(layer).is_none() {
            let behind = layer.checked_sub(1).and_then(at).map_or(0, |before| before + 1);
            let name = choices.facts.layer.clone();
            places.insert(behind, Place { name, layer: Some(layer), ..Place::default() });
        }
    }
    let known = |name: &str| log.course.iter().any(|at| at.layer == name);
    let others = log.fixed.iter().filter(|((layer, _), _)| !known(layer));
    let fixed = others.map(|(_, bytes)| bytes).sum();
    if fixed > 0 {
        places.push(Place { fixed, ..Place::default() });
    }
    // The layers of each tensor, which the first place of one of them takes.
    let mut savers: HashMap<u64, Vec<usize>> = HashMap::new();
    for (layer, choices) in layers.iter().enumerate() {
        savers.entry(choices.facts.source).or_default().push(layer);
    }
    for place in &mut places {
        let source = place.layer.map(|layer| layers[layer].facts.source);
        place.savers = source.and_then(|source| savers.remove(&source)).unwrap_or_default();
    }
    places
}

/// The places of a block, or why it cannot be recomputed alone.
fn place_of(
    facts: &BlockFacts,
    layers: &[LayerChoices],
    places: &[Place],
) -> Result<Range<usize>, String> {
    let is_inside = |place: &Place| facts.layers.contains(&place.name);
    let (inside, outside): (Vec<&LayerChoices>, Vec<&LayerChoices>) =
        layers.iter().partition(|layer| facts.layers.contains(&layer.facts.layer));
    let shared = outside
        .iter()
        .find(|other| inside.iter().any(|layer| layer.facts.source == other.facts.source));
    if let Some(other) = shared {
        let layer = &other.facts.layer;
        return Err(format!(
            "is not recomputed: `{layer}`, outside it, saves a tensor that it saves"
        ));
    }
    let first = places.iter().position(is_inside);
    let last = places.iter().rposition(is_inside);
    match (first, last) {
        (Some(first), Some(last)) => Ok(first..last + 1),
        _ => Err("is not recomputed: it saves nothing".to_owned()),
    }
}
