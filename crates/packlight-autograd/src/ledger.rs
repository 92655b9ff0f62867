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
    /// Bytes of the gradients of parameters so far; for blanks alone.
    gradients: usize,
    /// What a pass over blanks holds where operations begin and end, each with the number of an event.
    moments: Vec<(StepPeak, usize)>,
}

/// What a pass over blanks ([`packlight_kernels::blank`]) holds at once: what is kept, the gradients of
/// parameters so far, and those of the output and the inputs of an operation at work.
///
/// The largest is a lower bound of what a step holds. An operation is looked at where it begins, with all that it has saved and the
/// gradient of its output, and where it ends; gradients that wait elsewhere, restored inputs and what
/// kernels allocate while they run come on top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPeak {
    /// What is kept.
    pub kept: usize,
    /// The gradients of parameters.
    pub parameter_gradients: usize,
    /// The gradients of the operation's output and inputs.
    pub flowing_gradients: usize,
    /// The layer that is at work, or the next one behind it that has saved anything.
    pub layer: Option<Arc<str>>,
}

impl StepPeak {
    /// All its bytes.
    pub fn total(&self) -> usize {
        self.kept + self.parameter_gradients + self.flowing_gradients
    }
}

/// One saved tensor.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The save point that saved it; the first one, if several share it.
    pub layer: Arc<str>,
    /// What it is saved for.
    pub kind: KeptKind,
    /// The bytes that it takes, as it reports them; 0 where they are not known.
    pub bytes: Bytes,
    /// Whether the bytes are known. They always are for data; a pass over blanks
    /// ([`packlight_kernels::blank`]) does not know those that depend on the data.
    pub known: bool,
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

    /// The most that a pass over blanks holds at once; `None` without a backward pass over blanks.
    pub fn step_peak(&self) -> Option<StepPeak> {
        let moments = self.moments().into_iter();
        moments.reduce(|most, next| if next.total() > most.total() { next } else { most })
    }

    /// What a pass over blanks holds where the operations of its backward pass begin and end, in order.
    pub fn moments(&self) -> Vec<StepPeak> {
        let account = self.lock();
        let of = |(moment, event): &(StepPeak, usize)| {
            let layer = account.timeline.get(*event).map(|event| event.layer.clone());
            StepPeak { layer, ..moment.clone() }
        };
        account.moments.iter().map(of).collect()
    }

    /// Enters an operation of a backward pass over blanks: the bytes of the gradients of its parameters,
    /// and of those that flow through it. `event` is the number of the first event of the operation, which
    /// is returned; by default the next one.
    pub(crate) fn go_back(
        &self,
        of_parameters: usize,
        flowing: usize,
        event: Option<usize>,
    ) -> usize {
        let mut account = self.lock();
        let event = event.unwrap_or(account.timeline.len());
        account.gradients += of_parameters;
        let now = StepPeak {
            kept: account.kept,
            parameter_gradients: account.gradients,
            flowing_gradients: flowing,
            layer: None,
        };
        account.moments.push((now, event));
        event
    }

    /// The allocator's live bytes; `None` without a counter.
    pub(crate) fn live(&self) -> Option<usize> {
        self.counter.map(|counter| counter())
    }

    /// Adds an entry for something saved, in the backward pass if `again`, and returns its number.
    /// `bytes` are `None` where they depend on data that a blank lacks.
    pub(crate) fn keep(
        &self,
        layer: Arc<str>,
        kind: KeptKind,
        bytes: Option<Bytes>,
        raw: usize,
        again: bool,
    ) -> usize {
        let live = self.live();
        let (bytes, known) = (bytes.unwrap_or_default(), bytes.is_some());
        let mut account = self.lock();
        account.kept += bytes.total();
        account.peak = account.peak.max(account.kept);
        let event = Event { layer: layer.clone(), backward: again, kept: account.kept, live };
        account.timeline.push(event);
        account.entries.push(Entry { layer, kind, bytes, known, raw, counted: None, again });
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
