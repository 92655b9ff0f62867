//! What codecs remember of a model's layers, all together: saved, restored and shared out.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use packlight_autograd::SavePoint;
use packlight_codec::CodecState;

use crate::{Error, Result};

/// Everything that the codecs of `layers` remember, named `LAYER/WHAT`.
pub fn tensors(layers: &[Arc<SavePoint>]) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for layer in layers {
        for (what, tensor) in layer.codec_state().tensors() {
            all.insert(format!("{}/{what}", layer.name()), tensor.clone());
        }
    }
    all
}

/// Has the codecs of `layers` remember what [`tensors`] gave.
///
/// # Errors
/// If a tensor belongs to no layer; the error names it.
pub fn restore(layers: &[Arc<SavePoint>], tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for layer in layers {
        *layer.codec_state() = CodecState::default();
    }
    for (name, tensor) in tensors {
        let found = name.rsplit_once('/').and_then(|(owner, what)| {
            layers.iter().find(|layer| layer.name() == owner).map(|layer| (layer, what))
        });
        let (layer, what) = found.ok_or_else(|| Error::ExtraTensor {
            from: "what codecs remember".into(),
            tensor: name.clone(),
            hint: String::new(),
        })?;
        layer.codec_state().set(what, tensor);
    }
    Ok(())
}

/// Has each codec share out what its layers may take in the next step; to be called after each
/// step's backward pass.
///
/// # Errors
/// If a codec fails.
pub fn allocate(layers: &[Arc<SavePoint>]) -> Result<()> {
    let mut groups: BTreeMap<String, Vec<&Arc<SavePoint>>> = BTreeMap::new();
    for layer in layers {
        groups.entry(layer.codec().spec()).or_default().push(layer);
    }
    for group in groups.values() {
        let codec = group[0].codec();
        let Some(adaptive) = codec.adaptive() else { continue };
        let mut guards: Vec<_> = group.iter().map(|layer| layer.codec_state()).collect();
        let mut memories: Vec<&mut CodecState> =
            guards.iter_mut().map(|guard| &mut **guard).collect();
        adaptive.allocate(&mut memories)?;
    }
    Ok(())
}
