//! The plans of methods that divide bytes among layers by themselves, for an allocation to be compared
//! with.

use std::path::Path;
use std::sync::atomic::Ordering;

use packlight_record::{KeptKind, Record};
use packlight_spec::{LayerKind, NamedPlan};
use serde::{Deserialize, Serialize};

use crate::instrument::Instrument;
use crate::progress::{Event, Progress};
use crate::run_trainer::RunTrainer;
use crate::spec::read_study;
use crate::sweep::{Options, Sweep};
use crate::{Error, Result};

/// The levels of ActNN, by falling bytes.
const ACTNN: [&str; 3] = ["actnn:1", "actnn:2", "actnn:3"];
/// The most mean bits of GACT that are tried, in halves.
const GACT: u8 = 32;
/// How often ASI's budget is lowered.
const LOWERED: usize = 6;
const MIB: f64 = (1 << 20) as f64;
/// The steps that a trial takes. The first one does not count, because there codecs keep more than they
/// will; of the others at least one is on a whole batch.
const STEPS: usize = 3;

/// A method beside an allocation of the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rival {
    /// The method, in words.
    pub method: String,
    /// Its plan.
    #[serde(flatten)]
    pub fit: Fit,
}

/// What a method makes of a budget of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fit", rename_all = "snake_case")]
pub enum Fit {
    /// Its largest plan that fits.
    Fits {
        /// The plan.
        plan: String,
        /// What it kept in the trial, the state of its codecs between steps included.
        bytes: u64,
    },
    /// Even the smallest plan that was tried keeps more than the budget.
    TooLarge {
        /// The plan.
        plan: String,
        /// What it kept in the trial, the state of its codecs between steps included.
        bytes: u64,
    },
    /// It cannot train this network within the budget.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Finds the largest plans of ASI, ActNN and GACT that keep at most `budget` bytes, each on the layers that it was
/// published for, and ASI on convolutions and linear layers where those alone do not suffice, when the study in
/// `folder` trains. Masks and statistics, layers that the method leaves exact and the state of its codecs count. The
/// ledger counts them over a few steps from the study's first seed.
///
/// # Errors
/// Returns an error if the study or its data cannot be read or another process works on the study;
/// [`Error::Interrupted`] when asked to stop.
pub fn find_rivals(
    folder: &Path,
    budget: u64,
    options: &Options<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<Rival>> {
    let study = read_study(folder, options.data_dir.as_deref())?;
    let sweep = Sweep::prepare(folder, String::new(), study, options, progress)?;
    let actnn = ACTNN.map(str::to_owned);
    let gact: Vec<String> =
        (2..=GACT).rev().map(|halves| format!("gact:{}", f64::from(halves) / 2.0)).collect();
    let mut trials = Trials { sweep: &sweep, budget, options, progress };
    let rival = |method: &str, fit| Rival { method: method.to_owned(), fit };
    Ok(vec![
        rival("ASI, ranks by perplexity", trials.asi()?),
        rival("ActNN, bits by sensitivity", trials.largest(&actnn)?),
        rival("GACT, bits by sensitivity", trials.largest(&gact)?),
    ])
}

/// The bytes that a plan keeps at a step.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// What its codec has packed.
    packed: u64,
    /// What its codec remembers between steps.
    state: u64,
    /// Everything else: layers that it leaves exact, masks and statistics.
    rest: u64,
}

impl Kept {
    fn bytes(self) -> u64 {
        self.packed + self.state + self.rest
    }
}

/// Trials of plans under a budget.
struct Trials<'a> {
    sweep: &'a Sweep,
    budget: u64,
    options: &'a Options<'a>,
    progress: &'a mut dyn Progress,
}

