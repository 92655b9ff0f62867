//! That a convolution's weight gradient comes from the pooled input alone. One test, since the
//! allocator counts the whole process.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::allocator::{self, Counting};
use packlight_autograd::op::{self, Conv2dGeometry};
use packlight_autograd::{Activation, Pass, SavePoint};
use packlight_codec::parse;
use packlight_record::LayerKind;

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting::new(mimalloc::MiMalloc);

/// 16 MiB, of which 4 x 4 blocks leave one.
const INPUT: [usize; 4] = [16, 64, 64, 64];

/// Bytes that the backward pass of a convolution to few channels takes on top of what is there.
fn backward(codec: &str) -> usize {
    let layer = SavePoint::new("conv", LayerKind::Conv);
    layer.set_codec(parse(codec).unwrap());
    let weight = Var::ones((2, INPUT[1], 3, 3), DType::F32, &Device::Cpu).unwrap();
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let x = Tensor::ones(&INPUT, DType::F32, &Device::Cpu).unwrap();
    let x = Activation::from_tensor(&x, &Pass::training()).unwrap();
    let y = op::conv2d(&x, &weight, None, geometry, &layer).unwrap();
    drop(x);
    let loss = y.into_tensor().unwrap().sum_all().unwrap();
    let before = allocator::live();
    allocator::reset_peak();
    let gradients = loss.backward().unwrap();
    assert!(gradients.get(&weight).is_some());
    allocator::peak() - before
}

#[test]
fn a_pooled_input_is_not_unpooled_for_the_weight_gradient() {
    let input = INPUT.iter().product::<usize>() * DType::F32.size_in_bytes();
    // The first passes allocate buffers that stay with their threads.
    let _ = ["pool4", "pool4:bilinear"].map(backward);
    let (pooled, unpooled) = (backward("pool4"), backward("pool4:bilinear"));
    assert!(unpooled > input, "what is interpolated is built: {unpooled}");
    assert!(pooled < input / 4, "{pooled} bytes for an input of {input}");
}
