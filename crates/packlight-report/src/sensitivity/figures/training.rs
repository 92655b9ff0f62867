//! How the sensitivity changes over training.

use packlight_allocation::{LayerChoices, Measured, Selection};
use packlight_figure::{Figure, Line, Look, Panel, curves, significant};
use packlight_spec::Point;

use crate::Result;
use crate::sensitivity::Sensitivity;
use crate::sensitivity::ranking::ranked;

/// The most layers in a figure.
const LAYERS: usize = 6;

const HOW_TO_READ: &str = "The lasting error of the whole gradient, √(bias² + variance / 19) relative to its norm, measured at several points of an \
    exact training. Each line is the mean over the seeds; the band around it reaches from the lowest to \
    the highest seed, and n is the number of seeds. A missing value breaks the line.";

/// A line's name and, for each seed, its error at each point.
type Course = (String, Vec<Vec<f64>>);

impl Sensitivity {
    /// The errors of all codecs, and those of the most sensitive layers; nothing for a single point.
    pub(super) fn over_training(&self) -> Result<Vec<Figure>> {
        let log = &self.scores.log;
        let points = log.points();
        if points.len() < 2 {
            return Ok(Vec::new());
        }
        let mut measured: Vec<Vec<Option<Measured>>> = Vec::new();
        for seed in log.seeds() {
            // A seed that was not measured at a point leaves a gap.
            let at = |point: &Point| {
                let (seed, without_intervals) = (Some(seed), true);
                let here = Selection { seed, without_intervals, ..Selection::at(Some(*point)) };
                Measured::of(log, &here).ok()
            };
            measured.push(points.iter().map(at).collect());
        }
        let course = |of: &dyn Fn(&Measured) -> Option<f64>| -> Vec<Vec<f64>> {
            let at = |m: &Option<Measured>| m.as_ref().and_then(of).map_or(f64::NAN, f64::sqrt);
            measured.iter().map(|seed| seed.iter().map(at).collect()).collect()
        };
        let codecs: Vec<Course> = self
            .codecs
            .iter()
            .map(|codec| (codec.clone(), course(&|m| Some(m.uniform(codec)?.error))))
            .collect();
        let x: Vec<f64> = points.iter().map(|point| 100.0 * point.share()).collect();
        let mut figures = Vec::new();
        let title = "Error of each codec at all layers over training";
        let how = " A line for each codec, at every layer that was measured with it; errors are \
            predicted from those of single layers, whose squares are added.";
        figures.extend(self.course("training-codecs", title.into(), how, &x, &codecs)?);
        if let Some((codec, error)) = self.middle_codec() {
            let first = ranked(&self.rows, codec).into_iter().take(LAYERS);
            let of = |layer: &str| {
                let error = |m: &Measured| {
                    let here = |l: &&LayerChoices| l.facts.layer == *layer;
                    let choices = &m.layers().iter().find(here)?.choices;
                    Some(choices.iter().find(|choice| choice.codec == *codec)?.error.mean)
                };
                course(&error)
            };
            let layers: Vec<Course> =
                first.map(|row| (row.layer.clone(), of(&row.layer))).collect();
            let title = format!("The layers most sensitive to {codec}, over training");
            let how = format!(
                " A line for each of the most sensitive layers, alone compressed by {codec}, the codec with \
                 the middle error of all ({} at all layers).",
                significant(error.sqrt())
            );
            figures.extend(self.course("training-layers", title, &how, &x, &layers)?);
        }
        Ok(figures)
    }

    /// The codec whose error at all layers is in the middle, of those that have one.
    fn middle_codec(&self) -> Option<(&str, f64)> {
        let mut errors: Vec<(&str, f64)> =
            self.uniform().map(|(codec, plan)| (codec, plan.error)).collect();
        errors.retain(|(codec, error)| *error > 0.0 && !ranked(&self.rows, codec).is_empty());
        errors.sort_by(|a, b| a.1.total_cmp(&b.1));
        errors.get(errors.len().checked_sub(1)? / 2).copied()
    }

    fn course(
        &self,
        id: &str,
        title: String,
        how: &str,
        x: &[f64],
        courses: &[Course],
    ) -> Result<Option<Figure>> {
        let positive = |course: &&Course| course.1.iter().flatten().any(|error| *error > 0.0);
        let lines: Vec<&Course> = courses.iter().filter(positive).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let panel =
            Panel::new("share of the training done (%)", "error of the whole gradient").log();
        let line = |i: usize| {
            let (name, seeds) = lines[i];
            Line::new(name, x, seeds).look(Look::plan(i + 1)) // black is the exact plan's
        };
        let panel = (0..lines.len()).fold(panel, |panel, i| panel.line(line(i)));
        let mut figure = curves(&self.caption(id, title), &[panel])?;
        figure.how_to_read = format!("{HOW_TO_READ}{how}");
        Ok(Some(figure))
    }
}
