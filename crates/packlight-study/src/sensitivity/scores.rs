//! The log of what was measured of single layers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use packlight_record::layout::SCORES;
use packlight_record::{Appender, Score, SensitivityRecord, read_log, write_log};

use crate::{Error, Result};

/// What a score is of: seed, point, batch, number of draws, layer and codec.
pub(super) type Key = (u64, u64, u64, u64, String, String);

/// The scores of a study, on disk and by what they are of.
#[derive(Debug)]
pub(super) struct Scores {
    path: PathBuf,
    log: Appender,
    /// The states on which they were measured.
    states: HashMap<Key, String>,
}

impl Scores {
    /// Opens the log in `folder`. Before its scores it has the facts about the layers; they are written
    /// again where a wider table has changed them.
    ///
    /// # Errors
    /// Returns an error if the log is damaged, or cannot be read or written.
    pub(super) fn open(folder: &Path, facts: &[SensitivityRecord]) -> Result<Self> {
        let path = folder.join(SCORES);
        let found = read_log::<SensitivityRecord>(&path)?;
        let is_score = |record: &SensitivityRecord| matches!(record, SensitivityRecord::Score(_));
        let (scores, then): (Vec<_>, Vec<_>) = found.values.into_iter().partition(is_score);
        if found.torn || then != facts {
            write_log(&path, facts.iter().chain(&scores))?;
        }
        let length = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
        let log = Appender::open(&path, length)?;
        let states = scores.into_iter().filter_map(|record| match record {
            SensitivityRecord::Score(score) => Some((key(&score), score.state)),
            _ => None,
        });
        Ok(Self { path, log, states: states.collect() })
    }

    /// Where the log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The state on which a score was measured; `None` if there is none yet.
    pub(super) fn state(&self, key: &Key) -> Option<&str> {
        self.states.get(key).map(String::as_str)
    }

    /// Appends scores and syncs them to the disk.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub(super) fn append(&mut self, scores: Vec<Score>) -> Result<()> {
        for score in scores {
            self.states.insert(key(&score), score.state.clone());
            self.log.append(&SensitivityRecord::Score(score))?;
        }
        self.log.sync()?;
        Ok(())
    }
}

fn key(score: &Score) -> Key {
    let point = score.point.share().to_bits();
    (score.seed, point, score.batch, score.draws, score.layer.clone(), score.codec.clone())
}
