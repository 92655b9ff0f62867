//! The grid that a report shows: the study's title, its plans in their order, and its seeds.

use packlight_record::Manifest;
use packlight_spec::{Grid, NamedPlan};

/// Every plan of a grid with every seed.
pub(crate) fn cells(grid: &Grid) -> impl Iterator<Item = (&NamedPlan, u64)> {
    grid.plans.iter().flat_map(|plan| grid.seeds.iter().map(move |seed| (plan, *seed)))
}

/// The grid that the manifests of runs describe, for records without a study's description: every plan
/// with every seed that occurs.
pub(crate) fn of_manifests<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Grid {
    let mut manifests: Vec<_> = manifests.collect();
    manifests.sort_by_key(|m| (m.plan_index, &m.plan, m.seed));
    let mut plans: Vec<NamedPlan> = Vec::new();
    for m in &manifests {
        if plans.iter().all(|plan| plan.name != m.plan) {
            plans.push(NamedPlan {
                name: m.plan.clone(),
                spec: m.plan_spec.clone(),
                adaptive: None,
                epochs: Some(m.epochs),
                from: m.from.clone(),
            });
        }
    }
    let mut seeds: Vec<u64> = manifests.iter().map(|m| m.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let (name, title) = match manifests.first() {
        Some(m) => (m.study.clone(), m.title.clone()),
        None => (String::new(), "A study without readable runs".to_owned()),
    };
    Grid { name, title, plans, seeds }
}
