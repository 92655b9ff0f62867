//! Made-up networks with what a step holds.

use std::ops::Range;

use packlight_record::{
    BlockFacts, BlockTime, ChoiceTimes, CodecTime, KeptKind, SensitivityRecord,
};

use super::{Choice, Layer, network, records};

/// A network with what a step holds.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) layers: Vec<Layer>,
    /// Masks of each layer, and what is held beside what is kept: where its input is exact, and how much more
    /// where it is restored.
    pub(crate) places: Vec<(u64, u64, u64)>,
    pub(crate) blocks: Vec<Block>,
}

/// A block that can be recomputed.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) layers: Range<usize>,
    pub(crate) input: u64,
    pub(crate) again: u64,
    pub(crate) step: u64,
}

impl Step {
    /// A log of scores on one batch.
    pub(crate) fn records(&self) -> Vec<SensitivityRecord> {
        let mut all = records(&self.layers);
        let name = |number: usize| format!("layer{number}");
        for (number, &(bytes, exact, restored)) in self.places.iter().enumerate() {
            let (layer, kind) = (name(number), KeptKind::Mask);
            all.push(SensitivityRecord::Fixed { layer: layer.clone(), kind, bytes });
            let (beside, exact) = (exact + restored, Some(exact));
            all.push(SensitivityRecord::At { layer, beside, exact });
        }
        for (number, block) in self.blocks.iter().enumerate() {
            all.push(SensitivityRecord::Block(BlockFacts {
                block: format!("block{number}"),
                layers: block.layers.clone().map(name).collect(),
                input_bytes: block.input,
                again_bytes: block.again,
                step_bytes: block.step,
            }));
        }
        all
    }

    /// Seconds that grow with the bytes, and differ from codec to codec.
    pub(crate) fn times(&self) -> ChoiceTimes {
        let of_layer = |(number, layer): (usize, &Layer)| {
            let of_choice = move |choice: &Choice| CodecTime {
                layer: format!("layer{number}"),
                codec: format!("c{}", choice.codec),
                seconds: 0.01 * ((choice.codec + 1) * (layer.raw_bytes + number as u64)) as f64,
            };
            layer.choices.iter().map(of_choice).collect::<Vec<_>>()
        };
        let of_block = |(number, block): (usize, &Block)| BlockTime {
            block: format!("block{number}"),
            seconds: 0.02 * block.again as f64,
        };
        ChoiceTimes {
            pass: 1.0,
            codecs: self.layers.iter().enumerate().flat_map(of_layer).collect(),
            blocks: self.blocks.iter().enumerate().map(of_block).collect(),
        }
    }
}

/// Blocks of four layers, with steps that hold most where the maps are large.
pub(crate) fn large(layers: usize, choices: u64) -> Step {
    let mut layers = network(layers, choices);
    for (number, layer) in layers.iter_mut().enumerate() {
        layer.source = number as u64;
    }
    let raw = |number: usize| layers[number].raw_bytes;
    let places =
        (0..layers.len()).map(|number| (raw(number) / 32, raw(number), raw(number))).collect();
    let block = |from: usize| {
        let (input, all) = (raw(from), (from..from + 4).map(raw).sum::<u64>());
        let again = all - input + all / 32;
        Block { layers: from..from + 4, input, again, step: input + again + 2 * input }
    };
    let blocks = (1..layers.len() - 4).step_by(4).map(block).collect();
    Step { layers, places, blocks }
}
