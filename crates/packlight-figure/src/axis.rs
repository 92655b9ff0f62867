//! Axes: range, ticks and tick labels.

use crate::text;

/// An axis in drawing coordinates, which are decimal logarithms on a logarithmic axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<(f64, String)>,
    log: bool,
}

impl Axis {
    /// A linear axis over `[low, high]`, widened to whole ticks, with about `count` of them.
    pub(crate) fn linear(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let (low, high) = proper(low, high);
        let step = nice_step((high - low) / count as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks = ticks(first, last, step);
        Self { label: label.into(), low: first * step, high: last * step, ticks, log: false }
    }

    /// A linear axis over exactly `[low, high]`, with ticks inside.
    pub(crate) fn within(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let (low, high) = proper(low, high);
        let step = nice_step((high - low) / count as f64);
        let ticks = ticks((low / step - 1e-9).ceil(), (high / step + 1e-9).floor(), step);
        Self { label: label.into(), low, high, ticks, log: false }
    }

    /// An axis of whole numbers, such as epochs, over exactly `[low, high]`.
    pub(crate) fn whole(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        let nice = nice_step((high - low) / count as f64).max(1.0);
        let step = if nice.fract() > 0.0 { 2.0 * nice } else { nice }; // 2.5 is no whole number
        let ticks = ticks((low / step - 1e-9).ceil(), (high / step + 1e-9).floor(), step);
        Self { label: label.into(), low, high, ticks, log: false }
    }

    /// The axis of cosines, always from -1 to 1.
    pub(crate) fn cosine(label: impl Into<String>) -> Self {
        Self::within(label, -1.0, 1.0, 4)
    }

    /// A logarithmic axis over the positive range `[low, high]`, widened to whole ticks; its label
    /// says "log scale".
    pub(crate) fn log(label: impl Into<String>, low: f64, high: f64) -> Self {
        let (low, high) = if low > 0.0 && high > low { (low, high) } else { (0.1, 1.0) };
        let decades = (high / low).log10();
        let mantissas: &[f64] = if decades < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / 6.0).ceil().max(1.0) as i32;
        let mut values: Vec<f64> = Vec::new();
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        for exponent in (first..=last).filter(|e| (e - first) % every == 0) {
            values.extend(mantissas.iter().map(|m| m * 10f64.powi(exponent)));
        }
        let start = values.iter().rposition(|&v| v <= low * (1.0 + 1e-9)).unwrap_or(0);
        let end = values
            .iter()
            .position(|&v| v >= high * (1.0 - 1e-9))
            .unwrap_or(values.len().saturating_sub(1));
        let kept = &values[start..=end.max(start)];
        Self {
            label: format!("{}, log scale", label.into()),
            low: kept[0].log10().min(low.log10()),
            high: kept[kept.len() - 1].log10().max(high.log10()),
            ticks: kept.iter().map(|v| (v.log10(), power(*v))).collect(),
            log: true,
        }
    }

    /// An axis of bytes from 0 to `high`, in a suitable binary unit.
    pub(crate) fn bytes(label: &str, high: f64, count: usize) -> Self {
        let (unit, size) = binary_unit(high);
        let mut axis = Self::linear(format!("{label} ({unit})"), 0.0, high / size, count);
        axis.high *= size;
        axis.ticks.iter_mut().for_each(|(at, _)| *at *= size);
        axis
    }

    /// A logarithmic axis of bytes over the positive range `[low, high]`, in a binary unit.
    pub(crate) fn log_bytes(label: &str, low: f64, high: f64) -> Self {
        let (unit, size) = binary_unit(high);
        let mut axis = Self::log(format!("{label} ({unit})"), low / size, high / size);
        axis.low += size.log10();
        axis.high += size.log10();
        axis.ticks.iter_mut().for_each(|(at, _)| *at += size.log10());
        axis
    }

    /// Ends the axis at `high`.
    pub(crate) fn until(mut self, high: f64) -> Self {
        if high > self.low && high < self.high {
            self.high = high;
            self.ticks.retain(|(at, _)| *at <= high);
        }
        self
    }

