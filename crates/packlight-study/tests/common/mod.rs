//! A study's folder, and how the tests run what is in it.

#![allow(clippy::unwrap_used, dead_code)] // each test uses some of it

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use packlight_record::layout::STUDY;
use packlight_study::Options;

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
        threads: 1,
        checkpoint_every: Duration::MAX,
        interrupted,
    }
}
