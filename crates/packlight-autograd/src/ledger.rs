//! Accounts for what is saved for the backward pass: by save point, by kind, and over time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Tensor, TensorId};
use packlight_codec::Bytes;
use packlight_record::KeptKind;

use crate::blank::Size;
use crate::saved::size_of;

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
    /// The gradients that wait for the operations that will take them: how often each is held, and its
    /// bytes; for blanks alone.
    waiting: HashMap<TensorId, (usize, usize)>,
    /// The bytes of tensors that were restored from what an operation has freed last.
    restored: usize,
    /// Those of all inputs that it has freed.
    read: usize,
    /// What a pass over blanks has held where operations begin and end, each with the number of an event.
    moments: Vec<(StepPeak, usize)>,
    products: Vec<Product>,
}

/// A convolution, a linear layer or a product of activations in a pass over blanks
/// ([`packlight_kernels::blank`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The layer; that of the left factor, for a product of activations.
    pub layer: Arc<str>,
    /// The shape of what it reads, which is the left factor.
    pub input: Vec<usize>,
    /// Whether it has a weight, and computes the gradient of that.
    pub trains: bool,
    /// The multiplications of the forward pass, as its formula has them: fast algorithms need fewer.
    pub forward: u64,
    /// Those of the gradients that it computes.
    pub backward: u64,
    /// The bytes of what it reads and writes, once each, in both passes.
    pub moved: u64,
    /// Whether it was computed in the backward pass, by a recomputed part.
    pub again: bool,
}

impl Product {
    /// A product of `input` by a factor of `factor` elements to `output` elements, with `per_output`
    /// multiplications for each of them, and `gradients` more products like it in the backward pass.
    pub(crate) fn new(
        layer: Arc<str>,
        input: &Tensor,
        factor: usize,
        (output, per_output): (usize, usize),
        gradients: usize,
    ) -> Self {
        let forward = output as u64 * per_output as u64;
        let once = (input.elem_count() + factor + output) * input.dtype().size_in_bytes();
        Self {
            layer,
            input: input.dims().to_vec(),
            trains: false,
            forward,
            backward: gradients as u64 * forward,
            moved: (1 + gradients as u64) * once as u64,
            again: false,
        }
    }
}

/// What a pass over blanks ([`packlight_kernels::blank`]) holds at once: what is kept, the
/// gradients of parameters so far, those of activations, be they of an operation at work or waiting for
/// another one, and the input that an operation has restored.
///
/// The largest is a lower bound of what a step holds: what kernels allocate while they run comes on top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPeak {
    /// What is kept.
    pub kept: usize,
    /// The gradients of parameters.
    pub parameter_gradients: usize,
    /// The gradients of activations, and what the operation at work has restored.
    pub flowing_gradients: usize,
    /// What the operation would have restored on top, were all inputs that it reads packed; not part of
    /// the total.
    pub restorable: usize,
    /// The layer that is at work, or the next one behind it that has saved anything.
    pub layer: Option<Arc<str>>,
}

/// What was there when an operation began.
pub(crate) struct Begun {
    kept: usize,
    flowing: usize,
    /// The number of the operation's first event.
    event: usize,
}

impl Account {
    /// Notes what a pass over blanks holds.
    fn reach(&mut self, kept: usize, flowing_gradients: usize, restorable: usize, event: usize) {
        let parameter_gradients = self.gradients;
        let now =
            StepPeak { kept, parameter_gradients, flowing_gradients, restorable, layer: None };
        self.moments.push((now, event));
    }
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
    /// The fewest and the most bytes that it may take: its bytes, where they are known.
    pub bounds: [usize; 2],
    /// The bytes of the tensor without compression.
    pub raw: usize,
    /// The bytes by which the allocator's live bytes fell when it was freed; `None` before that, or
    /// without a counter. Less than `bytes` if something else still held the same tensor.
    pub counted: Option<i64>,
    /// Whether it was saved in the backward pass, by a recomputed part.
    pub again: bool,
    /// Whether the operation restores the tensor, as far as a pass over blanks can tell.
    pub(crate) restores: bool,
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

    /// Says that an operation of a backward pass over blanks begins, with this gradient of its output.
    pub(crate) fn begin_back(&self, arriving: &Tensor) -> Begun {
        let mut account = self.lock();
        (account.restored, account.read) = (0, 0);
        let elsewhere = account.waiting.contains_key(&arriving.id());
        let waiting: usize = account.waiting.values().map(|(_, bytes)| bytes).sum();
        let begun = Begun {
            kept: account.kept,
            flowing: waiting + if elsewhere { 0 } else { size_of(arriving) },
            event: account.timeline.len(),
        };
        account.reach(begun.kept, begun.flowing, 0, begun.event);
        begun
    }

    /// Says that the operation ends and has freed what it saved: the bytes of the new gradients of its
    /// parameters, of those of its inputs that were there while it still held all, and of all of these.
    pub(crate) fn end_back(
        &self,
        begun: &Begun,
        of_parameters: usize,
        with_saved: usize,
        of_inputs: usize,
    ) {
        let mut account = self.lock();
        account.gradients += of_parameters;
        let (restored, kept) = (account.restored, account.kept);
        let restorable = account.read - restored;
        account.reach(begun.kept, begun.flowing + restored + with_saved, restorable, begun.event);
        account.reach(kept, begun.flowing + of_inputs, 0, begun.event);
    }

    /// Says that a slot holds the gradient `after` in place of `before`.
    pub(crate) fn wait(&self, before: Option<&Tensor>, after: Option<&Tensor>) {
        let mut account = self.lock();
        if let Some(gradient) = before
            && let Some((held, _)) = account.waiting.get_mut(&gradient.id())
        {
            *held -= 1;
            if *held == 0 {
                account.waiting.remove(&gradient.id());
            }
        }
        if let Some(gradient) = after {
            account.waiting.entry(gradient.id()).or_insert((0, size_of(gradient))).0 += 1;
        }
    }

    /// The products of a pass over blanks, in order.
    pub fn products(&self) -> Vec<Product> {
        self.lock().products.clone()
    }

    /// Enters a product of a pass over blanks.
    pub(crate) fn multiply(&self, product: Product) {
        self.lock().products.push(product);
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
        size: Size,
        raw: usize,
        again: bool,
    ) -> usize {
        let live = self.live();
        let Size { bytes, bounds, restores } = size;
        let (bytes, known) = (bytes.unwrap_or_default(), bytes.is_some());
        let mut account = self.lock();
        account.kept += bytes.total();
        account.peak = account.peak.max(account.kept);
        let event = Event { layer: layer.clone(), backward: again, kept: account.kept, live };
        account.timeline.push(event);
        account.entries.push(Entry {
            layer,
            kind,
            bytes,
            known,
            bounds,
            raw,
            counted: None,
            again,
            restores,
        });
        account.entries.len() - 1
    }

    /// Closes entry `number`; `live_before` is the number of live bytes before it was freed.
    pub(crate) fn free(&self, number: usize, live_before: usize) {
        let live = self.live();
        let mut account = self.lock();
        let Some(entry) = account.entries.get_mut(number) else { return };
        let whole = entry.known && entry.bytes.total() == entry.raw;
        let read = if entry.kind == KeptKind::Input { entry.raw } else { 0 };
        let restored = if entry.restores && !whole { read } else { 0 };
        entry.counted = live.map(|live| live_before as i64 - live as i64);
        let (layer, bytes) = (entry.layer.clone(), entry.bytes.total());
        account.kept -= bytes;
        account.restored += restored;
        account.read += read;
        let event = Event { layer, backward: true, kept: account.kept, live };
        account.timeline.push(event);
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
