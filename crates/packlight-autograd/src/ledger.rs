//! Accounts for what is saved for the backward pass: by layer, by kind, over time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use packlight_codec::Bytes;
use packlight_record::KeptKind;

/// Counts what the layers of a pass save. Clones share one account.
#[derive(Clone, Default)]
pub struct Ledger {
    counter: Option<fn() -> usize>,
    account: Arc<Mutex<Account>>,
}

#[derive(Default)]
struct Account {
    entries: Vec<Entry>,
    timeline: Vec<Event>,
    kept: usize,
    peak: usize,
}

/// One saved tensor.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The layer that saved it; of those that share it, the first.
    pub layer: Arc<str>,
    /// What it is saved for.
    pub kind: KeptKind,
    /// The bytes that it says it takes.
    pub bytes: Bytes,
    /// The bytes that it would take uncompressed.
    pub raw: usize,
    /// The bytes that the allocator got back when it was freed, where a counter is set and it has
    /// been freed. Less than `bytes` where someone else still held the same tensor.
    pub counted: Option<i64>,
    /// Whether it was saved in the backward pass, by a part that is computed again.
    pub again: bool,
}

/// One point of the timeline: something was saved or freed.
#[derive(Debug, Clone)]
pub struct Event {
    /// The layer.
    pub layer: Arc<str>,
    /// Whether this was in the backward pass.
    pub backward: bool,
    /// The bytes that are saved after it, by the ledger.
    pub kept: usize,
    /// The live bytes after it, by the allocator, where a counter is set.
    pub live: Option<usize>,
}

impl Ledger {
    /// An empty account.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty account that also asks the allocator: `counter` gives its live bytes, as
    /// [`crate::allocator::live`] does.
    pub fn with_counter(counter: fn() -> usize) -> Self {
        Self { counter: Some(counter), ..Self::default() }
    }

    /// All that was saved, in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// Each time that something was saved or freed, in order.
    pub fn timeline(&self) -> Vec<Event> {
        self.lock().timeline.clone()
    }

    /// The bytes that are saved now.
    pub fn kept(&self) -> usize {
        self.lock().kept
    }

    /// The most bytes that were saved at a time.
    pub fn peak(&self) -> usize {
        self.lock().peak
    }

    /// Live bytes by the allocator, where a counter is set.
    pub(crate) fn live(&self) -> Option<usize> {
        self.counter.map(|counter| counter())
    }

    /// Enters something saved, in the backward pass where it is saved `again`, and returns its number.
    pub(crate) fn keep(
        &self,
        layer: Arc<str>,
        kind: KeptKind,
        bytes: Bytes,
        raw: usize,
        again: bool,
    ) -> usize {
        let live = self.live();
        let mut account = self.lock();
        account.kept += bytes.total();
        account.peak = account.peak.max(account.kept);
        let event = Event { layer: layer.clone(), backward: again, kept: account.kept, live };
        account.timeline.push(event);
        account.entries.push(Entry { layer, kind, bytes, raw, counted: None, again });
        account.entries.len() - 1
    }

    /// Closes entry `number`; `live_before` is what the allocator said before it was freed.
    pub(crate) fn free(&self, number: usize, live_before: usize) {
        let live = self.live();
        let mut account = self.lock();
        let Some(entry) = account.entries.get_mut(number) else { return };
        entry.counted = live.map(|live| live_before as i64 - live as i64);
        let (layer, bytes) = (entry.layer.clone(), entry.bytes.total());
        account.kept -= bytes;
        let event = Event { layer, backward: true, kept: account.kept, live };
        account.timeline.push(event);
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
