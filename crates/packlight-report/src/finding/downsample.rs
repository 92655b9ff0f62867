//! Whether the compressed gradients of the 1x1 downsample layers are closest to the exact ones.

use super::{Finding, Verdict, open};
use crate::format::{count, list, thousandths};
use crate::plan::{LayerRow, PlanRow, mean};

/// Checks the claim against the cosines of the plans that compress.
pub(super) fn finding(others: &[&PlanRow]) -> Finding {
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
        short.push(format!("{} vs {} with {name}", thousandths(inside), thousandths(outside)));
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
    let headline = format!("Cosine of downsample layers vs the other layers: {}", list(&short));
    Finding { claim: claim.to_string(), verdict, headline, details }
}
