//! The parts of the benchmark for a machine with a card that need none: what it reads of PyTorch's, and its goals.

#![allow(clippy::unwrap_used)]

#[path = "../benches/gpu/figures.rs"]
mod figures;
#[path = "../benches/gpu/goals.rs"]
#[allow(dead_code)] // the table is printed by the benchmark alone
mod goals;
#[path = "../benches/gpu/torch.rs"]
#[allow(dead_code)] // the command is run by the benchmark alone
mod torch;

use figures::{Packers, Rate, TimedStep};

const PRINTED: &str = r#"
loading libraries
{"network": "resnet50_224", "precision": "f32", "batch": 64, "median_ms": 100.0, "peak_bytes": 8000, "torch": "2"}
  {"network": "resnet50_224", "precision": "bf16", "median_ms": 40.0, "peak_bytes": null}
done
"#;

fn step(network: &'static str, plan: &'static str, median_ms: f64, peak_bytes: usize) -> TimedStep {
    TimedStep { network, plan, precision: "f32", batch: 64, median_ms, steps: 9, peak_bytes }
}

fn packers(bytes_per_s: f64) -> Packers {
    Packers { copy: 1e12, rates: vec![Rate { packer: "q2, pack".into(), bytes_per_s }] }
}

/// A goal as JSON has it.
fn told(goals: &[goals::Goal]) -> Vec<(String, f64, f64, bool)> {
    let of = |goal: &goals::Goal| {
        let goal = serde_json::to_value(goal).unwrap();
        let number = |key: &str| goal[key].as_f64().unwrap();
        let what = goal["what"].as_str().unwrap().to_owned();
        (what, number("ratio"), number("limit"), goal["met"].as_bool().unwrap())
    };
    goals.iter().map(of).collect()
}

#[test]
fn what_pytorch_s_command_prints_is_read_and_kept_whole() {
    let steps = torch::read(PRINTED).unwrap();
    let of = |at: usize| (steps[at].precision.as_str(), steps[at].median_ms, steps[at].peak_bytes);
    assert_eq!((steps.len(), of(0)), (2, ("f32", 100.0, Some(8000.0))));
    assert_eq!(of(1), ("bf16", 40.0, None));
    assert_eq!(serde_json::to_value(&steps[0]).unwrap()["torch"], "2");
    assert_eq!(torch::read("no line of JSON").unwrap(), []);
    let error = torch::read("{\"network\": 3}").unwrap_err();
    assert!(format!("{error:#}").contains("{\"network\": 3}"), "{error:#}");
}

#[test]
fn goals_are_ratios_of_a_network_s_own_figures() {
    let steps = [
        step("vits_224", "none", 1.0, 1), // PyTorch has nothing of it
        step("resnet50_224", "none", 101.0, 9000),
        step("resnet50_224", "pool2", 90.0, 5000),
        step("resnet50_224", "q2", 110.0, 2001),
        step("resnet50_224", "hosvd:0.8", 140.0, 3000),
        TimedStep { precision: "bf16", ..step("resnet50_224", "none", 30.0, 4000) },
    ];
    let goals = told(&goals::of(&steps, &packers(8e11), &torch::read(PRINTED).unwrap()));
    let expected = [
        ("resnet50_224, f32: step with none / PyTorch's", 1.01, 1.0, false),
        ("resnet50_224, f32: step with pool2 / PyTorch's", 0.9, 0.9, true),
        ("resnet50_224, f32: step with q2 / with none", 110.0 / 101.0, 1.1, true),
        ("resnet50_224, f32: peak with q2 / PyTorch's", 2001.0 / 8000.0, 0.25, false),
        ("resnet50_224, f32: step with hosvd:0.8 / with none", 140.0 / 101.0, 1.5, true),
        ("resnet50_224, bf16: step with none / PyTorch's", 0.75, 1.0, true),
        ("q2, pack: bytes a second / a copy's", 0.8, 0.8, true),
    ];
    let expected = expected.map(|(what, ratio, limit, met)| (what.to_owned(), ratio, limit, met));
    assert_eq!(goals, expected);
    // Without PyTorch's, only ours are laid beside each other.
    let alone = told(&goals::of(&steps, &packers(7e11), &[]));
    let names: Vec<&str> = alone.iter().map(|goal| goal.0.as_str()).collect();
    assert_eq!(names, [expected[2].0.as_str(), &expected[4].0, &expected[6].0]);
    assert!(!alone[2].3, "a packer may be too slow");
}
