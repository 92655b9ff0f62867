//! Marks lie where the data say: pixels are read from the drawings and held against the values, by
//! the ticks of the axes.

#![allow(clippy::unwrap_used)] // helpers of tests are no #[test] themselves

mod drawing;
mod lines;
mod long_names;
mod maps;
mod rows;

use packlight_figure::Caption;

fn caption(id: &str) -> Caption {
    Caption::new(id, "What the figure shows, as a sentence").subtitle("model; data; 2 seeds")
}
