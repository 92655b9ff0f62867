//! The optimizers follow PyTorch's and candle-nn's rules, and resume to the same bits.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_nn::{Optimizer, ParamsAdamW};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::optimizer::{AdamW, Resumable, Sgd, SgdConfig};

/// Random numbers, each call with another `step` giving others.
fn sample(count: usize, step: u64) -> Vec<f64> {
    let mut stream = Key::new(1, Purpose::Sample).step(step).stream();
    (0..count).map(|_| stream.normal()).collect()
}

fn var(values: &[f64]) -> Var {
    Var::from_slice(values, values.len(), &Device::Cpu).unwrap()
}

fn grads(vars: &[Var], step: u64) -> GradStore {
    let mut grads = GradStore::default();
    for (index, var) in vars.iter().enumerate() {
        let values = sample(var.elem_count(), step * 100 + index as u64);
        let gradient = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
        grads.insert(var, gradient.to_dtype(var.dtype()).unwrap());
    }
    grads
}

fn values(vars: &[Var]) -> Vec<f64> {
    let flat = |var: &Var| var.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    vars.iter().flat_map(|var| flat(var).unwrap()).collect()
}

/// `torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)` on theta = (1, -2) with gradients
/// (0.5, 0.25) and (-1, 2), worked out by hand.
#[test]
fn sgd_takes_pytorchs_steps() {
    let first = [0.5 + 0.01, 0.25 - 0.02];
    let theta1 = [1.0 - 0.1 * first[0], -2.0 - 0.1 * first[1]];
    let second = [-1.0 + 0.01 * theta1[0], 2.0 + 0.01 * theta1[1]];
    let velocity = [0.9 * first[0] + second[0], 0.9 * first[1] + second[1]];
    let plain = [theta1[0] - 0.1 * velocity[0], theta1[1] - 0.1 * velocity[1]];

    let config = SgdConfig { weight_decay: 0.01, ..SgdConfig::default() };
    assert_close(&two_steps(config), &plain);

    // With Nesterov's look-ahead the first step is by d + 0.9 d already.
    let theta1 = [1.0 - 0.19 * first[0], -2.0 - 0.19 * first[1]];
    let second = [-1.0 + 0.01 * theta1[0], 2.0 + 0.01 * theta1[1]];
    let ahead = |i: usize| second[i] + 0.9 * (0.9 * first[i] + second[i]);
    let nesterov = [theta1[0] - 0.1 * ahead(0), theta1[1] - 0.1 * ahead(1)];
    assert_close(&two_steps(SgdConfig { nesterov: true, ..config }), &nesterov);

    let config = SgdConfig { momentum: 0.0, ..SgdConfig::default() };
    assert_close(&two_steps(config), &[1.0 - 0.05 + 0.1, -2.0 - 0.025 - 0.2]);
}

fn two_steps(config: SgdConfig) -> Vec<f64> {
    let theta = var(&[1.0, -2.0]);
    let mut sgd = Sgd::new(vec![theta.clone()], config).unwrap();
    for gradient in [[0.5, 0.25], [-1.0, 2.0]] {
        let mut grads = GradStore::default();
        grads.insert(&theta, Tensor::new(&gradient, &Device::Cpu).unwrap());
        sgd.step(&grads).unwrap();
    }
    values(&[theta])
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

#[test]
fn sgd_leaves_a_parameter_without_gradient() {
    let vars = [var(&[1.0]), var(&[2.0])];
    let config = SgdConfig { weight_decay: 0.5, ..SgdConfig::default() };
    let mut sgd = Sgd::new(vars.to_vec(), config).unwrap();
    sgd.step(&grads(&vars[..1], 0)).unwrap();
    assert_ne!(values(&vars[..1]), [1.0]);
    assert_eq!(values(&vars[1..]), [2.0]);
}

#[test]
fn adamw_takes_candles_steps_to_the_bit() {
    for dtype in [DType::F32, DType::F64] {
        let start = || {
            let tensor = Tensor::from_vec(sample(7, 99), 7, &Device::Cpu)?.to_dtype(dtype)?;
            Var::from_tensor(&tensor)
        };
        let (ours, theirs) = ([start().unwrap()], [start().unwrap()]);
        let config = ParamsAdamW { lr: 0.01, weight_decay: 0.1, ..ParamsAdamW::default() };
        let mut own = AdamW::new(ours.to_vec(), config.clone()).unwrap();
        let mut candles = candle_nn::AdamW::new(theirs.to_vec(), config).unwrap();
        for step in 0..20 {
            own.set_learning_rate(0.01 / (step + 1) as f64);
            candles.set_learning_rate(0.01 / (step + 1) as f64);
            own.step(&grads(&ours, step)).unwrap();
            candles.step(&grads(&theirs, step)).unwrap();
            assert_eq!(values(&ours), values(&theirs), "{dtype:?}, step {step}");
        }
    }
}

/// Ten steps at once, and four, a new optimizer with the saved state, and six.
fn resumes<O: Optimizer + Resumable>(new: impl Fn(Vec<Var>) -> O) {
    let start = || vec![var(&sample(5, 7)), var(&sample(3, 8))];
    let whole = start();
    let mut optimizer = new(whole.clone());
    (0..10).for_each(|step| optimizer.step(&grads(&whole, step)).unwrap());

    let parts = start();
    let mut optimizer = new(parts.clone());
    (0..4).for_each(|step| optimizer.step(&grads(&parts, step)).unwrap());
    let state = optimizer.state().unwrap();
    optimizer.step(&grads(&start(), 50)).unwrap(); // the saved state does not follow
    let mut optimizer = new(parts.clone());
    optimizer.set_state(&state).unwrap();
    (4..10).for_each(|step| optimizer.step(&grads(&parts, step)).unwrap());
    assert_eq!(values(&parts), values(&whole));

    let mut damaged = state;
    let name = damaged.keys().next().unwrap().clone();
    damaged.remove(&name);
    let error = optimizer.set_state(&damaged).unwrap_err().to_string();
    assert!(error.contains(&format!("the optimizer's state: the tensor `{name}`")), "{error}");
}

#[test]
fn sgd_resumes_to_the_same_bits() {
    resumes(|vars| Sgd::new(vars, SgdConfig::default()).unwrap());
}

#[test]
fn adamw_resumes_to_the_same_bits() {
    resumes(|vars| AdamW::new(vars, ParamsAdamW::default()).unwrap());
}
