//! Accounts for what is saved for the backward pass: by save point, by kind, and over time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use packlight_codec::Bytes;
use packlight_record::KeptKind;

/// Counts what the save points of a pass save. Clones share one account.
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
    /// The save point that saved it; the first one, if several share it.
    pub layer: Arc<str>,
    /// What it is saved for.
    pub kind: KeptKind,
    /// The bytes that it takes, as it reports them.
    pub bytes: Bytes,
    /// The bytes of the tensor without compression.
    pub raw: usize,
    /// The bytes by which the allocator's live bytes fell when it was freed; `None` before that, or
    /// without a counter. Less than `bytes` if something else still held the same tensor.
    pub counted: Option<i64>,
    /// Whether it was saved in the backward pass, by a recomputed part.
    pub again: bool,
}

/// One event of the timeline: something was saved or freed.
#[derive(Debug, Clone)]
pub struct Event {
    /// The save point.
    pub layer: Arc<str>,
    /// Whether this was in the backward pass.
    pub backward: bool,
    /// The saved bytes after the event, as the ledger counts them.
    pub kept: usize,
    /// The live bytes after the event, as the allocator counts them; `None` without a counter.
    pub live: Option<usize>,
}

impl Ledger {
    /// An empty account.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty account that also reads the allocator: `counter` returns its live bytes, as
    /// [`crate::allocator::live`] does.
    pub fn with_counter(counter: fn() -> usize) -> Self {
        Self { counter: Some(counter), ..Self::default() }
    }

    /// All that was saved, in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// All events, in order.
    pub fn timeline(&self) -> Vec<Event> {
        self.lock().timeline.clone()
    }

    /// The bytes that are saved now.
    pub fn kept(&self) -> usize {
        self.lock().kept
    }

    /// The peak of the saved bytes.
    pub fn peak(&self) -> usize {
        self.lock().peak
    }

    /// The allocator's live bytes; `None` without a counter.
    pub(crate) fn live(&self) -> Option<usize> {
        self.counter.map(|counter| counter())
    }

    /// Adds an entry for something saved, in the backward pass if `again`, and returns its number.
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

    /// Closes entry `number`; `live_before` is the number of live bytes before it was freed.
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
