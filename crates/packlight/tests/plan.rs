//! `packlight plan`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{json, packlight, stderr};
use serde_json::Value;

const RESNET50: [&str; 5] = ["plan", "--model", "resnet50", "--stem", "imagenet"];

fn plan(arguments: &[&str]) -> Value {
    json(&packlight(RESNET50).args(arguments).arg("--json").output().unwrap())
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn layers_add_up_to_what_is_published() {
    let whole = plan(&["--batch", "512"]);
    let ara = plan(&["--batch", "512", "--plan", "ara=3:4:4:2"]);
    let saved = number(&whole, "kept_bytes") - number(&ara, "kept_bytes");
    assert!((saved as f64 / 1e9 - 7.604).abs() < 5e-4, "{saved}");
    assert_eq!(number(&whole, "parameters"), 25_557_032);
    assert_eq!(number(&whole, "gradient_bytes"), 4 * 25_557_032);
    let adamw = plan(&["--batch", "512", "--optimizer", "adamw"]);
    assert_eq!(number(&adamw, "optimizer_bytes"), 8 * 25_557_032);
    for key in ["layers", "kinds"] {
        let rows = whole[key].as_array().unwrap();
        let sum = |what: &str| rows.iter().map(|row| number(row, what)).sum::<u64>();
        assert_eq!(
            sum("kept_payload") + sum("kept_metadata"),
            number(&whole, "kept_bytes"),
            "{key}"
        );
        assert_eq!(sum("parameters"), 25_557_032, "{key}");
    }
    let peak: u64 = ["resident", "kept", "parameter_gradients", "flowing_gradients"]
        .iter()
        .map(|part| number(&whole["peak"], part))
        .sum();
    assert_eq!(peak, number(&whole, "peak_bytes"));
    assert!(peak > number(&whole, "kept_bytes"));
}

#[test]
fn the_largest_batch_fits_and_the_next_does_not() {
    let within = |arguments: &[&str]| {
        let planned = plan(&[&["--budget", "24GB", "--plan", "q2"], arguments].concat());
        (planned["budget"]["fits"].as_bool().unwrap(), number(&planned, "batch"))
    };
    let (fits, batch) = within(&["--fit", "batch"]);
    assert!(fits && batch > 100, "{batch}");
    assert!(within(&["--batch", &batch.to_string()]).0);
    assert!(!within(&["--batch", &(batch + 1).to_string()]).0);
}

#[test]
fn a_table_says_what_it_counts() {
    let print = |arguments: &[&str]| {
        let output = packlight(RESNET50).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = print(&["--batch", "8", "--plan", "hosvd:0.9", "--budget", "500MB"]);
    for words in [
        "images of 3 x 224 x 224",
        "layer4.2.conv3",
        "parameters       102.2 MB",
        "at least",
        "depends on the data",
        "Not counted",
        "budget           500.0 MB: does not fit",
    ] {
        assert!(text.contains(words), "`{words}` is missing in: {text}");
    }
    let table = print(&["--batch", "8", "--compare", "pool2", "q4", "hosvd:0.9"]);
    let lines: Vec<&str> = table.lines().collect();
    let starts = |name: &str| lines.iter().any(|line| line.starts_with(name));
    assert!(["none", "pool2", "q4", "hosvd:0.9"].into_iter().all(starts), "{table}");
}

#[test]
fn what_cannot_be_planned_says_why() {
    for (arguments, words) in [
        (&["--batch", "8", "--plan", "pull2"][..], &["unknown codec `pull2`"][..]),
        (
            &["--batch", "8", "--plan", "conv=regelu2"],
            &["conv1", "keeps the derivative of GELU alone"],
        ),
        (&["--budget", "1MB", "--fit", "batch"], &["--budget: a batch of", "1.0 MB are given"]),
        (&["--batch", "8", "--budget", "0.5x"], &["--budget: a number of bytes expected"]),
        (&["--batch", "0"], &["0 is not in 1..=1048576"]),
        (&[], &["--batch"]),
        (&["--fit", "batch"], &["--budget"]),
    ] {
        let output = packlight(RESNET50).args(arguments).output().unwrap();
        let said = stderr(&output);
        assert!(!output.status.success(), "{arguments:?}");
        for word in words {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}
