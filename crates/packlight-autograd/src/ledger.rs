//! Accounts for what is saved for the backward pass: by save point, by kind, and over time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Tensor, TensorId};
use packlight_codec::Bytes;
use packlight_kernels::conv2d::Workspace;
use packlight_record::KeptKind;

use crate::alive::{Flowing, Memories};
use crate::blank::Size;
use crate::product::{Product, Stream};
use crate::saved::size_of;
use crate::step_peak::{Begun, StepPeak};

/// The gradients of an operation's inputs, in a pass over blanks.
pub(crate) struct InputGradients {
    pub(crate) bytes: usize,
    /// Whether they are written over the output's gradient, unless a codec computes them.
    pub(crate) written_over: bool,
    /// Whether they are made once all that was saved is freed.
    pub(crate) after_saved: bool,
    /// Whether the last of what was saved is nevertheless there, and restored, when the last of them is made.
    pub(crate) with_last: bool,
}

impl InputGradients {
    fn allocated(&self, by_codec: bool) -> usize {
        if self.written_over && !by_codec { 0 } else { self.bytes }
    }
}

/// Returns live bytes.
type Counter = Arc<dyn Fn() -> usize + Send + Sync>;

/// Counts what the save points of a pass save. Clones share one account.
#[derive(Clone, Default)]
pub struct Ledger {
    counter: Option<Counter>,
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
    /// Whether parameters are updated as soon as their gradients are there, which are then freed.
    updates_eagerly: bool,
    /// The gradients that wait for the operations that will take them: how often each is held, and its
    /// bytes; for blanks alone.
    waiting: HashMap<TensorId, (usize, usize)>,
    /// The memory of activations; for blanks alone.
    memories: Memories,
    /// The bytes of tensors that were restored from what an operation has freed last.
    restored: usize,
    /// What it has freed last.
    last: Freed,
    /// Those of the inputs that it has freed, if they were kept as they are.
    read: usize,
    /// The first layer of which it has freed anything, and the bytes of such inputs of all others.
    freed_first: Option<Arc<str>>,
    read_of_others: usize,
    /// Whether it computes straight from a packed copy of one, so that its kernel is the codec's.
    direct: bool,
    /// What a pass over blanks has held while operations run, each with the number of an event.
    moments: Vec<(StepPeak, usize)>,
    products: Vec<Product>,
    streams: Vec<Stream>,
}

impl Account {
    /// Notes what a pass over blanks holds; the gradients of parameters are known here.
    fn reach(&mut self, event: usize, now: StepPeak) {
        let parameter_gradients = self.gradients;
        self.moments.push((StepPeak { parameter_gradients, ..now }, event));
    }

    /// What a forward pass over blanks holds once it has saved what the last event says, in the backward pass if
    /// `again`.
    fn forward(&self, again: bool) -> StepPeak {
        let at = self.timeline.last().map(|event| &event.layer);
        let Flowing { bytes, restorable, restorable_of_others } = self.memories.flowing(at);
        StepPeak {
            kept: self.kept,
            parameter_gradients: self.gradients,
            flowing: self.waiting() + bytes,
            backward: again,
            restorable,
            restorable_of_others,
            ..Default::default()
        }
    }

    /// The bytes of the gradients that wait.
    fn waiting(&self) -> usize {
        self.waiting.values().map(|(_, bytes)| bytes).sum()
    }
}

/// What an operation of a pass over blanks has freed.
#[derive(Clone, Copy, Default)]
struct Freed {
    /// Its bytes.
    bytes: usize,
    /// Those that were restored of it.
    restored: usize,
    /// Those that would be if it were packed.
    restorable: usize,
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
    /// The bytes that the operation restores of it at a time, as far as a pass over blanks can tell; `None` where the codec
    /// computes in its place.
    restored: Option<usize>,
    /// The tensor, if this is the tensor as it is.
    whole: Option<TensorId>,
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
    pub fn with_counter(counter: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self { counter: Some(Arc::new(counter)), ..Self::default() }
    }

