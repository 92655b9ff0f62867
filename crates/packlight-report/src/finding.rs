//! The three findings of Barley and Fröning (arXiv 2409.11902) on pooled activations, held
//! against the records: memory is saved, the accuracy is kept with more epochs, and the 1x1
//! downsample layers stand compression best.

use serde::Serialize;

use crate::plan::{LayerRow, PlanRow, mean};
use crate::words::{bytes, change, count, list, percent, thousandths};

/// What the records say to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They show it.
    Confirmed,
    /// They show it for some plans, or in part.
    Partly,
    /// They show the contrary.
    Denied,
    /// They do not hold what it takes.
    Open,
}

impl Verdict {
    /// The word on the page.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Partly => "partly",
            Verdict::Denied => "denied",
            Verdict::Open => "open",
        }
    }

    fn of(shown: &[bool]) -> Self {
        match (shown.iter().all(|s| *s), shown.iter().any(|s| *s)) {
            _ if shown.is_empty() => Verdict::Open,
            (true, _) => Verdict::Confirmed,
            (false, true) => Verdict::Partly,
            (false, false) => Verdict::Denied,
        }
    }
}

/// One finding with its verdict and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What the paper claims.
    pub claim: String,
    /// Whether the records agree.
    pub verdict: Verdict,
    /// What they show, as a sentence for a title.
    pub headline: String,
    /// The numbers, a sentence for each plan.
    pub details: Vec<String>,
}

/// All three findings.
pub(crate) fn findings(plans: &[PlanRow], baseline: Option<&str>) -> [Finding; 3] {
    let baseline = baseline.and_then(|name| plans.iter().find(|p| p.plan.name == name));
    let others: Vec<&PlanRow> =
        plans.iter().filter(|p| baseline.is_none_or(|b| b.plan.name != p.plan.name)).collect();
    [memory(baseline, &others), accuracy(baseline, &others), downsample(&others)]
}

fn open(claim: &str, why: &str) -> Finding {
    let headline = format!("Not shown: {why}");
    Finding { claim: claim.to_string(), verdict: Verdict::Open, headline, details: Vec::new() }
}

fn memory(baseline: Option<&PlanRow>, others: &[&PlanRow]) -> Finding {
    let claim = "Pooling saved activations saves memory (the paper: 29 % of the peak with 2x2, \
                 36 % with 4x4, ResNet-18 on ImageNet).";
    let Some(base) = baseline else {
        return open(claim, "the study has no plan that keeps everything exactly");
    };
    // The allocator's peak is what a user's machine must hold; the ledger's is the next best.
    let peak = |p: &PlanRow| match (base.peak_allocated, p.peak_allocated) {
        (Some(base), Some(peak)) => Some((base, peak, "the counting allocator")),
        _ => base.peak_kept.zip(p.peak_kept).map(|(base, peak)| (base, peak, "the ledger")),
    };
    let mut short = Vec::new();
    let mut details = Vec::new();
    let mut shown = Vec::new();
    for plan in others {
        let Some((from, to, by)) = peak(plan) else { continue };
        shown.push(to < 0.99 * from);
        let name = &plan.plan.name;
        short.push(format!("{name} {}", change(to, from, "less", "more")));
        let mut detail = format!(
            "{name}: peak of a training step by {by} {} instead of {} ({})",
            bytes(Some(to)),
            bytes(Some(from)),
            change(to, from, "less", "more"),
        );
        if let (Some(kept), Some(all)) = (plan.kept, base.kept) {
            detail += &format!(
                "; kept for the backward pass {} instead of {} ({})",
                bytes(Some(kept)),
                bytes(Some(all)),
                change(kept, all, "less", "more"),
            );
        }
        details.push(detail + ".");
    }
    if shown.is_empty() {
        return open(claim, "no step's memory was recorded for two plans");
    }
    let headline = format!("Peak memory of a step against {}: {}", base.plan.name, list(&short));
    Finding { claim: claim.to_string(), verdict: Verdict::of(&shown), headline, details }
}

