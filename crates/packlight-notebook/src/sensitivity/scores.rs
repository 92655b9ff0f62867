//! The scores of a study.

use std::path::Path;

use packlight_allocation::Measured;
use packlight_record::layout::{SCORES, SENSITIVITY};
use packlight_record::{SensitivityRecord, read_log};
use packlight_spec::Point;

use super::{Error, Result};

/// Averages the scores of the study in `folder`: those of one point of the training, or of all.
///
/// # Errors
/// Returns an error if the log of scores is damaged, there are no scores, none at this point, or if those
/// of two networks or trainings are mixed.
pub fn read(folder: &Path, point: Option<Point>) -> Result<Measured> {
    let path = folder.join(SENSITIVITY).join(SCORES);
    let log = read_log::<SensitivityRecord>(&path)?;
    Measured::new(&log.values, point).map_err(|source| Error::Scores { path, source })
}
