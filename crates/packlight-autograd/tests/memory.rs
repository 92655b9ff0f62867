//! The ledger's account against a counting allocator. One test alone, since the allocator counts
//! the whole process.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor, Var};
use packlight_autograd::allocator::{self, Counting};
use packlight_autograd::op::{self, Conv2dGeometry};
use packlight_autograd::{Activation, Layer, Ledger, Pass};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::{KeptKind, LayerKind};

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting::new(mimalloc::MiMalloc);

const DEPTH: usize = 4;

fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Four convolutions with ReLUs, from images that nothing else holds to their means.
fn forward(weights: &[Var], codec: &str, pass: &Pass) -> Activation {
    let mut x = Activation::from_tensor(&sample(&[64, 16, 32, 32], "x"), pass).unwrap();
    for (number, weight) in weights.iter().enumerate() {
        let conv = Layer::new(format!("conv{number}"), LayerKind::Conv);
        conv.set_codec(packlight_codec::parse(codec).unwrap());
        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        let relu = Layer::new(format!("relu{number}"), LayerKind::Relu);
        x = op::relu(&op::conv2d(&x, weight, None, geometry, &conv).unwrap(), &relu).unwrap();
    }
    op::global_avg_pool2d(&x).unwrap()
}

#[test]
fn the_ledger_and_the_allocator_agree_within_one_percent() {
    let weights: Vec<Var> = (0..DEPTH)
        .map(|number| Var::from_tensor(&sample(&[16, 16, 3, 3], &number.to_string())).unwrap())
        .collect();
    let codecs = ["none", "pool2", "gf2", "topk:0.1", "topk:0.3:mask", "bitmap", "bsr:8:0.5"];
    for codec in codecs.into_iter().chain(["swat:0.2", "dither:2", "resprop:0.1", "svd:0.8"]) {
        // The first products allocate buffers that stay with their threads.
        drop(forward(&weights, codec, &Pass::training()));

        let ledger = Ledger::with_counter(allocator::live);
        let before = allocator::live();
        let y = forward(&weights, codec, &Pass::training().with_ledger(&ledger));
        let (counted, kept) = ((allocator::live() - before) as f64, ledger.kept() as f64);
        assert!((counted - kept).abs() < 0.01 * kept, "{codec}: {counted} counted, {kept} kept");

        let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
        loss.backward().unwrap();
        let entries = ledger.entries();
        for entry in &entries {
            let (bytes, counted) = (entry.bytes.total() as f64, entry.counted.unwrap() as f64);
            assert!((bytes - counted).abs() <= 0.01 * bytes, "{codec}: {entry:?}");
        }
        let of = |kind| entries.iter().filter(|entry| entry.kind == kind).count();
        assert_eq!((of(KeptKind::Input), of(KeptKind::Mask), ledger.kept()), (DEPTH, DEPTH, 0));
    }
}
