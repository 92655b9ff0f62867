//! The figures of the page: from scores to the slices that the figures take.

mod allocations;
mod bias;
mod calibration;
mod frontier;
mod levels;
mod loss;
mod map;
mod one_off;
mod training;

use std::collections::HashMap;

use packlight_figure::{Figure, LayerError};

use super::Sensitivity;
use super::ranking::Row;
use crate::Result;

/// All figures that there are scores for, in the order of the page.
///
/// # Errors
/// Returns an error if a figure cannot be drawn.
pub(crate) fn all(study: &Sensitivity) -> Result<Vec<Figure>> {
    let mut figures = vec![study.map()?];
    figures.extend(study.levels()?);
    figures.extend(study.over_training()?);
    figures.extend(study.bias()?);
    figures.extend(study.one_off()?);
    figures.extend(study.loss()?);
    figures.extend(study.frontier_figure()?);
    figures.extend(study.allocations()?);
    figures.extend(study.calibration()?);
    Ok(figures)
}

impl Sensitivity {
    /// What was measured of each of `codecs`, for each layer that was measured at all, in forward order.
    fn cells(&self, codecs: &[&str]) -> Vec<(&Row, Vec<Option<LayerError>>)> {
        let mut layers: Vec<(&Row, HashMap<&str, LayerError>)> = Vec::new();
        for row in &self.rows {
            let known = layers.last().is_some_and(|(last, _)| last.layer == row.layer);
            if !known {
                layers.push((row, HashMap::new()));
            }
            if let Some((_, cells)) = layers.last_mut() {
                let (low, high) = row.error.ends();
                let (error, n, kept) = (row.error.value, row.error.n, row.kept as f64);
                let cell = LayerError { error, low, high, n, kept };
                cells.insert(&row.codec, cell);
            }
        }
        let of = |cells: &HashMap<&str, LayerError>| {
            codecs.iter().map(|codec| cells.get(codec).copied()).collect()
        };
        layers.iter().map(|(row, cells)| (*row, of(cells))).collect()
    }
}
