//! Who keeps something for the backward pass.

use std::sync::{Arc, Mutex, PoisonError};

use packlight_codec::Codec;
use packlight_codec::identity::Identity;
use packlight_record::LayerKind;

/// A layer as plans, ledgers and probes know it: its name, its kind and its codec.
#[derive(Debug)]
pub struct Layer {
    name: Arc<str>,
    kind: LayerKind,
    codec: Mutex<Arc<dyn Codec>>,
}

impl Layer {
    /// A layer that keeps its whole input.
    pub fn new(name: impl Into<Arc<str>>, kind: LayerKind) -> Arc<Self> {
        Arc::new(Self { name: name.into(), kind, codec: Mutex::new(Arc::new(Identity)) })
    }

    /// Its name within the model, such as `layer1.0.conv1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it computes.
    pub fn kind(&self) -> LayerKind {
        self.kind
    }

    /// What it packs its input with.
    pub fn codec(&self) -> Arc<dyn Codec> {
        self.codec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has it pack its input with `codec` from the next forward pass on.
    pub fn set_codec(&self, codec: Arc<dyn Codec>) {
        *self.codec.lock().unwrap_or_else(PoisonError::into_inner) = codec;
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Names this layer in an error of its kernel.
    pub(crate) fn failed(&self, source: packlight_kernels::Error) -> crate::Error {
        crate::Error::Layer { layer: self.name.to_string(), source }
    }

    /// Names this layer in an error of its codec.
    pub(crate) fn codec_failed(&self, source: packlight_codec::Error) -> crate::Error {
        crate::Error::Codec { layer: self.name.to_string(), source }
    }
}
