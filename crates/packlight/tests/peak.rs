//! The peak of a training step: at no time is more alive than what will be read again.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use mimalloc::MiMalloc;
use packlight::autograd::Pass;
use packlight::autograd::allocator::{self, Counting};
use packlight::nn::model::{Inputs, Resnet18, Stem};
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
fn a_step_holds_one_of_the_largest_activations_forward_and_two_back_and_no_gradients_of_parameters()
{
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
