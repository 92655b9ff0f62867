//! The peak of a training step: at no time is more alive than what will be read again.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use mimalloc::MiMalloc;
use packlight::autograd::allocator::{self, Counting};
use packlight::autograd::{EagerUpdates, Ledger, Pass};
use packlight::nn::model::{Inputs, Resnet18, Stem, Vit};
use packlight::nn::optimizer::{Sgd, SgdConfig};
use packlight::nn::{Model, ModelSpec, Plan, Trainer};

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting::new(MiMalloc);

const BATCH: usize = 16;
const SIZE: usize = 96;
const WIDTH: usize = 16;

/// The bytes of the largest activations: the outputs of the stem's convolution, norm and ReLU.
const STEM: usize = BATCH * WIDTH * (SIZE / 2).pow(2) * size_of::<f32>();

/// The most bytes that the second call of `f` has alive beyond those before it.
fn peak(mut f: impl FnMut()) -> usize {
    f(); // what is allocated once
    let before = allocator::live();
    allocator::reset_peak();
    f();
    allocator::peak() - before
}

/// One test, since all threads of a process share the counter.
#[test]
fn a_step_holds_no_more_of_the_largest_activations_than_will_be_read_again() {
    residual_networks();
    transformers();
}

/// One of the largest forward, and two back; with eager updates, no gradients of parameters.
fn residual_networks() {
    let stem = Stem::Imagenet;
    let spec = ModelSpec::new(Resnet18 { width: WIDTH, stem });
    let spec = spec.for_images(3, SIZE, 10).unwrap();
    let plan = Plan::parse("default=q2,norm=q2").unwrap();
    let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu).unwrap();
    let weights = model.parameters().count() * size_of::<f32>();
    let images = Tensor::rand(0f32, 1.0, (BATCH, 3, SIZE, SIZE), &Device::Cpu).unwrap();
    let images = Inputs::Images(images);
    let labels = Tensor::zeros(BATCH, DType::U32, &Device::Cpu).unwrap();
    let loss = |pass: &Pass| model.loss(&model.logits(&images, pass)?, &labels);
    let forward = peak(|| drop(loss(&Pass::training()).unwrap()));
    let sgd = Sgd::for_parameters(model.parameters(), SgdConfig::default()).unwrap();
    let mut trainer = Trainer::new(model.parameters(), sgd, 0, 100);
    let step = peak(|| assert!(trainer.step(loss).is_ok()));
    let eager = peak(|| assert!(trainer.step_eagerly(loss).is_ok()));
    let stems = |bytes: usize| bytes as f64 / STEM as f64;
    let all = format!(
        "in stems: forward {:.2}, step {:.2}, eager {:.2}, weights {:.2}",
        stems(forward),
        stems(step),
        stems(eager),
        stems(weights)
    );
    println!("{all}");
    // Forward, norm and ReLU write over the convolution's output; back, the norm restores its input.
    assert!(stems(forward) < 1.5, "{all}");
    assert!(stems(eager) < 2.3, "{all}");
    assert!(step - eager > weights / 2, "{all}");
}

/// Forward, the hidden features of a feed-forward part beside the tokens before and behind it, a quarter as large each;
/// back, their gradient beside that of the tokens, or some of the restored ones.
fn transformers() {
    let spec = ModelSpec::new(Vit { width: 64, depth: 2, heads: 1, patch: 4, ..Vit::default() });
    let spec = spec.for_images(3, 32, 10).unwrap();
    let plan = Plan::parse("default=q2,norm=q2,attention=q2,activation=q2").unwrap();
    let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu).unwrap();
    let images = Tensor::rand(0f32, 1.0, (BATCH, 3, 32, 32), &Device::Cpu).unwrap();
    let images = Inputs::Images(images);
    let labels = Tensor::zeros(BATCH, DType::U32, &Device::Cpu).unwrap();
    let loss = |pass: &Pass| model.loss(&model.logits(&images, pass)?, &labels);
    let kept = Ledger::new();
    drop(loss(&Pass::training().with_ledger(&kept)).unwrap());
    let forward = peak(|| drop(loss(&Pass::training()).unwrap())) - kept.peak();
    let step = peak(|| {
        let updates = EagerUpdates::default();
        let loss = loss(&Pass::training().with_eager_updates(&updates)).unwrap();
        drop(updates.backward(&loss, |_, _| Ok(())).unwrap());
    });
    let hidden = (BATCH * 65 * 256 * size_of::<f32>()) as f64;
    let [forward, step] = [forward, step - kept.peak()].map(|bytes| bytes as f64 / hidden);
    println!("in hidden features: forward {forward:.2}, step {step:.2}");
    assert!(forward < 1.6 && step < 1.9, "forward {forward:.2}, step {step:.2}");
}
