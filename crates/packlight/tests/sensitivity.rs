//! `packlight sensitivity`: killed anywhere, and with any number of threads, the same scores.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::{STUDY, json, listening, packlight, stderr, study};
use packlight::record::{Record, read_log};

/// A convolution, a norm and a linear layer, codecs that round at random, remember or pass errors on.
fn text() -> String {
    let table = r#"
[sensitivity]
codecs = ["q2", "mesa", "resprop:0.1"]
layers = ["layer2.0.conv1", "layer2.0.bn1", "fc"]
points = ["start", 0.5, "end"]
batches = 2
horizon = 2
one_off = true
"#;
    format!("{STUDY}{table}")
}

fn measure(dir: &Path) -> Output {
    packlight(["sensitivity"]).arg(dir).output().unwrap()
}

fn scores(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("sensitivity/scores.jsonl")).unwrap()
}

#[test]
fn killed_at_many_points_it_ends_with_the_same_scores() {
    let whole = study(&text());
    let begun = Instant::now();
    let output = measure(whole.path());
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(" passes and 120 steps of training, about "),
        "{}",
        stderr(&output)
    );
    let expected = scores(whole.path());
    let mut killed = 0;
    for part in 1..=5 {
        let dir = study(&text());
        let mut child = packlight(["sensitivity"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(took.mul_f64(f64::from(part) / 6.0));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let output = measure(dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(scores(dir.path()) == expected, "killed after {part} sixths");
    }
    assert!(killed > 2, "only {killed} were killed in time");
}

#[test]
fn one_thread_or_two_give_the_same_scores() {
    let (one, two) = (study(&text()), study(&text()));
    for (dir, threads) in [(&one, "1"), (&two, "2")] {
        let output =
            packlight(["sensitivity", "--threads", threads]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(scores(one.path()) == scores(two.path()));
}

#[test]
#[cfg(unix)]
fn asked_to_stop_it_says_how_to_go_on() {
    let dir = study(&text().replace("batches = 2", "batches = 30"));
    let child = listening("sensitivity")
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !dir.path().join("sensitivity/scores.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
}

#[test]
fn it_sums_up_as_json() {
    let dir = study(&text().replace("[\"start\", 0.5, \"end\"]", "[\"start\"]"));
    let run = || packlight(["sensitivity", "--json"]).arg(dir.path()).output().unwrap();
    let first = json(&run());
    assert_eq!(first["measured"], first["scores"]);
    assert_eq!(first["layers"], 3);
    assert_eq!(first["codecs"], serde_json::json!(["q2", "mesa", "resprop:0.1"]));
    assert!(first["file"].as_str().unwrap().ends_with("sensitivity/scores.jsonl"));
    assert!(first["seconds"].as_f64().unwrap() > 0.0);
    let again = json(&run());
    assert_eq!((&again["measured"], &again["scores"]), (&serde_json::json!(0), &first["scores"]));
}

#[test]
fn a_collection_is_refused_with_one_of_its_studies() {
    let dir = study("title = \"Two\"\nstudies = [\"one\"]\n");
    std::fs::create_dir(dir.path().join("one")).unwrap();
    std::fs::write(dir.path().join("one/study.toml"), text()).unwrap();
    let output = measure(dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("holds several studies; give the folder of one of them, such as")
    );
}

/// The bytes that a run kept at each step that the ledger saw.
fn kept_by_step(log: &Path) -> BTreeMap<u64, u64> {
    let mut kept = BTreeMap::new();
    for record in read_log(log).unwrap().values {
        if let Record::Kept { step, payload, metadata, .. } = record {
            *kept.entry(step).or_insert(0) += payload + metadata;
        }
    }
    kept
}

#[test]
fn from_a_study_to_a_plan_that_keeps_what_was_foretold() {
    let text = STUDY
        .replace("pool2 = \"pool2\"\nmixed = \"layer1.*=none,default=pool4\"", "none = \"none\"");
    let table = "\n[sensitivity]\ncodecs = [\"q4\", \"q1\", \"pool2\"]\nbatches = 3\n";
    let dir = study(&format!("{text}{table}"));
    // Measured after the run, so that the report has both pages.
    let output = common::run(dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let report = packlight(["report"]).arg(dir.path()).output().unwrap();
    assert!(report.status.success(), "{}", stderr(&report));
    for page in ["index.html", "sensitivity.html"] {
        assert!(dir.path().join(page).is_file(), "{page}");
    }
    let arguments = ["--budget", "0.5x", "--verify", "--json"];
    let found = json(&packlight(["allocate"]).arg(dir.path()).args(arguments).output().unwrap());
    assert!(found["bytes"].as_u64().unwrap() <= found["budget"].as_u64().unwrap());
    assert_eq!(found["bytes"], found["least_bytes"], "these codecs keep the same of any data");
    let verified = dir.path().join("verify-allocated-0_5x");
    assert_eq!(found["verified"]["page"], verified.join("index.html").to_string_lossy().as_ref());
    assert!(verified.join("index.html").is_file());
    // The ledger of training with the plan counts what was foretold.
    let kept = kept_by_step(&verified.join("runs/allocated-0_5x-seed7/records.jsonl"));
    assert_eq!(kept.values().max(), Some(&found["bytes"].as_u64().unwrap()), "{kept:?}");
    let runs = found["verified"]["runs"]["runs"].as_array().unwrap();
    let of = |name: &str| runs.iter().any(|run| run["run"] == format!("{name}-seed7"));
    assert!(of("none") && of("random-1"), "{runs:?}");
    // Other methods are trained with the largest of their plans that fit, and keep what was counted.
    let rivals = found["verified"]["rivals"].as_array().unwrap();
    let methods = [0, 1, 2].map(|at: usize| rivals[at]["method"].as_str().unwrap());
    assert_eq!(methods.map(|method| &method[..4]), ["ASI,", "ActN", "GACT"]);
    assert!(rivals[3]["method"].as_str().unwrap().starts_with("recomputing alone"), "{rivals:?}");
    assert!(verified.join("rivals.json").is_file(), "they are not looked for again");
    for rival in rivals {
        if rival["fit"] == "too_large" {
            let (plan, bytes) = (rival["plan"].as_str().unwrap(), rival["bytes"].as_u64().unwrap());
            assert!(plan.starts_with("recompute=") && bytes > found["budget"].as_u64().unwrap());
            continue;
        }
        if rival["fit"] != "fits" {
            // What ASI does not pack may be too much for any budget of its own.
            assert!(rival["reason"].as_str().unwrap().contains("does not pack"), "{rival}");
            continue;
        }
        let plan = rival["plan"].as_str().unwrap();
        let recomputes = plan.starts_with("recompute=");
        let name = if recomputes { "recompute".into() } else { plan.replace([':', '.'], "-") };
        assert!(of(&name), "{name}: {runs:?}");
        let described = std::fs::read_to_string(verified.join("study.toml")).unwrap();
        assert!(described.contains(&format!("{name} = \"{plan}\"")), "{described}");
        let page = std::fs::read_to_string(verified.join("index.html")).unwrap();
        assert!(page.contains(plan) && page.contains(&name), "{plan}");
        if recomputes {
            continue; // what is saved again is not there all at once
        }
        let kept = kept_by_step(&verified.join(format!("runs/{name}-seed7/records.jsonl")));
        let most = *kept.values().max().unwrap();
        assert!(most <= found["budget"].as_u64().unwrap(), "{name}: {kept:?}");
    }
    // The plan is compared with those of one codec on batches that it was not chosen by.
    let contest = &found["verified"]["contest"];
    assert_eq!((&contest["plan"], &contest["bytes"]), (&found["name"], &found["bytes"]));
    let best = contest["best_uniform"].as_str().unwrap();
    let others = contest["rivals"].as_array().unwrap();
    let best = others.iter().find(|rival| rival["plan"] == best).unwrap();
    assert!(best["bytes"].as_u64().unwrap() <= found["budget"].as_u64().unwrap(), "{best}");
    let ratio = |end: &str| best["ratio"][end].as_f64().unwrap();
    assert_eq!((&best["ratio"]["n"], &best["accuracy"]["n"]), (&3.into(), &1.into()), "{best}");
    assert!(0.0 < ratio("low") && ratio("low") <= ratio("mean") && ratio("mean") <= ratio("high"));
    assert!(others.iter().any(|rival| rival["origin"] == "random"), "{others:?}");
    // The page on single layers has what became of the predictions, without a report of its own.
    let page = dir.path().join("sensitivity.html");
    assert_eq!(found["verified"]["predicted"], page.to_string_lossy().as_ref());
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Predicted and measured errors of whole plans"), "{page}");
    assert!(page.contains("the best plan of one codec that fits the same budget"), "{page}");
    let report = json(&packlight(["report", "--json"]).arg(dir.path()).output().unwrap());
    let findings = report["sensitivity"]["findings"].as_array().unwrap();
    let last = findings.last().unwrap().as_str().unwrap();
    assert!(last.contains("have a rank correlation of") && !last.contains("Left out"), "{last}");
    assert!(last.contains("Not predicted: ") && last.contains("(gact:"), "{last}");
    let csv = dir.path().join("figures/sensitivity-calibration.csv");
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.contains("\nallocated-0_5x,0,") && !csv.contains("none"), "{csv}");
}

#[test]
fn scores_of_another_study_are_told_before_anything_is_trained() {
    let small = STUDY
        .replace("name = \"resnet18\"\nwidth = 4", "name = \"mlp\"\nhidden = [8, 8]")
        .replace("pool2 = \"pool2\"\nmixed = \"layer1.*=none,default=pool4\"", "none = \"none\"");
    let text = format!("{small}\n[sensitivity]\ncodecs = [\"q1\"]\nbatches = 2\n");
    let dir = study(&text);
    assert!(measure(dir.path()).status.success());
    let allocate = |more: &[&str]| {
        let arguments = [&["--budget", "0.2x"][..], more].concat();
        packlight(["allocate"]).arg(dir.path()).args(arguments).output().unwrap()
    };
    assert!(!stderr(&allocate(&[])).contains("warning"), "{}", stderr(&allocate(&[])));
    std::fs::write(dir.path().join("study.toml"), text.replace("batch = 32", "batch = 16"))
        .unwrap();
    let changed = "the study changed since this was measured (batch: 32 then, 16 now)";
    let anew = format!("`packlight sensitivity {} --overwrite`", dir.path().display());
    let [plain, verified] = [&[][..], &["--verify"]].map(allocate);
    let warning = "warning: the plan is that of another study";
    assert!(plain.status.success() && stderr(&plain).contains(warning), "{}", stderr(&plain));
    assert_eq!(verified.status.code(), Some(1));
    for output in [plain, verified] {
        let said = stderr(&output);
        assert!(said.contains(changed) && said.contains(&anew), "{said}");
    }
    assert!(!dir.path().join("verify-allocated-0_2x").exists(), "nothing is trained");
}

#[test]
fn another_plan_for_the_same_budget_is_not_mixed_with_the_first_one() {
    let small = STUDY
        .replace("name = \"resnet18\"\nwidth = 4", "name = \"mlp\"\nhidden = [8, 8]")
        .replace("pool2 = \"pool2\"\nmixed = \"layer1.*=none,default=pool4\"", "none = \"none\"");
    let text = |codecs| format!("{small}\n[sensitivity]\ncodecs = {codecs}\nbatches = 2\n");
    let dir = study(&text("[\"q1\"]"));
    assert!(measure(dir.path()).status.success());
    let arguments = ["--budget", "0.2x", "--verify", "--json"];
    let found = json(&packlight(["allocate"]).arg(dir.path()).args(arguments).output().unwrap());
    let verified = dir.path().join("verify-allocated-0_2x");
    let described = std::fs::read(verified.join("study.toml")).unwrap();
    std::fs::write(dir.path().join("study.toml"), text("[\"q1\", \"q4\"]")).unwrap();
    assert!(measure(dir.path()).status.success());
    let again = packlight(["allocate"]).arg(dir.path()).args(arguments).output().unwrap();
    let said = stderr(&again);
    assert_eq!(again.status.code(), Some(1), "{said}");
    let command = format!(
        "instead: packlight allocate {} --budget 0.2x --verify --json --overwrite",
        dir.path().display()
    );
    assert!(said.contains("the study changed since the plans of this budget"), "{said}");
    assert!(said.contains(&command), "{said}");
    assert!(std::fs::read(verified.join("study.toml")).unwrap() == described);
    let arguments = [&arguments[..], &["--overwrite"]].concat();
    let anew = json(&packlight(["allocate"]).arg(dir.path()).args(arguments).output().unwrap());
    assert_ne!(anew["plan"], found["plan"]);
}
