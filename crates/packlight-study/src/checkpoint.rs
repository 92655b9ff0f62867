//! Checkpoints of a run: after a crash, it resumes as if nothing had happened.
//!
//! A checkpoint is one safetensors file: the model's parameters and buffers under `model.`, the
//! optimizer's state under `optimizer.`, codec states under `memory.`, and the position and the codecs of
//! an adaptive plan in the header. Random numbers need no state: they are a function of the seed and the position.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::{Device, Tensor};
use packlight_record::atomic_file;
use safetensors::tensor::View;
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The file in a run's folder that holds its checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// The position of a run between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The epoch in progress.
    pub(crate) epoch: u64,
    /// The number of its batches that are done.
    pub(crate) batch: u64,
    /// The number of optimizer steps done so far.
    pub(crate) step: u64,
    /// Sums over the batches of the epoch so far.
    pub(crate) sums: Sums,
    /// The length in bytes of the records up to this position.
    pub(crate) records: u64,
    /// The length in bytes of the measurements up to this position.
    pub(crate) measurements: u64,
}

/// Sums over an epoch's batches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Sum of the losses of all targets that count.
    pub(crate) loss: f64,
    /// Mean loss of the last batch.
    pub(crate) last_loss: f64,
    /// Number of correct predictions, among targets that count.
    pub(crate) correct: u64,
    /// Number of targets that count: images, or tokens other than padding.
    pub(crate) units: u64,
    /// Number of steps that were timed, which are those without a probe.
    pub(crate) timed_steps: u64,
    /// Their wall time.
    pub(crate) seconds: f64,
}

/// A position with its tensors.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) position: Position,
    pub(crate) model: BTreeMap<String, Tensor>,
    pub(crate) optimizer: BTreeMap<String, Tensor>,
    /// The states of the codecs.
    pub(crate) memory: BTreeMap<String, Tensor>,
    /// The codecs of an adaptive plan, as a plan.
    pub(crate) plan: Option<String>,
}

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const MEMORY: &str = "memory.";
const POSITION: &str = "position";
const PLAN: &str = "plan";
const CHECKSUM: &str = "sha256";

impl Position {
    /// The position of the checkpoint at `path`, from its header alone; `None` if there is none, or it cannot be
    /// read.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let header = BufReader::new(file.take(u64::from_le_bytes(length)));
        let header: serde_json::Value = serde_json::from_reader(header).ok()?;
        serde_json::from_str(header.get("__metadata__")?.get(POSITION)?.as_str()?).ok()
    }
}

impl Checkpoint {
    /// Writes the checkpoint to `path`, replacing an older one atomically.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be stored as safetensors or the file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let parts = [(MODEL, &self.model), (OPTIMIZER, &self.optimizer), (MEMORY, &self.memory)];
        let tensors: BTreeMap<String, &Tensor> = parts
            .into_iter()
            .flat_map(|(part, tensors)| {
                tensors.iter().map(move |(name, tensor)| (format!("{part}{name}"), tensor))
            })
            .collect();
        let position = serde_json::to_string(&self.position)
            .map_err(|e| Error::checkpoint(path, e.to_string()))?;
        let contents = tensors.iter().map(|(name, tensor)| (name.as_str(), View::data(*tensor)));
        let checksum = checksum(&position, self.plan.as_deref(), contents);
        let header = [(POSITION, position), (CHECKSUM, checksum)].into_iter();
        let header: HashMap<String, String> = header
            .chain(self.plan.clone().map(|plan| (PLAN, plan)))
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let bytes =
            serialize(tensors, Some(header)).map_err(|e| Error::checkpoint(path, e.to_string()))?;
        Ok(atomic_file::write(path, &bytes)?)
    }

    /// Reads the checkpoint at `path`; `None` if there is none yet.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is damaged.
    pub(crate) fn load(path: &Path, device: &Device) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let damaged = |reason: String| Error::checkpoint(path, reason);
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let header = metadata.metadata().as_ref();
        let entry = |key: &str| {
            header
                .and_then(|header| header.get(key))
                .ok_or_else(|| damaged(format!("its header has no `{key}`")))
        };
        let (position, expected) = (entry(POSITION)?, entry(CHECKSUM)?);
        let plan = header.and_then(|header| header.get(PLAN)).cloned();
        let views = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let contents: BTreeMap<_, _> =
            views.iter().map(|(name, view)| (name, Cow::Borrowed(view.data()))).collect();
        let found = checksum(position, plan.as_deref(), contents);
        if found != *expected {
            return Err(damaged(format!("checksum {expected} expected, {found} found")));
        }
        let position = serde_json::from_str(position).map_err(|e| damaged(e.to_string()))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)?;
        let part = |part: &str| {
            let named = |(name, tensor): (&String, &Tensor)| {
                name.strip_prefix(part).map(|name| (name.to_owned(), tensor.clone()))
            };
            tensors.iter().filter_map(named).collect()
        };
        let (model, optimizer, memory) = (part(MODEL), part(OPTIMIZER), part(MEMORY));
        Ok(Some(Self { position, model, optimizer, memory, plan }))
    }
}

/// SHA-256 of the position, the plan and all tensors, which `contents` yields in the order of their names.
fn checksum<'a>(
    position: &str,
    plan: Option<&str>,
    contents: impl IntoIterator<Item = (&'a str, Cow<'a, [u8]>)>,
) -> String {
    let mut hasher = Sha256::new();
    hasher.update(position);
    hasher.update(plan.unwrap_or_default());
    for (name, bytes) in contents {
        hasher.update(name);
        hasher.update(&bytes);
    }
    crate::hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        Checkpoint {
            position: Position {
                epoch: 2,
                batch: 3,
                step: 43,
                sums: Sums { loss: 0.1 + 0.2, correct: 7, units: 64, ..Sums::default() },
                records: 1234,
                measurements: 567,
            },
            model: BTreeMap::from([
                ("conv1.weight".to_owned(), tensor(&[1.0, f32::MIN_POSITIVE, -0.0])),
                ("bn1.running_mean".to_owned(), tensor(&[0.5])),
            ]),
            optimizer: BTreeMap::from([("conv1.weight".to_owned(), tensor(&[3.0, 2.0, 1.0]))]),
            memory: BTreeMap::from([("conv1/range".to_owned(), tensor(&[0.25, 4.0]))]),
            plan: Some("conv1=mesa".to_owned()),
        }
    }

    fn bits(tensors: &BTreeMap<String, Tensor>) -> Vec<(String, Vec<u32>)> {
        let bits = |t: &Tensor| {
            t.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        tensors.iter().map(|(name, t)| (name.clone(), bits(t))).collect()
    }

    #[test]
    fn comes_back_bit_by_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CHECKPOINT);
        assert!(Checkpoint::load(&path, &Device::Cpu).unwrap().is_none());
        assert_eq!(Position::of(&path), None);
        let saved = checkpoint();
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, &Device::Cpu).unwrap().unwrap();
        assert_eq!((loaded.position, &loaded.plan), (saved.position, &saved.plan));
        assert_eq!(Position::of(&path), Some(saved.position));
        assert_eq!(bits(&loaded.model), bits(&saved.model));
        assert_eq!(bits(&loaded.optimizer), bits(&saved.optimizer));
        assert_eq!(bits(&loaded.memory), bits(&saved.memory));
    }

    #[test]
    fn truncation_anywhere_and_a_flipped_bit_are_errors_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CHECKPOINT);
        checkpoint().save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            Position::of(&path); // may be there, but does not panic
            let error = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
            assert!(error.contains(CHECKPOINT), "{error}");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let error = Checkpoint::load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}
