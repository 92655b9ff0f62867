//! Reads `study.toml` with Packlight's models, data sets and codecs.

mod collection;
mod optimizer;

use std::path::Path;

use packlight_nn::{ModelSpec, Plan};
use packlight_spec::layout::STUDY;

pub use collection::{Collection, Member};
pub(crate) use optimizer::build_optimizer;

use crate::data::DataSpec;
use crate::{Error, Result};

/// One reproducible experiment: a model, data, plans and seeds.
pub type Study = packlight_spec::Study<ModelSpec, DataSpec>;

/// Reads and checks the study in `folder`.
///
/// # Errors
/// Returns an error if `study.toml` is missing, is not TOML, has an unknown key (the nearest valid one
/// is suggested), an invalid value or a codec that does not exist, or if its file of weights cannot be
/// read.
pub fn read_study(folder: &Path) -> Result<Study> {
    let mut study = Study::read(folder)?;
    study.data.base = folder.to_path_buf();
    let invalid = |reason| Error::Study { path: folder.join(STUDY), reason };
    study.data.check().map_err(|fault| invalid(fault.within("data").to_string()))?;
    for plan in &study.plans {
        Plan::parse(&plan.spec).map_err(|e| invalid(format!("plans.{}: {e}", plan.name)))?;
    }
    Ok(study)
}
