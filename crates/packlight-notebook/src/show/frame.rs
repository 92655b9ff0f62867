//! Data frames.

use super::Show;
use super::table::Table;
use polars::frame::DataFrame;
use polars::prelude::AnyValue;

/// The most rows shown; a longer frame says how many it has.
const ROWS: usize = 50;

impl Show for DataFrame {
    fn html(&self) -> String {
        let mut table = Table::new(self.get_column_names());
        for row in 0..self.height().min(ROWS) {
            table.push(self.columns().iter().map(|column| match column.get(row) {
                Ok(AnyValue::Null) | Err(_) => String::new(),
                Ok(AnyValue::String(text)) => text.to_string(),
                Ok(value) => value.to_string(),
            }));
        }
        let more = self.height().saturating_sub(ROWS);
        let note = if more > 0 { format!("<p>and {more} more rows</p>") } else { String::new() };
        table.html() + &note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    #[test]
    fn frame_shows_its_columns_and_leaves_nulls_empty() {
        let frame = df!("plan" => ["none", "pool2"], "cosine" => [Some(1.0), None]).unwrap();
        let html = frame.html();
        assert!(html.contains(">plan</th>") && html.contains(">pool2</td>"), "{html}");
        assert!(html.contains("<td style=\"text-align:right\"></td>"), "{html}");
    }

    #[test]
    fn long_frame_says_how_many_rows_are_left_out() {
        let frame = df!("step" => (0..60).collect::<Vec<i32>>()).unwrap();
        assert!(frame.html().ends_with("<p>and 10 more rows</p>"));
    }
}
