//! Every layer with every codec at a glance.

use packlight_allocation::{Choice, LayerChoices, Measured};
use packlight_figure::{Caption, ErrorRow, Figure, LayerError, error_map as draw, significant};

use super::Result;

/// The error of the whole gradient with one codec at one layer, as a heatmap of layers by codecs. Layers
/// that were not measured are left out.
///
/// # Errors
/// Returns an error if nothing was measured.
pub fn error_map(measured: &Measured) -> Result<Figure> {
    let codecs = measured.codecs();
    let layers = || measured.layers().iter().filter(|layer| layer.choices.len() > 1);
    let cells: Vec<Vec<Option<LayerError>>> =
        layers().map(|layer| codecs.iter().map(|codec| cell(layer, codec)).collect()).collect();
    let rows: Vec<ErrorRow<'_>> = layers()
        .zip(&cells)
        .map(|(layer, cells)| ErrorRow {
            layer: &layer.facts.layer,
            raw: layer.facts.raw_bytes as f64,
            at_floor: layer.at_floor,
            cells,
        })
        .collect();
    Ok(draw(&Caption::new("error-map", title(measured)), &codecs, &rows)?)
}

fn cell(layer: &LayerChoices, codec: &str) -> Option<LayerError> {
    let Choice { error, bytes, .. } = layer.choices.iter().find(|choice| choice.codec == codec)?;
    let error = error.map(f64::sqrt);
    let (low, high) = error.ends();
    Some(LayerError { error: error.mean, low, high, n: error.n, kept: *bytes as f64 })
}

fn title(measured: &Measured) -> String {
    let meaningful = measured.layers().iter().filter(|layer| !layer.at_floor);
    let all = meaningful.flat_map(|layer| layer.choices[1..].iter().map(move |c| (layer, c)));
    match all.max_by(|a, b| a.1.error.mean.total_cmp(&b.1.error.mean)) {
        Some((layer, Choice { codec, error, .. })) => format!(
            "The gradient suffers most from {codec} at {}: error {}",
            layer.facts.layer,
            significant(error.mean.sqrt())
        ),
        None => "The gradients of all measured layers are at the numerical floor".to_owned(),
    }
}
