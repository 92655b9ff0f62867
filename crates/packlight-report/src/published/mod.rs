//! What the papers report, beside a study's own results for the same methods.

mod table;

use maud::{Markup, html};

use crate::codec_name::methods;
use crate::comparison::Comparison;
use crate::format::{change, multiple, percent};
use crate::plan::PlanRow;
use table::{PUBLISHED, Published};

/// A published result and the study's plans that use the same methods.
pub(crate) type Beside<'a> = (&'static Published, Vec<&'a PlanRow>);

/// The published results of every method that the study has a plan for.
pub(crate) fn beside(plans: &[PlanRow]) -> Vec<Beside<'_>> {
    let of = |entry: &'static Published| {
        let same = plans.iter().filter(|p| same_methods(entry.methods, &p.plan.spec));
        (entry, same.collect::<Vec<_>>())
    };
    PUBLISHED.iter().map(of).filter(|(_, plans)| !plans.is_empty()).collect()
}

/// Whether a plan uses exactly these methods, on whatever layers; `none` on some of them is
/// ignored.
fn same_methods(patterns: &[&str], spec: &str) -> bool {
    let mut own: Vec<&str> = methods(spec).filter(|method| *method != "none").collect();
    own.sort_unstable();
    own.dedup();
    own.len() == patterns.len()
        && patterns.iter().all(|pattern| own.iter().any(|method| fits(pattern, method)))
}

/// Whether a method fits a pattern with at most one `*`.
fn fits(pattern: &str, method: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            method.len() >= start.len() + end.len()
                && method.starts_with(start)
                && method.ends_with(end)
        }
        None => pattern == method,
    }
}

/// The section's table: one row for each published result, with the study's own beside it.
pub(crate) fn section(beside: &[Beside<'_>], base: Option<&PlanRow>) -> Markup {
    html! {
        p .muted {
            "What the authors report and in which setting, with uncompressed training in parentheses; \
             at the right, this study's results for the same method. Networks, data, schedules and \
             machines differ, so the two sides give context for each other and must not be compared \
             number by number. No published number enters any other table, figure or verdict here."
        }
        div .wide.dense tabindex="0" role="region" aria-label="What the papers report" {
            table {
                thead {
                    tr {
                        th colspan="6" { "published" }
                        th colspan="5" .group { "this study" }
                    }
                    tr {
                        th { "method" }
                        th { "setting" }
                        th { "accuracy" }
                        th { "memory" }
                        th { "time, other" }
                        th { "source" }
                        th .first { "plan" }
                        th .number { "accuracy" }
                        th .number { "difference, paired" }
                        th .number { "kept bytes" }
                        th .number { "time per step," br; "with measuring" }
                    }
                }
                tbody {
                    @for (entry, plans) in beside {
                        @for (i, plan) in plans.iter().enumerate() {
                            tr {
                                @if i == 0 { (said(entry, plans.len())) }
                                (own(plan, base))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn said(entry: &Published, rows: usize) -> Markup {
    html! {
        td rowspan=(rows) { code { (entry.methods.join(",")) } }
        td rowspan=(rows) { (entry.setting) }
        td rowspan=(rows) { (entry.accuracy) }
        td rowspan=(rows) { (entry.memory) }
        td rowspan=(rows) { (entry.other) }
        td rowspan=(rows) { (entry.source) }
    }
}

fn own(plan: &PlanRow, base: Option<&PlanRow>) -> Markup {
    let dash = || "–".to_string();
    let accuracy = plan.accuracy.map_or_else(dash, |a| format!("{} ({})", percent(a.mean), a.n));
    let comparison = plan.comparison.as_ref();
    let held = plan.held.zip(base.and_then(|b| b.held));
    html! {
        td .first { b { (plan.label()) } }
        td .number { (accuracy) }
        td .number { (comparison.map_or_else(dash, Comparison::said)) }
        td .number { (held.map_or_else(dash, |(own, base)| change(own, base, "less", "more"))) }
        td .number { (multiple(plan.time.and_then(|time| time.whole))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_stands_beside_the_figures_of_just_its_methods() {
        let of = |methods: &[&str], spec| same_methods(methods, spec);
        assert!(of(&["pool2"], "pool2") && of(&["pool2"], "fc=none,layer1.*=pool2"));
        assert!(!of(&["pool2"], "pool4") && !of(&["pool2"], "layer1.*=pool2,default=pool4"));
        assert!(of(&["topk:*:mask"], "topk:0.1:mask") && !of(&["topk:0.1"], "topk:0.1:mask"));
        assert!(of(&["ara=*"], "ara=2:2:2:2") && !of(&["ara=*"], "ara=2:2:2:2,checkpoint=sqrt"));
        assert!(of(&["ara=*", "checkpoint=*"], "ara=2:2:2:2,checkpoint=sqrt"));
        assert!(!of(&["pool2"], "none"));
    }

    #[test]
    fn every_published_method_has_a_family() {
        for method in PUBLISHED.iter().flat_map(|entry| entry.methods) {
            let family = crate::family::of_plan(&method.replace('*', "2"));
            assert_ne!(family, packlight_figure::Family::Other, "{method}");
        }
    }

    #[test]
    fn every_published_figure_has_a_setting_and_a_source() {
        for entry in PUBLISHED {
            assert!(!entry.methods.is_empty() && !entry.setting.is_empty(), "{entry:?}");
            let dated = entry.source.contains(" 20") || entry.source.contains("arXiv");
            assert!(dated, "a year or an identifier: {entry:?}");
        }
    }
}
