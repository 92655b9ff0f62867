//! Gradients that several activations share. Candle hands back the very tensor that it was given where
//! there is nothing to compute, so an operation may pass a gradient on that others hold.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use candle_core::{Tensor, Var};
use common::{assert_close, sample, var};
use packlight_autograd::op::{self, Windows};
use packlight_autograd::{Activation, Pass, Result, SavePoint, gradcheck};
use packlight_record::LayerKind;

const IMAGES: [usize; 4] = [2, 4, 3, 5];

fn layer() -> Arc<SavePoint> {
    SavePoint::new("layer", LayerKind::Linear)
}

/// An operation that gives its input as it is.
type Nothing = fn(&Activation) -> Result<Activation>;

/// Every operation with a setting in which it has nothing to do.
const NOTHING: [(&str, Nothing); 12] = [
    ("nothing at all", |x| Ok(x.clone())),
    ("slice", |x| op::slice(x, 1, 0..IMAGES[1])),
    ("reshape", |x| op::reshape(x, &IMAGES)),
    ("reshape twice", |x| op::reshape(&op::flatten(x)?, &IMAGES)),
    ("permute", |x| op::permute(x, &[0, 1, 2, 3])),
    ("scale", |x| op::scale(x, 1.0)),
    ("dropout", |x| op::dropout(x, 0.0, &layer())),
    ("mean_axis", |x| op::mean_axis(&op::reshape(x, &[2, 4, 1, 3, 5])?, 2)),
    ("avg_pool2d", |x| op::avg_pool2d(x, (1, 1), (1, 1))),
    ("max_pool2d", |x| {
        let windows = Windows { kernel: (1, 1), stride: (1, 1), padding: (0, 0) };
        op::max_pool2d(x, windows, &layer())
    }),
    ("subsample_pad", |x| op::subsample_pad(x, 1, IMAGES[1])),
    ("checkpoint", |x| {
        let segment = SavePoint::new("segment", LayerKind::Segment);
        op::checkpoint((x, &segment), [], &[], |x, []| Ok(x.clone()))
    }),
];

/// The gradients of two inputs, both of which go into a sum that passes one gradient to both, and of
/// which the first, behind `nothing`, is used once more before or behind it.
fn gradients(nothing: Nothing, first: bool) -> Vec<Tensor> {
    let vars = [var(&IMAGES, "x"), var(&IMAGES, "y")];
    let pass = Pass::training();
    // Activations with links of their own, so that the gradients meet in their slots.
    let [x, y] = vars.each_ref().map(|var| {
        op::scale(&Activation::from_tensor(var.as_tensor(), &pass).unwrap(), 2.0).unwrap()
    });
    let again = |of: &Activation| op::scale(of, 3.0).unwrap();
    let sum = match first {
        true => {
            let other = again(&x);
            op::add(other, op::add(nothing(&x).unwrap(), &y).unwrap()).unwrap()
        }
        false => {
            let both = op::add(nothing(&x).unwrap(), &y).unwrap();
            op::add(both, again(&x)).unwrap()
        }
    };
    let loss = (sum.into_tensor().unwrap() * sample(&IMAGES, "grad")).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    vars.iter().map(|var| store.get(var).unwrap().clone()).collect()
}

#[test]
fn a_gradient_that_others_hold_is_not_added_to() {
    let grad = sample(&IMAGES, "grad");
    for (name, nothing) in NOTHING {
        for first in [true, false] {
            println!("{name}, {first}");
            let found = gradients(nothing, first);
            // 2 (1 + 3) for x, 2 for y.
            assert_close(&found[0], &(&grad * 8.0).unwrap(), 1e-15);
            assert_close(&found[1], &(&grad * 2.0).unwrap(), 1e-15);
        }
    }
}

#[test]
fn a_parameter_in_front_of_every_sample_leaves_the_others_gradient_alone() {
    let inputs = [sample(&[3, 2, 4], "x"), sample(&[1, 2, 4], "p"), sample(&[3, 2, 4], "y")];
    gradcheck::check(&inputs, |vars| {
        let enter = |var: &Var| {
            op::scale(&Activation::from_tensor(var.as_tensor(), &Pass::training())?, 0.7)
        };
        let (x, y) = (enter(&vars[0])?, enter(&vars[2])?);
        let shifted = op::add_parameter(&x, &vars[1])?;
        let sum = op::add(&op::add(&shifted, &y)?, &op::add(&x, &op::add(&y, &x)?)?)?;
        Ok((sum.into_tensor()? * sample(&[3, 2, 4], "grad"))?.sum_all()?)
    })
    .unwrap();
}

/// One weight in three layers: what a probe has been shown of the first stays as it was.
#[test]
fn a_gradient_that_a_probe_holds_is_not_added_to() {
    use packlight_autograd::{Observer, WeightGradient};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(Tensor, Vec<f64>)>>);

    impl Observer for Seen {
        fn weight_gradient(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String> {
            let now = common::values(seen.compressed);
            self.0.lock().unwrap().push((seen.compressed.clone(), now));
            Ok(())
        }
    }

    let (seen, weight) = (Arc::new(Seen::default()), var(&[4, 4], "w"));
    let shared = (weight.as_tensor() * 1.5).unwrap();
    let pass = Pass::training().with_observer(seen.clone());
    let mut x = Activation::from_tensor(&sample(&[3, 4], "x"), &pass).unwrap();
    for _ in 0..3 {
        x = op::linear(&x, &shared, None, &layer()).unwrap();
    }
    x.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(tensor, then)| common::values(tensor) == *then));
}
