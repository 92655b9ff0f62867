//! Reads `study.toml` with Packlight's models, data sets and codecs.

mod collection;
mod optimizer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use packlight_codec::Codec;
use packlight_codec::identity::Identity;
use packlight_nn::{ModelSpec, Plan};
use packlight_spec::layout::STUDY;
use packlight_spec::{Adaptation, SensitivitySpec};

pub use collection::{Collection, Member};
pub(crate) use optimizer::build_optimizer;

use crate::data::DataSpec;
use crate::{Error, Result};

/// One reproducible experiment: a model, data, plans and seeds.
pub type Study = packlight_spec::Study<ModelSpec, DataSpec>;

/// Reads and checks the study in `folder`; its file of weights may be in `data_dir`, the folder with the data
/// sets.
///
/// # Errors
/// Returns an error if `study.toml` is missing, is not TOML, has an unknown key (the nearest valid one
/// is suggested), an invalid value or a codec that does not exist, a codec in
/// `[sensitivity]` that cannot be measured at one layer, or if its file of weights cannot be read.
pub fn read_study(folder: &Path, data_dir: Option<&Path>) -> Result<Study> {
    let mut study = Study::read(folder, data_dir)?;
    study.data.base = folder.to_path_buf();
    let invalid = |reason| Error::Study { path: folder.join(STUDY), reason };
    study.data.check().map_err(|fault| invalid(fault.within("data").to_string()))?;
    for plan in &study.plans {
        let invalid = |e: &dyn fmt::Display| invalid(format!("plans.{}{e}", plan.name));
        match study.adaptation_of(plan) {
            Ok(None) => drop(Plan::parse(&plan.spec).map_err(|e| invalid(&format_args!(": {e}")))?),
            Ok(Some(Adaptation { measures, .. })) => {
                let found = codecs_to_measure(&measures);
                found.map_err(|reason| invalid(&format_args!(".adaptive.codecs: {reason}")))?;
            }
            Err(fault) => return Err(invalid(&format_args!(".adaptive.{fault}"))),
        }
    }
    if let Some(sensitivity) = &study.sensitivity {
        codecs_to_measure(sensitivity)
            .map_err(|reason| invalid(format!("sensitivity.codecs: {reason}")))?;
    }
    Ok(study)
}

/// The codecs of a `[sensitivity]` table.
///
/// # Errors
/// Returns what is wrong if a codec does not exist, is given twice in other words, or has no effect at
/// one layer alone.
pub(crate) fn codecs_to_measure(spec: &SensitivitySpec) -> Result<Vec<Arc<dyn Codec>>, String> {
    let mut codecs: Vec<Arc<dyn Codec>> = Vec::new();
    for text in &spec.codecs {
        let codec = packlight_codec::parse(text).map_err(|e| e.to_string())?;
        let name = codec.spec();
        if name == Identity.spec() {
            return Err(
                "`none` needs no measurement: each layer can be left exact; leave it out".into()
            );
        }
        if codecs.iter().any(|other| other.spec() == name) {
            return Err(format!("`{text}` stands there twice, as `{name}`"));
        }
        if codec.adaptive().is_some() {
            return Err(format!(
                "`{text}` shares a budget between layers, so it has no effect at one layer alone; \
                 write the levels to choose from, such as \"q8\", \"q4\", \"q2\", and let the \
                 allocation decide"
            ));
        }
        if codec.norm_output().is_some() {
            return Err(format!(
                "`{text}` packs a norm's output for the layers behind it, too, so it has no effect at \
                 one layer alone; write codecs for inputs, such as \"q8\", \"q4\", \"q2\""
            ));
        }
        codecs.push(codec);
    }
    Ok(codecs)
}
