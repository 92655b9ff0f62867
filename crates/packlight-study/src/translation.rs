//! Translates a split and scores the translations.

use candle_core::{Device, Tensor};
use packlight_autograd::Pass;
use packlight_kernels::argmax::argmax;
use packlight_nn::Model;
use packlight_nn::model::{Inputs, PADDING};

use crate::Result;
use crate::bleu::bleu;
use crate::data::{BEGIN, END, Split};

/// No translation has more tokens than this many for each of its source, and [`MORE`].
const RATIO: usize = 2;
const MORE: usize = 8;

/// The [`bleu`] of what `model` makes of the sources of `split`, `batch` of them at a time, taking the most
/// likely token at each place; `None` if the targets are no texts.
///
/// Keys and values are not cached: each token takes an evaluation pass over the source and all that has
/// been said.
///
/// # Errors
/// Returns an error if a batch does not fit the model.
pub fn translation_bleu(
    model: &Model,
    split: &Split,
    batch: usize,
    device: &Device,
) -> Result<Option<f64>> {
    let Split::Pairs(pairs) = split else { return Ok(None) };
    let Some(references) = pairs.references() else { return Ok(None) };
    let all: Vec<usize> = (0..references.len()).collect();
    let mut said = Vec::with_capacity(all.len());
    for indices in all.chunks(batch.max(1)) {
        let translations = translate(model, &pairs.sources(indices, device)?)?;
        said.extend(translations.iter().map(|tokens| pairs.text(tokens)));
    }
    let pairs = said.iter().map(String::as_str).zip(references.iter().map(String::as_str));
    Ok(Some(bleu(pairs)))
}

/// Translates the first `batch` samples alone, to time it, and returns how many these are; 0 if the targets are no
/// texts.
///
/// # Errors
/// Returns an error as [`translation_bleu`] does.
pub(crate) fn translate_first(
    model: &Model,
    split: &Split,
    batch: usize,
    device: &Device,
) -> Result<usize> {
    let Split::Pairs(pairs) = split else { return Ok(0) };
    let texts = pairs.references().map_or(0, <[String]>::len);
    let first: Vec<usize> = (0..texts.min(batch)).collect();
    if !first.is_empty() {
        translate(model, &pairs.sources(&first, device)?)?;
    }
    Ok(first.len())
}

/// The translation of each source, with marks.
fn translate(model: &Model, sources: &Tensor) -> Result<Vec<Vec<u32>>> {
    let (samples, length) = sources.dims2()?;
    let mut said = vec![vec![BEGIN]; samples];
    let mut ended = vec![false; samples];
    for length in 1..=RATIO * length + MORE {
        let target = Tensor::from_vec(said.concat(), (samples, length), sources.device())?;
        let inputs = Inputs::Pairs { source: sources.clone(), target };
        let logits = model.logits(&inputs, &Pass::evaluation())?;
        let last = logits.data().narrow(1, length - 1, 1)?.contiguous()?;
        let next = argmax(&last).map_err(packlight_nn::Error::from)?.flatten_all()?;
        for ((tokens, ended), next) in said.iter_mut().zip(&mut ended).zip(next.to_vec1::<u32>()?) {
            *ended |= next == END;
            tokens.push(if *ended { PADDING } else { next });
        }
        if !ended.contains(&false) {
            break;
        }
    }
    Ok(said)
}
