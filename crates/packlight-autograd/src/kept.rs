//! Something kept for the backward pass, on the ledger's account for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Tensor;
use packlight_codec::Bytes;
use packlight_record::KeptKind;

use crate::ledger::Ledger;
use crate::{Pass, SavePoint};

/// A kept value. Dropping it tells the ledger, with what the allocator got back for it: fields are
/// dropped in order, so the first one looks at the allocator before the value goes, the last after.
pub(crate) struct Kept<T> {
    _before: Before,
    value: T,
    _after: After,
}

impl<T> Kept<T> {
    pub(crate) fn new(
        value: T,
        pass: &Pass,
        layer: &SavePoint,
        kind: KeptKind,
        bytes: Bytes,
        raw: usize,
    ) -> Self {
        let account = pass.ledger().map(|ledger| {
            let entry = ledger.keep(layer.shared_name(), kind, bytes, raw, pass.is_again());
            Arc::new(Account { ledger: ledger.clone(), entry, live_before: AtomicUsize::new(0) })
        });
        Self { _before: Before(account.clone()), value, _after: After(account) }
    }

    pub(crate) fn value(&self) -> &T {
        &self.value
    }
}

impl Kept<Tensor> {
    pub(crate) fn of_tensor(value: Tensor, pass: &Pass, layer: &SavePoint, kind: KeptKind) -> Self {
        let size = value.elem_count() * value.dtype().size_in_bytes();
        let bytes = Bytes { payload: size, metadata: 0 };
        Self::new(value, pass, layer, kind, bytes, size)
    }
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
