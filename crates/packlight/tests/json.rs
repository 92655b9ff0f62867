//! What `--json` prints.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RUNS, STUDY, json, packlight, study};

#[test]
fn run_tells_what_became_of_each_run() {
    let dir = study(STUDY);
    for outcome in ["finished", "already_finished"] {
        let summary = json(&packlight(["run", "--json"]).arg(dir.path()).output().unwrap());
        assert_eq!(summary["study"], "tiny");
        for (run, name) in summary["runs"].as_array().unwrap().iter().zip(RUNS) {
            assert_eq!((&run["run"], &run["outcome"]), (&name.into(), &outcome.into()));
        }
    }
}

#[test]
fn codecs_have_a_line_each() {
    let codecs = json(&packlight(["codecs", "--json"]).output().unwrap());
    let mut codecs = codecs.as_array().unwrap().iter();
    let pool = codecs.find(|c| c["pattern"].as_str().unwrap().starts_with("pool<k>")).unwrap();
    assert_eq!((&pool["examples"][0], &pool["scope"]), (&"pool2".into(), &"conv layers".into()));
}

#[test]
fn plans_tell_each_layer_s_codec() {
    let output = packlight(["plans", "--model", "resnet18", "--json"])
        .args(["--plan", "layer3.*=pool4,default=pool2"])
        .output()
        .unwrap();
    let layers = json(&output);
    let codec = |name: &str| {
        let layers = layers.as_array().unwrap();
        layers.iter().find(|l| l["layer"] == name).unwrap()["codec"].as_str().unwrap().to_owned()
    };
    assert_eq!(codec("conv1"), "pool2");
    assert_eq!(codec("layer3.1.conv2"), "pool4");
    assert_eq!(codec("layer3.1.bn2"), "none");
    assert_eq!(codec("fc"), "none");
}
