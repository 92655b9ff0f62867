//! `packlight allocate`, on scores made by hand.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use std::path::Path;
use std::process::Output;

use common::{json, packlight, stderr};
use packlight::record::{
    Appender, Compared, Fidelity, KeptKind, LayerFacts, LossChange, Score, SensitivityRecord,
};
use packlight::spec::{LayerKind, PlanSpec, Point};
use serde_json::json;

const MIB: u64 = 1 << 20;

fn layer(layer: &str, source: u64) -> SensitivityRecord {
    SensitivityRecord::Layer(LayerFacts {
        layer: layer.into(),
        kind: LayerKind::Conv,
        source,
        raw_bytes: 100 * MIB,
        copy: "exact".into(),
        measured: true,
        restored_bytes: BTreeMap::new(),
    })
}

fn score(batch: u64, layer: &str, codec: &str, mib: u64, error: f64) -> SensitivityRecord {
    let exact_norm = if layer == "conv3" { 1e-8 } else { 1.0 };
    SensitivityRecord::Score(Score {
        state: format!("state {batch}"),
        point: Point::START,
        seed: 1,
        batch,
        draws: 1,
        layer: layer.into(),
        codec: codec.into(),
        compared: Compared::Own,
        fidelity: Fidelity {
            cosine: Some(0.9),
            relative_error: Some(error.sqrt()),
            norm_ratio: Some(1.0),
            snr_db: None,
            exact_norm,
        },
        squared_error: error,
        squared_bias: None,
        whole_norm: 1.0,
        learning_indicator: None,
        kept_bytes: mib * MIB + batch * MIB / 2,
        copy: codec.into(),
    })
}

/// The folder of a study with scores of three layers. The first two save the same tensor; the third
/// one is at the numerical floor.
fn scored() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixed = SensitivityRecord::Fixed { layer: "bn".into(), kind: KeptKind::Mask, bytes: MIB };
    let mut records = vec![layer("conv1", 0), layer("conv2", 0), layer("conv3", 1), fixed];
    for batch in 0..2 {
        let more = 1.0 + batch as f64; // the second batch errs twice as much
        records.extend([
            score(batch, "conv1", "q8", 25, 1e-6 * more),
            score(batch, "conv1", "q2", 10, 1e-2 * more),
            score(batch, "conv2", "q8", 25, 1e-6 * more),
            score(batch, "conv2", "q2", 10, 3e-2 * more),
            score(batch, "conv3", "q2", 10, 1e-9 * more),
        ]);
    }
    records.push(score(0, "conv3", "q8", 25, 1e-10));
    write(dir.path(), &records);
    dir
}

fn write(dir: &Path, records: &[SensitivityRecord]) {
    std::fs::create_dir_all(dir.join("sensitivity")).unwrap();
    let mut log = Appender::open(&dir.join("sensitivity/scores.jsonl"), 0).unwrap();
    records.iter().for_each(|record| log.append(record).unwrap());
    log.sync().unwrap();
}

fn allocate(dir: &Path, arguments: &[&str]) -> Output {
    packlight(["allocate"]).arg(dir).args(arguments).output().unwrap()
}

