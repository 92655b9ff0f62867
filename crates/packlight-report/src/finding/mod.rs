//! The three findings of Barley and Fröning (arXiv 2409.11902) on pooled activations, held
//! against the records: memory is saved, the accuracy is kept with more epochs, and the 1x1
//! downsample layers stand compression best.

mod accuracy;
mod downsample;
mod memory;

use serde::Serialize;

use crate::codec_name::pools;
use crate::plan::{PlanRow, codecs};

pub(crate) use accuracy::headline as accuracies;

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

/// All three findings, from the plans that pool, the baseline and its longer runs, as far as they
/// start at random: after another plan's training fewer epochs say something else.
pub(crate) fn findings(plans: &[PlanRow], baseline: Option<&str>) -> [Finding; 3] {
    let baseline = baseline.and_then(|name| plans.iter().find(|p| p.plan.name == name));
    let exact = baseline.map(|b| b.plan.spec.as_str());
    let others: Vec<&PlanRow> = plans
        .iter()
        .filter(|p| p.plan.from.is_none())
        .filter(|p| pools(&p.plan.spec) || Some(p.plan.spec.as_str()) == exact)
        .filter(|p| baseline.is_none_or(|b| b.plan.name != p.plan.name))
        .collect();
    let compressing: Vec<&PlanRow> = codecs(plans).filter(|p| pools(&p.plan.spec)).collect();
    [
        memory::finding(baseline, &compressing),
        accuracy::finding(baseline, &others),
        downsample::finding(&others),
    ]
}

fn open(claim: &str, why: &str) -> Finding {
    let headline = format!("Not shown: {why}");
    Finding { claim: claim.to_string(), verdict: Verdict::Open, headline, details: Vec::new() }
}

#[cfg(test)]
mod tests {
    use packlight_spec::NamedPlan;

    use super::*;
    use crate::plan::{LayerRow, Spread};

    /// A plan of the codec that its name begins with; two seeds end a tenth of a point to each side
    /// of `accuracy`.
    fn plan(name: &str, peak: f64, ends: (u64, f64), layers: &[(&str, f64)]) -> PlanRow {
        let spec = name.split('-').next().unwrap_or_default();
        let (planned_epochs, mean) = ends;
        PlanRow {
            plan: NamedPlan {
                name: name.into(),
                spec: spec.into(),
                epochs: Some(planned_epochs),
                from: None,
            },
            planned_epochs,
            planned: 2,
            finished: 2,
            accuracy: Some(Spread { n: 2, mean, sd: 0.001, low: mean - 0.001, high: mean + 0.001 }),
            runs: Vec::new(),
            kept: None,
            counted: None,
            memory: None,
            held: Some(peak),
            peak_kept: Some(peak),
            peak_allocated: None,
            resident: None,
            step_seconds: None,
            calibration_seconds: None,
            drawn: None,
            changed: None,
            layers: layers
                .iter()
                .map(|(layer, cosine)| LayerRow {
                    layer: (*layer).into(),
                    cosine: *cosine,
                    lowest_cosine: *cosine,
                    relative_error: 0.0,
                    indicator: 0.0,
                    sample_indicator: 0.0,
                    mean_indicator: 0.0,
                    nonpositive: 0.0,
                    kept: 1.0,
                    raw: 4.0,
                })
                .collect(),
        }
    }

    fn none() -> PlanRow {
        plan("none", 100.0, (3, 0.9), &[])
    }

    fn verdicts(plans: &[PlanRow]) -> [Verdict; 3] {
        findings(plans, Some("none")).map(|f| f.verdict)
    }

    fn accuracy(plans: &[PlanRow]) -> Finding {
        let [_, accuracy, _] = findings(plans, Some("none"));
        accuracy
    }

    const HIGHEST: [(&str, f64); 3] =
        [("conv1", 0.7), ("layer2.0.downsample.0", 0.9), ("fc", f64::NAN)];

