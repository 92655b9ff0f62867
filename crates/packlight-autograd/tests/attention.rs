//! The operations of transformers and mixers: their gradients, and what they keep.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use candle_core::{D, Device, Tensor, Var};
use common::{assert_close, sample};
use packlight_autograd::op::{self, Visible};
use packlight_autograd::{Activation, AxisLayout, Ledger, Pass, Result, SavePoint, gradcheck};
use packlight_record::LayerKind;

fn layer(name: &str) -> Arc<SavePoint> {
    SavePoint::new(name, LayerKind::Attention)
}

fn projected(output: &Tensor) -> candle_core::Result<Tensor> {
    (output * sample(output.dims(), "projection"))?.sum_all()
}

/// Checks `ours` of all inputs against central differences and against candle's own gradients.
fn check(
    inputs: &[Tensor],
    ours: impl Fn(&[Activation], &[Var]) -> Result<Activation>,
    theirs: impl Fn(&[Var]) -> candle_core::Result<Tensor>,
) {
    let run = |vars: &[Var]| {
        let pass = Pass::training();
        let enter = |var: &Var| Activation::from_tensor(var, &pass);
        let entered = vars.iter().map(enter).collect::<Result<Vec<_>>>()?;
        Ok(projected(&ours(&entered, vars)?.into_tensor()?)?)
    };
    gradcheck::check(inputs, run).unwrap();
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let own = run(&vars).unwrap().backward().unwrap();
    let candle = projected(&theirs(&vars).unwrap()).unwrap().backward().unwrap();
    for (number, var) in vars.iter().enumerate() {
        println!("input {number}");
        assert_close(own.get(var).unwrap(), candle.get(var).unwrap(), 1e-11);
    }
}

#[test]
fn matmul() {
    let (a, b) = (layer("a"), layer("b"));
    check(
        &[sample(&[2, 3, 4], "x"), sample(&[2, 4, 5], "y")],
        |x, _| op::matmul(&x[0], &x[1], &a, &b),
        |vars| vars[0].matmul(&vars[1]),
    );
    check(
        &[sample(&[2, 1, 3, 4], "x"), sample(&[2, 1, 5, 4], "y")],
        |x, _| op::matmul_transposed(&x[0], &x[1], &a, &b),
        |vars| vars[0].matmul(&vars[1].transpose(2, 3)?),
    );
    check(
        &[sample(&[2, 3, 3], "x")],
        |x, _| op::matmul(&x[0], &x[0], &a, &a),
        |vars| vars[0].matmul(&vars[0]),
    );
}

#[test]
fn softmax() {
    check(
        &[sample(&[2, 3, 5], "x")],
        |x, _| op::softmax(&x[0], &Visible::default(), &layer("softmax")),
        |vars| {
            let powers = vars[0].exp()?;
            powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
        },
    );
    let visible = Visible { lengths: Some(vec![1, 3]), causal: true };
    // -inf where a row may not look.
    let mask = |row: usize, key: usize| match key < [1, 3][row / 3].min(row % 3 + 1) {
        true => 0.0,
        false => f64::NEG_INFINITY,
    };
    let mask: Vec<f64> = (0..18).map(|at| mask(at / 3, at % 3)).collect();
    let mask = Tensor::from_vec(mask, (2, 3, 3), &Device::Cpu).unwrap();
    check(
        &[sample(&[2, 3, 3], "x")],
        |x, _| op::softmax(&x[0], &visible, &layer("softmax")),
        |vars| {
            let powers = (vars[0].as_tensor() + &mask)?.exp()?;
            powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
        },
    );
}

#[test]
fn shapes() {
    check(
        &[sample(&[2, 3, 2, 4], "x")],
        |x, _| op::permute(&x[0], &[2, 0, 3, 1]),
        |vars| vars[0].permute((2, 0, 3, 1)),
    );
    check(
        &[sample(&[2, 5, 3], "x")],
        |x, _| op::slice(&x[0], 1, 1..3),
        |vars| vars[0].narrow(1, 1, 2),
    );
    for axis in 0..3 {
        check(
            &[sample(&[2, 4, 3], "x")],
            |x, _| op::mean_axis(&x[0], axis),
            |vars| vars[0].mean(axis),
        );
    }
    check(&[sample(&[2, 3], "x")], |x, _| op::scale(&x[0], 0.3), |vars| vars[0].as_tensor() * 0.3);
}

