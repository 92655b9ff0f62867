//! What an operation saves for the backward pass, with its entry in the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Tensor;
use packlight_codec::{Bytes, Packed};
use packlight_kernels::quantise::Coded;
use packlight_record::KeptKind;

use crate::blank::Size;
use crate::ledger::Ledger;
use crate::{Pass, SavePoint};

/// A saved value, such as a mask or statistics. Dropping it closes its entry in the ledger, with
/// the bytes that the allocator got back. Fields are dropped in order: the first one reads the
/// allocator before the value is dropped, and the last one after.
pub struct Saved<T> {
    _before: Before,
    value: T,
    _after: After,
}

impl<T> Saved<T> {
    pub(crate) fn new(
        value: T,
        pass: &Pass,
        save_point: &SavePoint,
        kind: KeptKind,
        bytes: impl Into<Size>,
        of: &Tensor,
    ) -> Self {
        let bytes = bytes.into();
        let account = pass.ledger().map(|ledger| {
            let entry = ledger.keep(save_point.shared_name(), kind, bytes, of, pass.is_again());
            Arc::new(Account { ledger: ledger.clone(), entry, live_before: AtomicUsize::new(0) })
        });
        Self { _before: Before(account.clone()), value, _after: After(account) }
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }
}

impl Saved<Tensor> {
    pub(crate) fn tensor(
        tensor: Tensor,
        pass: &Pass,
        save_point: &SavePoint,
        kind: KeptKind,
    ) -> Self {
        let bytes = Bytes::of_tensors([&tensor], []);
        Self::new(tensor.clone(), pass, save_point, kind, bytes, &tensor)
    }
}

impl Packed for Saved<Box<dyn Packed>> {
    fn bytes(&self) -> Bytes {
        self.value.bytes()
    }

    fn is_apart(&self) -> bool {
        self.value.is_apart()
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        self.value.unpack()
    }

    fn coded(&self) -> Option<Coded<'_>> {
        self.value.coded()
    }

    fn gradient(
        &self,
        op: packlight_codec::Op<'_>,
        output_grad: &Tensor,
    ) -> packlight_codec::Result<Option<Tensor>> {
        self.value.gradient(op, output_grad)
    }
}

/// The bytes of a tensor's elements.
pub(crate) fn size_of(tensor: &Tensor) -> usize {
    Bytes::of_tensors([tensor], []).total()
}

struct Account {
    ledger: Ledger,
    entry: usize,
    live_before: AtomicUsize,
}

struct Before(Option<Arc<Account>>);

impl Drop for Before {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.live_before.store(account.ledger.live().unwrap_or(0), Ordering::Relaxed);
        }
    }
}

struct After(Option<Arc<Account>>);

impl Drop for After {
    fn drop(&mut self) {
        if let Some(account) = &self.0 {
            account.ledger.free(account.entry, account.live_before.load(Ordering::Relaxed));
        }
    }
}
