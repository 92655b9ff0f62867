//! The plans that two studies have in common.

use serde::Serialize;

use super::side::Side;
use crate::comparison::LEVEL;
use crate::format::count;
use crate::plan::{PlanRow, SeedStats, mean};
use crate::rows::seed_stats;
use crate::statistics::change::Change;
use crate::statistics::holm::holm;
use crate::statistics::paired::FEWEST;

/// A plan in both studies.
#[derive(Debug, Clone, Serialize)]
pub struct PlanChange {
    /// Its name.
    pub plan: String,
    /// What it is in each study, as on a command line.
    pub specs: [String; 2],
    /// The epochs of each.
    pub epochs: [u64; 2],
    /// Test accuracy at the end.
    pub accuracy: Option<Compared>,
    /// The most bytes held at once; they are counted, so that any change is one.
    pub held: [Option<f64>; 2],
    /// The time of a step as a multiple of the exact plan's in the same study.
    pub time: [Option<Time>; 2],
    /// Whether the intervals of these times have nothing in common; `None` if either has none.
    pub time_exceeds: Option<bool>,
    /// The mean cosine over the layers that it compresses; `None` if it compresses none.
    pub cosine: Option<Compared>,
}

/// A quantity over the seeds of both studies.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// The means.
    pub means: [f64; 2],
    /// Half the widths of their 95 % intervals.
    pub half_intervals: [Option<f64>; 2],
    /// The numbers of seeds.
    pub n: [u64; 2],
    /// The change from the first study to the second.
    pub change: f64,
    /// Half the width of its 95 % interval.
    pub change_half_interval: Option<f64>,
    /// Whether it is the mean of differences within seeds.
    pub paired: bool,
    /// The p-value of a change, corrected by Holm over the plans.
    pub p: Option<f64>,
    /// Over how many plans.
    pub tests: u64,
    /// What follows.
    pub verdict: Verdict,
}

/// Whether a change exceeds the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is higher in the second study.
    Higher,
    /// It is lower in the second study.
    Lower,
    /// It would exceed the noise if tested alone, but not as one of so many.
    Alone,
    /// It does not exceed the noise.
    Within,
    /// There are too few seeds to say.
    TooFewSeeds,
    /// Some runs have not finished.
    Unfinished,
    /// Some runs were shortened by `--scale`.
    Shortened,
}

/// The time of a step as a multiple of the exact plan's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Time {
    /// The median ratio.
    pub ratio: f64,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
}

impl Compared {
    /// What follows from the change, in a few words.
    pub(super) fn said(&self) -> String {
        match self.verdict {
            Verdict::Higher => "exceeds the noise: higher".to_owned(),
            Verdict::Lower => "exceeds the noise: lower".to_owned(),
            Verdict::Alone => {
                format!("exceeds it if tested alone, not among {}", count(self.tests, "plan"))
            }
            Verdict::Within => "within the noise".to_owned(),
            Verdict::TooFewSeeds => format!("cannot say with fewer than {FEWEST} seeds each"),
            Verdict::Unfinished => "not judged before all runs finish".to_owned(),
            Verdict::Shortened => "not judged, since --scale shortened runs".to_owned(),
        }
    }

    /// Whether the change exceeds the noise.
    pub(super) fn exceeds(&self) -> bool {
        matches!(self.verdict, Verdict::Higher | Verdict::Lower)
    }
}

/// The plans that both have, in the first one's order, and the names of those that only one has. With
/// `alike`, runs of the same seed share their start and their samples.
pub(super) fn changes(sides: &[Side; 2], alike: bool) -> (Vec<PlanChange>, [Vec<String>; 2]) {
    let all = |side: usize| sides[side].runs.iter().flat_map(|runs| &runs.plans);
    let find = |side: usize, name: &str| all(side).find(|plan| plan.plan.name == name);
    let missing = |side: usize| {
        let names = all(side).map(|plan| plan.plan.name.clone());
        names.filter(|name| find(1 - side, name).is_none()).collect::<Vec<_>>()
    };
    let of_one = [missing(0), missing(1)];
    let [Some(first), Some(second)] = sides.each_ref().map(|side| side.runs.as_ref()) else {
        return (Vec::new(), of_one);
    };
    let pairs: Vec<[&PlanRow; 2]> =
        all(0).filter_map(|plan| Some([plan, find(1, &plan.plan.name)?])).collect();
    let whole = [first, second].iter().all(|runs| runs.study.scales().is_empty());
    let resolution = first.study.resolution().max(second.study.resolution());
    let compare = |of: fn(&PlanRow) -> Vec<(u64, f64)>, resolution: f64| {
        judge(pairs.iter().map(|pair| change(*pair, of, resolution, (alike, whole))).collect())
    };
    let accuracies = compare(PlanRow::accuracies, resolution);
    let cosines = compare(cosines, 0.0);
    let of_pair = |((pair, accuracy), cosine): ((&[&PlanRow; 2], _), _)| {
        let time = pair
            .map(|plan| plan.time.map(|time| Time { ratio: time.ratio, interval: time.interval }));
        PlanChange {
            plan: pair[0].plan.name.clone(),
            specs: pair.map(|plan| plan.plan.spec.clone()),
            epochs: pair.map(|plan| plan.planned_epochs),
            accuracy,
            held: pair.map(|plan| plan.held),
            time,
            time_exceeds: apart(time),
            cosine,
        }
    };
    (pairs.iter().zip(accuracies).zip(cosines).map(of_pair).collect(), of_one)
}

