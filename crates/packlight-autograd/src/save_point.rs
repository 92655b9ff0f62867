//! The places that save something for the backward pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use packlight_codec::identity::Identity;
use packlight_codec::{AxisLayout, Codec, CodecState, Op, Scope, Site};
use packlight_kernels::rng::Purpose;
use packlight_record::LayerKind;

use crate::Pass;

/// A place that saves a tensor for the backward pass: the name and kind of its layer, and its
/// codec. Plans, ledgers and probes refer to it by its name.
#[derive(Debug)]
pub struct SavePoint {
    name: Arc<str>,
    kind: LayerKind,
    auxiliary_level: Option<u8>,
    codec: Mutex<Arc<dyn Codec>>,
    state: Mutex<CodecState>,
    frozen: AtomicBool,
    bias_trains: AtomicBool,
}

impl SavePoint {
    /// A save point that saves its whole input.
    pub fn new(name: impl Into<Arc<str>>, kind: LayerKind) -> Arc<Self> {
        Self::with_level(name, kind, None)
    }

    /// A save point of a linear layer of a transformer or mixer, which auxiliary sign activation
    /// covers from `level` on; see [`packlight_codec::Scope::Auxiliary`].
    pub fn auxiliary(name: impl Into<Arc<str>>, level: u8) -> Arc<Self> {
        Self::with_level(name, LayerKind::Linear, Some(level))
    }

    fn with_level(
        name: impl Into<Arc<str>>,
        kind: LayerKind,
        auxiliary_level: Option<u8>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            kind,
            auxiliary_level,
            codec: Mutex::new(Arc::new(Identity)),
            state: Mutex::default(),
            frozen: AtomicBool::new(false),
            bias_trains: AtomicBool::new(true),
        })
    }

    /// Its name within the model, such as `layer1.0.conv1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its layer computes.
    pub fn kind(&self) -> LayerKind {
        self.kind
    }

    /// Whether `scope` covers it.
    pub fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::Kinds(kinds) => kinds.contains(&self.kind),
            Scope::Auxiliary(level) => self.auxiliary_level.is_some_and(|own| own <= level),
        }
    }

    /// The codec that packs what it saves.
    pub fn codec(&self) -> Arc<dyn Codec> {
        lock(&self.codec).clone()
    }

    /// Uses `codec` from the next forward pass on, and clears the codec state if the codec changes.
    pub fn set_codec(&self, codec: Arc<dyn Codec>) {
        let mut own = lock(&self.codec);
        if own.spec() != codec.spec() {
            *lock(&self.state) = CodecState::default();
        }
        *own = codec;
    }

    /// The state of its codec between steps.
    pub fn codec_state(&self) -> MutexGuard<'_, CodecState> {
        lock(&self.state)
    }

    /// Whether its layer's parameters are frozen, so that it saves nothing for them. The bias may be
    /// an exception; see [`SavePoint::freeze_all_but_bias`].
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Whether the parameter `name` of its layer trains, such as `weight`; a full name will do.
    pub fn trains(&self, name: &str) -> bool {
        let is_bias = name.rsplit('.').next() == Some("bias");
        !self.is_frozen() || is_bias && self.bias_trains.load(Ordering::Relaxed)
    }

    /// Freezes or unfreezes the parameters of its layer, from the next forward pass on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
        self.bias_trains.store(!frozen, Ordering::Relaxed);
    }

    /// Freezes the parameters of its layer except the one called `bias`, from the next forward pass on.
    pub fn freeze_all_but_bias(&self) {
        self.frozen.store(true, Ordering::Relaxed);
        self.bias_trains.store(true, Ordering::Relaxed);
    }

    /// The parameter `name` of its layer as operations take it: outside candle's graph if it is frozen.
    pub(crate) fn parameter(&self, name: &str, tensor: &Tensor) -> Tensor {
        match self.trains(name) {
            true => tensor.clone(),
            false => tensor.detach(),
        }
    }

    /// Runs `act` with the site of this save point in `pass`. Changes of the codec state persist,
    /// except in trials and in passes that only observe.
    pub(crate) fn with_site<T>(
        &self,
        pass: &Pass,
        op: Op<'_>,
        axes: AxisLayout,
        act: impl FnOnce(&mut Site<'_>) -> packlight_codec::Result<T>,
    ) -> crate::Result<T> {
        let key = pass.key(Purpose::Codec, &self.name);
        let level = pass.trial(&self.name);
        let mut state = self.codec_state();
        let observes = level.is_some() || !pass.updates_codec_states();
        let mut copy = observes.then(|| state.clone());
        let state = copy.as_mut().unwrap_or(&mut state);
        act(&mut Site { op, axes, key, level, state }).map_err(|e| self.codec_failed(e))
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Adds the layer's name to an error of its kernel.
    pub(crate) fn failed(&self, source: packlight_kernels::Error) -> crate::Error {
        crate::Error::Layer { layer: self.name.to_string(), source }
    }

    /// Adds the layer's name to an error that lacks one.
    pub(crate) fn named(&self, error: crate::Error) -> crate::Error {
        match error {
            crate::Error::Kernel(source) => self.failed(source),
            other => other,
        }
    }

    /// The error of an observer that could not take what the layer showed.
    pub(crate) fn probe_failed(&self, reason: String) -> crate::Error {
        crate::Error::Observer { layer: self.name.to_string(), reason }
    }

    /// Adds the layer's name to an error of its codec.
    pub(crate) fn codec_failed(&self, source: packlight_codec::Error) -> crate::Error {
        crate::Error::Codec { layer: self.name.to_string(), source }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
