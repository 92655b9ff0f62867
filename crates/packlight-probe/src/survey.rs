//! What a network saves for its backward pass, layer by layer, and which codecs can pack it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Tensor, TensorId};
use packlight_autograd::{Ledger, Observer, Pass, SavePoint, SavedTensor, WeightGradient};
use packlight_codec::{Codec, CodecState};
use packlight_nn::Parameters;
use packlight_record::KeptKind;

use crate::Result;
use crate::error::refusal;
use crate::exact_codecs::ExactCodecs;

/// What a network saves for its backward pass where every layer is exact.
#[derive(Debug)]
pub struct Survey {
    /// The layers that save an input which a codec can pack, in forward order.
    pub layers: Vec<Surveyed>,
    /// What is saved beside these inputs.
    pub fixed: Vec<Fixed>,
}

/// What a layer saves of its input.
#[derive(Debug)]
pub struct Surveyed {
    /// The layer.
    pub layer: Arc<SavePoint>,
    /// Which tensor it saves: layers with the same number save the same one.
    pub source: u64,
    /// That tensor's bytes.
    pub bytes: u64,
    /// What identifies the exact copy.
    pub copy: String,
    /// Whether it is a conv or linear layer that the pass uses once, so that a codec that only packs
    /// changes its own weight's gradient alone.
    pub changes_own_alone: bool,
    /// What each codec makes of the tensor, or why it cannot pack it.
    pub codecs: Vec<std::result::Result<Packing, String>>,
}

/// What a codec makes of a layer's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// Whether it remembers something of the batch; not known of blanks.
    pub remembers: bool,
    /// The most bytes that it takes for a tensor of this shape.
    pub most_bytes: u64,
    /// The most bytes of the tensor that the layer restores at a time.
    pub restored_bytes: u64,
    /// What identifies the packed copy.
    pub copy: String,
}

/// What a layer saves whatever packs its input: masks and statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The layer.
    pub layer: String,
    /// What it is saved for.
    pub kind: KeptKind,
    /// Its bytes.
    pub bytes: u64,
}

/// Goes forward and back once, with every layer exact, and looks at what the layers save. Each of
/// `codecs` packs it once, too, and remembers nothing of it.
///
/// `loss` computes the scalar loss of a batch in the given pass, a copy of `pass` that changes neither
/// running statistics nor the codecs' states. Where its batch is of blanks
/// (`packlight_kernels::blank`), nothing is computed.
///
/// # Errors
/// Returns an error if the pass fails, or a codec for another reason than that it cannot pack such a
/// tensor.
pub fn survey(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    codecs: &[Arc<dyn Codec>],
) -> Result<Survey> {
    let _exact = ExactCodecs::put_on(parameters.save_points())?;
    let surveyor = Arc::new(Surveyor { codecs: codecs.to_vec(), notes: Mutex::default() });
    let ledger = Ledger::new();
    let pass = pass.clone().freeze_statistics().saving_own_inputs();
    loss(&pass.with_observer(surveyor.clone()).with_ledger(&ledger))?.backward()?;
    let mut fixed: Vec<Fixed> = Vec::new();
    for entry in ledger.entries().iter().filter(|entry| entry.kind != KeptKind::Input) {
        let (layer, kind, bytes) =
            (entry.layer.to_string(), entry.kind, entry.bytes.total() as u64);
        match fixed.iter_mut().find(|fixed| fixed.layer == layer && fixed.kind == kind) {
            Some(fixed) => fixed.bytes += bytes,
            None => fixed.push(Fixed { layer, kind, bytes }),
        }
    }
    Ok(Survey { layers: surveyor.layers(parameters.save_points()), fixed })
}

/// Copies of tensors, each with what identifies it and its bytes.
pub(crate) type Copies = Vec<(TensorId, String, usize)>;

/// Adds what a layer has saved, unless it has saved the same before.
pub(crate) fn saved_by(copies: &mut Copies, seen: &SavedTensor<'_>) {
    let copy = seen.copy.to_string();
    if copies.iter().all(|(source, other, _)| *source != seen.source || *other != copy) {
        copies.push((seen.source, copy, seen.kept.total()));
    }
}

/// What was seen of a layer.
struct Note {
    layer: String,
    copies: Copies,
    weight_gradients: usize,
    codecs: Vec<std::result::Result<Packing, String>>,
}

/// Notes what layers save, and has each codec pack the first tensor of each layer.
struct Surveyor {
    codecs: Vec<Arc<dyn Codec>>,
    notes: Mutex<Vec<Note>>,
}

impl Surveyor {
    fn try_all(&self, seen: &SavedTensor<'_>) -> std::result::Result<Note, String> {
        let pack = |codec: &Arc<dyn Codec>| {
            let mut state = CodecState::default();
            let packed = seen.packed_by(&**codec, 0, &mut state);
            let packed = packed.and_then(|packed| {
                seen.check_use(&*packed)?;
                Ok((seen.most_bytes(&**codec)?, seen.restored_bytes(&**codec)?))
            });
            match packed {
                Ok(((most, copy), restored)) => Ok(Ok(Packing {
                    remembers: state.bytes() > 0,
                    most_bytes: most as u64,
                    restored_bytes: restored as u64,
                    copy: copy.to_string(),
                })),
                Err(error) => refusal(&error).map(Err).ok_or_else(|| error.to_string()),
            }
        };
        let codecs = self.codecs.iter().map(pack).collect::<std::result::Result<_, _>>()?;
        let layer = seen.layer.name().to_owned();
        Ok(Note { layer, copies: Copies::new(), weight_gradients: 0, codecs })
    }

    /// What was noted, in the order of `save_points`.
    fn layers(&self, save_points: &[Arc<SavePoint>]) -> Vec<Surveyed> {
        let notes = lock(&self.notes);
        let mut sources = Vec::new();
        let of = |layer: &Arc<SavePoint>| {
            let note = notes.iter().find(|note| note.layer == layer.name())?;
            let (source, copy, _) = note.copies.first()?;
            let bytes = note.copies.iter().map(|(_, _, bytes)| *bytes as u64).sum();
            let several = note.copies.iter().filter(|(_, _, bytes)| *bytes > 0).count() > 1;
            let number = match sources.iter().position(|known| known == source) {
                Some(number) if !several => number,
                _ => {
                    sources.push(*source);
                    sources.len() - 1
                }
            };
            let refused = Err("the layer saves several tensors in a pass".to_owned());
            Some(Surveyed {
                layer: layer.clone(),
                source: number as u64,
                bytes,
                copy: copy.clone(),
                changes_own_alone: note.weight_gradients == 1,
                codecs: match several {
                    true => vec![refused; self.codecs.len()],
                    false => note.codecs.clone(),
                },
            })
        };
        save_points.iter().filter_map(of).collect()
    }
}

impl Observer for Surveyor {
    fn weight_gradient(&self, seen: &WeightGradient<'_>) -> std::result::Result<(), String> {
        let mut notes = lock(&self.notes);
        let of = |note: &&mut Note| note.layer == seen.layer.name();
        notes.iter_mut().filter(of).for_each(|note| note.weight_gradients += 1);
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        let mut notes = lock(&self.notes);
        let known = notes.iter().position(|note| note.layer == seen.layer.name());
        let at = match known {
            Some(at) => at,
            None => {
                notes.push(self.try_all(seen)?);
                notes.len() - 1
            }
        };
        saved_by(&mut notes[at].copies, seen);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
