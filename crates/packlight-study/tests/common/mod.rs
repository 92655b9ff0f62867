//! A study's folder, and how the tests run what is in it.

#![allow(clippy::unwrap_used, dead_code)] // each test uses some of it

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packlight_record::layout::STUDY;
use packlight_study::{Event, Options, Progress};

/// A folder of its own with this description in it.
pub(crate) fn study(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(STUDY), text).unwrap();
    dir
}

/// One thread, and no checkpoint but where a run is stopped.
pub(crate) fn options(interrupted: &AtomicBool) -> Options<'_> {
    Options {
        scale: 1.0,
        overwrite: false,
        data_dir: None,
        device: None,
        threads: 1,
        checkpoint_every: Duration::MAX,
        interrupted,
    }
}

/// Asks to stop once a step is done.
pub(crate) struct StopAfter<'a> {
    pub(crate) step: u64,
    pub(crate) interrupted: &'a AtomicBool,
}

impl Progress for StopAfter<'_> {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Step { step, .. } if step == self.step) {
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }
}
