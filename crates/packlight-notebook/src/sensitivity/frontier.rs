//! The best that can be had for so many bytes.

use packlight_allocation::{Measured, Objective, knee};
use packlight_figure::{Caption, Figure, UniformPlan, binary, frontier as draw, significant};
use packlight_report::family_of_plan;

use super::Result;

/// The allocations that no other beats in both bytes and error, with their knee, beside each codec at all
/// layers that it can pack.
///
/// # Errors
/// Returns an error if no allocation has an error that can be drawn.
pub fn frontier(measured: &Measured) -> Result<Figure> {
    let allocations = measured.frontier(Objective::Sum);
    let points: Vec<(f64, f64)> =
        allocations.iter().map(|a| (a.bytes as f64, a.error.sqrt())).collect();
    let knee = knee(&allocations);
    let uniform = |codec| {
        let plan = measured.uniform(codec)?;
        let error = measured.estimate(&plan, Objective::Sum).map(f64::sqrt);
        let (low, high) = error.ends();
        Some(UniformPlan {
            codec,
            family: family_of_plan(codec),
            bytes: plan.bytes as f64,
            error: error.mean,
            low,
            high,
            n: error.n,
        })
    };
    let plans: Vec<UniformPlan<'_>> = measured.codecs().into_iter().filter_map(uniform).collect();
    let exact = measured.exact_bytes() as f64;
    let title = match knee.map(|knee| points[knee]) {
        Some((bytes, error)) => format!(
            "The knee keeps {} of {} at a predicted error of {}",
            binary(bytes),
            binary(exact),
            significant(error)
        ),
        None => "Bytes kept against predicted error".to_owned(),
    };
    Ok(draw(&Caption::new("frontier", title), &points, knee, exact, &plans)?)
}
