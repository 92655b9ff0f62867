//! Parameters that are updated during the backward pass end as those that are updated after it.

#![allow(clippy::unwrap_used)]

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::ParamsAdamW;
use packlight_autograd::{Activation, EagerUpdates, Pass, SavePoint, op};
use packlight_nn::model::{Inputs, Resnet18, Vit};
use packlight_nn::optimizer::{AdamW, Sgd, SgdConfig, UpdateEach};
use packlight_nn::{Error, Model, ModelSpec, Plan, Result, Trainer};
use packlight_record::LayerKind;

fn made(spec: &ModelSpec, plan: &str) -> Model {
    let spec = spec.clone().for_images(1, 8, 4).unwrap();
    Model::planned(&spec, &Plan::parse(plan).unwrap(), 3, DType::F32, &Device::Cpu).unwrap()
}

fn loss(model: &Model, pass: &Pass) -> Result<Tensor> {
    let images = Tensor::arange(0f32, 192.0, &Device::Cpu)?.sin()?.reshape((3, 1, 8, 8))?;
    let labels = Tensor::new(&[0u32, 3, 1], &Device::Cpu)?;
    model.loss(&model.logits(&Inputs::Images(images), pass)?, &labels)
}

fn values(model: &Model) -> Vec<(String, Vec<f32>)> {
    let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    let tensors = model.parameters().tensors().unwrap().into_iter();
    tensors.map(|(name, tensor)| (name, flat(tensor))).collect()
}

/// The parameters and losses of three steps.
fn trained<O: UpdateEach>(
    (spec, plan): (&ModelSpec, &str),
    optimizer: impl Fn(&Model) -> O,
    eagerly: bool,
) -> (Vec<(String, Vec<f32>)>, Vec<f64>) {
    let model = made(spec, plan);
    let mut trainer = Trainer::new(model.parameters(), optimizer(&model), 3, 3);
    let losses = (0..3).map(|_| match eagerly {
        true => trainer.step_eagerly(|pass| loss(&model, pass)).unwrap(),
        false => trainer.step(|pass| loss(&model, pass)).unwrap(),
    });
    let losses = losses.collect();
    (values(&model), losses)
}

#[test]
fn eager_steps_train_to_the_same_bits() {
    let vit = ModelSpec::new(Vit { width: 8, depth: 2, heads: 2, ..Vit::default() });
    let resnet = ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() });
    let sgd = |model: &Model| {
        let config = SgdConfig { lr: 0.05, weight_decay: 0.01, ..SgdConfig::default() };
        Sgd::for_parameters(model.parameters(), config).unwrap()
    };
    let adamw =
        |model: &Model| AdamW::for_parameters(model.parameters(), ParamsAdamW::default()).unwrap();
    for (spec, plan) in [
        (&vit, "none"),
        (&vit, "q4,checkpoint=sqrt"),
        (&vit, "gact:4"),
        (&resnet, "pool2"),
        (&resnet, "checkpoint=cell"),
        (&resnet, "last=2"),
    ] {
        let of = (spec, plan);
        assert_eq!(trained(of, sgd, true), trained(of, sgd, false), "sgd, {plan}");
        assert_eq!(trained(of, adamw, true), trained(of, adamw, false), "adamw, {plan}");
    }
}

/// One weight in a layer and in plain candle code.
#[test]
fn gradients_that_are_collected_are_candles() {
    let weight = Var::new(&[[2f32, 0.5], [-1.0, 3.0]], &Device::Cpu).unwrap();
    let input = Tensor::new(&[[1f32, -2.0]], &Device::Cpu).unwrap();
    let run = |pass: &Pass| {
        let x = Activation::from_tensor(&input, pass).unwrap();
        let fc = SavePoint::new("fc", LayerKind::Linear);
        let y = op::linear(&x, &weight, None, &fc).unwrap().into_tensor().unwrap();
        (y.sum_all().unwrap() + weight.sqr().unwrap().sum_all().unwrap()).unwrap()
    };
    let of = |store: GradStore| store.get(&weight).unwrap().to_vec2::<f32>().unwrap();
    let expected = of(run(&Pass::training()).backward().unwrap());
    let updates = EagerUpdates::default();
    let loss = run(&Pass::training().with_eager_updates(&updates));
    assert_eq!(of(updates.collect(&loss).unwrap()), expected);
}

/// One weight in two layers, and in a third whose output the loss does not depend on.
#[test]
fn a_parameter_that_is_used_several_times_is_updated_once_by_the_sum() {
    let weight = Var::new(&[[2f32, 0.5], [-1.0, 3.0]], &Device::Cpu).unwrap();
    let layer = |name| SavePoint::new(name, LayerKind::Linear);
    let input = Tensor::new(&[[1f32, -2.0]], &Device::Cpu).unwrap();
    let run = |pass: &Pass| {
        let x = Activation::from_tensor(&input, pass).unwrap();
        let y = op::linear(&x, &weight, None, &layer("first")).unwrap();
        let _unused = op::linear(&x, &weight, None, &layer("unused")).unwrap();
        let y = op::linear(&y, &weight, None, &layer("second")).unwrap();
        y.into_tensor().unwrap().sum_all().unwrap()
    };
    let store = run(&Pass::training()).backward().unwrap();
    let expected = store.get(&weight).unwrap().to_vec2::<f32>().unwrap();
    let updates = EagerUpdates::default();
    let loss = run(&Pass::training().with_eager_updates(&updates));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let held = seen.clone();
    let update = move |_: &Tensor, gradient: &Tensor| {
        held.lock().unwrap().push(gradient.to_vec2::<f32>()?);
        Ok(())
    };
    let rest = updates.backward(&loss, update).unwrap();
    assert!(rest.get(&weight).is_none());
    assert_eq!(*seen.lock().unwrap(), [expected]);
    assert!(updates.backward(&loss, |_, _| Ok(())).is_err(), "a second backward pass");
}

#[test]
fn a_gradient_that_is_not_finite_is_named_and_not_used() {
    let model = made(&ModelSpec::new(Resnet18 { width: 4, ..Resnet18::default() }), "none");
    let sgd = Sgd::for_parameters(model.parameters(), SgdConfig::default()).unwrap();
    let mut trainer = Trainer::new(model.parameters(), sgd, 3, 3);
    let before = values(&model);
    let error = trainer.step_eagerly(|pass| Ok((loss(&model, pass)? * f64::NAN)?)).unwrap_err();
    assert!(matches!(&error, Error::Diverged { step: 0, .. }), "{error}");
    // The root of 0 is finite, its derivative is not.
    let root = |pass: &Pass| {
        let loss = loss(&model, pass)?;
        Ok((&loss - loss.detach())?.sqrt()?)
    };
    let error = trainer.step_eagerly(root).unwrap_err().to_string();
    assert!(error.contains("the gradient of fc") && error.contains("at step 1"), "{error}");
    let parameters = |of: Vec<(String, Vec<f32>)>| {
        of.into_iter().filter(|(name, _)| !name.contains("running")).collect::<Vec<_>>()
    };
    assert_eq!(parameters(values(&model)), parameters(before), "it was the first one to come");
}
