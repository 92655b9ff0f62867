//! What scores are averaged to, and what is left out.

#![allow(clippy::unwrap_used)]

mod made;

use std::collections::BTreeMap;

use made::score;
use packlight_allocation::{Allocation, Error, Estimate, Measured, Objective};
use packlight_record::{
    Compared, Fidelity, KeptKind, LayerFacts, LayerKind, Score, SensitivityRecord,
};
use packlight_spec::Point;

fn layer(name: &str, source: u64) -> SensitivityRecord {
    SensitivityRecord::Layer(LayerFacts {
        layer: name.into(),
        kind: LayerKind::Conv,
        source,
        raw_bytes: 100,
        copy: "exact".into(),
        measured: true,
        restored_bytes: BTreeMap::new(),
    })
}

fn on(seed: u64, batch: u64, draws: u64, score: Score) -> SensitivityRecord {
    let state = format!("{}-{seed}-{batch}", score.point);
    SensitivityRecord::Score(Score { state, seed, batch, draws, ..score })
}

fn measured(records: &[SensitivityRecord]) -> Measured {
    Measured::new(records, None).unwrap()
}

#[test]
fn batches_are_averaged_before_seeds_and_more_draws_replace_fewer() {
    let records = [
        layer("a", 0),
        on(1, 0, 1, score("a", "q2", 10, 0.1)),
        on(1, 0, 3, score("a", "q2", 12, 0.2)),
        on(1, 0, 2, score("a", "q2", 10, 0.3)),
        on(1, 1, 1, score("a", "q2", 10, 0.4)),
        on(2, 0, 1, score("a", "q2", 11, 0.7)),
    ];
    let measured = measured(&records);
    let choice = &measured.layers()[0].choices[1];
    assert_eq!((choice.codec.as_str(), choice.bytes, choice.least_bytes), ("q2", 12, 10));
    let Estimate { mean, interval, n } = choice.error;
    assert!((mean - ((0.2 + 0.4) / 2.0 + 0.7) / 2.0).abs() < 1e-12, "{mean}");
    // Of two seeds, 0.3 and 0.7: a standard error of 0.2, or 0.4 of the mean, and Student's t.
    let factor = (interval.unwrap().high / 0.5).ln();
    assert!(n == 3 && (factor - 12.7062 * 0.4).abs() < 1e-4, "{interval:?}");
    assert_eq!(choice.cosine, Some(0.5));
}

#[test]
fn a_bias_counts_as_far_as_it_is_more_than_chance() {
    let of = |biases: [f64; 4], error: f64| {
        let scores = (0..).zip(biases).map(|(batch, squared_bias)| {
            let before = score("a", "q4", 10, 0.0);
            let squared_bias = Some(4.0 * squared_bias);
            on(1, batch, 2, Score { squared_error: 4.0 * error, squared_bias, ..before })
        });
        let records: Vec<_> = [layer("a", 0)].into_iter().chain(scores).collect();
        measured(&records).layers()[0].choices[1].error.mean
    };
    let is = |found: f64, bias: f64, error: f64| {
        let expected = bias + (error - bias) / 19.0;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    };
    is(of([0.03, -0.02, 0.04, -0.03], 0.19), 0.0, 0.19); // 0.005 with a standard error of 0.018
    is(of([-0.03, -0.02, -0.04, -0.03], 0.19), 0.0, 0.19);
    // 0.04, whose variance is that of the four, 2e-4 / 3, over 4.
    is(
        of([0.04, 0.05, 0.04, 0.03], 0.19),
        0.04 * (1.0 - 4.0 * (2e-4 / 12.0) / 0.04f64.powi(2)),
        0.19,
    );
    // Of a codec that draws nothing at random all error is bias, however different batches are.
    let different = [0.1, 0.9, 0.1, 0.1];
    let records: Vec<_> = [layer("a", 0)]
        .into_iter()
        .chain((0..).zip(different).map(|(batch, error)| {
            let squared_bias = Some(4.0 * error);
            on(1, batch, 1, Score { squared_bias, ..score("a", "pool2", 10, error) })
        }))
        .collect();
    is(measured(&records).layers()[0].choices[1].error.mean, 0.3, 0.3);
}

