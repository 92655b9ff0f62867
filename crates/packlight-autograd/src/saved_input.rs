//! An activation as a codec has packed it, which several save points may share.

use std::sync::Arc;

use candle_core::Tensor;
use packlight_codec::{Bytes, Op, Packed, ShareKey};
use packlight_kernels::values::Values;
use packlight_record::KeptKind;

use crate::blank::Size;
use crate::saved::Saved;
use crate::{Error, Pass, Result, SavePoint};

/// What an operation has saved of an activation. The packed copy lives until the last operation
/// that shares it has dropped it.
#[derive(Clone)]
pub struct SavedInput {
    copy: Arc<PackedCopy>,
    save_point: Arc<SavePoint>,
}

/// A packed copy, and what it is shared by.
pub(crate) struct PackedCopy {
    pub(crate) key: ShareKey,
    packed: Box<dyn Packed>,
}

impl PackedCopy {
    /// Whether it holds nothing of the tensor that was packed.
    pub(crate) fn is_apart(&self) -> bool {
        self.packed.is_apart()
    }
}

impl SavedInput {
    /// Enters what was packed of `data` into the pass's ledger.
    pub(crate) fn new(
        packed: Box<dyn Packed>,
        key: ShareKey,
        data: &Tensor,
        pass: &Pass,
        save_point: &Arc<SavePoint>,
    ) -> Self {
        let bytes = packed.bytes();
        Self::entered((packed, bytes.into()), key, data, pass, save_point)
    }

    /// Enters what was packed of `data`, or its bytes alone if that is a blank.
    pub(crate) fn entered(
        (packed, bytes): (Box<dyn Packed>, Size),
        key: ShareKey,
        data: &Tensor,
        pass: &Pass,
        save_point: &Arc<SavePoint>,
    ) -> Self {
        let saved = Saved::new(packed, pass, save_point, KeptKind::Input, bytes, data);
        Self::view(Box::new(saved), key, save_point)
    }

    /// What the ledger has elsewhere already.
    pub(crate) fn view(
        packed: Box<dyn Packed>,
        key: ShareKey,
        save_point: &Arc<SavePoint>,
    ) -> Self {
        Self::shared(Arc::new(PackedCopy { key, packed }), save_point)
    }

    /// A copy that another save point may have packed.
    pub(crate) fn shared(copy: Arc<PackedCopy>, save_point: &Arc<SavePoint>) -> Self {
        Self { copy, save_point: save_point.clone() }
    }

    pub(crate) fn copy(&self) -> &Arc<PackedCopy> {
        &self.copy
    }

    pub(crate) fn key(&self) -> ShareKey {
        self.copy.key.clone()
    }

    /// The bytes that the packed copy takes.
    pub fn bytes(&self) -> Bytes {
        self.copy.packed.bytes()
    }

    /// The tensor as the codec restores it.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if a kernel of the codec fails.
    pub fn unpack(&self) -> Result<Tensor> {
        self.copy.packed.unpack().map_err(|e| self.save_point.codec_failed(e))
    }

    /// What `compute` makes of the unpacked tensor.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if a kernel fails.
    pub fn compute<E: Into<Error>>(
        &self,
        compute: impl FnOnce(&Tensor) -> std::result::Result<Tensor, E>,
    ) -> Result<Tensor> {
        compute(&self.unpack()?).map_err(|e| self.save_point.named(e.into()))
    }

    /// The gradient for which `op` has saved the tensor: straight from the packed copy where its
    /// codec knows how, otherwise what `compute` makes of the unpacked tensor.
    ///
    /// # Errors
    /// Returns an error, which names the layer, if the shapes do not fit or a kernel fails.
    pub fn gradient<E: Into<Error>>(
        &self,
        op: Op<'_>,
        output_grad: &Tensor,
        compute: impl FnOnce(&Tensor) -> std::result::Result<Tensor, E>,
    ) -> Result<Tensor> {
        self.direct(op, output_grad)?.map_or_else(|| self.compute(compute), Ok)
    }

    /// Like [`gradient`](Self::gradient), for a `compute` that restores codes as it reads them.
    pub(crate) fn gradient_reading<E: Into<Error>>(
        &self,
        op: Op<'_>,
        output_grad: &Tensor,
        compute: impl FnOnce(Values<'_>) -> std::result::Result<Tensor, E>,
    ) -> Result<Tensor> {
        self.direct(op, output_grad)?.map_or_else(|| self.read(compute), Ok)
    }

    /// What `compute` makes of the codes, if these are what is packed, or else of the unpacked tensor.
    pub(crate) fn read<R, E: Into<Error>>(
        &self,
        compute: impl FnOnce(Values<'_>) -> std::result::Result<R, E>,
    ) -> Result<R> {
        let computed = match self.copy.packed.coded() {
            Some(coded) => compute(Values::Coded(coded)),
            None => compute(Values::Tensor(&self.unpack()?)),
        };
        computed.map_err(|e| self.save_point.named(e.into()))
    }

    fn direct(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let direct = self.copy.packed.gradient(op, output_grad);
        direct.map_err(|e| self.save_point.codec_failed(e))
    }

    /// For a view of the copy, which has a layer of its own.
    pub(crate) fn packed(&self) -> &dyn Packed {
        &*self.copy.packed
    }
}
