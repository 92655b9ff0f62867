//! Allocations by what a few updates do to the loss.

#![allow(clippy::unwrap_used)]

mod made;

use std::collections::BTreeMap;

use made::score;
use packlight_allocation::{Allocation, Error, Measured, Objective};
use packlight_record::{
    ChoiceTimes, CodecTime, Compared, LayerFacts, LayerKind, LossChange, OneOff, Score,
    SensitivityRecord,
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

fn change(batch: u64, layer: &str, codec: &str, after_horizon: Option<f64>) -> LossChange {
    LossChange {
        state: format!("start-1-{batch}"),
        point: Point::START,
        seed: 1,
        batch,
        horizon: 20,
        layer: layer.into(),
        codec: codec.into(),
        exact_after_one: 2.0,
        exact_after_horizon: 1.0,
        after_one: Some(0.0),
        after_horizon,
    }
}

/// Two layers with two codecs on `N` batches, with these changes of the loss.
fn records<const N: usize>(changes: &[(&str, &str, [Option<f64>; N])]) -> Vec<SensitivityRecord> {
    let mut records = vec![layer("a", 0), layer("b", 1)];
    for batch in 0..N as u64 {
        // By its error `a` should have the fewer bits.
        for (layer, codec, bytes, error) in [
            ("a", "q8", 25, 1e-4),
            ("a", "q2", 10, 0.01),
            ("b", "q8", 25, 1e-3),
            ("b", "q2", 10, 0.1),
        ] {
            let state = format!("start-1-{batch}");
            let score = Score { state, batch, ..score(layer, codec, bytes, error) };
            records.push(SensitivityRecord::Score(Score {
                copy: format!("{codec} {layer}"),
                ..score
            }));
        }
        for (layer, codec, after) in changes {
            let change = change(batch, layer, codec, after[batch as usize]);
            records.push(SensitivityRecord::Loss(change));
        }
    }
    records
}

fn twice(value: f64) -> [Option<f64>; 2] {
    [Some(value); 2]
}

#[test]
fn the_loss_decides_in_place_of_the_error() {
    let all = [
        ("a", "q8", twice(0.01)),
        ("a", "q2", twice(0.3)),
        ("b", "q8", twice(0.002)),
        ("b", "q2", twice(0.05)),
    ];
    let measured = Measured::new(&records(&all), None).unwrap();
    let plan = |measured: &Measured| {
        let found = measured.allocate(35, Objective::Sum).unwrap();
        (measured.plan(&found), found.error)
    };
    assert_eq!(plan(&measured).0, "a=q2,b=q8");
    let by_loss = measured.clone().by_loss().unwrap();
    let (by_loss_plan, rise) = plan(&by_loss);
    assert_eq!(by_loss_plan, "a=q8,b=q2");
    assert!((rise - 0.06).abs() < 1e-12, "{rise}");
    assert_eq!((measured.horizon(), by_loss.left_out().len()), (Some(20), 0));
    let loss = measured.layers()[0].choices[2].loss.unwrap();
    assert_eq!((loss.mean, loss.n), (0.3, 2));
    // Bytes are as before, and no codec has no loss.
    assert_eq!(by_loss.exact_bytes(), measured.exact_bytes());
    assert_eq!(by_loss.allocate(200, Objective::Sum).unwrap().error, 0.0);
}

#[test]
fn what_lowers_the_loss_counts_as_exact_and_the_interval_is_that_of_the_batches() {
    let all = [
        ("a", "q2", [Some(-0.3), Some(-0.1), Some(-0.2)]),
        ("b", "q2", [Some(0.4), Some(0.6), Some(0.5)]),
        ("b", "q8", [Some(0.1), Some(0.3), Some(0.2)]),
    ];
    let measured = Measured::new(&records(&all), None).unwrap();
    let raw = measured.layers()[0].choices[2].loss.unwrap();
    assert!((raw.mean + 0.2).abs() < 1e-12 && measured.layers()[0].choices[1].loss.is_none());
    let by_loss = measured.by_loss().unwrap();
    // The means of q2 are -0.2 and 0.5, each with a variance of 0.01 / 3, and their own is 0.245. Of the mean of
    // both, the noise takes its share.
    let noise = 0.01 / 3.0;
    let expected = 0.15 - noise / 0.15 + 0.35 * (0.245 - noise) / 0.245;
    let uniform = by_loss.uniform("q2").unwrap();
    assert!((uniform.error - expected).abs() < 1e-12, "{} {expected}", uniform.error);
    let found = by_loss.estimate(&uniform, Objective::Sum);
    assert_eq!((found.mean, found.n), (uniform.error, 3));
    // Both layers together rise by 0.4 from the first batch to the second, and half of it to the third.
    let half = 4.302_653 * 0.2 / 3f64.sqrt();
    let (low, high) = found.ends();
    assert!((high - expected - half).abs() < 1e-6, "{found:?} {half}");
    assert!((low - expected + half).abs() < 1e-6, "{found:?} {half}");
}

#[test]
fn where_losses_tell_nothing_the_error_decides() {
    // By chance the loss is lower with the fewest bits.
    let all = [
        ("a", "q8", twice(-0.1)),
        ("a", "q2", [Some(0.5), Some(-0.7)]),
        ("b", "q8", [Some(0.3), Some(-0.1)]),
        ("b", "q2", twice(-0.4)),
    ];
    let measured = Measured::new(&records(&all), None).unwrap();
    let by_loss = measured.clone().by_loss().unwrap();
    for budget in [20, 35, 50, 110, 200] {
        let found = by_loss.allocate(budget, Objective::Sum).unwrap();
        assert_eq!(found.error, 0.0);
        let by_error = measured.allocate(budget, Objective::Sum).unwrap();
        assert_eq!(found.codecs, by_error.codecs, "{budget}");
    }

    // Within a time, too.
    let time = |layer: &str, codec: &str, seconds| CodecTime {
        layer: layer.into(),
        codec: codec.into(),
        seconds,
    };
    let codecs = vec![
        time("a", "q8", 0.5),
        time("a", "q2", 0.2),
        time("b", "q8", 0.4),
        time("b", "q2", 0.1),
    ];
    let times = ChoiceTimes { pass: 1.0, codecs, blocks: Vec::new() };
    let (measured, by_loss) = (measured.timed(&times), by_loss.timed(&times));
    for limit in [1.3, 1.6, 1.75, 2.0] {
        let found = by_loss.allocate_in_time(50, limit);
        let by_error = measured.allocate_in_time(50, limit);
        let codecs = |found: Result<Allocation, Error>| found.map(|of| of.codecs);
        assert_eq!(codecs(found), codecs(by_error), "{limit}");
    }
}

#[test]
fn choices_without_a_loss_are_left_out_with_the_reason() {
    let mut records = records(&[
        ("a", "q8", twice(0.0)),
        ("a", "q2", [Some(0.1), None]),
        ("b", "q8", twice(0.0)),
    ]);
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record
            && (score.layer.as_str(), score.codec.as_str(), score.batch) == ("b", "q2", 1)
        {
            score.squared_error = 4.0; // as large as the gradient
        }
    }
    let reasons = |records: &[SensitivityRecord]| -> Vec<String> {
        let by_loss = Measured::new(records, None).unwrap().by_loss().unwrap();
        assert_eq!(by_loss.layers()[1].choices.len(), 2);
        let said = |l: &packlight_allocation::LeftOut| {
            format!("{} {}: {}", l.layer, l.codec.clone().unwrap_or_default(), l.reason)
        };
        by_loss.left_out().iter().map(said).collect()
    };
    let not_finite = "a q2: training came to something not finite at start, seed 1, batch 1";
    let lacking = "b q2: no training was compared at start, seed 1, batch 0, unlike";
    let found = reasons(&records);
    assert_eq!(found[0], not_finite);
    assert!(found[1].starts_with(lacking), "{found:?}");
    records.push(SensitivityRecord::Loss(change(0, "b", "q2", Some(0.1))));
    let hopeless =
        "b q2: its error is as large as the gradient at start, seed 1, batch 1, so that no";
    assert!(reasons(&records)[1].starts_with(hopeless), "{:?}", reasons(&records));
}

