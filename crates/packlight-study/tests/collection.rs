//! Several studies, one after another.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::options;
use packlight_record::layout::{RUNS, STUDY};
use packlight_study::{Collection, CollectionSummary, Error, Event, Progress, run_collection};

fn study(name: &str, plans: &str) -> String {
    format!(
        r#"
name = "{name}"
title = "A study for tests"
seeds = [3, 4]
epochs = 2
batch = 16

[model]
name = "mlp"
hidden = [24]

[data]
name = "digits"
size = 8
train_limit = 72
test_limit = 20

[plans]
{plans}

[optimizer]
name = "sgd"
learning_rate = 0.1
"#
    )
}

fn collection() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let studies = [("b", "x = 'none'\ny = 'q2'"), ("a", "x = { plan = 'none', epochs = 9 }")];
    for (name, plans) in studies {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join(STUDY), study(name, plans)).unwrap();
    }
    std::fs::write(dir.path().join(STUDY), "title = 'Two'\nstudies = ['b', 'a']").unwrap();
    dir
}

/// Takes notes, and stops everything after so many steps.
struct Notes<'a> {
    forecasts: Vec<(usize, f64)>,
    started: Vec<(String, usize, usize, f64)>,
    steps: usize,
    stop_after: usize,
    stop: &'a AtomicBool,
}

impl Progress for Notes<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Forecast { runs, seconds } => self.forecasts.push((runs, seconds)),
            Event::Started { run, number, of, seconds, step, steps } => {
                let left = seconds * (1.0 - step as f64 / steps as f64);
                self.started.push((run.to_owned(), number, of, left));
            }
            Event::Step { .. } => {
                self.steps += 1;
                self.stop.store(self.steps == self.stop_after, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

fn run<'a>(
    dir: &Path,
    stop_after: usize,
    stop: &'a AtomicBool,
) -> (Result<CollectionSummary, Error>, Notes<'a>) {
    let mut notes =
        Notes { forecasts: Vec::new(), started: Vec::new(), steps: 0, stop_after, stop };
    let collection = Collection::read(dir, None).unwrap().unwrap();
    (run_collection(dir, collection, &options(stop), &mut notes), notes)
}

#[test]
fn one_forecast_is_about_all_runs_of_all_studies() {
    let (dir, stop) = (collection(), AtomicBool::new(false));
    let (summary, notes) = run(dir.path(), usize::MAX, &stop);
    let summary = summary.unwrap();
    assert!(!summary.any_failed());
    let sizes: Vec<_> = summary.studies.iter().map(|s| (s.study.as_str(), s.runs.len())).collect();
    assert_eq!(sizes, [("b", 4), ("a", 2)]);
    let started = notes.started.iter().map(|(run, at, of, _)| (run.as_str(), *at, *of));
    let expected = ["b/x-seed3", "b/y-seed3", "b/x-seed4", "b/y-seed4", "a/x-seed3", "a/x-seed4"];
    assert!(started.eq(expected.into_iter().zip(1..).map(|(run, at)| (run, at, 6))));
    let [(6, total)] = notes.forecasts[..] else { panic!("{:?}", notes.forecasts) };
    let sum: f64 = notes.started.iter().map(|(.., seconds)| seconds).sum();
    assert!(total > 0.0 && (sum / total - 1.0).abs() < 1e-9, "{sum} {total}");
}

#[test]
fn an_interruption_stops_all_studies_and_the_next_start_goes_on() {
    let (dir, stop) = (collection(), AtomicBool::new(false));
    let (ended, notes) = run(dir.path(), 12, &stop); // in the second run of the first study
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
    assert_eq!((notes.steps, notes.started.len()), (12, 2));
    assert!(!dir.path().join("a").join(RUNS).exists());
    stop.store(false, Ordering::Relaxed);
    let (summary, notes) = run(dir.path(), usize::MAX, &stop);
    assert!(!summary.unwrap().any_failed());
    assert_eq!((notes.started.len(), notes.forecasts[0].0), (5, 5));
    // What is done of the second run is not forecast again.
    let sum: f64 = notes.started.iter().map(|(.., seconds)| seconds).sum();
    assert!((sum / notes.forecasts[0].1 - 1.0).abs() < 1e-9, "{sum} {:?}", notes.forecasts);
}
