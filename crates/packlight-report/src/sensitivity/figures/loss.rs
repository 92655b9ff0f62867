//! Whether the error of the gradient tells what becomes of the loss.

use packlight_figure::{Figure, LayerPoint, TwoWays, layer_scatter};

use crate::Result;
use crate::family::of_plan;
use crate::sensitivity::Sensitivity;
use crate::statistics::rank;

impl Sensitivity {
    /// The rise of the loss after a few updates against the error of the gradient; `None` if no training was
    /// compared, or the loss rose with no codec.
    pub(super) fn loss(&self) -> Result<Option<Figure>> {
        let Some(horizon) = self.measured.horizon() else { return Ok(None) };
        let mut points = Vec::new();
        for layer in self.measured.layers().iter().filter(|layer| !layer.at_floor) {
            for choice in &layer.choices[1..] {
                let Some(loss) = choice.loss else { continue };
                let (low, high) = loss.ends();
                points.push(LayerPoint {
                    layer: &layer.facts.layer,
                    codec: &choice.codec,
                    family: of_plan(&choice.codec),
                    across: choice.error.mean.sqrt(),
                    up: loss.mean,
                    low,
                    high,
                    n: loss.n,
                });
            }
        }
        let any = |of: fn(&LayerPoint<'_>) -> f64| points.iter().any(|point| of(point) > 0.0);
        if !any(|point| point.across) || !any(|point| point.up) {
            return Ok(None);
        }
        let pairs: Vec<(f64, f64)> = points.iter().map(|point| (point.across, point.up)).collect();
        let title = format!("Loss after {horizon} updates against the error of the gradient");
        let title = match rank::in_words(&pairs, "codecs at layers") {
            Some(said) => format!("{title}: rank correlation {said}"),
            None => title,
        };
        let rise = format!("rise of the loss after {horizon} updates");
        let ways = TwoWays {
            across: ("error of the whole gradient", "error"),
            up: (&rise, "rise"),
            comparable: false,
        };
        let mut figure = layer_scatter(&self.caption("loss", title), ways, &points)?;
        figure.how_to_read += &format!(
            " To the right is the lasting error of the whole gradient, with the codec at this layer alone. \
             Upwards is the loss on a fixed sample after {horizon} updates with it, less that after as many \
             exact ones from the same weights on the same batches. If errors tell what they cost, markers rise \
             to the right; a marker whose bar reaches the lower end cannot be told from no loss. Codecs \
             whose error is 1 or more on a batch were not trained with there and have no marker."
        );
        Ok(Some(figure))
    }
}
