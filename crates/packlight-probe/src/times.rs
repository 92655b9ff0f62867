//! How long codecs take at layers, and blocks in the forward pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::Tensor;
use packlight_autograd::{Observer, Pass, SavedTensor, WeightGradient};
use packlight_codec::{Codec, CodecState};
use packlight_nn::Parameters;

use crate::Result;
use crate::error::refusal;
use crate::exact_codecs::ExactCodecs;

/// A codec at a layer of this name.
pub type Timed = (Arc<str>, Arc<dyn Codec>);

/// Seconds that a batch takes, with every layer exact.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// A pass forward and back.
    pub pass: f64,
    /// For each codec at a layer, packing and restoring the layer's input; `None` if it cannot pack it.
    pub codecs: Vec<Option<f64>>,
    /// The forward pass of each block, in the order of [`Parameters::blocks`].
    pub blocks: Vec<f64>,
}

/// Times a batch: a pass forward and back, `codecs` at their layers, and the blocks. What packs more than
/// once, or goes to a gradient without restoring, is not told apart.
///
/// `loss` computes the scalar loss of the batch in the given pass, a copy of `pass` that changes neither
/// running statistics nor the codecs' states.
///
/// # Errors
/// Returns an error if a pass fails, or a codec for another reason than that it cannot pack such a tensor.
pub fn times(
    parameters: &Parameters,
    pass: &Pass,
    loss: impl Fn(&Pass) -> packlight_nn::Result<Tensor>,
    codecs: &[Timed],
) -> Result<Times> {
    let _exact = ExactCodecs::put_on(parameters.save_points())?;
    let pass = pass.clone().freeze_statistics();
    let begun = Instant::now();
    loss(&pass)?.backward()?;
    let whole = begun.elapsed().as_secs_f64();

    let clock = Arc::new(Clock { begun: Instant::now(), saved: Mutex::default() });
    loss(&pass.clone().with_observer(clock.clone()))?;
    let end = clock.begun.elapsed().as_secs_f64();
    let saved = clock.saved.lock().unwrap_or_else(PoisonError::into_inner);
    let of_block = |block: &packlight_nn::Block| {
        let layers = &parameters.save_points()[block.layers.clone()];
        let is_own = |(name, _): &&(String, f64)| layers.iter().any(|layer| layer.name() == name);
        let own = || saved.iter().skip_while(|tick| !is_own(tick));
        let behind = own().find(|tick| !is_own(tick)).map_or(end, |(_, at)| *at);
        own().next().map_or(0.0, |(_, from)| behind - from)
    };
    let blocks = parameters.blocks().iter().map(of_block).collect();

    let packer = Arc::new(Packer { codecs: codecs.to_vec(), seconds: Mutex::default() });
    loss(&pass.saving_own_inputs().with_observer(packer.clone()))?;
    let found = packer.seconds.lock().unwrap_or_else(PoisonError::into_inner);
    let of_pair = |at: usize| found.iter().find(|(number, _)| *number == at)?.1;
    Ok(Times { pass: whole, codecs: (0..codecs.len()).map(of_pair).collect(), blocks })
}

/// Notes when each layer saves what it does, in the forward pass.
struct Clock {
    begun: Instant,
    saved: Mutex<Vec<(String, f64)>>,
}

impl Observer for Clock {
    fn weight_gradient(&self, _: &WeightGradient<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.push((seen.layer.name().to_owned(), self.begun.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// Has codecs pack and restore the first tensor that their layer saves.
struct Packer {
    codecs: Vec<Timed>,
    seconds: Mutex<Vec<(usize, Option<f64>)>>,
}

impl Observer for Packer {
    fn weight_gradient(&self, _: &WeightGradient<'_>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn saved(&self, seen: &SavedTensor<'_>) -> std::result::Result<(), String> {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let here =
            self.codecs.iter().enumerate().filter(|(_, (layer, _))| **layer == *seen.layer.name());
        for (number, (_, codec)) in here {
            if seconds.iter().any(|(known, _)| *known == number) {
                continue;
            }
            let begun = Instant::now();
            let packed = seen.packed_by(&**codec, 0, &mut CodecState::default());
            let found = match packed {
                Ok(packed) => {
                    let _restored = packed.unpack(); // some codecs restore no values
                    Some(begun.elapsed().as_secs_f64())
                }
                Err(error) => match refusal(&error) {
                    Some(_) => None,
                    None => return Err(error.to_string()),
                },
            };
            seconds.push((number, found));
        }
        Ok(())
    }
}