    #[test]
    fn what_the_records_show_is_confirmed() {
        let plans = [
            none(),
            plan("pool2", 70.0, (3, 0.8), &HIGHEST),
            plan("pool2-long", 70.0, (4, 0.91), &HIGHEST),
        ];
        assert_eq!(verdicts(&plans), [Verdict::Confirmed; 3]);
        let [memory, accuracy, _] = findings(&plans, Some("none"));
        assert!(!memory.headline.contains("pool2-long"), "{memory:?}");
        assert_eq!(
            accuracy.headline,
            "Test accuracy after 3 epochs: none 90.0 %, pool2 80.0 %; pool2-long 91.0 % after 4"
        );
        let detail = &accuracy.details[1];
        assert!(detail.contains("n = 2, seeds from 79.9 % to 80.1 %"), "{detail}");
        assert!(detail.contains("−10.0 points, below the range of the seeds of none."), "{detail}");
        let told = &accuracy.details[3];
        assert_eq!(told, "pool2 keeps the accuracy with 4 epochs instead of 3.");
    }

    #[test]
    fn what_they_contradict_is_denied() {
        let down = [("conv1", 0.9), ("layer2.0.downsample.0", 0.7)];
        let plans = [
            none(),
            plan("pool2", 110.0, (3, 0.7), &down),
            plan("pool2-long", 110.0, (6, 0.8), &down),
        ];
        assert_eq!(verdicts(&plans), [Verdict::Denied; 3]);
    }

    #[test]
    fn what_holds_for_some_plans_is_partly_so() {
        let higher = [("a", 0.9), ("b", 0.1), ("c", 0.1), ("layer2.0.downsample.0", 0.8)];
        let plans = [
            none(),
            plan("pool2", 70.0, (4, 0.9), &higher),
            plan("pool4", 110.0, (4, 0.8), &higher),
        ];
        assert_eq!(verdicts(&plans), [Verdict::Partly; 3]);
    }

    #[test]
    fn accuracy_that_needs_no_longer_run_shows_half_of_the_claim() {
        let finding = accuracy(&[none(), plan("pool2", 70.0, (3, 0.8995), &[])]);
        assert_eq!(finding.verdict, Verdict::Partly);
        assert!(
            finding.details[1].contains("within the range of the seeds of none"),
            "{finding:?}"
        );
        let last = finding.details.last().unwrap();
        assert_eq!(last, "pool2 keeps the accuracy without more epochs.");
    }

    #[test]
    fn one_seed_that_gets_there_is_not_enough() {
        let mut wide = plan("pool2", 70.0, (6, 0.895), &[]);
        wide.accuracy = wide.accuracy.map(|a| Spread { high: 0.9, ..a });
        let finding = accuracy(&[none(), wide]);
        assert_eq!(finding.verdict, Verdict::Denied);
        assert!(finding.details[1].contains("which its best seed reaches"), "{finding:?}");
    }

    #[test]
    fn a_codec_that_falls_behind_is_not_judged_without_a_longer_run() {
        let finding = accuracy(&[none(), plan("pool2", 70.0, (3, 0.8), &[])]);
        assert_eq!(finding.verdict, Verdict::Open);
        assert!(finding.headline.contains("pool2 80.0 %"), "{finding:?}");
        assert!(finding.details.last().unwrap().contains("no longer run of it"), "{finding:?}");
    }

    #[test]
    fn the_exact_plan_with_more_epochs_is_told_and_not_judged() {
        let plans =
            [none(), plan("pool2", 70.0, (6, 0.9), &[]), plan("none-long", 100.0, (6, 0.95), &[])];
        assert_eq!(verdicts(&plans)[..2], [Verdict::Confirmed; 2]);
        let details = accuracy(&plans).details;
        assert!(details[2].starts_with("none-long ends at 95.0 % after 6 epochs"), "{details:?}");
        assert!(
            details[2].contains("+5.0 points, above the range of the seeds of none"),
            "{details:?}"
        );
    }

    #[test]
    fn a_run_that_is_still_going_confirms_and_denies_nothing() {
        let mut going = plan("pool2", 70.0, (4, 0.95), &[]);
        going.finished = 1;
        assert_eq!(accuracy(&[none(), going.clone()]).verdict, Verdict::Open);
        going.finished = 0;
        going.accuracy = None;
        let finding = accuracy(&[none(), going]);
        assert_eq!(finding.verdict, Verdict::Open);
        assert!(finding.details[1].contains("has no finished run"), "{finding:?}");
    }

    #[test]
    fn without_a_baseline_nothing_is_compared_with_it() {
        let findings = findings(&[plan("pool2", 70.0, (3, 0.9), &[("conv1", 0.5)])], None);
        assert!(findings.iter().all(|f| f.verdict == Verdict::Open));
    }
}
