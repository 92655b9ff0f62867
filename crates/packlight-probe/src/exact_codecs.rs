//! The exact network beside a compressed one.

use std::sync::Arc;

use packlight_autograd::SavePoint;
use packlight_codec::{Codec, CodecState};

use crate::Result;

/// Gives every layer the codec `none`; when dropped, restores its own codec and that codec's state.
pub(crate) struct ExactCodecs<'a> {
    layers: &'a [Arc<SavePoint>],
    own: Vec<(Arc<dyn Codec>, CodecState)>,
}

impl<'a> ExactCodecs<'a> {
    pub(crate) fn put_on(layers: &'a [Arc<SavePoint>]) -> Result<Self> {
        let none = packlight_codec::parse("none")?;
        let own = layers.iter().map(|layer| (layer.codec(), layer.codec_state().clone())).collect();
        layers.iter().for_each(|layer| layer.set_codec(none.clone()));
        Ok(Self { layers, own })
    }
}

impl Drop for ExactCodecs<'_> {
    fn drop(&mut self) {
        for (layer, (codec, state)) in self.layers.iter().zip(&self.own) {
            layer.set_codec(codec.clone());
            *layer.codec_state() = state.clone();
        }
    }
}
