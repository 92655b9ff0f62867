//! The training step: numbered, calibrated, checked and allocated, in every loop.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer;
use packlight_autograd::Pass;
use packlight_nn::model::{Inputs, Vit};
use packlight_nn::optimizer::{Sgd, SgdConfig};
use packlight_nn::{Error, Model, ModelSpec, Plan, Result, Schedule, Steps, Trainer, codec_state};

const SEED: u64 = 5;
const TOTAL: u64 = 6;

fn model(plan: &str) -> Model {
    let spec = ModelSpec::new(Vit { width: 8, depth: 1, heads: 2, ..Vit::default() });
    let spec = spec.for_images(1, 8, 4).unwrap();
    let plan = Plan::parse(plan).unwrap();
    Model::planned(&spec, &plan, SEED, DType::F32, &Device::Cpu).unwrap()
}

fn loss(model: &Model, pass: &Pass) -> Result<Tensor> {
    let images = Tensor::arange(0f32, 192.0, &Device::Cpu)?.sin()?.reshape((3, 1, 8, 8))?;
    let labels = Tensor::new(&[0u32, 3, 1], &Device::Cpu)?;
    model.loss(&model.logits(&Inputs::Images(images), pass)?, &labels)
}

fn sgd(model: &Model) -> Sgd {
    let config = SgdConfig { lr: 0.05, ..SgdConfig::default() };
    Sgd::for_parameters(model.parameters(), config).unwrap()
}

/// Parameters and codec states, bit for bit.
fn all(model: &Model) -> Vec<(String, Vec<f64>)> {
    let states = codec_state::tensors(model.save_points());
    let values = |tensor: Tensor| {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    let tensors = model.parameters().tensors().unwrap().into_iter().chain(states);
    tensors.map(|(name, tensor)| (name, values(tensor))).collect()
}

#[test]
fn a_loop_of_ones_own_trains_as_the_trainer_does() {
    // Rounding at random, measuring, and both with a budget for all.
    for plan in ["q4", "gact:4", "asi:0.001MiB,norm=actnn:2", "alam:2"] {
        let ours = model(plan);
        let mut trainer = Trainer::new(ours.parameters(), sgd(&ours), SEED, TOTAL);
        let own = model(plan);
        let mut optimizer = sgd(&own);
        let mut steps = Steps::new(own.parameters(), SEED, TOTAL);
        for step in 0..TOTAL {
            let value = trainer.step(|pass| loss(&ours, pass)).unwrap();
            let pass = steps.begin(|pass| loss(&own, pass)).unwrap();
            let loss = loss(&own, &pass).unwrap();
            optimizer.step(&loss.backward().unwrap()).unwrap();
            assert_eq!(f64::from(loss.to_scalar::<f32>().unwrap()), value, "{plan}, step {step}");
        }
        assert_eq!(steps.next_step(), TOTAL);
        steps.allocate().unwrap(); // the trainer has done so at the end of its step
        assert_eq!(all(&own), all(&ours), "{plan}");
    }
}

#[test]
fn each_step_has_its_own_random_numbers_and_the_seed_decides_them() {
    let model = model("none");
    let values = |pass: &Pass| {
        let point =
            packlight_autograd::SavePoint::new("drop", packlight_record::LayerKind::Dropout);
        let ones = Tensor::ones(64, DType::F32, &Device::Cpu).unwrap();
        let x = packlight_autograd::Activation::from_tensor(&ones, pass).unwrap();
        packlight_autograd::op::dropout(&x, 0.5, &point).unwrap().data().to_vec1::<f32>().unwrap()
    };
    let drawn = |seed| {
        let mut steps = Steps::new(model.parameters(), seed, TOTAL);
        let mut next = || values(&steps.begin(|pass| loss(&model, pass)).unwrap());
        [next(), next()]
    };
    let [first, second] = drawn(1);
    assert_ne!(first, second);
    assert_eq!(drawn(1), [first.clone(), second]);
    assert_ne!(drawn(2)[0], first);
}

#[test]
fn a_step_that_is_not_finite_changes_no_parameter() {
    let model = model("none");
    let mut trainer = Trainer::new(model.parameters(), sgd(&model), SEED, TOTAL);
    let spoiled = |pass: &Pass, factor: f64| Ok((loss(&model, pass)? * factor)?);
    trainer.step(|pass| spoiled(pass, 1.0)).unwrap();
    let before = all(&model);
    let error = trainer.step(|pass| spoiled(pass, f64::NAN)).unwrap_err();
    assert!(matches!(&error, Error::Diverged { found, step: 1 } if found == "the loss is NaN"));
    // The root of 0 is finite, its derivative is not.
    let root = |pass: &Pass| {
        let loss = loss(&model, pass)?;
        Ok((&loss - loss.detach())?.sqrt()?)
    };
    let error = trainer.step(root).unwrap_err().to_string();
    assert!(error.contains("the gradient of ") && error.contains("at step 2"), "{error}");
    assert_eq!(all(&model), before);
}

#[test]
fn a_schedule_multiplies_the_optimizers_learning_rate() {
    let model = model("none");
    let schedule = Schedule::Cosine { warmup: 0.5 };
    let factors: Vec<f64> =
        (0..TOTAL).map(|step| schedule.factor(step as usize, TOTAL as usize)).collect();
    let mut trainer =
        Trainer::new(model.parameters(), sgd(&model), SEED, TOTAL).with_schedule(schedule);
    for factor in factors {
        trainer.step(|pass| loss(&model, pass)).unwrap();
        assert_eq!(trainer.optimizer.learning_rate(), 0.05 * factor);
    }
}

#[test]
fn calibrations_are_counted_where_they_take_place() {
    let of = |plan: &str, total| {
        let model = model(plan);
        let steps = Steps::new(model.parameters(), SEED, total);
        (steps.calibrates_next(), steps.calibrations())
    };
    assert_eq!(of("none", 100), (false, 0));
    assert_eq!(of("gact:4:50", 120), (true, 3));
    assert_eq!(of("alam:2", 100), (true, 2));
}

#[test]
fn gradients_of_a_single_batch_are_those_of_a_plan_that_has_measured() {
    let model = model("gact:4");
    let loss = |pass: &Pass| loss(&model, pass);
    let (value, gradients) = packlight_nn::gradients(model.parameters(), loss).unwrap();
    assert!(!codec_state::tensors(model.save_points()).is_empty());
    let pass = Steps::new(model.parameters(), 0, 1).next_pass().freeze_statistics();
    let expected = loss(&pass).unwrap().backward().unwrap();
    assert!(value.to_scalar::<f32>().unwrap().is_finite());
    for (name, var) in model.parameters().trained() {
        let of = |store: &candle_core::backprop::GradStore| {
            store.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(of(&gradients), of(&expected), "{name}");
    }
}
