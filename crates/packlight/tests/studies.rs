//! The studies that are checked in can be run: they are read, and every plan fits the model.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use candle_core::{DType, Device};
use packlight::nn::{Model, Plan};
use packlight::study::Study;

#[test]
fn every_plan_of_every_study_fits_its_model() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    let mut studies = 0;
    for entry in std::fs::read_dir(reports).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let study = Study::read(&folder).unwrap();
        let size = study.data.size.unwrap_or(32);
        let model = study.model.for_images(1, size, 10).unwrap();
        for plan in &study.plans {
            let parsed = Plan::parse(&plan.spec).unwrap();
            if let Err(error) = Model::planned(&model, &parsed, 0, DType::F32, &Device::Cpu) {
                panic!("{}, plan {}: {error}", folder.display(), plan.name);
            }
        }
        studies += 1;
    }
    assert!(studies >= 3);
}