#[test]
fn parameters_of_every_sample() {
    check(
        &[sample(&[3, 2, 4], "x"), sample(&[1, 2, 4], "position")],
        |x, vars| op::add_parameter(&x[0], &vars[1]),
        |vars| vars[0].broadcast_add(&vars[1]),
    );
    check(
        &[sample(&[3, 2, 4], "x"), sample(&[1, 1, 4], "token")],
        |x, vars| op::prepend_token(&x[0], &vars[1]),
        |vars| Tensor::cat(&[&vars[1].broadcast_as((3, 1, 4))?.contiguous()?, &vars[0]], 1),
    );
    let x = Activation::from_tensor(&sample(&[3, 2, 4], "x"), &Pass::training()).unwrap();
    for misfit in [sample(&[3, 2, 4], "p"), sample(&[1, 2, 3], "p"), sample(&[4], "p")] {
        assert!(op::add_parameter(&x, &misfit).is_err());
        assert!(op::prepend_token(&x, &misfit).is_err());
    }
}

#[test]
fn embedding() {
    let tokens = Tensor::new(&[[2u32, 0, 2], [1, 2, 0]], &Device::Cpu).unwrap();
    let table = SavePoint::new("table", LayerKind::Embedding);
    check(
        &[sample(&[4, 3], "table")],
        |x, vars| {
            let tokens = Activation::from_tensor(&tokens, x[0].pass())?;
            op::embedding(&tokens, &vars[0], &table)
        },
        |vars| vars[0].index_select(&tokens.flatten_all()?, 0)?.reshape((2, 3, 3)),
    );
    let weight = Var::from_tensor(&sample(&[2, 3], "table")).unwrap();
    let tokens = Activation::from_tensor(&tokens, &Pass::training()).unwrap();
    let error = op::embedding(&tokens, &weight, &table).err().unwrap().to_string();
    assert!(error.contains("`table`: token 2 of 2 entries"), "{error}");
}

#[test]
fn dropped_probabilities_are_not_kept_again() {
    let [softmax, value] = ["softmax", "value"].map(layer);
    let dropout = SavePoint::new("dropout", LayerKind::Dropout);
    let mixed = |scores: &Activation, values: &Activation| {
        let probabilities = op::softmax(scores, &Visible::default(), &softmax)?;
        let left = op::dropout_of_saved(&probabilities, 0.5, &dropout, &softmax)?;
        op::matmul(&left, values, &softmax, &value)
    };
    let inputs = [sample(&[2, 4, 4], "scores"), sample(&[2, 4, 3], "values")];
    gradcheck::check(&inputs, |vars| {
        let enter = |var| Activation::from_tensor(var, &Pass::training());
        Ok(projected(&mixed(&enter(&vars[0])?, &enter(&vars[1])?)?.into_tensor()?)?)
    })
    .unwrap();
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let enter = |tensor: &Tensor| {
        Activation::from_tensor(&Var::from_tensor(tensor).unwrap(), &pass).unwrap()
    };
    let y = mixed(&enter(&inputs[0]), &enter(&inputs[1])).unwrap();
    let entries = ledger.entries();
    let kept: Vec<_> = entries.iter().map(|e| (&*e.layer, e.bytes.total())).collect();
    assert_eq!(kept, [("softmax", 2 * 16 * 8), ("softmax", 0), ("value", 2 * 12 * 8)]);
    y.into_tensor().unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(ledger.kept(), 0);
}

/// Attention of two heads over queries, keys and values (1, 2, 3, 4), and its layers.
fn attention(codec: &str, ledger: &Ledger) -> (Activation, Vec<Var>, [Arc<SavePoint>; 4]) {
    let names = ["query", "key", "value"];
    let layers = [names[0], names[1], names[2], "softmax"].map(layer);
    for layer in &layers {
        layer.set_codec(packlight_codec::parse(codec).unwrap());
    }
    let [query, key, value, softmax] = &layers;
    let pass = Pass::training().with_ledger(ledger);
    let vars: Vec<Var> =
        names.map(|name| Var::from_tensor(&sample(&[1, 2, 3, 4], name)).unwrap()).to_vec();
    let enter =
        |var: &Var| Activation::from_tensor(var, &pass).unwrap().with_axes(AxisLayout::Heads);
    let scores = op::matmul_transposed(&enter(&vars[0]), &enter(&vars[1]), query, key).unwrap();
    let probabilities = op::softmax(&scores, &Visible::default(), softmax).unwrap();
    let mixed = op::matmul(&probabilities, &enter(&vars[2]), softmax, value).unwrap();
    (mixed, vars, layers)
}

#[test]
fn codecs_are_told_the_heads() {
    let (_, _, layers) = attention("mesa", &Ledger::new());
    for layer in layers {
        // A range for each head.
        assert_eq!(layer.codec_state().get("ranges").unwrap().dims(), [2, 2], "{}", layer.name());
    }
}

