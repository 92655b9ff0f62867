//! Figures of a report, drawn with plotters from plain slices.
//!
//! Each function takes a [`Caption`] and the numbers, and returns a [`Figure`]: the SVG, its data
//! as CSV, and how to read it. The numbers are plain slices, so a notebook can draw a figure
//! without tables or files:
//!
//! ```
//! use packlight_figure::{Caption, Line, Panel, curves};
//!
//! let loss = [vec![2.3, 1.1, 0.6], vec![2.2, 1.2, 0.7]]; // two seeds, three epochs
//! let line = Line::new("pool2", &[1.0, 2.0, 3.0], &loss);
//! let panel = Panel::new("epoch", "training loss").line(line);
//! let figure = curves(&Caption::new("loss", "The loss falls"), &[panel])?;
//! assert!(figure.svg.contains("training loss"));
//! # Ok::<(), packlight_figure::Error>(())
//! ```
//!
//! A value that is not finite leaves a gap in a line or a hatched cell in a heatmap; it is never
//! drawn as 0. Layers are given, and drawn, in forward order.

mod accuracy_loss;
mod allocation;
mod axis;
mod bias_variance;
mod calibration;
mod canvas;
mod color_scale;
mod columns;
mod costs_by_size;
mod course;
mod curves;
mod data;
mod dumbbell;
mod error;
mod error_map;
mod error_scale;
mod family;
mod frontier;
mod heatmap;
mod kept_bytes;
mod labels;
mod layer_scatter;
mod layers;
mod learning_indicator;
mod legend;
mod levels;
mod names;
mod overview;
mod panel;
mod plan_list;
mod rows;
mod small_multiples;
mod text;
mod theme;
mod timeline;
mod tradeoff;

pub use accuracy_loss::{NetworkLosses, PlanLoss, accuracy_loss};
pub use allocation::{Chosen, Strip, allocation_strips};
pub use axis::binary;
pub use bias_variance::{CodecParts, ErrorParts, bias_and_variance};
pub use calibration::{PredictedPlan, calibration};
pub use costs_by_size::{MethodCosts, costs_by_size};
pub use course::{Moment, step_course};
pub use curves::{Line, Panel, curves};
pub use dumbbell::{Pair, PairAxis, PairColumn, Spread, side_by_side};
pub use error::{Error, Result};
pub use error_map::{ErrorRow, LayerError, error_map};
pub use family::Family;
pub use frontier::{UniformPlan, frontier};
pub use heatmap::{Compared, Heatmap, cosine_heatmap};
pub use kept_bytes::{KeptBytes, KeptColumn, kept_bytes};
pub use layer_scatter::{LayerPoint, TwoWays, layer_scatter};
pub use layers::{LINES, layer_groups};
pub use learning_indicator::{IndicatorColumn, Quantiles, learning_indicator};
pub use levels::{CodecLevels, LayerLevels, error_by_level};
pub use overview::{PlanCosines, cosine_overview};
pub use small_multiples::cosine_multiples;
pub use text::significant;
pub use theme::{HEIGHT, Look, WIDTH};
pub use timeline::{MemoryTimeline, memory_timeline};
pub use tradeoff::{Candidate, Cost, pareto_front, tradeoff};

/// A figure's id, title and subtitle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Identifies the figure on its page; also the stem of its file names.
    pub id: String,
    /// What the figure shows, in one sentence.
    pub title: String,
    /// Model, data, number of seeds, steps.
    pub subtitle: String,
}

impl Caption {
    /// A caption without a subtitle.
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), subtitle: String::new() }
    }

    /// Sets the subtitle.
    #[must_use]
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// The finished figure.
    fn figure(
        &self,
        svg: String,
        data: data::Data,
        how_to_read: impl Into<String>,
    ) -> Result<Figure> {
        Ok(Figure {
            id: self.id.clone(),
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            svg,
            csv: data::finish(data)?,
            how_to_read: how_to_read.into(),
        })
    }
}

/// A finished figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Identifies the figure on its page; also the stem of its file names.
    pub id: String,
    /// What the figure shows, in one sentence.
    pub title: String,
    /// Model, data, number of seeds, steps.
    pub subtitle: String,
    /// The drawing, a complete SVG document that can also be put into a page.
    pub svg: String,
    /// The numbers drawn, as comma-separated values with a header.
    pub csv: String,
    /// How to read it, for readers who have not seen this kind of figure before.
    pub how_to_read: String,
}

/// Mean, lowest and highest of the finite `values`; all NaN if there are none.
fn mean_and_range(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let (mut count, mut sum) = (0usize, 0.0);
    let (mut low, mut high) = (f64::NAN, f64::NAN);
    for value in values.filter(|v| v.is_finite()) {
        count += 1;
        sum += value;
        low = low.min(value);
        high = high.max(value);
    }
    if count == 0 { (f64::NAN, low, high) } else { (sum / count as f64, low, high) }
}

/// Checks the length of a slice.
fn check(caption: &Caption, what: impl Into<String>, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Length { figure: caption.id.clone(), what: what.into(), expected, found })
}

/// Checks that there is something to draw.
fn not_empty(caption: &Caption, what: &'static str, count: usize) -> Result<()> {
    if count > 0 {
        return Ok(());
    }
    Err(Error::Empty { figure: caption.id.clone(), what })
}
