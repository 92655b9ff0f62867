//! What a `[sensitivity]` table asks for, on the study's model.

use std::sync::Arc;

use packlight_autograd::SavePoint;
use packlight_codec::Codec;
use packlight_nn::course::Course;
use packlight_probe::{Packing, Survey, Surveyed};
use packlight_record::{BlockFacts, Compared, LayerFacts, SensitivityRecord};
use packlight_spec::layout::STUDY;
use packlight_spec::{LayerKind, Point, Selector, SensitivitySpec, nearest};

use super::together::Together;
use crate::sweep::Sweep;
use crate::{Error, Result};

/// A codec at a layer that can be measured.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// The layer's name.
    pub(crate) layer: Arc<str>,
    pub(crate) codec: Arc<dyn Codec>,
    /// Which gradients the codec changes.
    pub(crate) compared: Compared,
    /// Whether it settles on a batch first, because it remembers.
    pub(crate) settles: bool,
    /// The most bytes of the layer's input that are restored at a time.
    pub(crate) restored_bytes: u64,
}

/// All that a table asks for.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) spec: SensitivitySpec,
    /// The points with their steps.
    pub(super) points: Vec<(Point, u64)>,
    /// By layer in forward order, then by codec in the order of the table.
    pub(super) pairs: Vec<Pair>,
    /// By codec in the order of the table, all layers before all but one.
    pub(super) together: Vec<Together>,
    /// What the log begins with.
    pub(super) facts: Vec<SensitivityRecord>,
    /// Codecs that cannot pack some layers, in words.
    pub(super) refusals: Vec<String>,
}

impl Table {
    /// Lays out what `spec` asks for on a network that was surveyed with `codecs`, in a training of
    /// `total` steps that take this course.
    ///
    /// # Errors
    /// Returns an error if a selector fits no layer, two points are the same step, or no codec can pack
    /// any of the layers.
    pub(super) fn new(
        sweep: &Sweep,
        spec: SensitivitySpec,
        codecs: &[Arc<dyn Codec>],
        survey: Survey,
        course: &Course,
        total: u64,
    ) -> Result<Self> {
        let invalid = |key: &str, reason: String| {
            let reason = format!("sensitivity.{key}: {reason}");
            Error::Study { path: sweep.folder.join(STUDY), reason }
        };
        for (key, selectors) in [("layers", &spec.layers), ("except", &spec.except)] {
            check_selectors(selectors, &survey.layers).map_err(|reason| invalid(key, reason))?;
        }
        let points: Vec<(Point, u64)> =
            spec.points.iter().map(|&point| (point, point.step(total))).collect();
        if let Some([(one, step), (other, _)]) =
            points.array_windows().find(|[(_, one), (_, other)]| one == other)
        {
            let reason = format!(
                "{one} and {other} are both after step {step} of {total}; leave one of them out"
            );
            return Err(invalid("points", reason));
        }
        let included = |layer: &SavePoint| is_included(&spec, layer);
        let pairs: Vec<Pair> = survey
            .layers
            .iter()
            .filter(|surveyed| included(&surveyed.layer))
            .flat_map(|surveyed| pairs_at(surveyed, codecs))
            .collect();
        let refusals = codecs.iter().enumerate().filter_map(|(at, codec)| {
            let refused = |surveyed: &&Surveyed| surveyed.codecs[at].is_err();
            let layers = survey.layers.iter().filter(|surveyed| included(&surveyed.layer));
            let refused: Vec<&Surveyed> = layers.filter(refused).collect();
            let first = refused.first()?;
            let (name, why) = (first.layer.name(), first.codecs[at].as_ref().err()?);
            let spec = codec.spec();
            Some(format!("{} layers are measured without {spec}; `{name}`: {why}", refused.len()))
        });
        let refusals: Vec<String> = refusals.collect();
        if pairs.is_empty() {
            let none = "these layers save no input that a codec could pack".to_owned();
            return Err(invalid("codecs", refusals.first().cloned().unwrap_or(none)));
        }
        let facts = facts(&survey, course, &pairs);
        let together = match spec.one_off {
            true => codecs.iter().flat_map(|codec| Together::of(codec, &pairs)).collect(),
            false => Vec::new(),
        };
        Ok(Self { spec, points, pairs, together, facts, refusals })
    }

    /// The number of layers that are measured.
    pub(super) fn layers(&self) -> usize {
        let mut names: Vec<&str> = self.pairs.iter().map(|pair| &*pair.layer).collect();
        names.dedup();
        names.len()
    }

