//! The colours of cosines, and the bar that explains them.

use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Frame};
use crate::{Result, mean_and_range, text, theme};

/// How colours follow cosines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 to 1.
    Unit,
    /// From -1 to 1, with another hue below 0.
    Signed,
    /// By the logarithm of the distance from 1, where all are near it.
    Distance,
}

/// A scale of distances is for cosines above this.
pub(crate) const NEAR: f64 = 0.9;

/// The decimal logarithms of the distances at the ends of their scale.
const FAR_END: i32 = -1;
const NEAR_END: i32 = -6;

impl Scale {
    /// The scale that shows `cosines` best; `signed` asks for one from -1 to 1 unless all are near 1.
    pub(crate) fn of(cosines: impl Iterator<Item = f64>, signed: bool) -> Self {
        let (_, low, _) = mean_and_range(cosines);
        match low {
            low if low > NEAR && low < 1.0 => Scale::Distance,
            low if signed || low < 0.0 => Scale::Signed,
            _ => Scale::Unit,
        }
    }

    pub(crate) fn color(self, cosine: f64) -> RGBColor {
        match self {
            Scale::Unit => theme::sequential(cosine),
            Scale::Signed => theme::diverging(cosine),
            Scale::Distance => theme::sequential(nearness(1.0 - cosine)),
        }
    }

    /// A cosine, or its distance from 1, as text.
    pub(crate) fn text(self, cosine: f64) -> String {
        match self {
            _ if !cosine.is_finite() => "–".to_string(),
            Scale::Distance => text::significant((1.0 - cosine).max(0.0)),
            _ => text::decimal(cosine, 0.001),
        }
    }

    /// What a reader has to know about the scale.
    pub(crate) fn how_to_read(self) -> &'static str {
        match self {
            Scale::Distance => {
                " All cosines are above 0.9, so colours and numbers show their distance from 1, on a \
                 logarithmic scale: the brighter, the closer; a millionth and less, and exact, are \
                 brightest."
            }
            _ => "",
        }
    }

    /// Draws the bar at the top of `free`, with the sign of an undefined cell.
    pub(crate) fn bar(self, canvas: &Canvas<'_>, free: Frame) -> Result<()> {
        let title = match self {
            Scale::Distance => "1 − cosine, log scale",
            _ => "cosine",
        };
        let (y, width) = (free.top + 4, 240);
        let left = free.left + text::width(title, theme::LABEL) + 14;
        canvas.print((free.left, y), title, theme::LABEL, theme::TEXT, Anchor::Start)?;
        let cells = 60;
        for i in 0..cells {
            let value = self.along((f64::from(i) + 0.5) / f64::from(cells));
            let ends = [i, i + 1].map(|i| left + width * i / cells);
            canvas.rectangle((ends[0], y - 7), (ends[1], y + 7), self.color(value))?;
        }
        let ticks = if self == Scale::Distance { FAR_END - NEAR_END } else { 4 };
        for i in 0..=ticks {
            let label = match self {
                Scale::Unit => text::decimal(f64::from(i) / 4.0, 0.01),
                Scale::Signed => text::decimal(f64::from(i) / 2.0 - 1.0, 0.5),
                Scale::Distance => format!("1e−{}", i - FAR_END),
            };
            let at = (left + width * i / ticks, y + 16);
            canvas.print(at, &label, theme::TICK, theme::MUTED, Anchor::Middle)?;
        }
        let hatch = left + width + 40;
        canvas.hatch((hatch, y - 7), (hatch + 18, y + 7))?;
        canvas.print((hatch + 26, y), "undefined", theme::LABEL, theme::TEXT, Anchor::Start)
    }

    /// The cosine at `part` of the bar, from 0 at its left end to 1.
    fn along(self, part: f64) -> f64 {
        match self {
            Scale::Unit => part,
            Scale::Signed => 2.0 * part - 1.0,
            Scale::Distance => {
                1.0 - 10f64.powf(f64::from(FAR_END) - part * f64::from(FAR_END - NEAR_END))
            }
        }
    }
}

/// From 0 for a distance of 0.1 and more to 1 for a millionth and less.
fn nearness(distance: f64) -> f64 {
    let exponent = distance.max(1e-12).log10();
    ((f64::from(FAR_END) - exponent) / f64::from(FAR_END - NEAR_END)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_near_one_are_told_apart_by_their_distance() {
        let near = Scale::of([0.99999, 0.95, f64::NAN].into_iter(), true);
        assert_eq!(near, Scale::Distance);
        assert_ne!(near.color(0.99999), near.color(0.9999));
        assert_eq!(
            (near.color(0.9), near.color(1.0)),
            (theme::sequential(0.0), theme::sequential(1.0))
        );
        assert_eq!(near.text(0.99), "0.0100");
        assert_eq!(Scale::of([0.99, 0.5].into_iter(), false), Scale::Unit);
        assert_eq!(Scale::of([0.99, 0.5].into_iter(), true), Scale::Signed);
        assert_eq!(Scale::of([1.0, 1.0].into_iter(), false), Scale::Unit);
    }
}
