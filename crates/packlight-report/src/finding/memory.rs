//! Whether pooling lowers the peak memory of a training step. Bytes are counted, not drawn: every run of
//! a plan holds the same, so one is enough and nothing is tested.

use super::{Finding, Verdict, open};
use crate::format::{bytes, change, list};
use crate::plan::PlanRow;

/// Checks the claim against the peak of a training step, with one plan for each codec.
pub(super) fn finding(baseline: Option<&PlanRow>, compressing: &[&PlanRow]) -> Finding {
    let claim = "Pooling saved activations saves memory (paper: 29 % of the peak with 2x2, \
                 36 % with 4x4, ResNet-18 on ImageNet).";
    let Some(base) = baseline else {
        return open(claim, "the study has no exact plan");
    };
    // The allocator's peak is what the machine must hold; without it, the ledger's has to do.
    let peak = |p: &PlanRow| match (base.peak_allocated, p.peak_allocated) {
        (Some(base), Some(peak)) => Some((base, peak, "the counting allocator")),
        _ => base.peak_kept.zip(p.peak_kept).map(|(base, peak)| (base, peak, "the ledger")),
    };
    let mut short = Vec::new();
    let mut details = Vec::new();
    let mut shown: Vec<Option<bool>> = Vec::new();
    for plan in compressing {
        let Some((from, to, by)) = peak(plan) else { continue };
        shown.push(Some(to < 0.99 * from));
        let name = &plan.plan.name;
        short.push(format!("{name} {}", change(to, from, "less", "more")));
        let mut detail = format!(
            "{name}: peak of a training step {} instead of {} ({}), by {by}",
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
    details.push("Bytes are counted and do not depend on the seed, so one run decides.".to_owned());
    if shown.is_empty() {
        return open(claim, "memory was not recorded for both the exact plan and another");
    }
    let headline =
        format!("Peak memory of a step compared with {}: {}", base.plan.name, list(&short));
    Finding { claim: claim.to_string(), verdict: Verdict::of(&shown), headline, details }
}