#[test]
fn attention_keeps_its_probabilities_once() {
    for (codec, share) in [("none", 1), ("pool2", 2)] {
        let ledger = Ledger::new();
        let (y, vars, _) = attention(codec, &ledger);
        let entries = ledger.entries();
        let kept: Vec<_> = entries.iter().map(|e| (&*e.layer, e.bytes.total())).collect();
        let (operand, square) = (24 * 8 / share, 6 * 3usize.div_ceil(share) * 8);
        assert_eq!(
            kept,
            [("query", operand), ("key", operand), ("softmax", square), ("value", operand)]
        );
        let gradients = projected(&y.into_tensor().unwrap()).unwrap().backward().unwrap();
        assert_eq!(ledger.kept(), 0);
        assert!(vars.iter().all(|var| gradients.get(var).is_some()));
        let freed: Vec<_> = ledger.timeline().into_iter().filter(|e| e.backward).collect();
        let freed: Vec<&str> = freed.iter().map(|event| &*event.layer).collect();
        assert_eq!(freed, ["value", "softmax", "query", "key"]);
    }
}

/// A pass through attention.
struct Attended {
    /// The output and the gradients of queries, keys and values.
    results: Vec<Vec<f64>>,
    ledger: Ledger,
}

impl Attended {
    /// Bytes that a layer kept.
    fn bytes(&self, layer: &str) -> usize {
        let entries = self.ledger.entries();
        entries.iter().filter(|e| &*e.layer == layer).map(|e| e.bytes.total()).sum()
    }
}

/// A pass with so many queries, keys and features, with the scores kept or not.
fn attended(sizes: [usize; 3], visible: &Visible, recomputes: bool) -> Attended {
    let [queries, keys, features] = sizes;
    let [query, key, value, softmax, dropout] =
        ["query", "key", "value", "softmax", "dropout"].map(layer);
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let of = |name, tokens, width| Var::from_tensor(&sample(&[2, 2, tokens, width], name)).unwrap();
    let vars = [of("query", queries, 4), of("key", keys, 4), of("value", keys, features)];
    let [q, k, v] = vars.each_ref().map(|var| Activation::from_tensor(var, &pass).unwrap());
    let y = if recomputes {
        op::attention([&q, &k, &v], [&query, &key, &value], visible, Some((0.3, &dropout))).unwrap()
    } else {
        let scores = op::matmul_transposed(&q, &k, &query, &key).unwrap();
        let kept = op::softmax(&scores, visible, &softmax).unwrap();
        let kept = op::dropout_of_saved(&kept, 0.3, &dropout, &softmax).unwrap();
        op::matmul(&kept, &v, &softmax, &value).unwrap()
    };
    let y = y.into_tensor().unwrap();
    let gradients = projected(&y).unwrap().backward().unwrap();
    assert_eq!(ledger.kept(), 0);
    let all = [y].into_iter().chain(vars.iter().map(|var| gradients.get(var).unwrap().clone()));
    let results = all.map(|x| x.flatten_all().unwrap().to_vec1().unwrap()).collect();
    Attended { results, ledger }
}

#[test]
fn recomputed_scores_change_nothing_but_what_is_kept() {
    let visible =
        |lengths: Option<[usize; 2]>, causal| Visible { lengths: lengths.map(Vec::from), causal };
    for (sizes, visible) in [
        ([5, 5, 4], visible(None, false)),
        ([5, 5, 4], visible(None, true)),
        ([3, 7, 5], visible(Some([2, 7]), false)),
        ([6, 6, 3], visible(Some([4, 6]), true)),
        ([1, 1, 1], visible(None, true)),
        ([600, 600, 2], visible(Some([600, 500]), true)), // more than are computed at a time
    ] {
        let (plain, own) = (attended(sizes, &visible, false), attended(sizes, &visible, true));
        assert!(plain.bytes("softmax") > 0 && own.bytes("softmax") == 0);
        for name in ["query", "key", "value"] {
            assert_eq!(own.bytes(name), plain.bytes(name), "{name}");
        }
        for (plain, own) in plain.results.iter().zip(&own.results) {
            if sizes[0] < 200 {
                assert!(plain == own, "{sizes:?}, {visible:?}");
            }
            let far = plain.iter().zip(own).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-12, "{sizes:?}, {visible:?}: {far}");
        }
    }
}

#[test]
fn attention_with_recomputed_scores() {
    let layers = ["query", "key", "value"].map(layer);
    check(
        &[sample(&[2, 2, 3, 4], "q"), sample(&[2, 2, 5, 4], "k"), sample(&[2, 2, 5, 3], "v")],
        |x, _| op::attention([&x[0], &x[1], &x[2]], layers.each_ref(), &Visible::default(), None),
        |vars| {
            let scores = vars[0].matmul(&vars[1].transpose(2, 3)?)?;
            candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&vars[2])
        },
    );
}
