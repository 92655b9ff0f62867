//! The log of what was measured of single layers.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use packlight_record::layout::SCORES;
use packlight_record::{Appender, HOPELESS, SensitivityRecord, read_log};

use crate::Result;
use crate::logs::reopened;

/// What a score is of: seed, point, batch, number of draws, layer and codec. That of a change of the loss has
/// the number of updates in place of draws.
pub(super) type Key = (u64, u64, u64, u64, String, String);

/// The same of a codec at all layers but the named one, or at all if the name is empty, with what says which
/// layers these are.
pub(super) type TogetherKey = (Key, String);

/// The scores of a study, on disk and by what they are of.
#[derive(Debug)]
pub(super) struct Scores {
    path: PathBuf,
    log: Appender,
    known: Known,
}

/// What the log has.
#[derive(Debug, Default)]
struct Known {
    /// The states on which scores were measured, and whether they are hopeless.
    scores: HashMap<Key, (String, bool)>,
    losses: HashSet<Key>,
    one_off: HashSet<TogetherKey>,
}

impl Known {
    fn add(&mut self, record: &SensitivityRecord) {
        match record {
            SensitivityRecord::Score(of) => {
                let point = of.point.share().to_bits();
                let key = (of.seed, point, of.batch, of.draws, of.layer.clone(), of.codec.clone());
                let hopeless = of.lasting_error() >= HOPELESS;
                self.scores.insert(key, (of.state.clone(), hopeless));
            }
            SensitivityRecord::Loss(of) => {
                let point = of.point.share().to_bits();
                let (layer, codec) = (of.layer.clone(), of.codec.clone());
                self.losses.insert((of.seed, point, of.batch, of.horizon, layer, codec));
            }
            SensitivityRecord::OneOff(of) => {
                let point = of.point.share().to_bits();
                let (layer, codec) = (of.except.clone().unwrap_or_default(), of.codec.clone());
                let key = (of.seed, point, of.batch, of.draws, layer, codec);
                self.one_off.insert((key, of.among.clone()));
            }
            _ => {}
        }
    }
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
        let is_measured = |record: &SensitivityRecord| {
            use SensitivityRecord::{Loss, OneOff, Score};
            matches!(record, Score(_) | Loss(_) | OneOff(_))
        };
        let (measured, then): (Vec<_>, Vec<_>) = found.values.into_iter().partition(is_measured);
        let anew = found.torn || then != facts;
        let log = reopened(&path, anew, facts.iter().chain(&measured))?;
        let mut known = Known::default();
        measured.iter().for_each(|record| known.add(record));
        Ok(Self { path, log, known })
    }

    /// Where the log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The state on which a score was measured; `None` if there is none yet.
    pub(super) fn state(&self, key: &Key) -> Option<&str> {
        self.known.scores.get(key).map(|(state, _)| state.as_str())
    }

    /// Whether the error of a score is too large for a training to be of use, or not finite, so that there is
    /// no score.
    pub(super) fn is_hopeless(&self, key: &Key) -> bool {
        self.known.scores.get(key).is_none_or(|(_, hopeless)| *hopeless)
    }

    /// Whether a change of the loss is in the log.
    pub(super) fn has_loss(&self, key: &Key) -> bool {
        self.known.losses.contains(key)
    }

    /// Whether a measurement of a codec at all layers or all but one is in the log.
    pub(super) fn has_one_off(&self, key: &TogetherKey) -> bool {
        self.known.one_off.contains(key)
    }

    /// Appends what was measured and syncs it to the disk.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub(super) fn append(
        &mut self,
        records: impl IntoIterator<Item = SensitivityRecord>,
    ) -> Result<()> {
        for record in records {
            self.known.add(&record);
            self.log.append(&record)?;
        }
        self.log.sync()?;
        Ok(())
    }
}
