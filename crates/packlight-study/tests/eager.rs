//! A plan that updates parameters during the backward pass trains to the same bits.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use common::{options, study};
use packlight_nn::weights;
use packlight_record::{Record, layout::RUNS, read_log};
use packlight_study::{Silent, WEIGHTS, run_study};

/// With a codec that adapts, and steps that are probed.
const TEXT: &str = r#"
name = "tiny"
title = "A study for tests"
seeds = [3]
epochs = 2
batch = 16
model = { name = "resnet20", width = 2 }
data = { name = "digits", size = 8, train_limit = 72, test_limit = 20 }
plans = { after = "gact:4", during = "gact:4,update=eager" }
optimizer = { name = "adamw", learning_rate = 0.01 }
probe = { every = 4 }
"#;

#[test]
fn weights_and_records_are_those_of_updates_after_the_backward_pass() {
    let dir = study(TEXT);
    run_study(dir.path(), &options(&AtomicBool::new(false)), &mut Silent).unwrap();
    let [after, during] = ["after-seed3", "during-seed3"].map(|run| {
        let folder = dir.path().join(RUNS).join(run);
        let weights = weights::read(&folder.join(WEIGHTS), &Device::Cpu).unwrap();
        let values = |tensor: &candle_core::Tensor| {
            tensor
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .map(|x| x.to_bits())
                .collect()
        };
        let weights: Vec<(String, Vec<u32>)> =
            weights.iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect();
        (weights, read_log::<Record>(&folder.join("records.jsonl")).unwrap().values)
    });
    assert!(after.1.iter().any(|record| matches!(record, Record::Gradient { .. })));
    assert_eq!(after.1, during.1);
    assert_eq!(after.0, during.0);
}
