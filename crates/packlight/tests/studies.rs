//! The studies that are checked in can be run: they are read, and every plan fits the model.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use candle_core::{DType, Device};
use packlight::nn::model::Takes;
use packlight::nn::{Model, Plan};
use packlight::study::data::data_dir;
use packlight::study::{Collection, Study, read_study};

/// Asserts that every plan fits the study's model, on data of any size.
fn fits(study: &Study) {
    let size = study.data.size.unwrap_or(32);
    let model = match study.model.takes() {
        Takes::Pairs { .. } => study.model.for_sequences(20, 20),
        Takes::Text => study.model.for_text(20),
        Takes::LabelledText { .. } => study.model.for_labelled_text(20, 10),
        _ => study.model.for_images(1, size, 10),
    };
    for plan in &study.plans {
        // An adaptive plan is any mixture of its codecs.
        let texts = match &plan.adaptive {
            Some(adaptive) => adaptive.codecs.clone().unwrap_or_default(),
            None => vec![plan.spec.clone()],
        };
        for text in texts {
            let parsed = Plan::parse(&text).unwrap();
            let model = model.as_ref().unwrap();
            if let Err(error) = Model::planned(model, &parsed, 0, DType::F32, &Device::Cpu) {
                panic!("{}, plan {}: {error}", study.name, plan.name);
            }
        }
    }
}

#[test]
fn every_plan_of_every_study_fits_its_model() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    let data_dir = data_dir(None);
    let (mut studies, mut collections) = (0, 0);
    for entry in std::fs::read_dir(reports).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("study.toml").is_file() {
            continue;
        }
        let Some(collection) = Collection::read(&folder, data_dir.as_deref()).unwrap() else {
            fits(&read_study(&folder, data_dir.as_deref()).unwrap());
            studies += 1;
            continue;
        };
        // What they are compared under is the same for all.
        let first = &collection.members[0].study;
        for member in &collection.members {
            fits(&member.study);
            let protocol = |study: &Study| (study.seeds.clone(), study.batch);
            assert_eq!(protocol(&member.study), protocol(first), "{}", member.name);
            assert_eq!(member.study.schedule, first.schedule, "{}", member.name);
        }
        let folders = std::fs::read_dir(&folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().join("study.toml").is_file());
        assert_eq!(folders.count(), collection.members.len(), "no study is left out");
        studies += collection.members.len();
        collections += 1;
    }
    assert!(studies >= 6 && collections >= 1);
}
