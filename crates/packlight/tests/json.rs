//! What `--json` prints.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RUNS, STUDY, finished_study, json as output_json, packlight, stderr, study};
use serde_json::{Value, json};

#[test]
fn run_tells_what_became_of_each_run() {
    let dir = study(STUDY);
    for outcome in ["finished", "already_finished"] {
        let summary = output_json(&packlight(["run", "--json"]).arg(dir.path()).output().unwrap());
        assert_eq!(summary["study"], "tiny");
        for (run, name) in summary["runs"].as_array().unwrap().iter().zip(RUNS) {
            assert_eq!((&run["run"], &run["outcome"]), (&name.into(), &outcome.into()));
        }
    }
}

#[test]
fn codecs_have_a_line_each() {
    let codecs = output_json(&packlight(["codecs", "--json"]).output().unwrap());
    let mut codecs = codecs.as_array().unwrap().iter();
    let pool = codecs.find(|c| c["pattern"].as_str().unwrap().starts_with("pool<k>")).unwrap();
    assert_eq!((&pool["examples"][0], &pool["scope"]), (&"pool2".into(), &json!(["conv"])));
    assert!(pool["parameters"][0].as_str().unwrap().starts_with("<k>: "), "{pool}");
    let asa = codecs.find(|c| c["examples"][0].as_str().unwrap().starts_with("asa")).unwrap();
    assert_eq!(asa["scope"], json!(["linear"]));
    assert!(asa["level"].is_u64(), "{asa}");
}

#[test]
fn plans_tell_each_layer_s_codec() {
    let output = packlight(["plans", "--model", "resnet18", "--json"])
        .args(["--plan", "layer3.*=pool4,default=pool2"])
        .output()
        .unwrap();
    let layers = output_json(&output);
    let codec = |name: &str| {
        let layers = layers.as_array().unwrap();
        layers.iter().find(|l| l["layer"] == name).unwrap()["codec"].as_str().unwrap().to_owned()
    };
    assert_eq!(codec("conv1"), "pool2");
    assert_eq!(codec("layer3.1.conv2"), "pool4");
    assert_eq!(codec("layer3.1.bn2"), "none");
    assert_eq!(codec("fc"), "none");
}

#[test]
fn plans_tell_what_is_frozen() {
    let plans = |more: &[&str]| {
        packlight(["plans", "--model", "mlp", "--hidden", "8,6"]).args(more).output().unwrap()
    };
    let layers = output_json(&plans(&["--plan", "last=1", "--json"]));
    let found = |name: &str| {
        let layer = layers.as_array().unwrap().iter().find(|l| l["layer"] == name).unwrap();
        (layer["frozen"].as_bool().unwrap(), layer["parameters"].as_u64().unwrap())
    };
    assert_eq!(found("fc1"), (true, 3 * 32 * 32 * 8 + 8));
    assert_eq!(found("relu1"), (false, 0), "nothing to freeze");
    assert_eq!((found("fc2"), found("fc3")), ((false, 54), (false, 70)));

    let text = String::from_utf8(plans(&["--plan", "last=1"]).stdout).unwrap();
    let marked: Vec<&str> = text.lines().filter(|line| line.ends_with("  frozen")).collect();
    assert!(marked.len() == 1 && marked[0].starts_with("fc1 "), "{text}");
    assert!(text.ends_with("124 of 24708 parameters train, 24584 are frozen\n"), "{text}");
    let all = String::from_utf8(plans(&[]).stdout).unwrap();
    assert!(!all.contains("frozen"), "{all}");

    let text = String::from_utf8(plans(&["--plan", "bias=all"]).stdout).unwrap();
    let marked = text.lines().filter(|line| line.ends_with("  weight frozen"));
    assert_eq!(marked.map(|line| &line[..3]).collect::<Vec<_>>(), ["fc1", "fc2"], "{text}");
    assert!(text.ends_with("84 of 24708 parameters train, 24624 are frozen\n"), "{text}");
    let layers = output_json(&plans(&["--plan", "bias=all", "--json"]));
    let trained = |at: usize| (&layers[at]["trained"], &layers[at]["frozen"]);
    assert_eq!(trained(0), (&8.into(), &false.into()));
}

#[test]
fn an_error_is_a_document_on_standard_output_and_a_line_on_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("study.toml"), STUDY.replace("epochs = 3", "epochs = 0"))
        .unwrap();
    let dir = dir.path().to_str().unwrap();
    for (arguments, code, words) in [
        (&["run", dir][..], 1, "epochs: 0 given"),
        (&["report", "nowhere"], 1, "nowhere: there is no such folder"),
        (&["plans", "--model", "resnet18", "--plan", "pull2"], 1, "unknown codec `pull2`"),
        (&["eval", "--weights", "nowhere"], 1, "nowhere: "),
        (&["grads", "--model", "mlp", "--input", "nowhere", "--output", "x"], 1, "nowhere: "),
        (&["plans", "--model", "resnet81"], 2, "did you mean `resnet18`?"),
        (&["codecs", "--jsno"], 2, "unexpected argument '--jsno' found"),
        (&["run"], 2, "required arguments were not provided: <DIR>"),
    ] {
        let plain = packlight(arguments).output().unwrap();
        assert!(plain.stdout.is_empty(), "{arguments:?}");
        let output = packlight(arguments).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &document["error"];
        assert_eq!(error["exit_code"], code, "{document}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains("Usage"), "{document}");
        assert!(error["causes"].is_array(), "{document}");
        assert!(stderr(&output).contains(message.lines().next().unwrap()) || code == 2);
        assert_eq!(stderr(&plain).replace(" --json", ""), stderr(&output).replace(" --json", ""));
    }
}

#[test]
fn two_studies_side_by_side_tell_each_change() {
    let (first, second) = (finished_study(), finished_study());
    let beside = |other: &std::path::Path| {
        packlight(["report", "--json", "--beside"]).arg(other).arg(first.path()).output().unwrap()
    };
    let summary = output_json(&beside(second.path()));
    let plans: Vec<&Value> = summary["plans"].as_array().unwrap().iter().collect();
    assert_eq!(plans.len(), 2, "{summary}");
    for plan in plans {
        let accuracy = &plan["accuracy"];
        assert_eq!(
            (&accuracy["change"], &accuracy["verdict"]),
            (&0.0.into(), &"too_few_seeds".into())
        );
        assert!(plan["held"][0].as_f64().unwrap() > 0.0, "{plan}");
        assert_eq!(plan["held"][0], plan["held"][1], "{plan}");
    }
    assert_eq!(summary["settings"], json!([]));
    assert!(std::path::Path::new(summary["page"].as_str().unwrap()).is_file());
    let output = beside(first.path());
    assert!(!output.status.success() && stderr(&output).contains("both are this study"));
    let output = beside(&first.path().join("missing"));
    assert!(!output.status.success() && stderr(&output).contains("no such folder"));
}