    /// `value` in drawing coordinates.
    pub(crate) fn at(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    /// Width in pixels of the widest tick label.
    pub(crate) fn tick_width(&self, size: f64) -> i32 {
        self.ticks.iter().map(|(_, t)| text::width(t, size)).max().unwrap_or(0)
    }
}

/// A number of bytes in a suitable binary unit, such as `3.25 MiB`.
#[must_use]
pub fn binary(bytes: f64) -> String {
    let (unit, size) = binary_unit(bytes.abs());
    if unit == "B" {
        return format!("{} B", text::decimal(bytes, 1.0));
    }
    format!("{} {unit}", text::significant(bytes / size))
}

fn binary_unit(bytes: f64) -> (&'static str, f64) {
    match bytes {
        b if b >= 1024f64.powi(3) => ("GiB", 1024f64.powi(3)),
        b if b >= 1024f64.powi(2) => ("MiB", 1024f64.powi(2)),
        b if b >= 1024.0 => ("KiB", 1024.0),
        _ => ("B", 1.0),
    }
}

/// The range itself, if it is finite and not empty, otherwise one that is.
fn proper(low: f64, high: f64) -> (f64, f64) {
    if !low.is_finite() || !high.is_finite() || high < low {
        return (0.0, 1.0);
    }
    if high - low > 1e-12 * high.abs().max(low.abs()).max(1e-300) {
        return (low, high);
    }
    let half = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
    (low - half, high + half)
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * decade)
        .find(|s| *s >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * decade)
}

fn ticks(first: f64, last: f64, step: f64) -> Vec<(f64, String)> {
    // A step of 0.25 needs two decimals, one of 0.2 only one.
    let decade = 10f64.powf(step.log10().floor());
    let precision = if (step / decade - 2.5).abs() < 1e-6 { decade / 10.0 } else { decade };
    let count = (last - first).round().clamp(0.0, 100.0) as usize;
    (0..=count)
        .map(|i| (first + i as f64) * step)
        .map(|value| (value, text::decimal(value, precision)))
        .collect()
}

fn power(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        text::significant_trimmed(value)
    } else {
        format!("{value:.0e}").replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_that_cover_the_range() {
        let axis = Axis::linear("x", 0.03, 0.97, 4);
        assert_eq!(labels(&axis), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert!(axis.low <= 0.03 && axis.high >= 0.97);
        assert_eq!(labels(&Axis::cosine("c")), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::whole("epoch", 1.0, 8.0, 4)), ["2", "4", "6", "8"]);
        assert_eq!(labels(&Axis::whole("epoch", 1.0, 18.0, 7)), ["5", "10", "15"]);
    }

    #[test]
    fn a_log_axis_says_so_and_covers_the_range() {
        let axis = Axis::log("loss", 0.013, 2.2);
        assert_eq!(axis.label, "loss, log scale");
        assert_eq!(labels(&axis).first(), Some(&"0.01"));
        assert!(axis.low <= 0.013f64.log10() && axis.high >= 2.2f64.log10());
        let axis = Axis::log("error", 1e-9, 1.0);
        assert!(axis.ticks.len() <= 8, "{:?}", axis.ticks);
    }

    #[test]
    fn bytes_are_in_binary_units() {
        let axis = Axis::bytes("kept", 3.5 * 1024.0 * 1024.0, 4);
        assert_eq!(axis.label, "kept (MiB)");
        assert_eq!(axis.ticks[1].0, 1024.0 * 1024.0);
        assert_eq!(binary(1536.0), "1.50 KiB");
        assert_eq!(binary(12.0), "12 B");
    }

    #[test]
    fn an_empty_or_unbounded_range_still_makes_an_axis() {
        for (low, high) in
            [(1.0, 1.0), (0.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, f64::NEG_INFINITY)]
        {
            let axis = Axis::linear("x", low, high, 4);
            assert!(axis.high > axis.low && !axis.ticks.is_empty());
        }
    }
}
