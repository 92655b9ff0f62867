//! All that a notebook needs, as one shared library, with figures and tables shown inline.
//!
//! A notebook depends on this crate and on no other:
//!
//! ```text
//! :dep packlight-notebook = { path = "../crates/packlight-notebook" }
//! ```
//!
//! It hands on candle, polars and the crates of the workspace, and adds what shows things: with [`Show`] in
//! scope, a figure or a [`Table`] that ends a cell appears below it. [`sensitivity`] shows what was measured
//! of single layers, and the plans made from it.

pub use candle_core;
pub use candle_nn;
pub use packlight_allocation as allocation;
pub use packlight_autograd as autograd;
pub use packlight_codec as codec;
pub use packlight_figure as figure;
pub use packlight_kernels as kernels;
pub use packlight_nn as nn;
pub use packlight_nn::prelude;
pub use packlight_probe as probe;
pub use packlight_record as record;
pub use packlight_report as report;
pub use packlight_spec as spec;
pub use packlight_study as study;
pub use polars;

pub mod sensitivity;
pub mod show;

pub use show::Show;
pub use show::table::Table;
