//! Memory, honestly: the bytes that the ledger predicts are the bytes that the allocator counts,
//! within 1 %.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::{self, Counting};
use packlight::autograd::{Activation, Ledger, Pass};
use packlight::nn::model::{Mixer, Resnet18, Vit};
use packlight::nn::{Model, ModelSpec, Module, Plan};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

const BATCH: usize = 64;

/// One forward and backward pass: the ledger's peak, the sums over its entries of predicted and
/// counted bytes, and how much more was live between the passes than before them.
struct Measured {
    peak: usize,
    predicted: usize,
    counted: i64,
    live: i64,
}

fn measure(model: &Model, plan: &str) -> Measured {
    Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
    let ledger = Ledger::with_counter(allocator::live);
    let pass = Pass::training().with_ledger(&ledger);
    let labels = Tensor::zeros(BATCH, DType::U32, &Device::Cpu).unwrap();
    let before = allocator::live() as i64;
    let logits = {
        let images = Tensor::ones((BATCH, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        let input = Activation::from_tensor(&images, &pass).unwrap();
        drop(images);
        model.forward(&input).unwrap()
    };
    let loss = model.loss(&logits, &labels).unwrap();
    drop(logits);
    let live = allocator::live() as i64 - before;
    loss.backward().unwrap();
    let entries = ledger.entries();
    assert!(!entries.is_empty());
    Measured {
        peak: ledger.peak(),
        predicted: entries.iter().map(|entry| entry.bytes.total()).sum(),
        counted: entries.iter().map(|entry| entry.counted.unwrap()).sum(),
        live,
    }
}

fn within_1_percent(predicted: usize, counted: i64) -> bool {
    (predicted as f64 - counted as f64).abs() < 0.01 * predicted as f64
}

/// One test, since all threads of a process share the counter.
#[test]
fn predicted_and_counted_bytes_agree() {
    let resnet = ModelSpec::new(Resnet18 { width: 16, ..Resnet18::default() });
    let vit = ModelSpec::new(Vit { width: 48, depth: 3, ..Vit::default() });
    let mixer = ModelSpec::new(Mixer { width: 48, depth: 3, ..Mixer::default() });
    for (spec, plans) in [
        (resnet, ["none", "pool2", "pool4", "conv=pool2,norm=pool2"]),
        (vit, ["none", "linear=pool2", "linear=pool4", "linear=pool4,norm=pool2,attention=pool2"]),
        (mixer, ["none", "linear=pool2", "linear=pool4", "linear=pool4,norm=pool2"]),
    ] {
        let spec = spec.for_images(3, 32, 10).unwrap();
        let model = Model::new(&spec, 0, DType::F32, &Device::Cpu).unwrap();
        measure(&model, "none"); // what is allocated once, such as threads' buffers
        let mut peaks = Vec::new();
        for plan in plans {
            let Measured { peak, predicted, counted, live } = measure(&model, plan);
            let of = spec.name();
            assert!(within_1_percent(predicted, counted), "{of}, {plan}: {predicted} vs {counted}");
            assert!(within_1_percent(peak, live), "{of}, {plan}: {peak} kept, {live} live");
            assert_eq!(peak, predicted, "{of}, {plan}: all is kept at the end of the forward pass");
            peaks.push(peak);
        }
        assert!(peaks.is_sorted_by(|a, b| a > b), "{peaks:?}");
    }
}