#[test]
fn copies_that_layers_share_count_once_and_fixed_bytes_always() {
    let fixed = |kind| SensitivityRecord::Fixed { layer: "a".into(), kind, bytes: 5 };
    let own_copy = Score { copy: "own".into(), ..score("b", "q4", 20, 0.01) };
    let records = [
        layer("a", 0),
        layer("b", 0),
        layer("c", 1),
        fixed(KeptKind::Mask),
        fixed(KeptKind::Statistics),
        fixed(KeptKind::Mask), // stands there again after a study was widened
        on(1, 0, 1, score("a", "q2", 10, 0.1)),
        on(1, 0, 1, score("b", "q2", 10, 0.2)),
        on(1, 0, 1, score("a", "q4", 20, 0.01)),
        on(1, 0, 1, own_copy),
        on(1, 0, 1, score("c", "q2", 30, 0.4)),
    ];
    let measured = measured(&records);
    assert_eq!((measured.fixed_bytes(), measured.exact_bytes()), (10, 210));
    let uniform = measured.uniform("q2").unwrap();
    assert_eq!((uniform.bytes, uniform.codecs.join(" ")), (10 + 10 + 30, "q2 q2 q2".into()));
    assert!((uniform.error - 0.7).abs() < 1e-12);
    let uniform = measured.uniform("q4").unwrap();
    assert_eq!((uniform.bytes, uniform.codecs.join(" ")), (10 + 40 + 100, "q4 q4 none".into()));
    assert_eq!(measured.uniform("q8"), None);
}

