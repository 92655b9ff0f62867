//! What fewer bytes cost, codec by codec.

use packlight_figure::{CodecLevels, Figure, LayerError, LayerLevels, error_by_level};

use crate::Result;
use crate::sensitivity::Sensitivity;
use crate::sensitivity::level::families;
use crate::sensitivity::ranking::Row;

/// A layer and what was measured at each level.
type Cells<'a> = (&'a Row, Vec<Option<LayerError>>);

fn layer_levels<'a>((row, levels): &'a Cells<'_>) -> LayerLevels<'a> {
    LayerLevels { layer: &row.layer, raw: row.raw as f64, levels }
}

impl Sensitivity {
    /// The error against the share kept for every codec with several levels; `None` if there is none.
    pub(super) fn levels(&self) -> Result<Option<Figure>> {
        let mut families = families(&self.codecs);
        let mut cells: Vec<Vec<Cells<'_>>> = Vec::new();
        families.retain(|family| {
            let mut of = self.cells(&family.codecs);
            of.retain(|(row, levels)| !row.at_floor && levels.iter().any(Option::is_some));
            let any = of.iter().flat_map(|(_, levels)| levels).flatten().any(|c| c.error > 0.0);
            if any {
                cells.push(of);
            }
            any
        });
        let layers: Vec<Vec<LayerLevels<'_>>> =
            cells.iter().map(|of| of.iter().map(layer_levels).collect()).collect();
        let drawn: Vec<CodecLevels<'_>> = families
            .iter()
            .zip(&layers)
            .map(|(family, layers)| CodecLevels {
                name: &family.name,
                codecs: &family.codecs,
                layers,
            })
            .collect();
        if drawn.is_empty() {
            return Ok(None);
        }
        let title = "What fewer bytes cost: error against the share kept, layer by layer";
        Ok(Some(error_by_level(&self.caption("levels", title), &drawn)?))
    }
}