/// The mean cosine of each seed over the layers that the plan compresses.
fn cosines(plan: &PlanRow) -> Vec<(u64, f64)> {
    let mut seeds: Vec<u64> =
        plan.compressed().flat_map(|layer| &layer.by_seed).map(|(seed, _)| *seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let of = |seed: u64| {
        let layers = plan.compressed().flat_map(|layer| &layer.by_seed);
        mean(layers.filter(|(own, _)| *own == seed).map(|(_, cosine)| *cosine))
    };
    seeds.into_iter().filter_map(|seed| Some((seed, of(seed)?))).collect()
}

/// What two runs of one plan share, and a quantity of both; without a verdict yet.
struct Unjudged {
    stats: [SeedStats; 2],
    change: Change,
    /// Whether all runs have finished.
    finished: bool,
    /// Whether none was shortened.
    whole: bool,
}

fn change(
    pair: [&PlanRow; 2],
    of: fn(&PlanRow) -> Vec<(u64, f64)>,
    resolution: f64,
    (alike, whole): (bool, bool),
) -> Option<Unjudged> {
    let [first, second] = pair.map(of);
    let stats = [&first, &second].map(|values| seed_stats(values.iter().map(|(_, v)| *v)));
    let [Some(a), Some(b)] = stats else { return None };
    let seeds = |values: &[(u64, f64)]| {
        let mut seeds: Vec<u64> = values.iter().map(|(seed, _)| *seed).collect();
        seeds.sort_unstable();
        seeds
    };
    let same_course =
        pair[0].planned_epochs == pair[1].planned_epochs && pair[0].plan.from == pair[1].plan.from;
    let values = [&first[..], &second[..]];
    let change = match alike && same_course && seeds(&first) == seeds(&second) {
        true => Change::paired(values, resolution),
        false => Change::unpaired(values, resolution),
    };
    let finished = pair.iter().all(|plan| plan.finished == plan.planned);
    Some(Unjudged { stats: [a, b], change: change?, finished, whole })
}

/// Tests all changes of one quantity, corrected by Holm for their number.
fn judge(changes: Vec<Option<Unjudged>>) -> Vec<Option<Compared>> {
    let p =
        |unjudged: &Unjudged| unjudged.change.p().filter(|_| unjudged.finished && unjudged.whole);
    let tested: Vec<f64> = changes.iter().flatten().filter_map(p).collect();
    let mut adjusted = holm(&tested).into_iter();
    let mut judged = |unjudged: Unjudged| {
        let alone = p(&unjudged);
        let corrected = alone.and_then(|_| adjusted.next());
        let Unjudged { stats, change, finished, whole } = unjudged;
        let verdict = match (corrected, alone) {
            (Some(p), _) if p <= LEVEL && change.mean > 0.0 => Verdict::Higher,
            (Some(p), _) if p <= LEVEL => Verdict::Lower,
            (_, Some(p)) if p <= LEVEL => Verdict::Alone,
            (Some(_), _) => Verdict::Within,
            (None, _) if !whole => Verdict::Shortened,
            (None, _) if !finished => Verdict::Unfinished,
            (None, _) => Verdict::TooFewSeeds,
        };
        Compared {
            means: stats.map(|stats| stats.mean),
            half_intervals: stats.map(|stats| stats.half_interval()),
            n: stats.map(|stats| stats.n),
            change: change.mean,
            change_half_interval: change.half_interval(),
            paired: change.paired,
            p: corrected,
            tests: tested.len() as u64,
            verdict,
        }
    };
    changes.into_iter().map(|change| change.map(&mut judged)).collect()
}

/// Whether the intervals of two times have nothing in common.
fn apart(times: [Option<Time>; 2]) -> Option<bool> {
    let [first, second] = times;
    let ((low, high), (other_low, other_high)) = (first?.interval?, second?.interval?);
    Some(high < other_low || other_high < low)
}
