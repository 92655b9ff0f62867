//! A value flowing forward.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::Tensor;
use packlight_codec::{AxisLayout, Op};
use packlight_record::KeptKind;

use crate::alive::Alive;
use crate::blank;
use crate::link::{self, Link};
use crate::observer::{Place, SavedTensor};
use crate::saved::Saved;
use crate::saved_input::{PackedCopy, SavedInput};
use crate::{Pass, Result, SavePoint};

/// A value flowing forward: its data as a detached tensor, and its link in candle's graph.
///
/// It also carries what its axes mean, which a shape does not tell: the second of four axes may be
/// an image's channels or the heads of attention, and codecs treat these differently. An operation
/// that leaves the axes where they are passes their meaning on; one that makes others says what
/// they mean.
///
/// Cloning is cheap. In evaluation, and where no parameter lies behind it, there is no link.
///
/// An operation that takes its input by value may write its output over it, where no other activation,
/// nothing that is saved and no caller of [`Activation::data`] can still see the input.
#[derive(Clone)]
pub struct Activation {
    inner: Arc<Inner>,
    axes: AxisLayout,
}

struct Inner {
    data: Tensor,
    /// Whether others may hold the data or a view of it.
    lent: AtomicBool,
    pass: Arc<Pass>,
    link: Option<Link>,
    /// The packed copies of this activation, for save points to share.
    copies: Mutex<Vec<Weak<PackedCopy>>>,
    /// What save points save in place of this activation.
    saved_as: Option<Activation>,
    /// Counts the memory of the data in a pass over blanks.
    alive: Option<Alive>,
}

impl Inner {
    fn new(
        data: Tensor,
        pass: Arc<Pass>,
        link: Option<Link>,
        saved_as: Option<Activation>,
    ) -> Arc<Self> {
        let (lent, copies) = (AtomicBool::new(true), Mutex::default());
        let alive = Alive::of(&data, &pass);
        Arc::new(Self { data, lent, pass, link, copies, saved_as, alive })
    }
}

impl From<&Activation> for Activation {
    fn from(activation: &Activation) -> Self {
        activation.clone()
    }
}

impl Activation {
    /// Enters from an ordinary tensor; gradients pass back to it where candle tracks it.
    ///
    /// A tensor of four axes enters as images (N,C,H,W), any other as tokens or samples (...,
    /// features); [`Activation::with_axes`] says otherwise. It is cast to the type of activations, if the pass has one
    /// ([`Pass::with_activations`]).
    ///
    /// # Errors
    /// Returns an error if candle cannot make the link.
    pub fn from_tensor(tensor: &Tensor, pass: &Pass) -> Result<Self> {
        let tensor = &pass.as_activation(tensor)?;
        let tracked = pass.differentiates() && link::is_tracked(tensor);
        let link = tracked.then(|| link::enter(tensor, pass)).transpose()?;
        let axes = if tensor.rank() == 4 { AxisLayout::Images } else { AxisLayout::Tokens };
        let entered = Self::new(tensor.detach(), Arc::new(pass.clone()), link, axes);
        entered.inner.alive.iter().for_each(Alive::is_held_outside);
        Ok(entered)
    }

    /// Leaves to an ordinary tensor, through which gradients pass back.
    ///
    /// # Errors
    /// Returns an error if candle cannot copy the data.
    pub fn into_tensor(self) -> Result<Tensor> {
        match &self.inner.link {
            Some(link) => link::leave(link, self.data()),
            None => Ok(self.data().clone()),
        }
    }

    pub(crate) fn new(data: Tensor, pass: Arc<Pass>, link: Option<Link>, axes: AxisLayout) -> Self {
        Self { inner: Inner::new(data, pass, link, None), axes }
    }

    /// The same activation with another meaning of its axes, for where plain candle code or
    /// [`op::permute`](crate::op::permute()) has made, say, heads of attention.
    pub fn with_axes(self, axes: AxisLayout) -> Self {
        Self { axes, ..self }
    }

    /// What its axes mean.
    pub fn axes(&self) -> AxisLayout {
        self.axes
    }

    /// Its value, outside candle's graph. From now on no operation writes over it.
    pub fn data(&self) -> &Tensor {
        self.inner.lent.store(true, Ordering::Relaxed);
        &self.inner.data
    }

    /// Its value, for an operation that keeps neither the tensor nor a view of it.
    pub(crate) fn values(&self) -> &Tensor {
        &self.inner.data
    }

    /// Says that nothing else holds its data, which an operation has just made.
    pub(crate) fn of_its_own(self) -> Self {
        self.inner.lent.store(false, Ordering::Relaxed);
        self
    }

