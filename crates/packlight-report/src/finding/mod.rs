//! The three findings of Barley and Fröning (arXiv 2409.11902) on pooled activations, checked
//! against the records: memory is saved, accuracy is kept with more epochs, and the 1x1 downsample
//! layers tolerate compression best. A verdict on what varies with the seed needs a test.

mod accuracy;
mod downsample;
mod memory;

use packlight_record::LayerKind;
use serde::Serialize;

use crate::codec_name::pools;
use crate::plan::{PlanRow, codecs};

pub(crate) use accuracy::headline as accuracies;

/// Whether the records support a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They support it.
    Confirmed,
    /// They support it for some plans, or in part.
    Partly,
    /// They contradict it.
    Denied,
    /// They are not enough to tell.
    Open,
}

impl Verdict {
    /// The verdict in one word, as on the page.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Partly => "partly",
            Verdict::Denied => "denied",
            Verdict::Open => "cannot say",
        }
    }

    /// The class of its mark in the page's style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Verdict::Open => "open",
            verdict => verdict.word(),
        }
    }

    /// From what is shown of each plan; `None` where nothing is.
    fn of(shown: &[Option<bool>]) -> Self {
        let all = |wanted: bool| !shown.is_empty() && shown.iter().all(|s| *s == Some(wanted));
        match () {
            () if all(true) => Verdict::Confirmed,
            () if all(false) => Verdict::Denied,
            () if shown.contains(&Some(true)) => Verdict::Partly,
            () => Verdict::Open,
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
    /// What they show, in one line.
    pub headline: String,
    /// The numbers behind it, one sentence for each plan.
    pub details: Vec<String>,
}

/// The findings that the network and the plans allow: none without a plan that pools or a convolution,
/// and none on downsample layers without such layers. They come from the baseline, the plans that pool
/// and longer runs of either. Plans that start from another plan's weights are left out, since their
/// epochs cannot be compared. Unless the runs are `whole`, nothing is judged.
pub(crate) fn findings(
    plans: &[PlanRow],
    baseline: Option<&str>,
    layers: &[(String, LayerKind)],
    whole: bool,
) -> Vec<Finding> {
    let convolves = layers.iter().any(|(_, kind)| *kind == LayerKind::Conv);
    if !convolves || !plans.iter().any(|p| pools(&p.plan.spec)) {
        return Vec::new();
    }
    let baseline = baseline.and_then(|name| plans.iter().find(|p| p.plan.name == name));
    let exact = baseline.map(|b| b.plan.spec.as_str());
    let others: Vec<&PlanRow> = plans
        .iter()
        .filter(|p| p.plan.from.is_none())
        .filter(|p| pools(&p.plan.spec) || Some(p.plan.spec.as_str()) == exact)
        .filter(|p| baseline.is_none_or(|b| b.plan.name != p.plan.name))
        .collect();
    let compressing: Vec<&PlanRow> = codecs(plans).filter(|p| pools(&p.plan.spec)).collect();
    let mut findings =
        vec![memory::finding(baseline, &compressing), accuracy::finding(baseline, &others)];
    if layers.iter().any(|(layer, _)| layer.contains("downsample")) {
        findings.push(downsample::finding(&others));
    }
    if !whole {
        findings.iter_mut().for_each(Finding::leave_open);
    }
    findings
}

impl Finding {
    /// Takes the verdict back, as shortened runs bear none; the numbers stay.
    fn leave_open(&mut self) {
        self.verdict = Verdict::Open;
        self.headline = format!("Not judged, since --scale shortened the runs. {}", self.headline);
    }
}

fn open(claim: &str, why: &str) -> Finding {
    let headline = format!("Not tested: {why}");
    Finding { claim: claim.to_string(), verdict: Verdict::Open, headline, details: Vec::new() }
}

#[cfg(test)]
mod tests;