impl Trials<'_> {
    /// The first that fits of these plans, which keep ever fewer bytes; found by bisection.
    fn largest(&mut self, plans: &[String]) -> Result<Fit> {
        let mut fit = Fit::Refused { reason: "no plan was tried".to_owned() };
        let (mut from, mut to) = (0, plans.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            let plan = plans[middle].clone();
            let bytes = match self.kept(&plan)? {
                Ok(kept) => kept.bytes(),
                Err(reason) => return Ok(Fit::Refused { reason }),
            };
            if bytes <= self.budget {
                (to, fit) = (middle, Fit::Fits { plan, bytes });
            } else {
                from = middle + 1;
                if !matches!(fit, Fit::Fits { .. }) {
                    fit = Fit::TooLarge { plan, bytes };
                }
            }
        }
        Ok(fit)
    }

    /// ASI within the budget: on convolutions, or else on linear layers, too, where there are any.
    fn asi(&mut self) -> Result<Fit> {
        let found = self.asi_on(&|asi| asi.to_owned())?;
        let kinds = self.kinds()?;
        if matches!(found, Fit::Fits { .. }) || !kinds.contains(&LayerKind::Linear) {
            return Ok(found);
        }
        let on = |kind: &LayerKind, asi: &str| format!("{}={asi}", kind.name());
        self.asi_on(&|asi| kinds.iter().map(|kind| on(kind, asi)).collect::<Vec<_>>().join(","))
    }

    /// Those of convolutions and linear layers that the network has.
    fn kinds(&self) -> Result<Vec<LayerKind>> {
        let Sweep { study, data, model, .. } = self.sweep;
        let exact = NamedPlan::unnamed("none");
        let trainer = RunTrainer::new(study, data, model, &exact, study.seeds[0])?;
        let mut kinds = vec![LayerKind::Conv, LayerKind::Linear];
        kinds.retain(|kind| trainer.model.save_points().iter().any(|at| at.kind() == *kind));
        Ok(kinds)
    }

    /// ASI in a plan that is made of its codec. Its own budget is for what it packs, so it is lowered by what the
    /// others keep and by its state, which grows with what it packs.
    fn asi_on(&mut self, plan_of: &dyn Fn(&str) -> String) -> Result<Fit> {
        let refused = |reason: String| Ok(Fit::Refused { reason });
        let mut own = self.budget as f64;
        let mut fit = Fit::Refused { reason: "the budget is too small".to_owned() };
        for _ in 0..LOWERED {
            let mib = (own / MIB * 1e4).floor() / 1e4;
            if mib <= 0.0 {
                break;
            }
            let plan = plan_of(&format!("asi:{mib}MiB"));
            let kept = match self.kept(&plan)? {
                Ok(kept) => kept,
                Err(reason) => return refused(reason),
            };
            let Kept { packed, state, rest } = kept;
            let bytes = kept.bytes();
            if bytes <= self.budget {
                return Ok(Fit::Fits { plan, bytes });
            }
            if rest >= self.budget {
                return refused(format!(
                    "the layers that it does not pack, masks and statistics keep {:.2} MiB",
                    rest as f64 / MIB
                ));
            }
            own = packed as f64 * (self.budget - rest) as f64 / (packed + state) as f64;
            fit = Fit::TooLarge { plan, bytes };
        }
        Ok(fit)
    }

    /// What a plan keeps while it trains, or why it cannot.
    fn kept(&mut self, plan: &str) -> Result<std::result::Result<Kept, String>> {
        if self.options.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        self.progress.event(Event::Checking { plan });
        let plan = NamedPlan::unnamed(plan);
        let Sweep { study, data, model, .. } = self.sweep;
        let kept = RunTrainer::new(study, data, model, &plan, study.seeds[0])
            .and_then(|mut trainer| trainer.kept());
        Ok(kept.map_err(|error| match error {
            Error::Plan { source, .. } => source.to_string(),
            error => error.to_string(),
        }))
    }
}

impl RunTrainer<'_> {
    /// What is kept at that of a few steps which keeps most. It changes the parameters, so do not
    /// train with this trainer afterwards.
    fn kept(&mut self) -> Result<Kept> {
        let save_points = self.model.save_points().iter();
        let packs = save_points.filter(|point| point.codec().spec() != "none");
        let packs: Vec<String> = packs.map(|point| point.name().to_owned()).collect();
        let order = self.order(0);
        let mut most = Kept::default();
        for (step, samples) in order.chunks(self.study.batch).cycle().take(STEPS).enumerate() {
            let found = self.step(samples, 0, Instrument::Ledger { timeline: false })?;
            let mut kept = Kept::default();
            for record in &found.records {
                let Record::Kept { layer, kind, payload, metadata, .. } = record else { continue };
                *match kind {
                    KeptKind::Input if packs.contains(layer) => &mut kept.packed,
                    KeptKind::CodecState => &mut kept.state,
                    _ => &mut kept.rest,
                } += payload + metadata;
            }
            if step > 0 && kept.bytes() > most.bytes() {
                most = kept;
            }
        }
        Ok(most)
    }
}