    /// Its value, if an operation that has taken it by value may write over it.
    pub(crate) fn writable(&self) -> Option<&Tensor> {
        let data = &self.inner.data;
        let alone = Arc::strong_count(&self.inner) == 1 && !self.inner.lent.load(Ordering::Relaxed);
        (alone && data.device().is_cpu()).then_some(data)
    }

    /// [`save`](Self::save), for an operation that then writes its output over the activation, if it may.
    pub(crate) fn save_and_yield(
        &self,
        save_point: &Arc<SavePoint>,
        op: Op<'_>,
    ) -> Result<SavedInput> {
        let yields = self.writable().is_some();
        let saved = self.save(save_point, op)?;
        self.inner.alive.iter().filter(|_| yields).for_each(Alive::yields);
        Ok(saved)
    }

    /// Says that `view` is a view of its data.
    pub(crate) fn is_viewed_as(&self, view: &Tensor) {
        self.inner.alive.iter().for_each(|alive| alive.is_viewed_as(view));
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

    /// The same value and gradient, of which save points save `other`: the auxiliary residual
    /// activation of Woo and Jeon (ICLR 2023).
    pub fn save_as(&self, other: &Activation) -> Self {
        let saved_as = (!self.pass().saves_own_inputs()).then(|| other.clone());
        let (data, link) = (self.data().clone(), self.link().cloned());
        Self { inner: Inner::new(data, self.shared_pass(), link, saved_as), axes: self.axes }
    }

    /// Saves this activation for the backward pass of `op`, packed by the save point's codec; or
    /// shares the copy of another save point that packed it alike.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the codec cannot pack it.
    pub fn save(&self, save_point: &Arc<SavePoint>, op: Op<'_>) -> Result<SavedInput> {
        if let Some(other) = &self.inner.saved_as {
            return other.clone().with_axes(self.axes).save(save_point, op);
        }
        let codec = save_point.codec();
        let saved = save_point.with_site(self.pass(), op, self.axes, |site| {
            let key = codec.share_key(site, self.dims());
            if let Some(copy) = self.find(|copy| copy.key == key) {
                return Ok(SavedInput::shared(copy, save_point));
            }
            let packed = blank::pack(&*codec, self.values(), site)?;
            Ok(SavedInput::entered(packed, key, self.values(), self.pass(), save_point))
        })?;
        if !saved.copy().is_apart() {
            self.inner.lent.store(true, Ordering::Relaxed);
        }
        self.share(&saved);
        self.show(&saved, save_point, op)?;
        Ok(saved)
    }

    /// Shows the pass's observer what a save point has saved of this activation.
    fn show(&self, saved: &SavedInput, save_point: &SavePoint, op: Op<'_>) -> Result<()> {
        let Some(observer) = self.pass().observer() else { return Ok(()) };
        let shown = observer.saved(&SavedTensor {
            layer: save_point,
            source: self.data().id(),
            kept: saved.bytes(),
            copy: &saved.copy().key,
            tensor: self.data(),
            place: Place { op, axes: self.axes, pass: self.pass() },
        });
        shown.map_err(|reason| save_point.probe_failed(reason))
    }

    /// What another save point has saved of this activation, if this one would pack it alike.
    pub(crate) fn saved_alike(
        &self,
        save_point: &Arc<SavePoint>,
        op: Op<'_>,
    ) -> Result<Option<SavedInput>> {
        let codec = save_point.codec();
        let key = save_point
            .with_site(self.pass(), op, self.axes, |site| Ok(codec.share_key(site, self.dims())))?;
        let copy = self.find(|copy| copy.key == key);
        Ok(copy.map(|copy| SavedInput::shared(copy, save_point)))
    }

    /// Shares this copy with save points that would pack the activation alike.
    pub(crate) fn share(&self, saved: &SavedInput) {
        let copy = Arc::downgrade(saved.copy());
        let mut copies = self.inner.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if !copies.iter().any(|other| other.ptr_eq(&copy)) {
            copies.push(copy);
        }
    }

    fn find(&self, is_alike: impl Fn(&PackedCopy) -> bool) -> Option<Arc<PackedCopy>> {
        let copies = self.inner.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.iter().filter_map(Weak::upgrade).find(|copy| is_alike(copy))
    }

    /// Saves a mask or statistics as they are.
    pub fn save_tensor(
        &self,
        save_point: &SavePoint,
        kind: KeptKind,
        tensor: Tensor,
    ) -> Saved<Tensor> {
        Saved::tensor(tensor, self.pass(), save_point, kind)
    }
}
