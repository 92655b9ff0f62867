//! What the scores show, in sentences with numbers, intervals and n.

use packlight_allocation::Allocation;
use packlight_figure::{binary, significant};

use super::ranking::{RelativeError, Row, of_allocation, ranked};
use super::{Contest, Sensitivity};
use crate::format::{multiple, percent};

/// Plans whose bytes differ by less than this share of the smaller keep about the same.
const ABOUT_EQUAL: f64 = 0.1;
/// A codec whose errors add up to less than this is exact up to rounding, and nothing is said of its
/// layers.
pub(super) const ROUNDING: f64 = 1e-5;
/// So many layers are named.
const NAMED: usize = 3;

/// All findings.
pub(crate) fn findings(study: &Sensitivity) -> Vec<String> {
    let mut findings = Vec::new();
    findings.extend(bearers(study));
    findings.extend(equal_bytes(study));
    findings.extend(at_the_knee(study));
    findings.extend(study.contests.iter().map(Contest::in_words));
    findings.extend(study.verified.finding());
    findings
}

/// The share of a codec's squared error that its most sensitive layers make, and these.
pub(crate) fn concentration<'a>(
    study: &'a Sensitivity,
    codec: &str,
) -> Option<(f64, Vec<&'a Row>)> {
    let ranked = ranked(&study.rows, codec);
    let squares = |rows: &[&Row]| rows.iter().map(|row| row.error.value.powi(2)).sum::<f64>();
    let all = squares(&ranked);
    let first: Vec<&Row> = ranked.into_iter().take(NAMED).collect();
    (all > ROUNDING * ROUNDING).then(|| (squares(&first) / all, first))
}

/// Which layers bear the error: for the codec that disturbs the gradient most and for the one that
/// disturbs it least.
fn bearers(study: &Sensitivity) -> Vec<String> {
    let mut plans: Vec<(&str, Allocation)> =
        study.uniform().filter(|(codec, _)| concentration(study, codec).is_some()).collect();
    plans.sort_by(|a, b| b.1.error.total_cmp(&a.1.error));
    let ends = match plans.as_slice() {
        [first, .., last] => vec![first, last],
        all => all.iter().collect(),
    };
    let said = |(codec, plan): &(&str, Allocation)| {
        let (share, first) = concentration(study, codec)?;
        let named: Vec<String> =
            first.iter().map(|row| format!("{} {}", row.layer, row.error.said())).collect();
        let of = ranked(&study.rows, codec).len();
        Some(format!(
            "With {codec} at every layer the predicted error of the whole gradient is {}; {} of its \
             square comes from {} of {of} layers: {} (n = {}).",
            of_allocation(&study.measured, plan).said(),
            percent(share),
            first.len(),
            named.join("; "),
            first.first().map_or(0, |row| row.error.n),
        ))
    };
    ends.into_iter().filter_map(said).collect()
}

/// For each group of codecs that keep about the same bytes, which of them disturbs the gradient least.
fn equal_bytes(study: &Sensitivity) -> Vec<String> {
    let mut plans: Vec<(&str, Allocation)> = study.uniform().collect();
    plans.sort_by_key(|(_, plan)| plan.bytes);
    let mut groups: Vec<Vec<&(&str, Allocation)>> = Vec::new();
    for plan in &plans {
        match groups.last_mut() {
            Some(group) if alike(group[0].1.bytes, plan.1.bytes) => group.push(plan),
            _ => groups.push(vec![plan]),
        }
    }
    let said = |mut group: Vec<&(&str, Allocation)>| {
        group.sort_by(|a, b| a.1.error.total_cmp(&b.1.error));
        let [best, next, ..] = group[..] else { return None };
        let errors = [best, next].map(|(_, plan)| of_allocation(&study.measured, plan));
        let bytes = group.iter().map(|(_, plan)| study.share(plan.bytes));
        let (least, most) =
            bytes.fold((f64::INFINITY, 0.0f64), |(a, b), share| (a.min(share), b.max(share)));
        let of = format!(
            "Of the {} codecs that keep {} to {} of the exact bytes, each at every layer that it packs, ",
            group.len(),
            multiple(Some(least)),
            multiple(Some(most)),
        );
        let [first, second] = [(best.0, errors[0]), (next.0, errors[1])]
            .map(|(codec, error)| format!("{codec}: {}", error.said()));
        let verdict = match apart(&errors[0], &errors[1]) {
            Some(true) => format!("{} disturbs the gradient least", best.0),
            _ => format!("{} and {} cannot be told apart", best.0, next.0),
        };
        Some(format!("{of}{verdict} ({first}; {second}; n = {}).", errors[0].n))
    };
    groups.into_iter().filter_map(said).collect()
}

fn alike(fewer: u64, more: u64) -> bool {
    more as f64 <= (1.0 + ABOUT_EQUAL) * fewer as f64
}

/// Whether the intervals of two errors have nothing in common; `None` if either has none.
fn apart(smaller: &RelativeError, larger: &RelativeError) -> Option<bool> {
    let intervals = smaller.interval.zip(larger.interval);
    intervals.map(|(smaller, larger)| smaller.high < larger.low)
}

/// The knee, and the best plan of one codec that keeps no more bytes.
fn at_the_knee(study: &Sensitivity) -> Option<String> {
    let knee = &study.frontier[study.knee?];
    let error = of_allocation(&study.measured, knee);
    let within = study.uniform().filter(|(_, plan)| plan.bytes <= knee.bytes);
    let best = within.min_by(|a, b| a.1.error.total_cmp(&b.1.error));
    let beside = best.map_or_else(
        || " No plan of one codec keeps so few bytes.".to_owned(),
        |(codec, plan)| {
            let of_plan = of_allocation(&study.measured, &plan);
            let ratio = significant(of_plan.value / error.value);
            let overlap = apart(&error, &of_plan) == Some(false);
            let sure = if overlap { "; the intervals overlap" } else { "" };
            format!(
                " The best plan of one codec that keeps no more, {codec}, has {ratio} times this error: \
                 {}{sure}.",
                of_plan.said()
            )
        },
    );
    Some(format!(
        "The knee of the frontier keeps {} ({} of the exact bytes) at a predicted error of {}, n = {}.{beside}",
        binary(knee.bytes as f64),
        multiple(Some(study.share(knee.bytes))),
        error.said(),
        error.n,
    ))
}
