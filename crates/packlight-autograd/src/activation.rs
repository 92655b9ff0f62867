//! A value flowing forward.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Codec, Context, Packed};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_record::KeptKind;

use crate::kept::Kept;
use crate::link::{self, Link};
use crate::{Pass, Result, SavePoint};

/// A value flowing forward: its data as a detached tensor, and its link in candle's graph.
///
/// It also carries what its axes mean, which a shape does not tell: of four, the second one may be
/// an image's channels or the heads of attention. Codecs treat these differently. An operation that
/// leaves the axes where they are passes their meaning on, one that makes others says what they are.
///
/// Cloning is cheap. In evaluation, and where no parameter lies behind it, there is no link.
#[derive(Clone)]
pub struct Activation {
    inner: Arc<Inner>,
    axes: AxisLayout,
}

struct Inner {
    data: Tensor,
    pass: Arc<Pass>,
    link: Option<Link>,
    /// What layers keep of this activation, so that two with the same codec share one copy.
    kept: Mutex<Vec<Shared>>,
    /// What layers keep in the place of this activation.
    stand_in: Option<Activation>,
}

/// What packing gives.
type PackResult = packlight_codec::Result<Box<dyn Packed>>;

/// A packed tensor on the ledger's account.
pub(crate) type KeptPacked = Kept<Box<dyn Packed>>;

/// A packed copy for as long as someone keeps it.
struct Shared {
    /// See [`Codec::packs_as`].
    codec: String,
    axes: AxisLayout,
    packed: Weak<KeptPacked>,
}

impl Activation {
    /// Enters from an ordinary tensor; gradients pass back to it where candle tracks it.
    ///
    /// A tensor of four axes enters as images (N,C,H,W), any other as tokens or samples (...,
    /// features); [`Activation::with_axes`] says otherwise.
    ///
    /// # Errors
    /// If candle cannot make the link.
    pub fn from_tensor(tensor: &Tensor, pass: &Pass) -> Result<Self> {
        let tracked = pass.differentiates() && link::is_tracked(tensor);
        let link = tracked.then(|| link::enter(tensor)).transpose()?;
        let axes = if tensor.rank() == 4 { AxisLayout::Images } else { AxisLayout::Tokens };
        Ok(Self::new(tensor.detach(), Arc::new(pass.clone()), link, axes))
    }

    /// Leaves to an ordinary tensor, through which gradients pass back.
    ///
    /// # Errors
    /// If candle cannot copy the data.
    pub fn into_tensor(self) -> Result<Tensor> {
        match &self.inner.link {
            Some(link) => link::leave(link, &self.inner.data),
            None => Ok(self.inner.data.clone()),
        }
    }

    pub(crate) fn new(data: Tensor, pass: Arc<Pass>, link: Option<Link>, axes: AxisLayout) -> Self {
        let inner = Inner { data, pass, link, kept: Mutex::default(), stand_in: None };
        Self { inner: Arc::new(inner), axes }
    }

    /// The same activation, whose axes mean `axes` from here on: to be said where plain candle code
    /// or [`op::permute`](crate::op::permute()) has made heads of attention, say.
    pub fn with_axes(self, axes: AxisLayout) -> Self {
        Self { axes, ..self }
    }

    /// What its axes mean.
    pub fn axes(&self) -> AxisLayout {
        self.axes
    }

    /// Its value, outside candle's graph.
    pub fn data(&self) -> &Tensor {
        &self.inner.data
    }

    /// The pass that it belongs to.
    pub fn pass(&self) -> &Pass {
        &self.inner.pass
    }

    /// Its shape.
    pub fn dims(&self) -> &[usize] {
        self.inner.data.dims()
    }

    pub(crate) fn shared_pass(&self) -> Arc<Pass> {
        self.inner.pass.clone()
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        self.inner.link.as_ref()
    }

