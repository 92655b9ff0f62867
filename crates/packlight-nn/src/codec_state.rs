//! The codec states of a model's save points, all together: saved, restored and allocated.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use packlight_autograd::SavePoint;
use packlight_codec::CodecState;

use crate::{Error, Result};

/// The codec states of `save_points`: each tensor under the name `SAVE_POINT/TENSOR`.
pub fn tensors(save_points: &[Arc<SavePoint>]) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for point in save_points {
        for (what, tensor) in point.codec_state().tensors() {
            all.insert(format!("{}/{what}", point.name()), tensor.clone());
        }
    }
    all
}

/// Restores what [`tensors`] returned.
///
/// # Errors
/// Returns an error if a tensor belongs to no save point; the error names the tensor.
pub fn restore(save_points: &[Arc<SavePoint>], tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for point in save_points {
        *point.codec_state() = CodecState::default();
    }
    for (name, tensor) in tensors {
        let found = name.rsplit_once('/').and_then(|(owner, what)| {
            save_points.iter().find(|point| point.name() == owner).map(|point| (point, what))
        });
        let (point, what) = found.ok_or_else(|| Error::ExtraTensor {
            from: "the codec states".into(),
            tensor: name.clone(),
            hint: String::new(),
        })?;
        point.codec_state().set(what, tensor);
    }
    Ok(())
}

/// Allocates the bits or ranks of the next step among the save points of each codec.
///
/// # Errors
/// Returns an error if a codec fails.
pub(crate) fn allocate(save_points: &[Arc<SavePoint>]) -> Result<()> {
    let mut groups: BTreeMap<String, Vec<&Arc<SavePoint>>> = BTreeMap::new();
    for point in save_points {
        groups.entry(point.codec().spec()).or_default().push(point);
    }
    for group in groups.values() {
        let codec = group[0].codec();
        let Some(adaptive) = codec.adaptive() else { continue };
        let mut guards: Vec<_> = group.iter().map(|point| point.codec_state()).collect();
        let mut states: Vec<&mut CodecState> =
            guards.iter_mut().map(|guard| &mut **guard).collect();
        adaptive.allocate(&mut states)?;
    }
    Ok(())
}