#[test]
fn codecs_that_were_not_measured_to_the_end_are_left_out() {
    let whole_norm = 0.0;
    let records = [
        layer("a", 0),
        layer("b", 1),
        layer("c", 2),
        on(1, 0, 1, score("a", "q2", 10, 0.1)),
        on(1, 1, 1, score("a", "q2", 10, 0.1)),
        on(1, 0, 1, score("a", "q4", 20, 0.1)),
        on(1, 0, 1, Score { whole_norm, ..score("b", "q2", 10, 0.1) }),
    ];
    let measured = measured(&records);
    let codecs = |at: usize| {
        let choices = &measured.layers()[at].choices;
        choices.iter().map(|choice| choice.codec.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((codecs(0), codecs(1)), (vec!["none", "q2"], vec!["none"]));
    let left_out: Vec<String> = measured
        .left_out()
        .iter()
        .map(|l| format!("{} {}: {}", l.layer, l.codec.as_deref().unwrap_or("all"), l.reason))
        .collect();
    for (found, expected) in left_out.iter().zip([
        "a q4: was not measured at start, seed 1, batch 1",
        "b q2: its error at start, seed 1, batch 0 is not finite",
        "c all: has no scores",
    ]) {
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(left_out.len(), 3);
}

#[test]
fn a_layer_whose_own_gradient_is_rounding_is_at_the_floor() {
    let of = |name: &str, compared, exact_norm: f64| {
        let before = score(name, "q2", 10, 0.1);
        let fidelity = Fidelity { exact_norm, ..before.fidelity };
        Score { compared, fidelity, whole_norm: 2.0, ..before }
    };
    let records = [
        layer("rounding", 0),
        layer("small", 1),
        layer("once", 2),
        layer("all", 3),
        on(1, 0, 1, of("rounding", Compared::Own, 1e-7)),
        on(1, 0, 1, of("small", Compared::Own, 1e-5)),
        on(1, 0, 1, of("once", Compared::Own, 1e-7)),
        on(1, 1, 1, of("once", Compared::Own, 0.1)),
        on(1, 0, 1, of("all", Compared::All, 1e-7)),
    ];
    let at_floor: Vec<bool> =
        measured(&records).layers().iter().map(|layer| layer.at_floor).collect();
    assert_eq!(at_floor, [true, false, false, false]);
}

#[test]
fn errors_of_all_layers_are_added_batch_by_batch() {
    // What one layer errs more on a batch, the other one errs less.
    let mut records = vec![layer("a", 0), layer("b", 1)];
    for (batch, [a, b]) in (0..).zip([[0.1, 0.3], [0.3, 0.1], [0.2, 0.2]]) {
        records.push(on(1, batch, 1, score("a", "q2", 10, a)));
        records.push(on(1, batch, 1, score("b", "q2", 10, b)));
    }
    let measured = measured(&records);
    // 0.2, and 4.3027 times 0.1 / sqrt(3), which is 1.24207 of it.
    let (low, high) = measured.layers()[0].choices[1].error.ends();
    let factor = 1.242_07f64.exp();
    assert!(
        (high / 0.2 - factor).abs() < 1e-4 && (0.2 / low - factor).abs() < 1e-4,
        "{low} {high}"
    );
    let uniform = measured.uniform("q2").unwrap();
    let together = measured.estimate(&uniform, Objective::Sum);
    let (low, high) = together.ends();
    assert!((together.mean - 0.4).abs() < 1e-12 && high - low < 1e-12 && together.n == 3);
    assert!(together.interval.is_some());
    let exact = Allocation { codecs: vec!["none".into(); 2], error: 0.0, ..uniform };
    assert_eq!(measured.estimate(&exact, Objective::Sum).ends(), (0.0, 0.0));
}

#[test]
fn scores_of_one_point_are_used_alone() {
    let at = |point, error| on(1, 0, 1, Score { point, ..score("a", "q2", 10, error) });
    let records = [layer("a", 0), at(Point::START, 0.1), at(Point::END, 0.5)];
    let mean = |point| Measured::new(&records, point).unwrap().layers()[0].choices[1].error.mean;
    assert!((mean(None) - 0.3).abs() < 1e-12);
    assert!((mean(Some(Point::END)) - 0.5).abs() < 1e-12);
    let point: Point = serde_json::from_str("0.1").unwrap();
    let error = Measured::new(&records, Some(point)).unwrap_err().to_string();
    assert!(error.starts_with("there are no scores at 10 %, only at start, end;"), "{error}");
}

#[test]
fn logs_that_do_not_belong_to_one_network_and_training_are_refused() {
    let error = |records: &[SensitivityRecord]| Measured::new(records, None).unwrap_err();
    assert_eq!(error(&[]), Error::NoScores);
    assert_eq!(error(&[layer("a", 0)]), Error::NoScores);
    let first = on(1, 0, 1, score("a", "q2", 10, 0.1));
    let other = Score { state: "other".into(), ..score("a", "q4", 20, 0.1) };
    let fixed = |bytes| SensitivityRecord::Fixed { layer: "a".into(), kind: KeptKind::Mask, bytes };
    for (more, expected) in [
        (vec![layer("a", 1)], "stands there twice, with other facts"),
        (vec![SensitivityRecord::Score(other)], "seed 1, batch 0 on other weights or data"),
        (vec![on(1, 0, 1, score("b", "q2", 1, 0.1))], "layer `b`: has scores, but is no layer"),
        (vec![fixed(1), fixed(2)], "keeps 1 B of mask, and 2 B"),
    ] {
        let records = [vec![layer("a", 0), first.clone()], more].concat();
        let error = error(&records).to_string();
        assert!(error.contains(expected) && error.contains("measure again"), "{error}");
    }
    // A study that was widened names its layers again.
    assert!(Measured::new(&[layer("a", 0), first, layer("a", 0)], None).is_ok());
}
