//! Methods that save less by building or training the network differently, rather than by a codec.

use std::str::FromStr;

use wildmatch::WildMatch;

/// How a network is built, and updated, to hold less in a step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryStrategy {
    /// Auxiliary residual activation (ARA; Woo and Jeon, "Learning with auxiliary activation for
    /// memory-efficient training", ICLR 2023): a group size for each stage.
    ///
    /// In each stage, the blocks form groups of this size. All blocks of a group but the first
    /// compute the weight gradient of their first convolutions from the first block's input. Stages
    /// are shifted as in the authors' code: a block of stride 2 belongs to the stage before it, whose
    /// resolution it reads.
    pub auxiliary_residual: Option<Vec<usize>>,
    /// Gradient checkpointing, and the parts that it recomputes.
    pub checkpoint: Option<Checkpointing>,
    /// Whether the scores of attention exist only a few rows at a time and are computed again in the
    /// backward pass (Dao et al., "FlashAttention: fast and memory-efficient exact attention with
    /// IO-awareness", NeurIPS 2022).
    pub recompute_scores: bool,
    /// Whether each parameter is updated during the backward pass, as soon as its gradient is complete, so
    /// that there are never gradients of all (Lv et al., "Full parameter fine-tuning for large language models
    /// with limited resources", ACL 2024).
    pub updates_eagerly: bool,
}

/// The parts of a network that the backward pass recomputes (Chen et al., "Training deep nets with
/// sublinear memory cost", 2016). A transformer's encoder and decoder are divided separately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpointing {
    /// In each residual block, everything between the outputs of its first convolution and of its
    /// last norm; the authors of ARA combine the two.
    Cells,
    /// Each block.
    Blocks,
    /// This many segments of consecutive blocks.
    Segments(usize),
    /// As many segments as the square root of the number of blocks, which takes the least memory.
    SquareRoot,
    /// Each block whose name one of these is, or matches as a pattern, in which `*` stands for any
    /// characters (dots included, or none) and `?` for any one character.
    Named(Vec<String>),
}

impl Checkpointing {
    /// The number of segments that `blocks` blocks are divided into; 0 if they are not divided.
    pub fn segments(&self, blocks: usize) -> usize {
        match self {
            Checkpointing::Cells | Checkpointing::Named(_) => 0,
            Checkpointing::Blocks => blocks,
            Checkpointing::Segments(segments) => (*segments).clamp(1, blocks.max(1)),
            Checkpointing::SquareRoot => (blocks as f64).sqrt().round() as usize,
        }
    }

    /// Whether the block called `name` is recomputed because of its name.
    pub fn names(&self, name: &str) -> bool {
        matches!(self, Checkpointing::Named(names) if names.iter().any(|n| matches_name(n, name)))
    }

    /// The first name or pattern that none of these blocks has, if there is one.
    pub fn missing<'a>(&'a self, blocks: &[String]) -> Option<&'a str> {
        let Checkpointing::Named(names) = self else { return None };
        let fits_none = |name: &&String| !blocks.iter().any(|block| matches_name(name, block));
        names.iter().find(fits_none).map(String::as_str)
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}

impl FromStr for Checkpointing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("cell", _) => Ok(Checkpointing::Cells),
            ("block", _) => Ok(Checkpointing::Blocks),
            ("sqrt", _) => Ok(Checkpointing::SquareRoot),
            (_, Ok(segments)) if segments > 0 => Ok(Checkpointing::Segments(segments)),
            _ => Err(format!(
                "`checkpoint={text}`: `sqrt`, `block`, `cell` or a number of segments expected"
            )),
        }
    }
}

/// Reads the names or patterns of blocks to recompute, as in `layer3.*:layer4.0`.
pub(crate) fn named_blocks(text: &str) -> Result<Checkpointing, String> {
    let names: Vec<String> = text.split(':').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err(format!(
            "`recompute={text}`: names or patterns of blocks expected, as in \
             `recompute=layer3.*:layer4.0`"
        )),
        false => Ok(Checkpointing::Named(names)),
    }
}

/// Reads what becomes of the scores of attention, as in `recompute`.
pub(crate) fn scores(text: &str) -> Result<bool, String> {
    match text {
        "recompute" => Ok(true),
        _ => Err(format!("`scores={text}`: `recompute` expected; they are kept without it")),
    }
}

/// Reads when parameters are updated, as in `eager`.
pub(crate) fn update(text: &str) -> Result<bool, String> {
    match text {
        "eager" => Ok(true),
        _ => Err(format!(
            "`update={text}`: `eager` expected; without it, updates follow the backward pass"
        )),
    }
}

/// Reads the group sizes of auxiliary residual activation, as in `2:2:2:2`.
pub(crate) fn group_sizes(text: &str) -> Result<Vec<usize>, String> {
    let sizes: Result<_, _> = text.split(':').map(str::parse).collect();
    sizes.map_err(|_| format!("`ara={text}`: a group size for each stage expected, as in 2:2:2:2"))
}
