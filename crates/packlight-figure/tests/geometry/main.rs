//! Marks are where the data say: pixels are read from the drawings and compared with the values by
//! the ticks of the axes.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers are tests

mod course;
mod drawing;
mod lines;
mod long_names;
mod maps;
mod pairs;
mod rows;
mod sensitivity;
mod tradeoffs;

use packlight_figure::Caption;

fn caption(id: &str) -> Caption {
    Caption::new(id, "What the figure shows, as a sentence").subtitle("model; data; 2 seeds")
}