    /// Its value and its gradient, but what layers keep of it is `kept`'s: the auxiliary residual
    /// activation of Woo and Jeon (ICLR 2023).
    pub fn keeping(&self, kept: &Activation) -> Self {
        let inner = Inner {
            data: self.data().clone(),
            pass: self.shared_pass(),
            link: self.link().cloned(),
            kept: Mutex::default(),
            stand_in: self.pass().has_stand_ins().then(|| kept.clone()),
        };
        Self { inner: Arc::new(inner), axes: self.axes }
    }

    /// Packs this activation with the layer's codec, or shares the copy of another layer that
    /// packed it alike.
    pub(crate) fn keep(&self, layer: &SavePoint, axes: AxisLayout) -> Result<Arc<KeptPacked>> {
        self.keep_by(layer, axes, |_| true, |codec, x, context| codec.pack(x, context))
    }

    /// The same as the input of a convolution, with which not all codecs pack alike.
    pub(crate) fn keep_for_conv2d(
        &self,
        layer: &SavePoint,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Arc<KeptPacked>> {
        self.keep_by(
            layer,
            AxisLayout::Images,
            |packed| packed.serves_conv2d(weight_shape, geometry),
            |codec, x, context| codec.pack_conv2d(x, weight_shape, geometry, context),
        )
    }

    fn keep_by(
        &self,
        layer: &SavePoint,
        axes: AxisLayout,
        serves: impl Fn(&dyn Packed) -> bool,
        pack: impl FnOnce(&dyn Codec, &Tensor, &mut Context<'_>) -> PackResult,
    ) -> Result<Arc<KeptPacked>> {
        if let Some(stand_in) = &self.inner.stand_in {
            return stand_in.keep_by(layer, axes, serves, pack);
        }
        let mut alike = self.alike(layer, axes).into_iter();
        if let Some(packed) = alike.find(|packed| serves(packed.value().as_ref())) {
            return Ok(packed);
        }
        let codec = layer.codec();
        let packed = layer
            .with_context(self.pass(), axes, |context| pack(&*codec, &self.inner.data, context))?;
        Ok(self.offer(packed, layer, axes))
    }

    /// What another layer with the same codec has kept of this activation.
    pub(crate) fn kept_alike(
        &self,
        layer: &SavePoint,
        axes: AxisLayout,
    ) -> Option<Arc<KeptPacked>> {
        self.alike(layer, axes).into_iter().next()
    }

    /// All that layers with the same codec have kept of this activation.
    fn alike(&self, layer: &SavePoint, axes: AxisLayout) -> Vec<Arc<KeptPacked>> {
        let codec = layer.codec().packs_as();
        let kept = self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = kept.iter().filter(|shared| shared.codec == codec && shared.axes == axes);
        alike.filter_map(|shared| shared.packed.upgrade()).collect()
    }

    /// Keeps a packed form of this activation, which layers with the same codec will share.
    pub(crate) fn offer(
        &self,
        packed: Box<dyn Packed>,
        layer: &SavePoint,
        axes: AxisLayout,
    ) -> Arc<KeptPacked> {
        let raw = self.inner.data.elem_count() * self.inner.data.dtype().size_in_bytes();
        let bytes = packed.bytes();
        let packed = Arc::new(Kept::new(packed, self.pass(), layer, KeptKind::Input, bytes, raw));
        self.share(&packed, layer, axes);
        packed
    }

    /// Has layers with the codec of `layer` keep `packed` in the place of packing this activation.
    pub(crate) fn share(&self, packed: &Arc<KeptPacked>, layer: &SavePoint, axes: AxisLayout) {
        let codec = layer.codec().packs_as();
        let shared = Shared { codec, axes, packed: Arc::downgrade(packed) };
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner).push(shared);
    }

    /// Keeps a mask or statistics that a layer made itself.
    pub(crate) fn keep_tensor(
        &self,
        layer: &SavePoint,
        kind: KeptKind,
        tensor: Tensor,
    ) -> Kept<Tensor> {
        Kept::of_tensor(tensor, self.pass(), layer, kind)
    }
}
