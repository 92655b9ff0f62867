//! The instruments that measure a step, and the records and measurements that they produce.

use std::sync::Arc;

use packlight_autograd::{Counter, Ledger, Pass, SavePoint};
use packlight_probe::SideBySide;
use packlight_record::{KeptKind, Measurement, Record, TimelinePoint};

use crate::step::Step;

/// The instrument of a step. It is never both, because the probe itself uses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instrument {
    /// Nothing.
    None,
    /// The probe. The step is not timed, because probing takes time.
    Probe,
    /// The ledger, with or without its timeline. It takes almost no time.
    Ledger { timeline: bool },
}

/// The instruments of one step.
pub(crate) struct Instruments {
    chosen: Instrument,
    probe: Arc<SideBySide>,
    ledger: Ledger,
    /// Whether live bytes are counted.
    counts: bool,
}

/// Live bytes of a step.
pub(crate) struct Live {
    /// Before the step.
    pub(crate) before: usize,
    /// The peak during its forward and backward passes.
    pub(crate) peak: usize,
}

impl Instruments {
    pub(crate) fn new(chosen: Instrument, counter: &Counter) -> Self {
        let (counts, counter) = (counter.counts(), counter.clone());
        let ledger = match counts {
            true => Ledger::with_counter(move || counter.live()),
            false => Ledger::new(),
        };
        Self { chosen, probe: SideBySide::new(), ledger, counts }
    }

    /// Attaches the chosen instrument to the pass.
    pub(crate) fn attach(&self, pass: Pass) -> Pass {
        match self.chosen {
            Instrument::None => pass,
            Instrument::Probe => pass.with_observer(self.probe.clone()),
            Instrument::Ledger { .. } => pass.with_ledger(&self.ledger),
        }
    }

    /// The records of what the probe found in the backward pass.
    pub(crate) fn probed(
        &self,
        save_points: &[Arc<SavePoint>],
        epoch: u64,
        step: u64,
    ) -> Vec<Record> {
        self.probe.records(save_points, epoch, step)
    }

    /// Adds the ledger's records and measurements of a whole step to `found`.
    pub(crate) fn account(
        &self,
        save_points: &[Arc<SavePoint>],
        step: u64,
        live: &Live,
        found: &mut Step,
    ) {
        let Instrument::Ledger { timeline } = self.chosen else { return };
        record_saved(&self.ledger, step, found);
        found.records.extend(save_points.iter().filter_map(|point| codec_state(point, step)));
        if timeline {
            record_timeline(&self.ledger, step, self.counts.then_some(live), found);
        }
    }
}

/// Adds a record for each tensor that the forward pass saved, and a measurement if its bytes were
/// counted.
fn record_saved(ledger: &Ledger, step: u64, found: &mut Step) {
    for entry in ledger.entries().into_iter().filter(|entry| !entry.again) {
        if let Some(counted) = entry.counted {
            found.measurements.push(Measurement::Counted {
                step,
                layer: entry.layer.to_string(),
                kind: entry.kind,
                bytes: counted.max(0) as u64,
            });
        }
        found.records.push(Record::Kept {
            step,
            layer: entry.layer.to_string(),
            kind: entry.kind,
            payload: entry.bytes.payload as u64,
            metadata: entry.bytes.metadata as u64,
            raw: entry.raw as u64,
        });
    }
}

/// A record of the state that a save point's codec has between steps, if any.
fn codec_state(point: &SavePoint, step: u64) -> Option<Record> {
    let bytes = point.codec_state().bytes() as u64;
    (bytes > 0).then(|| Record::Kept {
        step,
        layer: point.name().to_owned(),
        kind: KeptKind::CodecState,
        payload: bytes,
        metadata: 0,
        raw: 0,
    })
}

/// Adds the saved bytes, and the live bytes if they are counted, over the course of the pass.
fn record_timeline(ledger: &Ledger, step: u64, live: Option<&Live>, found: &mut Step) {
    let events = ledger.timeline();
    if let Some(live) = live {
        let above = |bytes: usize| bytes as i64 - live.before as i64;
        let points = events.iter().filter_map(|event| event.live.map(above)).collect();
        let peak = above(live.peak);
        found.measurements.push(Measurement::Allocated { step, points, peak });
    }
    let points = events
        .into_iter()
        .map(|event| TimelinePoint {
            layer: event.layer.to_string(),
            backward: event.backward,
            kept: event.kept as u64,
        })
        .collect();
    found.records.push(Record::Timeline { step, points });
}