fn accuracy(baseline: Option<&PlanRow>, others: &[&PlanRow]) -> Finding {
    let claim = "The accuracy of exact training is kept, at the cost of more epochs.";
    let Some((base, target)) = baseline.and_then(|b| Some((b, b.accuracy?))) else {
        return open(claim, "no run of a plan that keeps everything exactly has finished");
    };
    let reached =
        |p: &PlanRow| p.course.iter().find(|(_, a)| *a >= target.mean).map(|(e, _)| e + 1);
    let name = &base.plan.name;
    let first = reached(base);
    let seeds = match target.n {
        1 => String::new(),
        _ => format!(", seeds from {} to {}", percent(target.low), percent(target.high)),
    };
    let mut details = vec![format!(
        "{name} ends at {} (n = {}{seeds}) after {} and is there for the first time after epoch {}.",
        percent(target.mean),
        target.n,
        count(base.planned_epochs, "epoch"),
        first.map_or_else(|| "–".to_string(), |e| e.to_string()),
    )];
    let mut short = Vec::new();
    let mut missed: Vec<String> = Vec::new();
    let (mut shown, mut near) = (Vec::new(), Vec::new());
    let mut longer = false;
    for plan in others.iter().filter(|p| !p.course.is_empty()) {
        let plan_name = &plan.plan.name;
        let overlap = plan.accuracy.is_some_and(|a| a.high >= target.low && a.low <= target.high);
        let ends = plan.accuracy.map_or_else(
            || "has no finished run".to_string(),
            |a| {
                // One seed has no spread to stand in or out of.
                let beside = match (a.n.min(target.n) > 1, overlap) {
                    (false, _) => "",
                    (true, true) => "within the seeds' spread, ",
                    (true, false) => "outside the seeds' spread, ",
                };
                let difference = format!("{:+.1}", (a.mean - target.mean) * 100.0);
                format!(
                    "ends at {} ({} points, {beside}n = {})",
                    percent(a.mean),
                    difference.replace('-', "−"),
                    a.n
                )
            },
        );
        let reached = reached(plan);
        // A run that is still going may yet get there.
        if reached.is_some() || plan.finished == plan.started {
            shown.push(reached.is_some());
            near.push(reached.is_some() || overlap);
        }
        match reached {
            Some(epoch) => {
                longer |= first.is_some_and(|first| epoch > first);
                short.push(format!("{plan_name} gets there after epoch {epoch}"));
                details.push(format!(
                    "{plan_name} reaches {} for the first time after epoch {epoch} and {ends}.",
                    percent(target.mean)
                ));
            }
            None => {
                missed.push(plan_name.clone());
                details.push(format!(
                    "{plan_name} does not reach {} within {} and {ends}.",
                    percent(target.mean),
                    count(plan.course.len() as u64, "epoch")
                ));
            }
        }
    }
    if !missed.is_empty() {
        let verb = if missed.len() == 1 { "does" } else { "do" };
        short.push(format!("{} {verb} not get there in the epochs recorded", list(&missed)));
    }
    let verdict = match (Verdict::of(&shown), Verdict::of(&near)) {
        (Verdict::Confirmed, _) if !longer => {
            details
                .push("The accuracy is kept, but no plan needed more epochs for it.".to_string());
            Verdict::Partly
        }
        (Verdict::Denied, Verdict::Confirmed | Verdict::Partly) => Verdict::Partly,
        (verdict, _) => verdict,
    };
    let from = first.map_or_else(String::new, |e| format!(" (first there after epoch {e})"));
    let headline = format!("{name} ends at {}{from}; {}", percent(target.mean), short.join(", "));
    Finding { claim: claim.to_string(), verdict, headline, details }
}

