//! A whole step gives the same bits for any number of threads: forward and backward pass, update, and
//! what norms and codecs remember.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer, ParamsAdamW};
use packlight_autograd::{Activation, Ledger, Pass};
use packlight_kernels::LARGEST_PIECE;
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::{Model, ModelSpec, Resnet20, Vit};
use packlight_nn::optimizer::{AdamW, Sgd, SgdConfig};
use packlight_nn::{Module, Plan, codec_state};
use packlight_record::KeptKind;

/// Enough for three pieces of every elementwise kernel, one of which is not whole.
const BATCH: usize = 9;
const SIDE: usize = 32;

fn batch() -> (Tensor, Tensor) {
    let mut stream = Key::new(4, Purpose::Sample).stream();
    let shape = (BATCH, 3, SIDE, SIDE);
    let values = (0..BATCH * 3 * SIDE * SIDE).map(|_| stream.normal() as f32).collect();
    let labels: Vec<u32> = (0..BATCH).map(|_| stream.below(10)).collect();
    (
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap(),
        Tensor::new(labels, &Device::Cpu).unwrap(),
    )
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    let wide = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    wide.to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect()
}

/// All that a step leaves behind, by name.
fn step(spec: &ModelSpec, plan: &str) -> BTreeMap<String, Vec<u64>> {
    let plan = Plan::parse(plan).unwrap();
    let model = Model::planned(spec, &plan, 3, DType::F32, &Device::Cpu).unwrap();
    let (images, labels) = batch();
    let ledger = Ledger::new();
    let pass = Pass::training().with_seed(3, 0).with_ledger(&ledger);
    let logits = model.forward(&Activation::from_tensor(&images, &pass).unwrap()).unwrap();
    let loss = model.loss(&logits, &labels).unwrap();
    // There are several pieces: the kernels that go by elements have three of the largest activations;
    // those that go by images or by rows of 64 tokens have nine images and 585 tokens.
    let inputs = ledger.entries().into_iter().filter(|entry| entry.kind == KeptKind::Input);
    let largest = inputs.map(|entry| entry.raw / size_of::<f32>()).max();
    assert!(largest.unwrap() > 2 * LARGEST_PIECE, "{largest:?}");
    let gradients = loss.backward().unwrap();
    let mut left = BTreeMap::from([("loss".to_owned(), bits(&loss))]);
    for (name, var) in model.parameters().named() {
        left.insert(format!("gradient of {name}"), bits(gradients.get(var).unwrap()));
    }
    match spec.name() {
        "vit" => {
            let mut adamw = AdamW::new(model.parameters().vars(), ParamsAdamW::default()).unwrap();
            adamw.step(&gradients).unwrap();
        }
        _ => {
            let config = SgdConfig { weight_decay: 5e-4, nesterov: true, ..SgdConfig::default() };
            Sgd::new(model.parameters().vars(), config).unwrap().step(&gradients).unwrap();
        }
    }
    let tensors = model.parameters().named().chain(model.parameters().buffers());
    left.extend(tensors.map(|(name, var)| (name.to_owned(), bits(var))));
    let remembered = codec_state::tensors(model.save_points());
    left.extend(remembered.iter().map(|(name, tensor)| (name.clone(), bits(tensor))));
    left
}

fn check(spec: &ModelSpec, plans: &[&str]) {
    let spec = spec.for_images(3, SIDE, 10).unwrap();
    for plan in plans {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| step(&spec, plan))
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            for (name, found) in run(threads) {
                assert!(found == one[&name], "{plan}, {threads} threads: {name} differs");
            }
        }
    }
}

#[test]
fn a_step_of_a_residual_network() {
    let spec = ModelSpec::new(Resnet20 { width: 16 });
    check(&spec, &["none", "pool2", "actnn:2", "hosvd:0.8,norm=msnorm", "fp8"]);
    check(&spec, &["gf2", "topk:0.1", "dither:2", "checkpoint=block"]);
}

#[test]
fn a_step_of_a_transformer() {
    let spec = ModelSpec::new(Vit { width: 64, depth: 2, heads: 4, patch: 4, ..Vit::default() });
    check(&spec, &["none", "mesa", "velora:4", "asa2", "attention=q4,default=q2"]);
}