#[test]
fn a_plan_is_printed_to_be_pasted_with_what_it_keeps_and_loses() {
    let dir = scored();
    let output = allocate(dir.path(), &["--budget", "40MiB", "--why"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let first = text.lines().next().unwrap();
    assert_eq!(first, "allocated-40MiB = \"conv=q8,conv3=q2\"");
    for expected in [
        // One copy of q8, one of q2, the mask; half a MiB more of each on the second batch.
        "kept    36.0 MiB to 37.0 MiB of 201 MiB exact (0.184x); 1.00 MiB are masks and statistics",
        "error   0.173 % of the gradient's norm (0.021 % to 1.4 %, 95 % interval from 2 batches)",
        "shared with conv1",
        "better: none, +100 MiB, error 0 %",
        "  knee",
        "At the numerical floor, where errors say nothing of a layer: conv3",
        "conv3=q8: was not measured at start, seed 1, batch 1, unlike other codecs",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in:\n{text}");
    }
    // What two layers share, neither of them saves alone.
    assert!(!text.contains("cheaper"), "{text}");
    let larger = allocate(dir.path(), &["--budget", "300MiB", "--why"]).stdout;
    let larger = String::from_utf8(larger).unwrap();
    assert!(larger.contains("cheaper: q2, -89.5 MiB, error 3.9e-3 %"), "{larger}");
    let brief = String::from_utf8(allocate(dir.path(), &["--budget", "40MiB"]).stdout).unwrap();
    assert!(!brief.contains("better") && brief.contains("Frontier"), "{brief}");
}

#[test]
fn json_has_everything() {
    let dir = scored();
    let found = json(&allocate(dir.path(), &["--budget", "0.2x", "--json", "--point", "start"]));
    assert_eq!(found["plan"], "conv=q8,conv3=q2");
    assert_eq!((&found["point"], &found["objective"]), (&json!("start"), &json!("sum")));
    assert_eq!(found["exact_bytes"], 201 * MIB);
    assert_eq!(found["budget"], (0.2 * (201 * MIB) as f64) as u64);
    assert_eq!((&found["bytes"], &found["least_bytes"]), (&json!(37 * MIB), &json!(36 * MIB)));
    assert_eq!((&found["gap"], &found["error"]["n"]), (&json!(0.0), &json!(2)));
    assert!((found["error"]["mean"].as_f64().unwrap() - 3.0015e-6).abs() < 1e-15);
    let layer = &found["layers"][1];
    assert_eq!((&layer["codec"], &layer["shares"]), (&json!("q8"), &json!("conv1")));
    // Its copy is kept for conv1 anyway, so nothing is cheaper.
    assert_eq!((&layer["cheaper"], &layer["better"]["codec"]), (&json!(null), &json!("none")));
    assert_eq!(found["layers"][2]["at_floor"], true);
    let frontier = found["frontier"].as_array().unwrap();
    assert_eq!(frontier[0]["plan"], "none");
    assert_eq!(frontier.last().unwrap()["plan"], "conv=q2");
    assert_eq!(frontier.iter().filter(|point| point["knee"] == true).count(), 1);
    for point in frontier {
        point["plan"].as_str().unwrap().parse::<PlanSpec>().unwrap();
    }
    assert_eq!(found["left_out"][0]["codec"], "q8");
}

#[test]
fn what_cannot_be_allocated_is_told_what_to_do() {
    let dir = scored();
    let at = dir.path().display().to_string();
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("study.toml"), "").unwrap();
    let measure = format!("measure them with `packlight sensitivity {}`", empty.path().display());
    for (dir, arguments, code, words) in [
        (
            dir.path(),
            &["--budget", "20MiB"][..],
            1,
            &[format!("the least that is possible here is {} B (22.00 MiB)", 22 * MIB)][..],
        ),
        (dir.path(), &["--budget", "1x", "--recompute"], 1, &["measure again".to_owned()]),
        (dir.path(), &["--fit-peak", "1GiB"], 1, &["beside what is kept".to_owned()]),
        (dir.path(), &[], 2, &["--budget <BUDGET>".to_owned()]),
        (dir.path(), &["--budget", "200"], 2, &["such as 200MiB".to_owned(), "0.3x".into()]),
        (
            dir.path(),
            &["--budget", "1x", "--point", "end"],
            1,
            &["no scores at end".to_owned(), at],
        ),
        (dir.path(), &["--budget", "1x", "--point", "middle"], 2, &["`middle` given".to_owned()]),
        (empty.path(), &["--budget", "1x"], 1, &["there are no scores".to_owned(), measure]),
        (&empty.path().join("none"), &["--budget", "1x"], 1, &["no such folder".to_owned()]),
    ] {
        let output = allocate(dir, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}`: {said}"));
    }
}

#[test]
fn a_limit_of_time_is_kept_and_told() {
    let dir = scored();
    let lacks = allocate(dir.path(), &["--budget", "40MiB", "--max-slowdown", "1.2"]);
    assert!(stderr(&lacks).contains("how long the choices take; measure again"), "{lacks:?}");
    let time = |layer: &str, codec: &str, seconds: f64| json!({ "layer": layer, "codec": codec, "seconds": seconds });
    let codecs: Vec<_> = ["conv1", "conv2", "conv3"]
        .into_iter()
        .flat_map(|layer| [time(layer, "q8", 0.3), time(layer, "q2", 0.05)])
        .collect();
    let times = json!({ "pass": 1.0, "codecs": codecs, "blocks": [] });
    std::fs::write(dir.path().join("sensitivity/times.json"), times.to_string()).unwrap();
    let of = |more: &[&str]| {
        json(&allocate(dir.path(), &[&["--budget", "40MiB", "--json"], more].concat()))
    };
    let free = of(&[]);
    assert_eq!(free["plan"], "conv=q8,conv3=q2");
    assert!((free["slowdown"].as_f64().unwrap() - 1.65).abs() < 1e-9, "{free}");
    let fast = of(&["--max-slowdown", "1.2x"]);
    assert_eq!(fast["plan"], "conv=q2");
    assert!((fast["slowdown"].as_f64().unwrap() - 1.15).abs() < 1e-9, "{fast}");
    for (arguments, words) in [
        (["--max-slowdown", "1.1"], "allow 1.150 times"),
        (["--max-slowdown", "0.9"], "at least 1"),
    ] {
        let output = allocate(dir.path(), &[&["--budget", "40MiB"], &arguments[..]].concat());
        assert!(stderr(&output).contains(words), "{output:?}");
    }
}

#[test]
fn plans_of_different_searches_have_different_names() {
    let dir = scored();
    let named = |more: &[&str]| {
        let arguments = [&["--budget", "0.3x", "--json"][..], more].concat();
        json(&allocate(dir.path(), &arguments))["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(named(&[]), "allocated-0_3x");
    assert_eq!(named(&["--objective", "worst"]), "allocated-0_3x-worst");
    assert_eq!(named(&["--point", "start"]), "allocated-0_3x-start");
    let codecs = ["conv1", "conv2", "conv3"].into_iter().flat_map(|layer| {
        ["q8", "q2"].map(|codec| json!({ "layer": layer, "codec": codec, "seconds": 0.01 }))
    });
    let times = json!({ "pass": 1.0, "codecs": codecs.collect::<Vec<_>>(), "blocks": [] });
    std::fs::write(dir.path().join("sensitivity/times.json"), times.to_string()).unwrap();
    let both = ["--point", "start", "--max-slowdown", "1.25"];
    assert_eq!(named(&both), "allocated-0_3x-start-in-1_25x");
}

#[test]
fn the_worst_layer_can_be_minimised_instead() {
    let dir = scored();
    let worst = ["--budget", "27MiB", "--objective", "worst"];
    let found = json(&allocate(dir.path(), &[&worst[..], &["--json"]].concat()));
    assert_eq!(
        (&found["objective"], &found["layers"][0]["codec"]),
        (&json!("worst"), &json!("q2"))
    );
    assert!((found["error"]["mean"].as_f64().unwrap() - 0.045).abs() < 1e-12);
    let text = String::from_utf8(allocate(dir.path(), &worst).stdout).unwrap();
    assert!(text.contains("of the gradient's norm by the worst layer"), "{text}");
}

#[test]
fn the_loss_after_some_updates_can_be_minimised_instead() {
    let dir = scored();
    let by_loss = ["--budget", "40MiB", "--objective", "loss"];
    let none = allocate(dir.path(), &by_loss);
    let said = stderr(&none);
    assert_eq!(none.status.code(), Some(1));
    assert!(said.contains("write `horizon = 20` under `[sensitivity]` in study.toml"), "{said}");
    let mut log = std::fs::read(dir.path().join("sensitivity/scores.jsonl")).unwrap().len();
    for batch in 0..2 {
        // By its error q8 is better at both.
        for (layer, codec, rise) in
            [("conv1", "q8", 0.5), ("conv1", "q2", 0.25), ("conv2", "q2", 0.125)]
        {
            let path = dir.path().join("sensitivity/scores.jsonl");
            let mut appender = Appender::open(&path, log as u64).unwrap();
            let change = LossChange {
                state: format!("state {batch}"),
                point: Point::START,
                seed: 1,
                batch,
                horizon: 20,
                layer: layer.into(),
                codec: codec.into(),
                exact_after_one: 2.0,
                exact_after_horizon: 1.0,
                after_one: Some(0.0),
                after_horizon: Some(rise),
            };
            appender.append(&SensitivityRecord::Loss(change)).unwrap();
            appender.sync().unwrap();
            log = std::fs::read(&path).unwrap().len();
        }
    }
    let budget = ["--budget", "120MiB", "--objective", "loss"];
    let found = json(&allocate(dir.path(), &[&budget[..], &["--json"]].concat()));
    assert_eq!((&found["objective"], &found["horizon"]), (&json!("loss"), &json!(20)));
    assert_eq!(
        (&found["name"], &found["plan"]),
        (&json!("allocated-120MiB-loss"), &json!("conv1=q2,conv2=q2"))
    );
    assert_eq!(found["error"]["mean"], 0.375);
    let error = found["gradient_error"]["mean"].as_f64().unwrap();
    assert!((error - 0.06).abs() < 1e-12, "{error}");
    let text = String::from_utf8(allocate(dir.path(), &[&budget[..], &["--why"]].concat()).stdout)
        .unwrap();
    for expected in [
        "loss    +0.375 after 20 updates (+0.375 to +0.375, 95 % interval from 2 batches)",
        "error   24.5 % of the gradient's norm",
        "of exact      loss",
        "conv2=q8: no training was compared at start, seed 1, batch 0, unlike with other codecs",
        "conv3=q2: no training was compared",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing in:\n{text}");
    }
}
