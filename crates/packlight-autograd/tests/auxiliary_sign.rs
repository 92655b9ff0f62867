//! Auxiliary sign activation as its authors define it, with their two settings.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use common::{assert_close, sample, var};
use packlight_autograd::{Activation, Observer, Pass, SavePoint, WeightGradient, op};
use packlight_record::LayerKind;

#[track_caller]
fn close(found: &Tensor, expected: &Tensor) {
    assert_close(found, expected, 1e-13);
}

/// Input and restored input that a probe is shown.
#[derive(Default)]
struct Seen(Mutex<Option<(Tensor, Tensor)>>);

impl Observer for Seen {
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> Result<(), String> {
        *self.0.lock().unwrap() = Some((seen.input.clone(), seen.restored.clone()));
        Ok(())
    }
}

#[test]
fn epsilon_scales_the_signs_and_lr_expansion_the_weight_s_gradient_alone() {
    let (tokens, features, out) = (6, 5, 3);
    for (codec, epsilon, lr_expansion) in
        [("asa1", 0.01, 100.0), ("asa1:0.2:100", 0.2, 100.0), ("asa1:0.01:7", 0.01, 7.0)]
    {
        let layer = SavePoint::new("fc", LayerKind::Linear);
        layer.set_codec(packlight_codec::parse(codec).unwrap());
        let (x, weight, bias) =
            (var(&[2, 3, features], "x"), var(&[out, features], "w"), var(&[out], "b"));
        // An element of 0 counts as negative.
        let hole = |at| if at == 4 { 0.0 } else { 1.0 };
        let mask = Tensor::from_iter((0..tokens * features).map(hole), &Device::Cpu).unwrap();
        let mask = mask.reshape((2, 3, features)).unwrap();
        let h = (&mask * x.as_tensor()).unwrap();
        let seen = Arc::new(Seen::default());
        let pass = Pass::training().with_observer(seen.clone());
        let input = Activation::from_tensor(&h, &pass).unwrap();
        let y = op::linear(&input, &weight, Some(&bias), &layer).unwrap().into_tensor().unwrap();
        let grad = sample(&[2, 3, out], "grad");
        let store = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();

        let signs = h.gt(0.0).unwrap().to_dtype(DType::F64).unwrap().affine(2.0, -1.0).unwrap();
        let auxiliary = (&signs * epsilon).unwrap();
        let actual = (&h + &auxiliary).unwrap();
        let rows = |t: &Tensor, width| t.reshape((tokens, width)).unwrap();
        let product = actual.broadcast_matmul(&weight.t().unwrap()).unwrap();
        close(&y, &product.broadcast_add(&bias).unwrap());
        let by_weight = rows(&grad, out).t().unwrap().matmul(&rows(&auxiliary, features)).unwrap();
        close(store.get(&weight).unwrap(), &(by_weight * lr_expansion).unwrap());
        close(store.get(&bias).unwrap(), &rows(&grad, out).sum(0).unwrap());
        let by_input = grad.broadcast_matmul(&weight).unwrap();
        close(store.get(&x).unwrap(), &(by_input * &mask).unwrap());
        // The learning indicator compares the actual input with the auxiliary one, unexpanded.
        let (exact, restored) = seen.0.lock().unwrap().take().unwrap();
        close(&exact, &actual);
        close(&restored, &auxiliary);
    }
}