    /// The number of scores with each seed.
    pub(super) fn scores(&self) -> u64 {
        let samples = self.points.len() as u64 * self.spec.batches;
        samples * self.pairs.len() as u64
    }

    /// The seeds, points with their steps, and batches, in the order in which they are measured.
    pub(super) fn places(&self, seeds: &[u64]) -> Vec<(u64, Point, u64, u64)> {
        let mut places = Vec::new();
        for &seed in seeds {
            for &(point, step) in &self.points {
                places.extend((0..self.spec.batches).map(|batch| (seed, point, step, batch)));
            }
        }
        places
    }
}

/// Checks that each selector fits a layer.
pub(crate) fn check_selectors(selectors: &[String], layers: &[Surveyed]) -> Result<(), String> {
    for text in selectors {
        let selector = Selector::from(text.as_str());
        let fits = |at: &Surveyed| selector.matches(at.layer.name(), at.layer.kind()).is_some();
        if layers.iter().any(fits) {
            continue;
        }
        let kinds = LayerKind::PACKABLE.map(LayerKind::name);
        let names = layers.iter().map(|surveyed| surveyed.layer.name());
        let hint = match nearest(text, names.clone().chain(kinds)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => ".".to_owned(),
        };
        let names: Vec<&str> = names.collect();
        let names = names.join(", ");
        return Err(format!("`{text}` fits no layer that saves its input{hint} These do: {names}"));
    }
    Ok(())
}

/// Whether a layer is to be measured.
pub(crate) fn is_included(spec: &SensitivitySpec, layer: &SavePoint) -> bool {
    layer.kind() != LayerKind::Segment && spec.includes(layer.name(), layer.kind())
}

/// The codecs that can be measured at a layer. A codec is tried at every layer that it can pack,
/// whatever kinds it was published for.
pub(crate) fn pairs_at(surveyed: &Surveyed, codecs: &[Arc<dyn Codec>]) -> Vec<Pair> {
    let pair = |(codec, packs): (&Arc<dyn Codec>, &std::result::Result<Packing, String>)| {
        let &Packing { remembers, restored_bytes, .. } = packs.as_ref().ok()?;
        let only_packs = codec.operands().is_none() && codec.gradients().is_none();
        let does_more_here = surveyed.changes_own_alone; // only a layer with a weight asks for it
        (only_packs || does_more_here).then(|| Pair {
            layer: surveyed.layer.name().into(),
            codec: codec.clone(),
            compared: match only_packs && surveyed.changes_own_alone {
                true => Compared::Own,
                false => Compared::All,
            },
            settles: remembers || codec.gradients().is_some(),
            restored_bytes,
        })
    };
    codecs.iter().zip(&surveyed.codecs).filter_map(pair).collect()
}

/// The layers that `survey` found, of which `pairs` are measured, and what else they save.
pub(crate) fn saved(survey: &Survey, pairs: &[Pair]) -> impl Iterator<Item = SensitivityRecord> {
    let layers = survey.layers.iter().map(|surveyed| {
        let name = surveyed.layer.name();
        SensitivityRecord::Layer(LayerFacts {
            layer: name.to_owned(),
            kind: surveyed.layer.kind(),
            source: surveyed.source,
            raw_bytes: surveyed.bytes,
            copy: surveyed.copy.clone(),
            measured: pairs.iter().any(|pair| *pair.layer == *name),
            restored_bytes: pairs
                .iter()
                .filter(|pair| *pair.layer == *name && pair.restored_bytes < surveyed.bytes)
                .map(|pair| (pair.codec.spec(), pair.restored_bytes))
                .collect(),
        })
    });
    let fixed = survey.fixed.iter().map(|fixed| SensitivityRecord::Fixed {
        layer: fixed.layer.clone(),
        kind: fixed.kind,
        bytes: fixed.bytes,
    });
    layers.chain(fixed)
}

/// What the log says of the layers before any score.
fn facts(survey: &Survey, course: &Course, pairs: &[Pair]) -> Vec<SensitivityRecord> {
    let at = course.layers.iter().map(|at| SensitivityRecord::At {
        layer: at.layer.to_string(),
        beside: at.beside as u64,
        exact: (at.exact < at.beside).then_some(at.exact as u64),
    });
    let blocks = course.blocks.iter().map(|block| {
        SensitivityRecord::Block(BlockFacts {
            block: block.block.clone(),
            layers: block.layers.clone(),
            input_bytes: block.input as u64,
            again_bytes: block.again as u64,
            step_bytes: block.step as u64,
        })
    });
    saved(survey, pairs).chain(at).chain(blocks).collect()
}
