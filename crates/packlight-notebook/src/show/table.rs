//! Small tables.

use super::{Show, escape};

/// A table with a header, for a few dozen rows.
///
/// Columns of numbers are right-aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new<T: ToString>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: texts(header), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn push<T: ToString>(&mut self, row: impl IntoIterator<Item = T>) {
        self.rows.push(texts(row));
    }
}

fn texts<T: ToString>(cells: impl IntoIterator<Item = T>) -> Vec<String> {
    cells.into_iter().map(|cell| cell.to_string()).collect()
}

impl Show for Table {
    fn html(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).fold(self.header.len(), usize::max);
        let sides: Vec<&str> = (0..columns)
            .map(|i| {
                let mut cells = self.rows.iter().filter_map(|row| row.get(i));
                if cells.all(|cell| cell.is_empty() || is_number(cell)) { "right" } else { "left" }
            })
            .collect();
        let line = |tag: &str, cells: &[String]| {
            let cell = |(i, side): (usize, &&str)| {
                let text = cells.get(i).map_or("", String::as_str);
                format!("<{tag} style=\"text-align:{side}\">{}</{tag}>", escape(text))
            };
            format!("<tr>{}</tr>\n", sides.iter().enumerate().map(cell).collect::<String>())
        };
        let body: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!(
            "<table>\n<thead>\n{}</thead>\n<tbody>\n{body}</tbody>\n</table>",
            line("th", &self.header)
        )
    }
}

/// Whether the text is a number, a percentage or a dash.
fn is_number(text: &str) -> bool {
    let digits = text.trim_end_matches('%').trim_end();
    matches!(text, "-" | "–") || digits.replace(',', "").replace('−', "-").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_texts_left() {
        let mut table = Table::new(["layer", "cosine"]);
        table.push(["layer1.0.conv1", "0.98"]);
        let html = table.html();
        assert!(html.contains("<td style=\"text-align:left\">layer1.0.conv1</td>"));
        assert!(html.contains("<td style=\"text-align:right\">0.98</td>"));
        assert!(html.contains("<th style=\"text-align:right\">cosine</th>"));
    }

    #[test]
    fn short_rows_are_filled_up_and_texts_escaped() {
        let mut table = Table::new(["a", "b"]);
        table.push(["<x>"]);
        assert_eq!(table.html().matches("<td").count(), 2);
        assert!(table.html().contains("&lt;x&gt;"));
    }

    #[test]
    fn numbers_may_have_separators_and_percent_signs() {
        for number in ["1", "-2.5", "1,627", "98.5 %", "1e-3", "1.2e−4", "–"] {
            assert!(is_number(number), "{number}");
        }
        for text in ["", "conv1", "1x1", "%"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
