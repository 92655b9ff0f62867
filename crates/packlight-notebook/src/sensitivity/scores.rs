//! The scores of a study.

use std::path::Path;

use packlight_allocation::Measured;
use packlight_record::layout::{SCORES, SENSITIVITY};
use packlight_record::{SensitivityRecord, read_log};
use packlight_spec::Point;

use super::{Error, Result};

/// Averages the scores of the study in `folder`: those of one point of the training, or of all. Says on
/// standard error, which a notebook shows below the cell, if the last line of the log is incomplete.
///
/// # Errors
/// Returns an error if the log of scores is damaged, there are no scores, none at this point, or if those
/// of two networks or trainings are mixed.
pub fn read(folder: &Path, point: Option<Point>) -> Result<Measured> {
    let (measured, notice) = read_with_notice(folder, point)?;
    notice.iter().for_each(|notice| eprintln!("{notice}"));
    Ok(measured)
}

/// The scores, and what a reader must know before the results.
pub(super) fn read_with_notice(
    folder: &Path,
    point: Option<Point>,
) -> Result<(Measured, Option<String>)> {
    let path = folder.join(SENSITIVITY).join(SCORES);
    let log = read_log::<SensitivityRecord>(&path)
        .map_err(|source| Error::Log { folder: folder.to_path_buf(), source })?;
    let notice = log.torn.then(|| {
        format!(
            "{}: the measurement was interrupted: the last line of the log is incomplete and is left \
             out; `packlight sensitivity {}` goes on where it ended",
            path.display(),
            folder.display()
        )
    });
    let measured =
        Measured::new(&log.values, point).map_err(|source| Error::Scores { path, source })?;
    Ok((measured, notice))
}