fn downsample(others: &[&PlanRow]) -> Finding {
    let claim = "Downsample layers (1x1, stride 2) are the most resilient: their compressed \
                 gradients are closest to the exact ones.";
    let mut short = Vec::new();
    let mut details = Vec::new();
    let (mut higher, mut highest) = (Vec::new(), Vec::new());
    for plan in others.iter().filter(|p| p.compresses()) {
        let is_downsample = |l: &&LayerRow| l.layer.contains("downsample");
        let down: Vec<&LayerRow> = plan.compressed().filter(is_downsample).collect();
        let rest = plan.compressed().filter(|l| !is_downsample(l));
        let (Some(inside), Some(outside)) =
            (mean(down.iter().map(|l| l.cosine)), mean(rest.map(|l| l.cosine)))
        else {
            continue;
        };
        let mut ranked: Vec<&LayerRow> =
            plan.compressed().filter(|l| l.cosine.is_finite()).collect();
        ranked.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        let top = ranked.iter().take(down.len()).filter(|l| is_downsample(l)).count();
        higher.push(inside > outside);
        highest.push(inside > outside && top == down.len());
        let name = &plan.plan.name;
        short.push(format!("{} against {} with {name}", thousandths(inside), thousandths(outside)));
        details.push(format!(
            "{name}: mean cosine {} over {} and {} over the other compressed layers; {top} of the \
             {} layers with the highest cosine are downsample layers (the highest is {}).",
            thousandths(inside),
            count(down.len() as u64, "downsample layer"),
            thousandths(outside),
            down.len(),
            ranked.first().map_or("–", |l| l.layer.as_str()),
        ));
    }
    if higher.is_empty() {
        return open(claim, "no gradient of a compressed downsample layer was recorded");
    }
    let verdict = match (Verdict::of(&highest), Verdict::of(&higher)) {
        (Verdict::Confirmed, _) => Verdict::Confirmed,
        (_, Verdict::Confirmed | Verdict::Partly) => Verdict::Partly,
        (_, verdict) => verdict,
    };
    let headline = format!("Cosine of downsample layers against the others: {}", list(&short));
    Finding { claim: claim.to_string(), verdict, headline, details }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Spread;
    use crate::study::Plan;

    fn plan(name: &str, peak: f64, course: &[f64], layers: &[(&str, f64)]) -> PlanRow {
        let last = course.last().copied();
        PlanRow {
            plan: Plan { name: name.into(), spec: name.into() },
            planned_epochs: course.len() as u64,
            started: 2,
            finished: 2,
            accuracy: last.map(|mean| Spread {
                n: 2,
                mean,
                sd: 0.001,
                low: mean - 0.001,
                high: mean + 0.001,
            }),
            runs: Vec::new(),
            course: course.iter().enumerate().map(|(e, a)| (e as u64, *a)).collect(),
            kept: None,
            counted: None,
            peak_kept: Some(peak),
            peak_allocated: None,
            resident: None,
            step_seconds: None,
            layers: layers
                .iter()
                .map(|(layer, cosine)| LayerRow {
                    layer: (*layer).into(),
                    cosine: *cosine,
                    lowest_cosine: *cosine,
                    relative_error: 0.0,
                    indicator: 0.0,
                    nonpositive: 0.0,
                    kept: 1.0,
                    raw: 4.0,
                })
                .collect(),
        }
    }

    fn verdicts(plans: &[PlanRow]) -> [Verdict; 3] {
        findings(plans, Some("none")).map(|f| f.verdict)
    }

    const BASE: [f64; 3] = [0.5, 0.8, 0.9];

    #[test]
    fn what_the_records_show_is_confirmed() {
        let down = [("conv1", 0.7), ("layer2.0.downsample.0", 0.9), ("fc", f64::NAN)];
        let plans =
            [plan("none", 100.0, &BASE, &[]), plan("pool2", 70.0, &[0.5, 0.7, 0.8, 0.91], &down)];
        assert_eq!(verdicts(&plans), [Verdict::Confirmed; 3]);
    }

    #[test]
    fn what_they_contradict_is_denied() {
        let down = [("conv1", 0.9), ("layer2.0.downsample.0", 0.7)];
        let plans =
            [plan("none", 100.0, &BASE, &[]), plan("pool2", 110.0, &[0.5, 0.6, 0.7], &down)];
        assert_eq!(verdicts(&plans), [Verdict::Denied; 3]);
        let finding = &findings(&plans, Some("none"))[1];
        assert!(finding.details[1].contains("−20.0 points, outside the seeds' spread"));
    }

    #[test]
    fn what_holds_for_some_plans_or_without_the_cost_is_partly_so() {
        let higher = [("a", 0.9), ("b", 0.1), ("c", 0.1), ("layer2.0.downsample.0", 0.8)];
        let plans = [
            plan("none", 100.0, &BASE, &[]),
            plan("pool2", 70.0, &[0.6, 0.95], &higher),
            plan("pool4", 110.0, &[0.6, 0.95], &higher),
        ];
        assert_eq!(verdicts(&plans), [Verdict::Partly; 3]);
    }

    #[test]
    fn a_run_that_is_still_going_denies_nothing() {
        let mut going = plan("pool2", 70.0, &[0.5], &[]);
        going.finished = 0;
        going.accuracy = None;
        let plans = [plan("none", 100.0, &BASE, &[]), going];
        assert_eq!(verdicts(&plans)[1..], [Verdict::Open, Verdict::Open]);
    }

    #[test]
    fn without_a_baseline_nothing_is_compared_with_it() {
        let findings = findings(&[plan("pool2", 70.0, &BASE, &[("conv1", 0.5)])], None);
        assert!(findings.iter().all(|f| f.verdict == Verdict::Open));
    }
}
