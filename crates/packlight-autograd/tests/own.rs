//! An operation from outside the crate: its gradient, what it saves, and what is refused.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use common::{assert_close, sample, var};
use packlight_autograd::operation::{self, Gradients, Needs};
use packlight_autograd::{Activation, Ledger, Op, Pass, Result, SavePoint, gradcheck};
use packlight_codec::{Bytes, Codec, Packed, Scope, Site};
use packlight_record::LayerKind;

const SHAPE: [usize; 2] = [3, 5];
const OP: Op<'_> = Op::Custom("scaled_square");

/// `scale x^2`, with a parameter of one element.
fn scaled_square(
    x: &Activation,
    scale: &Tensor,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let scale = if save_point.is_frozen() { &scale.detach() } else { scale };
    let (now, parameters) = (scale.detach(), [scale]);
    let data = x.data().sqr()?.broadcast_mul(&now)?;
    let needs = Needs::of(&[x], &parameters);
    if !needs.any() {
        return Ok(operation::constant(data, x));
    }
    let input = x.save(save_point, OP)?;
    operation::output("scaled_square", data, &[x], &parameters, move |grad| {
        let twice = |x: &Tensor| (x * 2.0)?.mul(&grad);
        let by_input = input.gradient(OP, &grad, twice)?.broadcast_mul(&now)?;
        let by_scale = input.compute(|x| x.sqr()?.mul(&grad)?.sum_all()?.reshape(1));
        Ok(Gradients { inputs: vec![Some(by_input)], parameters: vec![Some(by_scale?)] })
    })
}

fn save_point() -> Arc<SavePoint> {
    SavePoint::new("square", LayerKind::Activation)
}

fn weighted_sum(y: Activation) -> Result<Tensor> {
    Ok((y.into_tensor()? * sample(&SHAPE, "projection"))?.sum_all()?)
}

#[test]
fn its_gradients_are_those_of_central_differences() {
    let inputs = [sample(&SHAPE, "x"), sample(&[1], "scale")];
    let f = |vars: &[Var]| {
        let x = Activation::from_tensor(&vars[0], &Pass::training())?;
        weighted_sum(scaled_square(&x, &vars[1], &save_point())?)
    };
    gradcheck::check(&inputs, f).unwrap();
}

#[test]
fn it_saves_once_what_others_save_alike_and_nothing_in_evaluation() {
    let (x, scale) = (var(&SHAPE, "x"), var(&[1], "scale"));
    let kept = |pass: Pass, codecs: [&str; 2]| {
        let ledger = Ledger::new();
        let x = Activation::from_tensor(&x, &pass.with_ledger(&ledger)).unwrap();
        let outputs = codecs.map(|codec| {
            let save_point = save_point();
            save_point.set_codec(packlight_codec::parse(codec).unwrap());
            scaled_square(&x, &scale, &save_point).unwrap()
        });
        let kept = ledger.kept();
        drop(outputs);
        kept
    };
    assert_eq!(kept(Pass::training(), ["none", "none"]), 15 * 8);
    assert_eq!(kept(Pass::training(), ["none", "bf16"]), 15 * (8 + 2));
    assert_eq!(kept(Pass::evaluation(), ["none", "bf16"]), 0);
    let frozen = save_point();
    frozen.freeze(true);
    let constant = Activation::from_tensor(&x.as_detached_tensor(), &Pass::training()).unwrap();
    assert!(!Needs::of(&[&constant], &[]).any());
    let y = scaled_square(&constant, &scale, &frozen).unwrap();
    assert!(!Needs::of(&[&y], &[]).any(), "a frozen operation on a constant is a constant");
}

/// Saves whole tensors, and knows the gradient of one operation to be 7.
#[derive(Debug)]
struct Sevens;

struct Whole(Tensor);

impl Codec for Sevens {
    fn spec(&self) -> String {
        "sevens".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[])
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> packlight_codec::Result<Option<Bytes>> {
        Ok(None)
    }

    fn pack(
        &self,
        input: &Tensor,
        site: &mut Site<'_>,
    ) -> packlight_codec::Result<Box<dyn Packed>> {
        assert_eq!(site.op, OP);
        Ok(Box::new(Whole(input.clone())))
    }
}

impl Packed for Whole {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        Ok(self.0.clone())
    }

    fn gradient(&self, op: Op<'_>, _: &Tensor) -> packlight_codec::Result<Option<Tensor>> {
        if op != OP {
            return Ok(None);
        }
        Ok(Some((self.0.ones_like()? * 7.0)?))
    }
}

#[test]
fn a_packed_copy_is_asked_before_it_is_unpacked() {
    let (x, scale) = (var(&SHAPE, "x"), Var::from_tensor(&sample(&[1], "x").ones_like().unwrap()));
    let save_point = save_point();
    save_point.set_codec(Arc::new(Sevens));
    let entered = Activation::from_tensor(&x, &Pass::training()).unwrap();
    let y = scaled_square(&entered, &scale.unwrap(), &save_point).unwrap();
    let store = weighted_sum(y).unwrap().backward().unwrap();
    let sevens = (x.ones_like().unwrap() * 7.0).unwrap();
    assert_close(store.get(&x).unwrap(), &sevens, 1e-15);
}

#[test]
fn gradients_that_do_not_fit_are_errors_that_name_the_operation() {
    let x = var(&SHAPE, "x");
    let error = |inputs: Vec<Option<Tensor>>, parameters: Vec<Option<Tensor>>| {
        let entered = Activation::from_tensor(&x, &Pass::training()).unwrap();
        let gradients = Gradients { inputs, parameters };
        let data = entered.data().clone();
        let y = operation::output("wrong", data, &[&entered], &[], move |_| Ok(gradients)).unwrap();
        weighted_sum(y).unwrap().backward().unwrap_err().to_string()
    };
    let fitting = || Some(sample(&SHAPE, "grad"));
    assert!(
        error(vec![fitting(), fitting()], Vec::new()).contains("wrong: 2 gradients for 1 inputs")
    );
    assert!(error(vec![fitting()], vec![fitting()]).contains("1 gradients for 0 parameters"));
    let narrow = error(vec![Some(sample(&[5], "grad"))], Vec::new());
    assert!(
        narrow.contains("wrong: a gradient of shape [5]") && narrow.contains("[3, 5]"),
        "{narrow}"
    );
    let none =
        operation::output("none", sample(&SHAPE, "x"), &[], &[], |_| Ok(Gradients::default()));
    assert!(none.err().unwrap().to_string().contains("none: an operation needs an input"));
}
