//! Published tables, and what the planner counts for each of their cells.
//!
//! The published numbers are data: `tables.toml` names networks by the options of `packlight plan`, and
//! each cell's network, plan and [`Rule`].

mod counter;
mod projection;
mod rank;
mod rule;
mod small_runs;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use packlight::report::{Counted, CountedCell, CountedTable, CountedTables};
use packlight::spec::layout::TABLES;
use serde::Deserialize;

use counter::Counter;
use projection::Projection;
use rule::Rule;
use small_runs::SmallRuns;

use crate::output::say;

/// `tables.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    /// The options of `packlight plan` for each network.
    networks: BTreeMap<String, String>,
    tables: Vec<Table>,
    projection: Option<Projection>,
    small_runs: Option<SmallRuns>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    id: String,
    title: String,
    source: String,
    about: String,
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    cell: String,
    published: String,
    rule: Rule,
    network: String,
    #[serde(default = "exact")]
    plan: String,
    #[serde(default)]
    note: String,
}

fn exact() -> String {
    "none".to_owned()
}

/// Counts for each cell of the tables in `folder`.
///
/// # Errors
/// Returns an error if `tables.toml` cannot be read or is not valid. A cell that cannot be counted says
/// why in its note; a projection that cannot be, and a small run that fails, are errors.
pub(crate) fn count(folder: &Path) -> anyhow::Result<CountedTables> {
    let path = folder.join(TABLES);
    let said = || path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(said)?;
    let File { title, networks, tables, projection, mut small_runs } =
        toml::from_str(&text).with_context(said)?;
    if let Some(small_runs) = &mut small_runs {
        small_runs.check(&networks).with_context(|| format!("{}: small_runs", said()))?;
    }
    let mut counter = Counter::new(networks);
    let count = |Table { id, title, source, about, cells }: Table| {
        say(format_args!("counting: {title}"));
        let cell = |cell| counted(cell, &mut counter, small_runs.as_mut());
        let cells = cells.into_iter().map(cell).collect::<anyhow::Result<_>>()?;
        anyhow::Ok(CountedTable { id, title, source, about, cells })
    };
    let tables = tables.into_iter().map(count).collect::<anyhow::Result<Vec<_>>>();
    let tables = tables.with_context(said)?;
    let used =
        |name: &str| tables.iter().flat_map(|table| &table.cells).any(|cell| cell.rule == name);
    let rules = Rule::ALL.iter().map(|rule| (rule.name().to_owned(), rule.words().to_owned()));
    let mut rules: Vec<(String, String)> = rules.filter(|(name, _)| used(name)).collect();
    rules.dedup(); // one in two units
    let projection = projection.map(|projection| projection.count(&mut counter));
    let projection =
        projection.transpose().with_context(|| format!("{}: projection", path.display()))?;
    Ok(CountedTables { title, tables, rules, projection })
}

/// # Errors
/// Returns an error if a small run fails.
fn counted(
    cell: Cell,
    counter: &mut Counter,
    small_runs: Option<&mut SmallRuns>,
) -> anyhow::Result<CountedCell> {
    let Cell { cell, published, rule, network, plan, note } = cell;
    let (counted, why_not) = match rule.count(counter, &network, &plan, &published) {
        Ok(counted) => (counted, String::new()),
        Err(error) => (Counted::Nothing, format!("{error:#}")),
    };
    let ranks = small_runs.filter(|_| matches!(counted, Counted::Implied(_)));
    let ranks = ranks.map(|runs| runs.ranks(&network, &plan, rule)).transpose();
    let ranks = ranks.with_context(|| format!("a small run for the cell `{cell}`"))?.flatten();
    let ranks = ranks.map(|ranks| format!("A small run: {ranks}")).unwrap_or_default();
    let note =
        [why_not, ranks, note].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    Ok(CountedCell {
        cell,
        published,
        unit: rule.unit().to_owned(),
        counted,
        rule: rule.name().to_owned(),
        command: rule.command(counter.options(&network), &plan),
        note: note.join(" "),
    })
}
