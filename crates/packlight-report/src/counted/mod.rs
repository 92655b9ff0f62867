//! Published numbers of memory beside what was counted for them.

mod page;
mod projection;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use projection::{ProjectedMethod, Projection};

use crate::document::document;
use crate::report::write_figure;
use crate::{Result, file, format, stale};

/// Published tables and what was counted for each of their cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountedTables {
    /// The page's title.
    pub title: String,
    /// The tables, in order.
    pub tables: Vec<CountedTable>,
    /// The name of each rule by which something was counted, and what it counts.
    pub rules: Vec<(String, String)>,
    /// What one convolution costs as its maps grow.
    pub projection: Option<Projection>,
}

/// One published table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountedTable {
    /// A name for links: lower-case letters, digits and hyphens.
    pub id: String,
    /// What the table is about.
    pub title: String,
    /// Whose table it is.
    pub source: String,
    /// The setting, and what is assumed where the source does not say.
    pub about: String,
    /// Its rows, in order; a published cell that is counted in two ways has two.
    pub cells: Vec<CountedCell>,
}

/// A published number and what was counted for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountedCell {
    /// Row and column of the published table.
    pub cell: String,
    /// The number as it is printed.
    pub published: String,
    /// Its unit.
    pub unit: String,
    /// What was counted.
    pub counted: Counted,
    /// The name of the rule.
    pub rule: String,
    /// The command that prints what was counted.
    pub command: String,
    /// Why it differs, or what must be known to read it; may be empty.
    pub note: String,
}

/// What was counted for a cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// A number in the unit of the published one.
    Number(f64),
    /// What the published number implies, where its bytes depend on data.
    Implied(String),
    /// Nothing; the note says why.
    Nothing,
}

impl CountedCell {
    /// Whether the counted number, printed with as many decimals as the published one, is that one;
    /// `None` where there is nothing to compare.
    pub fn agrees(&self) -> Option<bool> {
        self.compared()?;
        Some(self.rounded()? == self.published)
    }

    /// The counted number with as many decimals as the published one; halves are rounded up.
    fn rounded(&self) -> Option<String> {
        let Counted::Number(number) = self.counted else { return None };
        let decimals = self.published.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let unit = (0..decimals).fold(1.0, |unit, _| 10.0 * unit);
        Some(format!("{:.decimals$}", (number * unit).round() / unit))
    }

    /// How much more was counted than was published, in per cent of that; for shares in per cent, in
    /// points.
    pub fn difference(&self) -> Option<f64> {
        let (published, counted) = self.compared()?;
        match self.unit == "%" {
            true => Some(counted - published),
            false => self.relative().map(|relative| 100.0 * relative),
        }
    }

    /// How much more was counted than was published, as a fraction of that, whatever the unit.
    fn relative(&self) -> Option<f64> {
        let (published, counted) = self.compared()?;
        Some(counted / published - 1.0)
    }

    fn compared(&self) -> Option<(f64, f64)> {
        let Counted::Number(counted) = self.counted else { return None };
        Some((self.published.parse().ok()?, counted))
    }
}

/// The files of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedSummary {
    /// The page.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The cells as CSV.
    #[serde(serialize_with = "format::path")]
    pub table: PathBuf,
    /// The figure of the projection, if there is one; its data are beside it as CSV.
    #[serde(serialize_with = "format::paths")]
    pub figures: Vec<PathBuf>,
    /// How many published cells there are.
    pub cells: usize,
    /// How many rows they have: one for each way in which a cell is counted.
    pub rows: usize,
    /// In how many of the rows a number was counted.
    pub counted: usize,
    /// How many of these agree to the last printed digit.
    pub agree: usize,
}

/// Writes the page into `folder`, with the cells beside it as `tables/counted.csv`.
///
/// # Errors
/// Returns an error if a figure cannot be drawn or a file cannot be written.
pub fn write_counted(folder: &Path, tables: &CountedTables) -> Result<CountedSummary> {
    let (page, table) = (folder.join("index.html"), folder.join("tables").join("counted.csv"));
    file::write(&table, &csv(tables)?)?;
    let figure = tables.projection.as_ref().map(Projection::figure).transpose()?;
    let drawn = figure.as_ref().map(|figure| write_figure(folder, figure)).transpose()?;
    let summary = summary(page, table, drawn, tables);
    let html = document(&tables.title, &page::body(tables, figure.as_ref(), &summary));
    stale::replace(&summary.page, &html)?;
    Ok(summary)
}

fn summary(
    page: PathBuf,
    table: PathBuf,
    drawn: Option<PathBuf>,
    tables: &CountedTables,
) -> CountedSummary {
    let rows = || tables.tables.iter().flat_map(|table| &table.cells);
    let cells = |table: &CountedTable| {
        table
            .cells
            .iter()
            .map(|row| (&row.cell, &row.unit, &row.published))
            .collect::<BTreeSet<_>>()
            .len()
    };
    let agree: Vec<bool> = rows().filter_map(CountedCell::agrees).collect();
    CountedSummary {
        page,
        table,
        figures: drawn.into_iter().collect(),
        cells: tables.tables.iter().map(cells).sum(),
        rows: rows().count(),
        counted: agree.len(),
        agree: agree.iter().filter(|&&agrees| agrees).count(),
    }
}

fn csv(tables: &CountedTables) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "table",
        "cell",
        "unit",
        "published",
        "counted",
        "implied",
        "difference",
        "rule",
        "command",
        "note",
    ])?;
    for table in &tables.tables {
        for cell in &table.cells {
            let (number, implied) = match &cell.counted {
                Counted::Number(number) => (number.to_string(), ""),
                Counted::Implied(what) => (String::new(), what.as_str()),
                Counted::Nothing => (String::new(), ""),
            };
            let difference = cell.difference().map(|d| d.to_string()).unwrap_or_default();
            writer.write_record([
                &table.id,
                &cell.cell,
                &cell.unit,
                &cell.published,
                &number,
                implied,
                &difference,
                &cell.rule,
                &cell.command,
                &cell.note,
            ])?;
        }
    }
    let full = |error: csv::IntoInnerError<_>| csv::Error::from(error.into_error());
    Ok(writer.into_inner().map_err(full)?)
}
