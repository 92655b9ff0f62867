//! What users write, and what runs are called: plans, `study.toml`, kinds of layers, names of files.
//!
//! Every crate that reads a plan or a study reads it here, so that the library, the command line and
//! the reports cannot disagree about it. This crate only describes: it knows nothing of candle, and
//! the crates above make codecs, optimizers, data sets and networks from what it reads.

pub mod layout;

mod adaptive;
mod budget;
mod collection;
mod device;
mod error;
mod fault;
mod from_toml;
mod grid;
mod layer_kind;
mod memory_strategy;
mod named_plan;
mod nearest;
mod optimizer;
mod plan;
mod precision;
mod probe;
mod schedule;
mod sensitivity;
mod settings;
mod study;
mod weights;

pub use adaptive::{Adaptation, AdaptiveSpec, Every};
pub use budget::Budget;
pub use collection::{Collection, studies_in};
pub use device::DeviceSpec;
pub use error::{Error, Result};
pub use fault::Fault;
pub use grid::Grid;
pub use layer_kind::LayerKind;
pub use memory_strategy::{Checkpointing, MemoryStrategy};
pub use named_plan::{NamedPlan, run_name};
pub use nearest::{did_you_mean, nearest, suggestion};
pub use optimizer::OptimizerSpec;
pub use plan::{PlanSpec, Rule, Selector, Specificity};
pub use precision::Precision;
pub use probe::ProbeSpec;
pub use schedule::Schedule;
pub use sensitivity::{Point, SensitivitySpec};
pub use settings::{Difference, Given, differences, written_settings};
pub use study::{Study, hex};
pub use weights::{OR, Pretrained};
