//! The table that compares the plans, as data: one row for each plan.

use polars::prelude::*;

use crate::comparison::Comparison;
use crate::plan::PlanRow;

/// The numbers of the page's table; null where undefined or not recorded.
///
/// # Errors
/// Returns an error if polars rejects a column.
pub(crate) fn frame(plans: &[PlanRow]) -> PolarsResult<DataFrame> {
    let column = |of: &dyn Fn(&PlanRow) -> Option<f64>| -> Vec<Option<f64>> {
        plans.iter().map(|p| of(p).filter(|v| v.is_finite())).collect()
    };
    let names = |of: fn(&PlanRow) -> String| plans.iter().map(of).collect::<Vec<_>>();
    df!(
        "plan" => names(|p| p.plan.name.clone()),
        "codecs" => names(|p| p.plan.spec.clone()),
        "from" => plans.iter().map(|p| p.plan.from.clone()).collect::<Vec<_>>(),
        "epochs" => plans.iter().map(|p| p.planned_epochs).collect::<Vec<_>>(),
        "seeds" => plans.iter().map(|p| p.accuracy.map_or(0, |a| a.n)).collect::<Vec<_>>(),
        "accuracy_mean" => column(&|p| Some(p.accuracy?.mean)),
        "accuracy_half_interval_95" => column(&|p| p.accuracy?.half_interval()),
        "perplexity_mean" => column(&|p| Some(p.perplexity?.mean)),
        "perplexity_half_interval_95" => column(&|p| p.perplexity?.half_interval()),
        "bleu_mean" => column(&|p| Some(p.bleu?.mean)),
        "bleu_half_interval_95" => column(&|p| p.bleu?.half_interval()),
        "compared_with" => names(|p| p.comparison.as_ref().map_or_else(String::new, |c| c.with.clone())),
        "paired_seeds" => plans.iter().map(|p| p.comparison.as_ref().map_or(0, |c| c.difference.n)).collect::<Vec<_>>(),
        "difference_mean" => column(&|p| Some(p.comparison.as_ref()?.difference.mean)),
        "difference_half_interval_95" => column(&|p| p.comparison.as_ref()?.difference.half_interval()),
        "difference_p_holm" => column(&|p| p.comparison.as_ref()?.tested.difference_p),
        "equivalence_p_holm" => column(&|p| p.comparison.as_ref()?.tested.equivalence_p),
        "verdict" => names(|p| p.comparison.as_ref().map_or_else(String::new, Comparison::verdict)),
        "kept_bytes_predicted" => column(&|p| p.kept),
        "kept_bytes_counted" => column(&|p| p.counted),
        "memory_bytes" => column(&|p| p.codec_state),
        "held_bytes_at_most" => column(&|p| p.held),
        "peak_bytes_allocated" => column(&|p| p.peak_allocated),
        "peak_bytes_kept" => column(&|p| p.peak_kept),
        "step_seconds_median" => column(&|p| Some(p.time?.seconds)),
        "step_time_ratio" => column(&|p| Some(p.time?.ratio)),
        "step_time_ratio_low_95" => column(&|p| Some(p.time?.interval?.0)),
        "step_time_ratio_high_95" => column(&|p| Some(p.time?.interval?.1)),
        "calibration_seconds" => column(&|p| p.calibration_seconds),
        "probed_share_of_inputs" => column(&|p| Some(p.shares()?.0)),
        "trained_share_of_inputs" => column(&|p| Some(p.shares()?.1)),
        "cosine_mean" => column(&PlanRow::cosine),
        "cosine_worst" => column(&|p| Some(p.worst()?.cosine)),
        "cosine_worst_layer" =>
            names(|p| p.worst().map_or_else(String::new, |l| l.layer.clone())),
        "li_mean" => column(&PlanRow::indicator),
        "li_nonpositive" => column(&PlanRow::nonpositive),
        "whole_pass_cosine_mean" => column(&PlanRow::whole_cosine),
        "draws" => plans.iter().map(|p| p.bias_and_variance.map(|d| d.draws)).collect::<Vec<_>>(),
        "bias" => column(&|p| Some(p.bias_and_variance?.bias)),
        "variance" => column(&|p| Some(p.bias_and_variance?.variance)),
    )
}
