//! Layers refuse sizes that make no sense and have PyTorch's parameters.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_nn::layer::{
    BatchNorm2d, Conv2d, Conv2dConfig, Dropout, Gelu, LayerNorm, Linear, MaxPool2d, Silu,
};
use packlight_nn::{Builder, Module, Result};

fn builder() -> Builder {
    Builder::new(1, DType::F32, &Device::Cpu).unwrap().pp("part")
}

fn grouped(groups: usize) -> Conv2dConfig {
    Conv2dConfig { groups, padding: 1, ..Conv2dConfig::default() }
}

#[test]
fn sizes_without_sense_are_refused_by_name() {
    let error = |made: Result<()>| made.unwrap_err().to_string();
    for (error, expected) in [
        (error(Conv2d::with(&builder(), 4, 0, 3, grouped(1)).map(drop)), "output channels is 0"),
        (error(Conv2d::with(&builder(), 4, 4, 3, grouped(0)).map(drop)), "groups is 0"),
        (error(Conv2d::with(&builder(), 4, 6, 3, grouped(4)).map(drop)), "4 groups do not divide"),
        (error(Linear::new(&builder(), 0, 4).map(drop)), "input features is 0"),
        (error(BatchNorm2d::new(&builder(), 0).map(drop)), "channels is 0"),
        (error(LayerNorm::new(&builder(), 0).map(drop)), "features is 0"),
        (error(MaxPool2d::with(&builder(), 2, 0, 0).map(drop)), "stride is 0"),
        (error(Dropout::new(&builder(), 1.0).map(drop)), "probability is 1"),
        (error(Dropout::new(&builder(), f64::NAN).map(drop)), "probability is NaN"),
    ] {
        assert!(error.contains("layer `part`") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_depthwise_convolution_has_one_kernel_a_channel() {
    let builder = builder();
    let conv = Conv2d::with(&builder, 4, 8, 3, grouped(4)).unwrap();
    let made = builder.finish();
    let shapes: Vec<_> = made.named().map(|(name, var)| (name, var.dims().to_vec())).collect();
    assert_eq!(shapes, [("part.weight", vec![8, 1, 3, 3]), ("part.bias", vec![8])]);
    let images = Tensor::ones((2, 4, 5, 5), DType::F32, &Device::Cpu).unwrap();
    let input = Activation::from_tensor(&images, &Pass::training()).unwrap();
    assert_eq!(conv.forward(&input).unwrap().dims(), [2, 8, 5, 5]);
}

/// Layer norm, linear, GELU, SiLU and dropout over tokens, with a gradient for every parameter.
#[test]
fn tokens_pass_through_a_block() {
    let root = Builder::new(1, DType::F32, &Device::Cpu).unwrap();
    let block: Vec<Box<dyn Module>> = vec![
        Box::new(LayerNorm::new(&root.pp("norm"), 6).unwrap()),
        Box::new(Linear::new(&root.pp("fc1"), 6, 8).unwrap()),
        Box::new(Gelu::new(&root.pp("gelu")).unwrap()),
        Box::new(Silu::new(&root.pp("silu")).unwrap()),
        Box::new(Dropout::new(&root.pp("dropout"), 0.25).unwrap()),
    ];
    let tokens = Tensor::arange(0f32, 48.0, &Device::Cpu).unwrap().reshape((2, 4, 6)).unwrap();
    let run = |pass: &Pass| {
        let mut x = Activation::from_tensor(&tokens, pass).unwrap();
        for layer in &block {
            x = layer.forward(&x).unwrap();
        }
        x.into_tensor().unwrap()
    };
    let output = run(&Pass::training().with_seed(1, 0));
    assert_eq!(output.dims(), [2, 4, 8]);
    let gradients = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in root.finish().named() {
        let gradient = gradients.get(var).unwrap().sqr().unwrap().sum_all().unwrap();
        assert!(gradient.to_scalar::<f32>().unwrap() > 0.0, "{name}");
    }
    let values = |pass: &Pass| run(pass).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let step = |step| values(&Pass::training().with_seed(1, step));
    assert_eq!(step(1), step(1));
    assert_ne!(step(1), step(2));
    assert_eq!(values(&Pass::evaluation()), values(&Pass::evaluation().with_seed(2, 3)));
}
