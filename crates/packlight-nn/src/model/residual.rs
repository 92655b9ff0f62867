//! Residual networks of basic or bottleneck blocks (He et al., "Deep residual learning for image recognition",
//! CVPR 2016).

use packlight_autograd::{Activation, op};

use super::{DataFacts, Stem};
use crate::checkpointed::{Checkpointed, CheckpointedBlocks};
use crate::layer::{BatchNorm2d, Conv2d, Conv2dConfig, Linear, LinearConfig, MaxPool2d, Relu};
use crate::{Builder, Checkpointing, Error, Fan, Init, MemoryStrategy, Module, Result};

/// A residual network: stem, stages of blocks, global mean and classifier.
pub(super) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    relu: Relu,
    max_pool: Option<MaxPool2d>,
    blocks: CheckpointedBlocks<Block>,
    auxiliary_residual: bool,
    classifier: Linear,
}

/// What differs between ResNets.
pub(super) struct Family<'a> {
    pub(super) kind: BlockKind,
    /// The number of blocks in each stage.
    pub(super) blocks: &'a [usize],
    pub(super) shortcut: ShortcutKind,
    pub(super) fan: Fan,
    /// The classifier's name.
    pub(super) classifier: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum BlockKind {
    /// Two 3x3 convolutions, of which the first has the stride.
    Basic,
    /// A 1x1 convolution, a 3x3 one with the stride, and a 1x1 one to four times the channels.
    Bottleneck,
}

impl BlockKind {
    /// The kernel, stride and output channels of each convolution of a block.
    fn convolutions(self, width: usize, stride: usize) -> Vec<(usize, usize, usize)> {
        match self {
            BlockKind::Basic => vec![(3, stride, width), (3, 1, width)],
            BlockKind::Bottleneck => vec![(1, 1, width), (3, stride, width), (1, 1, 4 * width)],
        }
    }

