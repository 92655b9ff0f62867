//! The stages of a search through a network: choices and their bytes, in forward order.

use crate::front::front;
use crate::group::{Group, Item};
use crate::timeline::{Block, Timeline};
use crate::{Measured, Objective};

/// What recomputing all blocks costs, in units of error. It is there so that no block is recomputed in
/// vain, and too small to prefer an error to it.
pub(crate) const PRICE: f64 = 1e-12;

/// A choice between items, or a block that begins here and is recomputed.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// The layers that the items give choices to; none at a place that saves only masks and statistics.
    pub(crate) layers: Vec<usize>,
    /// By rising bytes, none beaten by another one in bytes, error and what the step holds above them. The bytes
    /// include masks and statistics.
    pub(crate) items: Vec<Item>,
    /// See [`Group::not_followed`].
    pub(crate) not_followed: Vec<(u64, f64)>,
    /// Whether a block that can be recomputed has this stage.
    pub(crate) in_block: bool,
    pub(crate) skip: Option<Skip>,
}

/// Recomputing a block in place of the choices of its stages.
#[derive(Debug, Clone)]
pub(crate) struct Skip {
    /// The number of the block.
    pub(crate) block: usize,
    /// The stage behind it.
    pub(crate) to: usize,
    /// What it keeps.
    pub(crate) kept: u64,
    /// The most that is held while it is recomputed, beside what is kept before it.
    pub(crate) peak: u64,
    pub(crate) price: f64,
}

impl Stage {
    /// The stages of a network, of which blocks are recomputed if `measured` allows it.
    pub(crate) fn all(measured: &Measured, objective: Objective) -> Vec<Self> {
        Self::of_groups(measured, Group::all(measured, objective))
    }

    pub(crate) fn of_groups(measured: &Measured, groups: Vec<Group>) -> Vec<Self> {
        let timeline = measured.timeline();
        let blocks: &[Block] = if measured.recomputes() { &timeline.blocks } else { &[] };
        let starts = starts(timeline, blocks, &groups);
        let group_at = |place: usize| {
            groups
                .iter()
                .find(|group| timeline.places[place].layer == group.layers.first().copied())
        };
        let ends = starts[1..].iter().copied().chain([timeline.places.len()]);
        let mut stages: Vec<Self> = Vec::new();
        for (&start, end) in starts.iter().zip(ends) {
            let places = &timeline.places[start..end];
            let fixed: u64 = places.iter().map(|place| place.fixed).sum();
            // What is fixed up to each place, and what the step holds there beside it. The stage's own layer is
            // at the first place.
            let above = |restored: u64| {
                let mut so_far = 0;
                let most = places.iter().enumerate().map(|(number, place)| {
                    so_far += place.fixed;
                    let restored = if number == 0 { restored } else { place.raw };
                    so_far + timeline.beside(place, restored)
                });
                most.max().unwrap_or_default() - fixed
            };
            let restored = places.first().map_or(0, |place| place.raw);
            let nothing = Item { bytes: 0, error: 0.0, choices: Vec::new(), restored, above: 0 };
            let (layers, mut items, mut not_followed) = match group_at(start) {
                Some(group) => {
                    (group.layers.clone(), group.items.clone(), group.not_followed.clone())
                }
                None => (Vec::new(), vec![nothing], Vec::new()),
            };
            for item in &mut items {
                item.bytes += fixed;
                item.above = above(item.restored);
            }
            let items = unbeaten(items);
            not_followed.iter_mut().for_each(|(bytes, _)| *bytes += fixed);
            let in_block = blocks.iter().any(|block| block.places.contains(&start));
            stages.push(Self { layers, items, not_followed, in_block, skip: None });
        }
        let again: u64 = blocks.iter().map(|block| block.facts.again_bytes).sum();
        for (number, block) in blocks.iter().enumerate() {
            let stage_at = |place: usize| starts.partition_point(|&start| start < place);
            stages[stage_at(block.places.start)].skip = Some(Skip {
                block: number,
                to: stage_at(block.places.end),
                kept: block.facts.input_bytes,
                peak: timeline.block_peak(block),
                price: block.price + PRICE * block.facts.again_bytes as f64 / again.max(1) as f64,
            });
        }
        stages
    }

    /// With bounds of the combinations that were not followed in place of items.
    pub(crate) fn optimistic(&self) -> Self {
        let bound = |&(bytes, error): &(u64, f64)| Item {
            bytes,
            error,
            choices: Vec::new(),
            restored: 0,
            above: 0,
        };
        let all = self.items.iter().cloned().chain(self.not_followed.iter().map(bound)).collect();
        Self { items: front(all, Item::weight), ..self.clone() }
    }

    /// The least that the step holds above what is kept, whatever the choice.
    pub(crate) fn above(&self) -> u64 {
        self.items.iter().map(|item| item.above).min().unwrap_or_default()
    }

    /// The most.
    pub(crate) fn most_above(&self) -> u64 {
        self.items.iter().map(|item| item.above).max().unwrap_or_default()
    }

    /// The error that a combination which was not followed could have at least.
    pub(crate) fn least_not_followed(&self) -> f64 {
        self.not_followed.iter().map(|(_, error)| *error).fold(f64::INFINITY, f64::min)
    }
}

/// The items that no other beats in all that counts, by rising bytes.
fn unbeaten(items: Vec<Item>) -> Vec<Item> {
    let mut kept: Vec<Item> = Vec::new();
    for item in items {
        let beats = |other: &Item| other.error <= item.error && other.above <= item.above;
        if !kept.iter().any(beats) {
            kept.push(item);
        }
    }
    kept
}

/// The places at which stages start: where a group is saved first, and where blocks begin and end.
fn starts(timeline: &Timeline, blocks: &[Block], groups: &[Group]) -> Vec<usize> {
    let is_first = |place: usize| {
        let layer = timeline.places[place].layer;
        groups.iter().any(|group| layer.is_some() && layer == group.layers.first().copied())
    };
    let is_edge =
        |place: usize| blocks.iter().any(|b| b.places.start == place || b.places.end == place);
    let starts = 0..timeline.places.len();
    starts.filter(|&place| place == 0 || is_first(place) || is_edge(place)).collect()
}
