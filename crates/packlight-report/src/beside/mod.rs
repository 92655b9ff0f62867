//! Two studies side by side: what changed from the first to the second, and whether it exceeds the noise.

mod figures;
mod findings;
mod layers;
mod page;
mod plans;
mod side;

use std::path::{Path, PathBuf};

use packlight_figure::Figure;
use packlight_spec::{Difference, differences};
use serde::Serialize;

use crate::report::write_figure;
use crate::{Error, Result, format, stale};

pub use layers::LayerChange;
pub use plans::{Compared, PlanChange, Time, Verdict};
use side::Side;

/// Two studies side by side, and the files that show them.
#[derive(Debug, Clone, Serialize)]
pub struct BesideSummary {
    /// The page, in the first study's folder.
    #[serde(serialize_with = "format::path")]
    pub page: PathBuf,
    /// The figures as SVG; the data of each is beside it as CSV.
    #[serde(serialize_with = "format::paths")]
    pub figures: Vec<PathBuf>,
    /// What the studies are called here.
    pub studies: [String; 2],
    /// What changed, in sentences.
    pub findings: Vec<String>,
    /// The settings that differ.
    pub settings: Vec<SettingChange>,
    /// The plans that both have.
    pub plans: Vec<PlanChange>,
    /// The plans that only the first has, and those that only the second has.
    pub plans_of_one: [Vec<String>; 2],
    /// The codecs at single layers that both have measured.
    pub layers: Vec<LayerChange>,
}

/// A setting that differs.
#[derive(Debug, Clone, Serialize)]
pub struct SettingChange {
    /// The key, as in `study.toml`, or what the runs' manifests say.
    pub key: String,
    /// In the first study; null if it is not given there.
    pub first: serde_json::Value,
    /// In the second.
    pub second: serde_json::Value,
}

/// Two studies, compared.
struct Beside {
    sides: [Side; 2],
    settings: Vec<Difference>,
    /// Whether runs of the same seed, and scores of the same batch, start from the same weights and see
    /// the same samples.
    alike: bool,
    plans: Vec<PlanChange>,
    plans_of_one: [Vec<String>; 2],
    layers: Vec<LayerChange>,
}

/// The keys of settings that decide which weights a seed draws, and which samples it sees in which order.
/// Where one of them differs, runs of the same seed have nothing in common.
const SHARED_BY_SEED: [&str; 6] = ["model", "data", "data_hash", "batch", "drop_last", "weights"];

/// Writes a page that lays the study in `second` beside that in `first` into the folder of the first:
/// `beside-NAME.html`, after the second one's folder, and its figures.
///
/// # Errors
/// Returns an error if both are the same folder, either has neither runs nor scores of single layers, they
/// have no plan and no codec at a layer in common, something cannot be read, or a file cannot be written.
pub fn write_beside(first: &Path, second: &Path) -> Result<BesideSummary> {
    let beside = Beside::read(first, second)?;
    let slug = format!("beside-{}", slug(&beside.sides[1].label));
    let figures = beside.figures(&slug)?;
    let drawings: Result<Vec<PathBuf>> = figures.iter().map(|f| write_figure(first, f)).collect();
    let findings = beside.findings();
    let page = first.join(format!("{slug}.html"));
    stale::replace(&page, &page::page(&beside, &findings, &figures))?;
    let Beside { sides, settings, plans, plans_of_one, layers, .. } = beside;
    let setting =
        |Difference { key, first, second }: Difference| SettingChange { key, first, second };
    Ok(BesideSummary {
        page,
        figures: drawings?,
        studies: sides.map(|side| side.label),
        findings,
        settings: settings.into_iter().map(setting).collect(),
        plans,
        plans_of_one,
        layers,
    })
}

impl Beside {
    fn read(first: &Path, second: &Path) -> Result<Self> {
        let sides = Side::both(first, second)?;
        let settings = differences(&sides[0].settings, &sides[1].settings);
        let shared =
            |d: &Difference| SHARED_BY_SEED.contains(&d.key.split('.').next().unwrap_or_default());
        let alike = !settings.iter().any(shared);
        let (plans, plans_of_one) = plans::changes(&sides, alike);
        let layers = layers::changes(&sides, alike);
        if plans.is_empty() && layers.is_empty() {
            let [first_has, second_has] = sides.each_ref().map(Side::contents);
            return Err(Error::NothingInCommon {
                first: first.into(),
                first_has,
                second: second.into(),
                second_has,
            });
        }
        Ok(Self { sides, settings, alike, plans, plans_of_one, layers })
    }

    /// What the studies are called.
    fn labels(&self) -> [&str; 2] {
        self.sides.each_ref().map(|side| side.label.as_str())
    }

    /// One figure of the plans and one of the layers, where there are any.
    fn figures(&self, slug: &str) -> Result<Vec<Figure>> {
        let plans = figures::plans(self, slug)?;
        Ok(plans.into_iter().chain(figures::layers(self, slug)?).collect())
    }
}

/// A name as part of a file name.
fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