    /// The output channels of a block.
    fn out(self, width: usize) -> usize {
        match self {
            BlockKind::Basic => width,
            BlockKind::Bottleneck => 4 * width,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum ShortcutKind {
    Projection,
    Subsample,
}

impl ResNet {
    /// Makes a network of `family` for such data, with `width` channels in its first stage.
    pub(super) fn new(
        data: &DataFacts,
        (width, stem): (usize, Stem),
        family: &Family<'_>,
        builder: &Builder,
        strategy: &MemoryStrategy,
    ) -> Result<Self> {
        let (in_channels, classes) = (data.in_channels()?, data.classes()?);
        let init = Init::KaimingNormal(family.fan);
        let (kernel, stride) = match stem {
            Stem::Cifar => (3, 1),
            Stem::Imagenet => (7, 2),
        };
        let conv1 =
            convolution(&builder.pp("conv1"), (in_channels, width), (kernel, stride), init)?;
        let bn1 = BatchNorm2d::new(&builder.pp("bn1"), width)?;
        let relu = Relu::new(&builder.pp("relu"))?;
        let max_pool = match stem {
            Stem::Cifar => None,
            Stem::Imagenet => Some(MaxPool2d::with(&builder.pp("maxpool"), 3, 2, 1)?),
        };

        let layout = layout(width, family, strategy)?;
        let place = |at: &Place| builder.pp(format!("layer{}", at.stage + 1)).pp(at.index);
        let places: Vec<_> = layout.iter().map(place).collect();
        let checkpoint = strategy.checkpoint.as_ref();
        let blocks =
            CheckpointedBlocks::new(builder, &places, checkpoint, [], |index, builder| {
                Block::new(builder, &layout[index], family, checkpoint)
            })?;

        let channels = layout.last().map_or(width, |last| last.out);
        let mut config = LinearConfig::default();
        if let ShortcutKind::Subsample = family.shortcut {
            config.init = init; // in the CIFAR family, it applies to the classifier too
        }
        let classifier = Linear::with(&builder.pp(family.classifier), channels, classes, config)?;
        let auxiliary_residual = strategy.auxiliary_residual.is_some();
        Ok(Self { conv1, bn1, relu, max_pool, blocks, auxiliary_residual, classifier })
    }
}

impl Module for ResNet {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        // Each output is freed as soon as the next one is there.
        let mut x = self.conv1.forward(x)?;
        x = self.bn1.forward_owned(x)?;
        x = self.relu.forward_owned(x)?;
        if let Some(max_pool) = &self.max_pool {
            x = max_pool.forward(&x)?;
        }
        x = match self.auxiliary_residual {
            true => self.forward_in_groups(x)?,
            false => self.blocks.forward_owned(x)?,
        };
        self.classifier.forward(&op::global_avg_pool2d(&x)?)
    }
}

impl ResNet {
    /// Runs the blocks with auxiliary residual activation: the blocks of a group share what its
    /// first block saves of its input.
    fn forward_in_groups(&self, mut x: Activation) -> Result<Activation> {
        let mut group_input = x.clone();
        for block in self.blocks.blocks() {
            if !block.shares_input {
                group_input = x.clone();
            }
            x = block.forward_saving(&x, &x.save_as(&group_input))?;
        }
        Ok(x)
    }
}

/// A block's position and sizes.
struct Place {
    stage: usize,
    index: usize,
    channels: usize,
    width: usize,
    out: usize,
    stride: usize,
    /// Whether its first convolutions save their group's first input instead of their own.
    shares_input: bool,
}

fn layout(width: usize, family: &Family<'_>, strategy: &MemoryStrategy) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut channels = width;
    for (stage, &count) in family.blocks.iter().enumerate() {
        for index in 0..count {
            let width = width << stage;
            let out = family.kind.out(width);
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let shares_input = false;
            places.push(Place { stage, index, channels, width, out, stride, shares_input });
            channels = out;
        }
    }
    let Some(groups) = &strategy.auxiliary_residual else { return Ok(places) };
    let stages = family.blocks.len();
    if groups.len() != stages || groups.contains(&0) {
        return Err(Error::MemoryStrategy {
            reason: format!(
                "`ara`: {stages} group sizes of at least 1 expected, one for each stage, as in \
                 `ara={}`; {groups:?} found",
                vec!["2"; stages].join(":")
            ),
        });
    }
    if strategy.checkpoint.as_ref().is_some_and(|checkpoint| *checkpoint != Checkpointing::Cells) {
        let reason = "`ara` goes with `checkpoint=cell`: other segments would cut its groups";
        return Err(Error::MemoryStrategy { reason: reason.into() });
    }
    // A block of stride 2 reads what the blocks of the stage before it give out, and belongs to that
    // stage. Groups begin anew where the channels change, so the first of all bottleneck blocks is in
    // none.
    let mut last_channels = width;
    let mut alike = 0;
    for place in &mut places {
        let stage = place.stage - usize::from(place.stride == 2);
        alike = if place.channels == last_channels { alike } else { 0 };
        last_channels = place.channels;
        place.shares_input = alike % groups[stage] != 0;
        alike += 1;
    }
    Ok(places)
}

/// Convolutions, and a shortcut around them.
struct Block {
    conv1: Conv2d,
    cells: Vec<Checkpointed<Cell>>,
    shortcut: Shortcut,
    relu: Relu,
    shares_input: bool,
}

/// A part of a block from one convolution's output to that of the next, and in the last one to the
/// sum.
struct Cell {
    bn: BatchNorm2d,
    relu: Relu,
    conv: Conv2d,
    last_bn: Option<BatchNorm2d>,
}

enum Shortcut {
    Identity,
    /// Option B of the paper: a 1x1 convolution.
    Projection(Conv2d, BatchNorm2d),
    /// Option A: every `stride`-th pixel, and channels of zeros before and after.
    Subsample {
        stride: usize,
        channels: usize,
    },
}

impl Block {
    fn new(
        builder: &Builder,
        place: &Place,
        family: &Family<'_>,
        checkpoint: Option<&Checkpointing>,
    ) -> Result<Self> {
        let &Place { channels, width, out, stride, shares_input, .. } = place;
        let init = Init::KaimingNormal(family.fan);
        let convolutions = family.kind.convolutions(width, stride);
        let count = convolutions.len();
        let conv = |number: usize, channels| {
            let (kernel, stride, out) = convolutions[number - 1];
            let builder = builder.pp(format!("conv{number}"));
            convolution(&builder, (channels, out), (kernel, stride), init)
        };
        let bn = |number: usize| {
            BatchNorm2d::new(&builder.pp(format!("bn{number}")), convolutions[number - 1].2)
        };
        let cell = |number: usize| {
            let make = || {
                Ok(Cell {
                    bn: bn(number)?,
                    relu: Relu::new(&builder.pp(format!("relu{number}")))?,
                    conv: conv(number + 1, width)?,
                    last_bn: (number + 1 == count).then(|| bn(count)).transpose()?,
                })
            };
            match checkpoint {
                Some(Checkpointing::Cells) => {
                    Checkpointed::recomputed(&builder.pp(format!("cell{number}")), [], make)
                }
                _ => Ok(Checkpointed::plain(make()?)),
            }
        };
        Ok(Self {
            conv1: conv(1, channels)?,
            cells: (1..count).map(cell).collect::<Result<_>>()?,
            shortcut: match family.shortcut {
                _ if stride == 1 && channels == out => Shortcut::Identity,
                ShortcutKind::Subsample => Shortcut::Subsample { stride, channels: out },
                ShortcutKind::Projection => {
                    let downsample = builder.pp("downsample");
                    Shortcut::Projection(
                        convolution(&downsample.pp(0), (channels, out), (1, stride), init)?,
                        BatchNorm2d::new(&downsample.pp(1), out)?,
                    )
                }
            },
            relu: Relu::new(&builder.pp(format!("relu{count}")))?,
            shares_input,
        })
    }

    /// Computes the output for `x`. Its convolutions read `saved`: `x` itself, or `x` saved as its
    /// group's first input.
    fn forward_saving(&self, x: &Activation, saved: &Activation) -> Result<Activation> {
        let y = self.conv1.forward(saved)?;
        let y = self.cells.iter().try_fold(y, |y, cell| cell.forward_owned(y))?;
        let sum = match &self.shortcut {
            Shortcut::Identity => op::add(y, x)?,
            Shortcut::Projection(conv, bn) => op::add(y, bn.forward_owned(conv.forward(saved)?)?)?,
            Shortcut::Subsample { stride, channels } => {
                op::add(y, op::subsample_pad(x, *stride, *channels)?)?
            }
        };
        self.relu.forward_owned(sum)
    }
}

impl Module for Block {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_saving(x, x)
    }
}

impl Module for Cell {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_owned(x.clone())
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        let mut y = self.bn.forward_owned(x)?;
        y = self.relu.forward_owned(y)?;
        y = self.conv.forward(&y)?;
        match &self.last_bn {
            Some(bn) => bn.forward_owned(y),
            None => Ok(y),
        }
    }
}

/// A convolution without bias, padded so that stride 1 preserves the size.
fn convolution(
    builder: &Builder,
    (channels, out): (usize, usize),
    (kernel, stride): (usize, usize),
    init: Init,
) -> Result<Conv2d> {
    let config =
        Conv2dConfig { stride, padding: kernel / 2, init, bias: None, ..Conv2dConfig::default() };
    Conv2d::with(builder, channels, out, kernel, config)
}
