//! Bias against spread of the whole gradient's error, layer by layer and codec by codec.

use crate::axis::Axis;
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::family::{Family, occurring};
use crate::labels::Labels;
use crate::legend::{Entry, Key};
use crate::panel::Panel;
use crate::{Caption, Figure, Result, mean_and_range, not_empty, text, theme};

/// The two parts of an error: its square is the sum of their squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorParts {
    /// `|E h - g| / |g|`, which further steps do not average out; 0 if it cannot be told from 0.
    pub bias: f64,
    /// The root of `E|h - E h|^2 / |g|^2`, which they do; 0 for a codec that draws nothing.
    pub spread: f64,
}

/// A codec at all layers and at each alone.
#[derive(Debug, Clone, Copy)]
pub struct CodecParts<'a> {
    /// The codec.
    pub codec: &'a str,
    /// Its family.
    pub family: Family,
    /// Its error at all layers together.
    pub all: ErrorParts,
    /// Each layer's name and its error with this layer alone compressed.
    pub layers: &'a [(&'a str, ErrorParts)],
}

const HOW_TO_READ: &str = "Small markers are single layers, each alone compressed by one codec; the large one \
    with a name is the codec at all layers, its squares added. Upwards is the bias |E h − g| / |g|: the error \
    that is left if a codec packs the same batch many times. To the right is the spread, the root of \
    E|h − E h|² / |g|². Steps that follow each other average the spread out, \
    not the bias, so of two equal errors the one with less bias is the better one. On the dashed line both are equal. Both axes \
    are logarithmic; what cannot be told from 0, or is less than they show, stands at their lower end.";

/// The axes show so many decades below the largest value.
const DECADES: f64 = 1e-6;

/// Draws the parts of all codecs.
///
/// # Errors
/// Returns an error if there is no codec, or none has an error.
pub fn bias_and_variance(caption: &Caption, codecs: &[CodecParts<'_>]) -> Result<Figure> {
    let mut data = data(&["codec", "layer", "bias", "spread"])?;
    for codec in codecs {
        let all = [("", codec.all)];
        for (layer, parts) in all.iter().chain(codec.layers) {
            let [bias, spread] = [parts.bias, parts.spread].map(number);
            data.write_record([codec.codec, layer, &bias, &spread])?;
        }
    }
    let all = || codecs.iter().flat_map(|c| c.layers.iter().map(|l| l.1).chain([c.all]));
    let values = || all().flat_map(|parts| [parts.bias, parts.spread]).filter(|v| *v > 0.0);
    not_empty(caption, "error", values().count())?;
    let (_, low, high) = mean_and_range(values());
    let low = low.max(high * DECADES);
    let axis = |label| Axis::log(label, low * 0.8, high * 1.25);
    let (x, y) = (axis("spread of the whole gradient"), axis("bias of the whole gradient"));
    let families = occurring(codecs.iter().map(|codec| codec.family));
    let legend: Vec<_> =
        families.iter().map(|f| Entry::new(f.name(), f.look(), Key::Mark)).collect();
    let svg = draw(caption, theme::HEIGHT + 60, &legend, |canvas| {
        let panel = canvas.panel(canvas.free, &x, &y, 0)?;
        let mut labels = Labels::new(panel.inside(), theme::LABEL);
        let ends = [10f64.powf(x.low), 10f64.powf(x.high)].map(|end| panel.at(end, end));
        canvas.path(&ends, theme::MUTED, 1, true)?;
        let least = 10f64.powf(x.low);
        for codec in codecs {
            for (layer, parts) in codec.layers {
                let said = format!("{}, {layer}", codec.codec);
                labels.avoid(mark(canvas, &panel, (codec.family, 2), *parts, least, &said)?);
            }
        }
        for codec in codecs {
            let said = format!("{}, all layers", codec.codec);
            labels.avoid(mark(canvas, &panel, (codec.family, 6), codec.all, least, &said)?);
        }
        for codec in codecs {
            labels.write(canvas, place(&panel, codec.all, least), (codec.codec, codec.codec))?;
        }
        Ok(())
    })?;
    caption.figure(svg, data, HOW_TO_READ)
}

/// The pixel of an error; parts below `least` stand at the end of their axis.
fn place(panel: &Panel<'_, '_>, parts: ErrorParts, least: f64) -> (i32, i32) {
    panel.at(parts.spread.max(least), parts.bias.max(least))
}

/// Draws a marker and returns its area.
fn mark(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    (family, radius): (Family, i32),
    parts: ErrorParts,
    least: f64,
    said: &str,
) -> Result<Frame> {
    let ((x, y), r) = (place(panel, parts, least), radius + 1);
    canvas.mark((x, y), family.look(), radius)?;
    let area = Frame { left: x - r, top: y - r, right: x + r, bottom: y + r };
    let [bias, spread] = [parts.bias, parts.spread].map(text::significant);
    canvas.hover(area, &format!("{said}: bias {bias}, spread {spread}"));
    Ok(area)
}
