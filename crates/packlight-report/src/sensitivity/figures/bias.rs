//! Which part of each codec's error further steps average out.

use packlight_figure::{CodecParts, ErrorParts, Figure, bias_and_variance};

use crate::Result;
use crate::family::of_plan;
use crate::sensitivity::Sensitivity;
use crate::tables::finite;

/// A layer's name with the squares of its bias and of its spread.
type Squares = (String, f64, f64);

impl Sensitivity {
    /// Bias against spread, where codecs packed a batch more than once; `None` if none did. Layers at the
    /// numerical floor are left out.
    pub(super) fn bias(&self) -> Result<Option<Figure>> {
        let averages = self.scores.averages(|score| {
            let error = score.whole_error();
            [error.relative_squared_bias(), error.relative_variance()]
                .map(|part| part.and_then(finite))
        });
        let at_floor = |layer: &str| self.rows.iter().any(|r| r.layer == *layer && r.at_floor);
        let mut all: Vec<(&str, Vec<Squares>)> =
            self.codecs.iter().map(|codec| (codec.as_str(), Vec::new())).collect();
        for (layer, codec, parts) in averages {
            let [bias, variance] = parts.map(|part| part.mean());
            let of_codec = all.iter_mut().find(|(known, _)| *known == codec);
            if let Some((_, layers)) = of_codec.filter(|_| bias.is_finite() && !at_floor(layer)) {
                layers.push((layer.to_owned(), bias, variance));
            }
        }
        all.retain(|(_, layers)| layers.iter().any(|(_, bias, spread)| bias.max(*spread) > 0.0));
        let layers: Vec<Vec<(&str, ErrorParts)>> = all
            .iter()
            .map(|(_, l)| l.iter().map(|(name, b, v)| (name.as_str(), roots(*b, *v))).collect())
            .collect();
        let codecs: Vec<CodecParts<'_>> = all
            .iter()
            .zip(&layers)
            .map(|((codec, squares), layers)| CodecParts {
                codec,
                family: of_plan(codec),
                all: roots(
                    squares.iter().map(|square| square.1).sum(),
                    squares.iter().map(|square| square.2).sum(),
                ),
                layers,
            })
            .collect();
        if codecs.is_empty() {
            return Ok(None);
        }
        let title = "Which part of the error further steps average out: bias against spread";
        Ok(Some(bias_and_variance(&self.caption("bias", title), &codecs)?))
    }
}

/// An estimate of a square may fall below 0 by chance: its root cannot be told from 0.
fn roots(bias: f64, variance: f64) -> ErrorParts {
    ErrorParts { bias: bias.max(0.0).sqrt(), spread: variance.max(0.0).sqrt() }
}
