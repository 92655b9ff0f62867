//! Inverted residual blocks (Sandler et al., "MobileNetV2: inverted residuals and linear
//! bottlenecks", CVPR 2018), the parts of mobile networks.

use packlight_autograd::{Activation, op};
use packlight_spec::Fault;

use super::Stem;
use crate::checkpointed::CheckpointedBlocks;
use crate::layer::{BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Linear, LinearConfig, Relu6, Silu};
use crate::{Builder, Init, Module, Result};

/// The builders of a convolution, of its norm and of its non-linearity.
pub(super) struct Parts {
    pub(super) conv: Builder,
    pub(super) norm: Builder,
    pub(super) activation: Builder,
}

impl Parts {
    /// Parts that are numbered within `builder`.
    pub(super) fn numbered(builder: &Builder) -> Self {
        let [conv, norm, activation] = [0, 1, 2].map(|number| builder.pp(number));
        Self { conv, norm, activation }
    }
}

/// What a convolution of a mobile network looks like.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) channels: usize,
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Whether each channel has taps of its own.
    pub(super) depthwise: bool,
    pub(super) init: Init,
}

impl Shape {
    /// A convolution of one tap.
    pub(super) fn pointwise(channels: usize, out: usize, init: Init) -> Self {
        Self { channels, out, kernel: 1, stride: 1, depthwise: false, init }
    }
}

/// Makes a non-linearity.
pub(super) type Nonlinear = fn(&Builder) -> Result<Box<dyn Module>>;

/// Makes a ReLU6.
pub(super) fn relu6(builder: &Builder) -> Result<Box<dyn Module>> {
    Ok(Box::new(Relu6::new(builder)?))
}

/// Makes a SiLU.
pub(super) fn silu(builder: &Builder) -> Result<Box<dyn Module>> {
    Ok(Box::new(Silu::new(builder)?))
}

/// A convolution without bias, its norm and a non-linearity.
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Option<Box<dyn Module>>,
}

impl ConvNorm {
    /// Makes a convolution that is padded so that stride 1 preserves the size, with the
    /// non-linearity that `activation` makes.
    pub(super) fn new(parts: &Parts, shape: Shape, activation: Nonlinear) -> Result<Self> {
        let layer = Self::linear(parts, shape)?;
        Ok(Self { activation: Some(activation(&parts.activation)?), ..layer })
    }

    /// The same without non-linearity.
    pub(super) fn linear(parts: &Parts, shape: Shape) -> Result<Self> {
        let Shape { channels, out, kernel, stride, depthwise, init } = shape;
        let config = Conv2dConfig {
            stride,
            padding: kernel / 2,
            groups: if depthwise { channels } else { 1 },
            init,
            bias: None,
            ..Conv2dConfig::default()
        };
        Ok(Self {
            conv: Conv2d::with(&parts.conv, channels, out, kernel, config)?,
            norm: BatchNorm2d::new(&parts.norm, out)?,
            activation: None,
        })
    }
}

impl Module for ConvNorm {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut y = self.conv.forward(x)?;
        y = self.norm.forward_owned(y)?;
        match &self.activation {
            Some(activation) => activation.forward_owned(y),
            None => Ok(y),
        }
    }
}

/// A block: a convolution of one tap to more channels, a depthwise one, one to fewer channels
/// without non-linearity, and a shortcut around them where the shapes allow it.
pub(super) struct InvertedResidual {
    layers: Vec<ConvNorm>,
    shortcut: bool,
}

/// The sizes of a block.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) channels: usize,
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// How many times as many channels there are between its first and last convolution.
    pub(super) expansion: usize,
}

impl Sizes {
    /// Whether the input is added to the output.
    pub(super) fn has_shortcut(self) -> bool {
        self.stride == 1 && self.channels == self.out
    }

    /// The channels between the first and the last convolution.
    pub(super) fn hidden(self) -> usize {
        self.channels * self.expansion
    }

    /// The first convolution, if the block expands.
    pub(super) fn expand(self, init: Init) -> Option<Shape> {
        (self.expansion != 1).then(|| Shape::pointwise(self.channels, self.hidden(), init))
    }