#[test]
fn without_trainings_there_is_nothing_to_minimise_and_the_longest_horizon_counts() {
    let measured = Measured::new(&records::<2>(&[]), None).unwrap();
    assert_eq!(
        (measured.horizon(), measured.clone().by_loss().err()),
        (None, Some(Error::NoLosses))
    );
    let mut both = records(&[("a", "q2", twice(0.3))]);
    let longer = LossChange { horizon: 30, ..change(0, "a", "q2", Some(0.7)) };
    both.push(SensitivityRecord::Loss(longer));
    let measured = Measured::new(&both, Some(Point::START)).unwrap();
    assert_eq!(measured.horizon(), Some(30));
    assert_eq!(measured.layers()[0].choices[2].loss.map(|l| (l.mean, l.n)), Some((0.7, 1)));
    // Trainings from other weights are no part of this study.
    let state = "other".to_owned();
    both.push(SensitivityRecord::Loss(LossChange { state, ..change(0, "a", "q8", None) }));
    assert!(matches!(Measured::new(&both, None), Err(Error::Mixed { .. })));
    // Nor is a pass with all layers but one.
    both.pop();
    both.push(SensitivityRecord::OneOff(OneOff {
        state: "other".into(),
        point: Point::START,
        seed: 1,
        batch: 0,
        draws: 1,
        except: None,
        codec: "q2".into(),
        among: String::new(),
        squared_error: 1.0,
        squared_bias: None,
        whole_norm: 1.0,
    }));
    assert!(matches!(Measured::new(&both, None), Err(Error::Mixed { .. })));
}

#[test]
fn chance_in_a_bias_is_no_gain_of_a_single_exact_layer() {
    // At all layers q2 errs by 10, without `a` by 4, both without a bias, which two draws say is up or down.
    let one_off = |batch: u64, except: Option<&str>, squared_error, squared_bias| OneOff {
        state: format!("start-1-{batch}"),
        point: Point::START,
        seed: 1,
        batch,
        draws: 2,
        except: except.map(str::to_owned),
        codec: "q2".into(),
        among: "both".into(),
        squared_error,
        squared_bias: Some(squared_bias),
        whole_norm: 2.0,
    };
    let mut records = records::<2>(&[]);
    for record in &mut records {
        if let SensitivityRecord::Score(score) = record {
            score.compared = Compared::All;
        }
    }
    for (batch, sign) in [(0, 1.0), (1, -1.0)] {
        records.push(SensitivityRecord::OneOff(one_off(batch, None, 10.0, 3.0 * sign)));
        records.push(SensitivityRecord::OneOff(one_off(batch, Some("a"), 4.0, -sign)));
    }
    let measured = Measured::new(&records, None).unwrap();
    let found = measured.layers()[0].choices[2].one_off.unwrap();
    assert!((found.mean - 6.0 / 19.0 / 4.0).abs() < 1e-12 && found.n == 2, "{found:?}");
}
