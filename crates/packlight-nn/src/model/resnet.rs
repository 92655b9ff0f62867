//! Residual networks of basic blocks (He et al., "Deep residual learning for image recognition",
//! CVPR 2016).

use packlight_autograd::{Activation, op};
use packlight_kernels::conv2d::Conv2dGeometry;

use super::spec::{ResNetSizes, Stem};
use crate::layer::{BatchNorm2d, Conv2d, Conv2dConfig, Linear, LinearConfig, MaxPool2d, Relu};
use crate::{Builder, Fan, Init, Module, Result};

/// A residual network: stem, stages of basic blocks, global mean and classifier.
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    relu: Relu,
    max_pool: Option<MaxPool2d>,
    blocks: Vec<BasicBlock>,
    classifier: Linear,
}

/// What the two families do differently.
struct Family {
    blocks: &'static [usize],
    shortcut: ShortcutKind,
    fan: Fan,
    classifier: &'static str,
}

#[derive(Clone, Copy)]
enum ShortcutKind {
    Projection,
    Subsample,
}

impl ResNet {
    /// ResNet-18 with torchvision's names and initial distributions.
    pub(super) fn resnet18(builder: &Builder, sizes: &ResNetSizes) -> Result<Self> {
        let family = Family {
            blocks: &[2, 2, 2, 2],
            shortcut: ShortcutKind::Projection,
            fan: Fan::Out,
            classifier: "fc",
        };
        Self::new(builder, sizes, &family)
    }

    /// ResNet-20 for CIFAR with the names and initial distributions of Idelbayev's implementation.
    pub(super) fn resnet20(builder: &Builder, sizes: &ResNetSizes) -> Result<Self> {
        let family = Family {
            blocks: &[3, 3, 3],
            shortcut: ShortcutKind::Subsample,
            fan: Fan::In,
            classifier: "linear",
        };
        Self::new(builder, sizes, &family)
    }

    fn new(builder: &Builder, sizes: &ResNetSizes, family: &Family) -> Result<Self> {
        let &ResNetSizes { in_channels, width, stem, classes } = sizes;
        let init = Init::KaimingNormal(family.fan);
        let (kernel, stride) = match stem {
            Stem::Cifar => (3, 1),
            Stem::Imagenet => (7, 2),
        };
        let stem_conv = convolution(kernel, stride, init);
        let conv1 = Conv2d::new(&builder.pp("conv1"), in_channels, width, stem_conv)?;
        let bn1 = BatchNorm2d::new(&builder.pp("bn1"), width)?;
        let relu = Relu::new(&builder.pp("relu"))?;
        let max_pool = match stem {
            Stem::Cifar => None,
            Stem::Imagenet => Some(MaxPool2d::new(&builder.pp("maxpool"), 3, 2, 1)?),
        };

        let mut blocks = Vec::new();
        let mut channels = width;
        for (stage, &count) in family.blocks.iter().enumerate() {
            for index in 0..count {
                let block = builder.pp(format!("layer{}", stage + 1)).pp(index);
                let out = width << stage;
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                blocks.push(BasicBlock::new(&block, channels, out, stride, family)?);
                channels = out;
            }
        }

        let mut config = LinearConfig::pytorch(channels);
        if let ShortcutKind::Subsample = family.shortcut {
            config.init = init; // the CIFAR family's initialisation covers the classifier too
        }
        let classifier = Linear::new(&builder.pp(family.classifier), channels, classes, config)?;
        Ok(Self { conv1, bn1, relu, max_pool, blocks, classifier })
    }
}

impl Module for ResNet {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let mut x = self.relu.forward(&self.bn1.forward(&self.conv1.forward(x)?)?)?;
        if let Some(max_pool) = &self.max_pool {
            x = max_pool.forward(&x)?;
        }
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.classifier.forward(&op::global_avg_pool2d(&x)?)
    }
}

/// Two 3x3 convolutions and a shortcut around them.
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    relu1: Relu,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    shortcut: Shortcut,
    relu2: Relu,
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

impl BasicBlock {
    fn new(
        builder: &Builder,
        channels: usize,
        out: usize,
        stride: usize,
        family: &Family,
    ) -> Result<Self> {
        let init = Init::KaimingNormal(family.fan);
        let (first, second) = (convolution(3, stride, init), convolution(3, 1, init));
        Ok(Self {
            conv1: Conv2d::new(&builder.pp("conv1"), channels, out, first)?,
            bn1: BatchNorm2d::new(&builder.pp("bn1"), out)?,
            relu1: Relu::new(&builder.pp("relu1"))?,
            conv2: Conv2d::new(&builder.pp("conv2"), out, out, second)?,
            bn2: BatchNorm2d::new(&builder.pp("bn2"), out)?,
            shortcut: match family.shortcut {
                _ if stride == 1 && channels == out => Shortcut::Identity,
                ShortcutKind::Subsample => Shortcut::Subsample { stride, channels: out },
                ShortcutKind::Projection => {
                    let downsample = builder.pp("downsample");
                    let config = convolution(1, stride, init);
                    Shortcut::Projection(
                        Conv2d::new(&downsample.pp(0), channels, out, config)?,
                        BatchNorm2d::new(&downsample.pp(1), out)?,
                    )
                }
            },
            relu2: Relu::new(&builder.pp("relu2"))?,
        })
    }
}

impl Module for BasicBlock {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let y = self.relu1.forward(&self.bn1.forward(&self.conv1.forward(x)?)?)?;
        let y = self.bn2.forward(&self.conv2.forward(&y)?)?;
        let sum = match &self.shortcut {
            Shortcut::Identity => op::add(&y, x)?,
            Shortcut::Projection(conv, bn) => op::add(&y, &bn.forward(&conv.forward(x)?)?)?,
            Shortcut::Subsample { stride, channels } => {
                op::add(&y, &op::subsample_pad(x, *stride, *channels)?)?
            }
        };
        self.relu2.forward(&sum)
    }
}

/// A convolution without bias, padded so that stride 1 keeps the size.
fn convolution(kernel: usize, stride: usize, init: Init) -> Conv2dConfig {
    let geometry = Conv2dGeometry {
        stride: (stride, stride),
        padding: (kernel / 2, kernel / 2),
        ..Conv2dGeometry::default()
    };
    Conv2dConfig { kernel, geometry, bias: false, init }
}
