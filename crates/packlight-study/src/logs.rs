//! Logs that are appended to: the two of a run, which are opened and synced together, and those of measurements.

use std::path::Path;

use packlight_record::layout::{MEASUREMENTS, RECORDS};
use packlight_record::{Appender, Measurement, Record, write_log};
use serde::Serialize;

use crate::checkpoint::Position;
use crate::{Error, Result};

/// Opens the log at `path` to append to it; if `anew`, it first has these values alone.
pub(crate) fn reopened<T: Serialize>(
    path: &Path,
    anew: bool,
    values: impl IntoIterator<Item = T>,
) -> Result<Appender> {
    if anew {
        write_log(path, values)?;
    }
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    Ok(Appender::open(path, length)?)
}

/// A run's records and measurements.
#[derive(Debug)]
pub(crate) struct Logs {
    records: Appender,
    measurements: Appender,
}

impl Logs {
    /// Opens the logs of the run in `folder`, and truncates them to their lengths at `position`.
    pub(crate) fn open(folder: &Path, position: &Position) -> Result<Self> {
        Ok(Self {
            records: Appender::open(&folder.join(RECORDS), position.records)?,
            measurements: Appender::open(&folder.join(MEASUREMENTS), position.measurements)?,
        })
    }

    /// Appends a record.
    pub(crate) fn record(&mut self, record: &Record) -> Result<()> {
        Ok(self.records.append(record)?)
    }

    /// Appends a measurement.
    pub(crate) fn measure(&mut self, measurement: &Measurement) -> Result<()> {
        Ok(self.measurements.append(measurement)?)
    }

    /// Syncs both to the disk and writes their lengths to `position`.
    pub(crate) fn sync(&mut self, position: &mut Position) -> Result<()> {
        position.records = self.records.sync()?;
        position.measurements = self.measurements.sync()?;
        Ok(())
    }
}
