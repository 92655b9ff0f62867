//! Frequent lines of logs are read without a parser for all of JSON, and as it would read them.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers are tests

use packlight_record::{
    Compared, Distribution, Draws, Fidelity, Logged, Record, Score, SensitivityRecord, read_log,
    write_log,
};
use packlight_spec::Point;

fn fidelity(value: f64, null: bool) -> Fidelity {
    let some = |value: f64| (!null).then_some(value);
    Fidelity {
        cosine: some(value),
        relative_error: some(-value),
        norm_ratio: some(1.0 + value),
        snr_db: some(1e-300 * value),
        exact_norm: value / 3.0,
    }
}

fn distribution(value: f64) -> Distribution {
    Distribution {
        count: 64,
        mean: value,
        min: -1.5e-9,
        p05: value / 7.0,
        p25: 0.0,
        median: -0.0,
        p75: 1.0,
        p95: 2.5,
        max: 1e22,
        nonpositive: 0.125,
    }
}

/// What a run writes of a layer, with a value that has many digits.
fn records(value: f64, null: bool) -> Vec<Record> {
    let some = |value: f64| (!null).then_some(value);
    let (fidelity, distribution) = (fidelity(value, null), distribution(value));
    let gradient = |layer: &str, own, sample| Record::Gradient {
        epoch: 3,
        step: u64::MAX,
        layer: layer.into(),
        fidelity,
        learning_indicator: own,
        sample_learning_indicator: sample,
        kept_bytes: 17,
        raw_bytes: 0,
    };
    let whole = |draws| Record::WholeGradient {
        epoch: 0,
        step: 1,
        parameter: "fc.weight".into(),
        fidelity,
        draws,
    };
    vec![
        gradient("layer1.0.conv1", Some(distribution), None),
        gradient("größe", Some(distribution), Some(distribution)),
        gradient("", None, None),
        whole(None),
        whole(Some(Draws { count: 4, bias: some(value), variance: some(0.1) })),
    ]
}

#[test]
fn what_is_scanned_is_what_a_parser_reads() {
    let mut state = 1u64;
    for i in 0..200 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let value = (state >> 11) as f64 / (1u64 << 53) as f64 * 10f64.powi(i % 40 - 20);
        for record in records(value, i % 3 == 0) {
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(Record::scanned(&json).as_ref(), Some(&record), "{json}");
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        }
    }
}

#[test]
fn what_is_written_in_another_way_is_left_to_the_parser() {
    let json = serde_json::to_string(&records(0.25, false)[0]).unwrap();
    for other in [
        json.replace(':', ": "),
        json.replace("\"epoch\":3,\"step\":18446744073709551615", "\"step\":1,\"epoch\":3"),
        json.replace("conv1", "conv\\u0031"),
        json.replace("0.25", "inf"),
        json.replace("0.25", "+1"),
        json.replace("0.25", "01"),
        json.replace("0.25", "1."),
        json.replace("0.25", "1.e5"),
        json.replace("0.25", "1e400"),
        format!("{json} "),
        json[..json.len() - 1].to_owned(),
        json.replace("gradient", "finished"),
    ] {
        assert_eq!(Record::scanned(&other), None, "{other}");
    }
    assert_eq!(Record::scanned("{\"type\":\"finished\",\"step\":3}"), None);
}

#[test]
fn scores_are_scanned_too() {
    for (bias, point) in [
        (Some(0.4), Point::START),
        (None, Point::END),
        (Some(-1e-9), serde_json::from_str("0.1").unwrap()),
    ] {
        let score = Score {
            state: "00ff".into(),
            point,
            seed: u64::MAX,
            batch: 3,
            draws: 2,
            layer: "layer1.0.conv1".into(),
            codec: "q2".into(),
            compared: if bias.is_some() { Compared::Own } else { Compared::All },
            fidelity: fidelity(0.1 + 0.2, bias.is_none()),
            squared_error: 1.0 / 3.0,
            squared_bias: bias,
            whole_norm: 2.0,
            learning_indicator: bias.map(|_| distribution(0.7)),
            kept_bytes: 1,
            copy: String::new(),
        };
        let record = SensitivityRecord::Score(score);
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(SensitivityRecord::scanned(&json).as_ref(), Some(&record), "{json}");
        assert_eq!(serde_json::from_str::<SensitivityRecord>(&json).unwrap(), record);
        assert_eq!(
            SensitivityRecord::scanned(&json.replace("\"own\"", "\"one\"")).is_some(),
            bias.is_none()
        );
    }
}

#[test]
fn the_checksum_of_a_gradient_is_checked_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let fidelity = Fidelity {
        cosine: Some(0.125),
        relative_error: None,
        norm_ratio: None,
        snr_db: None,
        exact_norm: 2.0,
    };
    let parameter = "fc.weight".to_owned();
    let gradient = Record::WholeGradient { epoch: 0, step: 1, parameter, fidelity, draws: None };
    write_log(&path, [&gradient, &Record::Finished { step: 2 }]).unwrap();
    assert_eq!(read_log::<Record>(&path).unwrap().values, [gradient, Record::Finished { step: 2 }]);
    let text = std::fs::read_to_string(&path).unwrap();
    for (place, other) in [("0.125", "0.126"), ("fc.", "fd."), ("{\"crc\":\"", "{\"crc\":\"0")] {
        std::fs::write(&path, text.replacen(place, other, 1)).unwrap();
        let error = read_log::<Record>(&path).unwrap_err().to_string();
        assert!(error.contains("line 1: checksum"), "{place}: {error}");
    }
}