    /// The depthwise convolution.
    pub(super) fn depthwise(self, init: Init) -> Shape {
        let Self { kernel, stride, .. } = self;
        let (channels, out) = (self.hidden(), self.hidden());
        Shape { channels, out, kernel, stride, depthwise: true, init }
    }

    /// The last convolution.
    pub(super) fn project(self, init: Init) -> Shape {
        Shape::pointwise(self.hidden(), self.out, init)
    }
}

impl InvertedResidual {
    /// Makes a block with ReLU6, whose parts have the names of its builders `expand`, `depthwise`
    /// and `project`.
    pub(super) fn new(
        sizes: Sizes,
        init: Init,
        [expand, depthwise, project]: [Parts; 3],
    ) -> Result<Self> {
        let mut layers = Vec::new();
        if let Some(shape) = sizes.expand(init) {
            layers.push(ConvNorm::new(&expand, shape, relu6)?);
        }
        layers.push(ConvNorm::new(&depthwise, sizes.depthwise(init), relu6)?);
        layers.push(ConvNorm::linear(&project, sizes.project(init))?);
        Ok(Self { layers, shortcut: sizes.has_shortcut() })
    }
}

impl Module for InvertedResidual {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let y = self.layers.iter().try_fold(x.clone(), |y, layer| layer.forward(&y))?;
        if self.shortcut { Ok(op::add(y, x)?) } else { Ok(y) }
    }
}

/// A mobile network: a first convolution, blocks, in most a last convolution, global mean and
/// classifier.
pub(super) struct Mobile<B> {
    pub(super) stem: ConvNorm,
    pub(super) blocks: CheckpointedBlocks<B>,
    pub(super) last: Option<ConvNorm>,
    pub(super) head: Head,
}

impl<B: Module + 'static> Module for Mobile<B> {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = self.stem.forward(x)?;
        x = self.blocks.forward_owned(x)?;
        if let Some(last) = &self.last {
            x = last.forward(&x)?;
        }
        self.head.forward(&op::global_avg_pool2d(&x)?)
    }
}

/// A classifier, in most networks with dropout before it.
pub(super) struct Head {
    dropout: Option<Dropout>,
    linear: Linear,
}

impl Head {
    /// Makes a classifier with torchvision's names, from so many features for so many classes.
    pub(super) fn new(
        builder: &Builder,
        dropout: f64,
        sizes: (usize, usize),
        config: LinearConfig,
    ) -> Result<Self> {
        let dropout = Dropout::new(&builder.pp(0), dropout)?;
        let head = Self::without_dropout(&builder.pp(1), sizes, config)?;
        Ok(Self { dropout: Some(dropout), ..head })
    }

    /// Makes a classifier without dropout, called as `builder`.
    pub(super) fn without_dropout(
        builder: &Builder,
        (features, classes): (usize, usize),
        config: LinearConfig,
    ) -> Result<Self> {
        Ok(Self { dropout: None, linear: Linear::with(builder, features, classes, config)? })
    }
}

impl Module for Head {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        match &self.dropout {
            Some(dropout) => self.linear.forward(&dropout.forward(x)?),
            None => self.linear.forward(x),
        }
    }
}

/// So many channels in a network whose first layer has `width` of them instead of `usual`.
pub(super) fn in_proportion(channels: usize, width: usize, usual: usize) -> usize {
    (channels * width).div_ceil(usual)
}

/// The number of blocks of a stage that has `blocks` of them at a depth of 1.
pub(super) fn repeated(blocks: usize, depth: f64) -> usize {
    (blocks as f64 * depth).ceil() as usize
}

/// Checks how many times as many blocks a network is to have.
///
/// # Errors
/// Returns a fault if it is not positive, or larger than 100.
pub(super) fn check_depth(depth: f64) -> Result<(), Fault> {
    match depth > 0.0 && depth <= 100.0 {
        true => Ok(()),
        false => Err(Fault::new("depth", format!("{depth} given, expected 0 < depth <= 100"))),
    }
}

impl Stem {
    /// The stride of a layer of a mobile network that is `early`, one of the first two with stride 2.
    pub(super) fn stride(self, stride: usize, early: bool) -> usize {
        if self == Stem::Cifar && early { 1 } else { stride }
    }
}
