//! Whether a layer that suffers alone is also the one to leave exact.

use packlight_figure::{Figure, LayerPoint, TwoWays, layer_scatter};

use crate::Result;
use crate::family::of_plan;
use crate::sensitivity::Sensitivity;
use crate::statistics::rank;

const HOW_TO_READ: &str = " To the right is the lasting error of the whole gradient with the codec at this layer \
    alone. Upwards is what leaving this layer exact takes off the error where the codec is at all others: the \
    root of the difference of squares. Both are relative to the gradient's norm. Codecs that change only the gradients of their layers' own weights lie on the line, \
    since their squared errors add up; for the others all but one layer were compressed in passes of their own. Below the \
    line a layer hardly matters once the others are compressed; above it the layer also carries \
    on the errors of others. Plans are predicted as if all lay on the line.";

impl Sensitivity {
    /// What a layer takes off the error of its codec at all layers against its error alone; `None` if that was
    /// measured of no codec for which it does not follow.
    pub(super) fn one_off(&self) -> Result<Option<Figure>> {
        let mut points = Vec::new();
        for layer in self.measured.layers().iter().filter(|layer| !layer.at_floor) {
            for choice in &layer.choices[1..] {
                let Some(one_off) = choice.one_off else { continue };
                let root = |square: f64| square.max(0.0).sqrt();
                let (low, high) = one_off.ends();
                points.push(LayerPoint {
                    layer: &layer.facts.layer,
                    codec: &choice.codec,
                    family: of_plan(&choice.codec),
                    across: root(choice.error.mean),
                    up: root(one_off.mean),
                    low: root(low),
                    high: root(high),
                    n: one_off.n,
                });
            }
        }
        let measured: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.across != point.up)
            .map(|point| (point.across, point.up))
            .collect();
        if !measured.iter().any(|pair| pair.1 > 0.0) {
            return Ok(None);
        }
        let title = "What leaving a layer exact takes off, against its error alone";
        let title = match rank::in_words(&measured, "codecs at layers") {
            Some(said) => format!("{title}: rank correlation where it was measured {said}"),
            None => title.to_owned(),
        };
        let ways = TwoWays {
            across: ("error with this layer alone compressed", "one_on"),
            up: ("error that goes with this layer alone exact", "one_off"),
            comparable: true,
        };
        let mut figure = layer_scatter(&self.caption("one-off", title), ways, &points)?;
        figure.how_to_read += HOW_TO_READ;
        Ok(Some(figure))
    }
}
