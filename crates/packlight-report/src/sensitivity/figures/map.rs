//! Every layer with every codec at a glance.

use packlight_figure::{ErrorRow, Figure, error_map};

use crate::Result;
use crate::sensitivity::Sensitivity;

impl Sensitivity {
    /// The error of the whole gradient, layers by codecs.
    pub(super) fn map(&self) -> Result<Figure> {
        let codecs: Vec<&str> = self.codecs.iter().map(String::as_str).collect();
        let cells = self.cells(&codecs);
        let rows: Vec<ErrorRow<'_>> = cells
            .iter()
            .map(|(row, cells)| ErrorRow {
                layer: &row.layer,
                raw: row.raw as f64,
                at_floor: row.at_floor,
                cells,
            })
            .collect();
        let ranked = self.rows.iter().filter(|row| !row.at_floor);
        let worst = ranked.max_by(|a, b| a.error.value.total_cmp(&b.error.value));
        let title = worst.map_or_else(
            || "The gradients of all measured layers are at the numerical floor".to_owned(),
            |row| {
                format!(
                    "The gradient suffers most from {} at {}: error {}",
                    row.codec,
                    row.layer,
                    row.error.said()
                )
            },
        );
        Ok(error_map(&self.caption("map", title), &codecs, &rows)?)
    }
}
