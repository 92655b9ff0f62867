//! Whether the compressed gradients of the 1x1 downsample layers are closest to the exact ones.
//!
//! For each seed, the mean cosine of these layers less that of the others; a paired t-test over the
//! seeds, corrected by Holm over the plans, says whether they differ.

use super::{Finding, Verdict, open};
use crate::comparison::{LEVEL, POWER};
use crate::format::{count, list, thousandths};
use crate::plan::{LayerRow, PlanRow, mean};
use crate::statistics::holm::holm;
use crate::statistics::paired::{FEWEST, Paired};
use crate::statistics::power;

/// Downsample layers beside the others under one plan.
struct Beside<'a> {
    plan: &'a PlanRow,
    down: Vec<&'a LayerRow>,
    inside: f64,
    outside: f64,
    /// The difference between the two, seed by seed.
    difference: Paired,
}

/// Checks the claim against the cosines of the plans that compress.
pub(super) fn finding(others: &[&PlanRow]) -> Finding {
    let claim = "Downsample layers (1x1, stride 2) are the most resilient: their compressed \
                 gradients are closest to the exact ones.";
    let plans: Vec<Beside<'_>> = others.iter().filter_map(|plan| beside(plan)).collect();
    if plans.is_empty() {
        return open(claim, "no gradient of a compressed downsample layer was recorded");
    }
    let p: Vec<f64> = plans.iter().filter_map(|b| b.difference.difference_p()).collect();
    let (tests, mut adjusted) = (p.len(), holm(&p).into_iter());
    let (mut higher, mut details) = (Vec::new(), Vec::new());
    for plan in &plans {
        let p = plan.difference.difference_p().and_then(|_| adjusted.next());
        let shown = p.filter(|p| *p <= LEVEL).map(|_| plan.difference.mean > 0.0);
        details.push(detail(plan, shown, tests));
        higher.push(shown);
    }
    let closest = plans.iter().all(|plan| among_the_closest(plan) == plan.down.len());
    let verdict = match Verdict::of(&higher) {
        Verdict::Confirmed if !closest => Verdict::Partly,
        verdict => verdict,
    };
    let short: Vec<String> = plans.iter().map(short).collect();
    let headline = format!("Cosine of downsample layers vs the other layers: {}", list(&short));
    Finding { claim: claim.to_string(), verdict, headline, details }
}

fn is_downsample(layer: &LayerRow) -> bool {
    layer.layer.contains("downsample")
}

/// `None` if the plan compresses no downsample layer, or nothing else.
fn beside(plan: &PlanRow) -> Option<Beside<'_>> {
    let (down, rest): (Vec<&LayerRow>, Vec<&LayerRow>) =
        plan.compressed().partition(|layer| is_downsample(layer));
    let of = |layers: &[&LayerRow], seed: u64| {
        let all = layers.iter().flat_map(|layer| &layer.by_seed);
        mean(all.filter(|(s, _)| *s == seed).map(|(_, cosine)| *cosine))
    };
    let seeds = rest.first()?.by_seed.iter().map(|(seed, _)| *seed);
    let differences = seeds.filter_map(|seed| Some(of(&down, seed)? - of(&rest, seed)?));
    Some(Beside {
        plan,
        difference: Paired::of(differences, 0.0)?,
        inside: mean(down.iter().map(|l| l.cosine))?,
        outside: mean(rest.iter().map(|l| l.cosine))?,
        down,
    })
}

/// The compressed layers from the closest gradient on.
fn ranked(plan: &PlanRow) -> Vec<&LayerRow> {
    let mut ranked: Vec<&LayerRow> = plan.compressed().filter(|l| l.cosine.is_finite()).collect();
    ranked.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    ranked
}

/// How many downsample layers are among as many layers with the closest gradients.
fn among_the_closest(plan: &Beside<'_>) -> usize {
    ranked(plan.plan).iter().take(plan.down.len()).filter(|layer| is_downsample(layer)).count()
}

fn short(plan: &Beside<'_>) -> String {
    let Beside { inside, outside, .. } = plan;
    format!("{} vs {} with {}", thousandths(*inside), thousandths(*outside), plan.plan.plan.name)
}

fn detail(plan: &Beside<'_>, shown: Option<bool>, tests: usize) -> String {
    let Paired { n, mean, sd } = plan.difference;
    let said = match shown {
        Some(true) => format!("higher (paired t-test, n = {n}, Holm)"),
        Some(false) => format!("lower (paired t-test, n = {n}, Holm)"),
        None => {
            let level = LEVEL / tests.max(1) as f64;
            let more = match power::seeds_for_difference(sd, mean.abs(), level, POWER) {
                _ if n < FEWEST && sd.is_nan() => format!("{FEWEST} or more seeds may"),
                Some(seeds) => format!("{} would", count(seeds.max(n + 1), "seed")),
                None => format!("{} would not do either", power::MOST),
            };
            format!("cannot say with n = {n}; {more}")
        }
    };
    format!(
        "{}: mean cosine {} over {} and {} over the other compressed layers: {said}; {} of the {} \
         layers with the highest cosine are downsample layers (the highest is {}).",
        plan.plan.plan.name,
        thousandths(plan.inside),
        count(plan.down.len() as u64, "downsample layer"),
        thousandths(plan.outside),
        among_the_closest(plan),
        plan.down.len(),
        ranked(plan.plan).first().map_or("–", |layer| layer.layer.as_str()),
    )
}
