//! ResNet-18 with the CIFAR stem in plain candle, for comparison.

use candle_core::{DType, Device, Module, ModuleT, Result, Tensor, Var};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Linear, VarBuilder, VarMap, batch_norm, conv2d_no_bias, linear,
};

/// Convolution and batch norm.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let config = Conv2dConfig { stride, padding: kernel / 2, ..Conv2dConfig::default() };
        Ok(Self {
            conv: conv2d_no_bias(from, to, kernel, config, vb.pp("conv"))?,
            norm: batch_norm(to, 1e-5, vb.pp("norm"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, true)
    }
}

struct Block {
    first: ConvNorm,
    second: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, vb: VarBuilder) -> Result<Self> {
        let reshapes = stride != 1 || from != to;
        let downsample = || ConvNorm::new(from, to, 1, stride, vb.pp("downsample"));
        Ok(Self {
            first: ConvNorm::new(from, to, 3, stride, vb.pp("first"))?,
            second: ConvNorm::new(to, to, 3, 1, vb.pp("second"))?,
            downsample: reshapes.then(downsample).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let out = self.second.forward(&self.first.forward(x)?.relu()?)?;
        match &self.downsample {
            Some(downsample) => (out + downsample.forward(x)?)?.relu(),
            None => (out + x)?.relu(),
        }
    }
}

/// ResNet-18 of candle-nn's layers, always in training mode.
pub(crate) struct CandleResNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    classifier: Linear,
}

impl CandleResNet {
    /// The network and its variables.
    pub(crate) fn new(width: usize, classes: usize) -> Result<(Self, Vec<Var>)> {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let mut blocks = Vec::new();
        let mut from = width;
        for (stage, stride) in [(0, 1), (1, 2), (2, 2), (3, 2)] {
            let to = width << stage;
            let vb = vb.pp(format!("layer{stage}"));
            blocks.push(Block::new(from, to, stride, vb.pp("0"))?);
            blocks.push(Block::new(to, to, 1, vb.pp("1"))?);
            from = to;
        }
        let network = Self {
            stem: ConvNorm::new(3, width, 3, 1, vb.pp("stem"))?,
            blocks,
            classifier: linear(from, classes, vb.pp("classifier"))?,
        };
        Ok((network, vars.all_vars()))
    }

    /// Logits of shape (N, classes).
    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let stem = self.stem.forward(images)?.relu()?;
        let features = self.blocks.iter().try_fold(stem, |x, block| block.forward(&x))?;
        self.classifier.forward(&features.mean((2, 3))?)
    }
}
