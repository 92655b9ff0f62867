//! The colours of gradient errors, and the bar that explains them.

use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Frame};
use crate::{Result, mean_and_range, text, theme};

/// The title of the bar.
pub(crate) const TITLE: &str = "error of the whole gradient, log scale";

/// A logarithmic scale over whole decades: the brighter, the smaller the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorScale {
    /// The decimal logarithms at its ends.
    low: i32,
    high: i32,
}

impl ErrorScale {
    /// The scale that holds all positive `errors`.
    pub(crate) fn of(errors: impl Iterator<Item = f64>) -> Self {
        let (_, low, high) = mean_and_range(errors.filter(|error| *error > 0.0));
        if !low.is_finite() {
            return Self { low: -1, high: 0 };
        }
        let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        Self { low, high: high.max(low + 1) }
    }

    /// The colour of an error; that of the smallest for 0.
    pub(crate) fn color(self, error: f64) -> RGBColor {
        let span = f64::from(self.high - self.low);
        theme::sequential((f64::from(self.high) - error.max(1e-300).log10()) / span)
    }

    /// Draws the bar at the top of `free` and returns the pixel of its right end.
    pub(crate) fn bar(self, canvas: &Canvas<'_>, free: Frame) -> Result<i32> {
        let (y, width, cells) = (free.top + 4, 240, 60);
        let left = free.left + text::width(TITLE, theme::LABEL) + 14;
        canvas.print((free.left, y), TITLE, theme::LABEL, theme::TEXT, Anchor::Start)?;
        let span = self.high - self.low;
        for i in 0..cells {
            let part = (f64::from(i) + 0.5) / f64::from(cells);
            let error = 10f64.powf(f64::from(self.low) + part * f64::from(span));
            let ends = [i, i + 1].map(|i| left + width * i / cells);
            canvas.rectangle((ends[0], y - 7), (ends[1], y + 7), self.color(error))?;
        }
        let every = (span / 6 + 1).max(1);
        for i in (0..=span).filter(|i| i % every == 0) {
            let label = format!("1e{}", self.low + i).replace('-', "−");
            let at = (left + width * i / span, y + 16);
            canvas.print(at, &label, theme::TICK, theme::MUTED, Anchor::Middle)?;
        }
        Ok(left + width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_whole_decades() {
        let scale = ErrorScale::of([0.0, 0.02, 3e-5, f64::NAN].into_iter());
        assert_eq!(scale, ErrorScale { low: -5, high: -1 });
        assert_eq!(scale.color(0.1), theme::sequential(0.0));
        assert_eq!([1e-5, 0.0].map(|e| scale.color(e)), [theme::sequential(1.0); 2]);
        assert_eq!(ErrorScale::of([1.0].into_iter()), ErrorScale { low: 0, high: 1 });
        assert_eq!(ErrorScale::of(std::iter::empty()), ErrorScale { low: -1, high: 0 });
    }
}