    /// An empty account for a pass over blanks ([`packlight_kernels::blank`]) whose parameters are updated as
    /// by [`EagerUpdates`](crate::EagerUpdates). It takes a gradient to be complete at once, which that of a
    /// weight in two layers is not.
    pub fn of_eager_updates() -> Self {
        let account = Account { updates_eagerly: true, ..Account::default() };
        Self { account: Arc::new(Mutex::new(account)), ..Self::default() }
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

    /// What a pass over blanks holds, in order: in the forward pass once something was saved, an activation was made
    /// and while a convolution works, in the backward pass when operations begin and when they end.
    pub fn moments(&self) -> Vec<StepPeak> {
        let account = self.lock();
        let of = |(moment, event): &(StepPeak, usize)| {
            let at = || account.timeline.get(*event).map(|event| event.layer.clone());
            StepPeak { layer: moment.layer.clone().or_else(at), ..moment.clone() }
        };
        account.moments.iter().map(of).collect()
    }

    /// Says that an operation of a backward pass over blanks begins, with this gradient of its output.
    pub(crate) fn begin_back(&self, arriving: &Tensor) -> Begun {
        let mut account = self.lock();
        account.memories.leave();
        (account.restored, account.read, account.read_of_others) = (0, 0, 0);
        (account.direct, account.freed_first, account.last) = (false, None, Freed::default());
        let elsewhere = account.waiting.contains_key(&arriving.id());
        let begun = Begun {
            kept: account.kept,
            flowing: account.waiting() + if elsewhere { 0 } else { size_of(arriving) },
            event: account.timeline.len(),
        };
        account.reach(begun.event, begun.moment());
        begun
    }

    /// Says that a layer of a forward pass over blanks, which has saved what it needs, makes `output` with
    /// so many bytes of workspace; in the backward pass, if `again`.
    pub(crate) fn work(&self, layer: Arc<str>, output: &Tensor, workspace: usize, again: bool) {
        let mut account = self.lock();
        let mut now = account.forward(again);
        (now.flowing, now.workspace, now.layer) =
            (now.flowing + size_of(output), workspace, Some(layer));
        account.reach(0, now);
    }

    /// Says that the operation ends and has freed what it saved: the bytes of the new gradients of its parameters,
    /// and those of its inputs.
    pub(crate) fn end_back(
        &self,
        begun: &Begun,
        of_parameters: usize,
        of_inputs: &InputGradients,
        workspace: Workspace,
    ) {
        let mut account = self.lock();
        account.gradients += of_parameters;
        let by_codec = account.direct;
        let with_last = of_inputs.with_last;
        let with_saved = if of_inputs.after_saved { 0 } else { of_inputs.allocated(by_codec) };
        let of_inputs = of_inputs.allocated(by_codec);
        let restored = account.restored;
        let before = StepPeak {
            flowing: begun.flowing + restored + with_saved,
            restorable: account.read,
            restorable_of_others: account.read_of_others,
            workspace: if account.direct { 0 } else { workspace.weight_grad },
            ..begun.moment()
        };
        let last = if with_last { account.last } else { Freed::default() };
        let after = StepPeak {
            kept: account.kept + last.bytes,
            flowing: begun.flowing + of_inputs + last.restored,
            restorable: last.restorable,
            restorable_of_others: last.restorable,
            workspace: workspace.input_grad,
            ..begun.moment()
        };
        account.reach(begun.event, before);
        account.reach(begun.event, after);
    }

    /// Says that the gradients of parameters that are there have come to these, which frees them where
    /// updates are eager.
    pub(crate) fn hand_over(&self) {
        let mut account = self.lock();
        if account.updates_eagerly {
            account.gradients = 0;
        }
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

    /// Says that the operation, which is no product, moves so many bytes beside what it has saved; which
    /// layer it is, is seen from what it has freed.
    pub(crate) fn stream(&self, begun: &Begun, moved: usize) {
        let mut account = self.lock();
        let saved = begun.kept.saturating_sub(account.kept);
        let layer = account.timeline.get(begun.event).map(|event| event.layer.clone());
        account.streams.push(Stream { layer, moved: (moved + saved) as u64 });
    }

    /// What operations other than products move in a pass over blanks, in the order of the backward pass.
    pub fn streams(&self) -> Vec<Stream> {
        self.lock().streams.clone()
    }

    /// The products of a pass over blanks, in order.
    pub fn products(&self) -> Vec<Product> {
        self.lock().products.clone()
    }

    /// Enters a product of a pass over blanks.
    pub(crate) fn multiply(&self, product: Product) {
        self.lock().products.push(product);
    }

    /// Counts an activation over blanks, in the backward pass if `again`, until [`dies`](Self::dies) is called.
    /// Returns what its memory is called.
    pub(crate) fn lives(&self, data: &Tensor, again: bool) -> TensorId {
        let mut account = self.lock();
        let memory = account.memories.lives(data);
        let (now, event) = (account.forward(again), account.timeline.len().saturating_sub(1));
        let is_less = |(last, at): &(StepPeak, usize)| {
            *at == event && last.backward == again && last.reaches(&now)
        };
        if !account.moments.last().is_some_and(is_less) {
            account.reach(event, now);
        }
        memory
    }

    /// An activation of this memory is gone.
    pub(crate) fn dies(&self, memory: TensorId) {
        self.lock().memories.dies(memory);
    }

    /// Says that an operation writes its output over this memory, unless it was kept as it is.
    pub(crate) fn yields(&self, memory: TensorId) {
        self.lock().memories.yields(memory);
    }

    /// Says that `view` is a view of this memory.
    pub(crate) fn is_viewed_as(&self, memory: TensorId, view: &Tensor) {
        self.lock().memories.is_viewed_as(memory, view);
    }

    /// Says that the caller of the pass, too, holds this memory until the backward pass begins.
    pub(crate) fn is_held_outside(&self, memory: TensorId) {
        self.lock().memories.is_held_outside(memory);
    }

    /// The allocator's live bytes; `None` without a counter.
    pub(crate) fn live(&self) -> Option<usize> {
        self.counter.as_ref().map(|counter| counter())
    }

    /// Adds an entry for what was saved of a tensor, in the backward pass if `again`, and returns its number.
    pub(crate) fn keep(
        &self,
        layer: Arc<str>,
        kind: KeptKind,
        size: Size,
        of: &Tensor,
        again: bool,
    ) -> usize {
        let live = self.live();
        let Size { bytes, bounds, restored } = size;
        let (bytes, known) = (bytes.unwrap_or_default(), bytes.is_some());
        let (raw, mut account) = (size_of(of), self.lock());
        account.kept += bytes.total();
        account.peak = account.peak.max(account.kept);
        let is_whole = known && bytes.total() == raw;
        let whole = is_whole.then(|| account.memories.is_kept(of, &layer));
        let kept = account.kept;
        account.timeline.push(Event { layer: layer.clone(), backward: again, kept, live });
        let (event, now) = (account.timeline.len() - 1, account.forward(again));
        account.reach(event, now);
        account.entries.push(Entry {
            layer,
            kind,
            bytes,
            known,
            bounds,
            raw,
            counted: None,
            again,
            restored,
            whole,
        });
        account.entries.len() - 1
    }

    /// Closes entry `number`; `live_before` is the number of live bytes before it was freed.
    pub(crate) fn free(&self, number: usize, live_before: usize) {
        let live = self.live();
        let mut account = self.lock();
        let Some(entry) = account.entries.get_mut(number) else { return };
        let whole = entry.known && entry.bytes.total() == entry.raw;
        let is_input = entry.kind == KeptKind::Input;
        let read = if is_input && whole { entry.raw } else { 0 };
        let restored = entry.restored.filter(|_| is_input && !whole);
        let direct = is_input && !whole && restored.is_none();
        entry.counted = live.map(|live| live_before as i64 - live as i64);
        let (layer, bytes, memory) = (entry.layer.clone(), entry.bytes.total(), entry.whole.take());
        if let Some(memory) = memory {
            account.memories.is_freed(memory);
        }
        account.kept -= bytes;
        let restored = restored.unwrap_or_default();
        account.restored += restored;
        account.last = Freed { bytes, restored, restorable: read };
        account.read += read;
        let first = account.freed_first.get_or_insert_with(|| layer.clone());
        account.read_of_others += if *first == layer { 0 } else { read };
        account.direct |= direct;
        let event = Event { layer, backward: true, kept: account.kept, live };
        account.timeline.push(event);
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
