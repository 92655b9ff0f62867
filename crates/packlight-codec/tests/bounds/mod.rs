//! What each codec restores of a tensor, by its definition.

use candle_core::DType;
use packlight_codec::{AxisLayout, Bytes};
use packlight_kernels::rng::Key;

mod blocks;
mod codes;
mod low_rank;
mod sparse;

/// A tensor and what was restored of it.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) axes: AxisLayout,
    pub(crate) shape: &'a [usize],
    pub(crate) dtype: DType,
    pub(crate) key: Key,
    pub(crate) bytes: Bytes,
    pub(crate) x: Vec<f64>,
    pub(crate) r: Vec<f64>,
}

/// What is to hold; panics where it does not.
pub(crate) type Bound = fn(&Case<'_>);

/// The bound of each family of codecs; of two that fit, the first.
const BOUNDS: &[(&str, Bound)] = &[
    ("none", exact),
    ("msnorm", exact),
    ("dither", exact),
    ("resprop", exact),
    ("asi:2MiB", exact), // until ranks are chosen
    ("surgeon", exact),  // until shares are measured
    ("bitmap", exact),
    ("bf16", codes::bf16),
    ("fp8", codes::fp8),
    ("qb", low_rank::projection_of_rank),
    ("q", codes::groups_of_256),
    ("outlier", codes::outliers_apart),
    ("blpa", codes::groups_of_256),
    ("actnn", codes::groups_of_256),
    ("gact", codes::groups_of_256),
    ("alam:", codes::groups_of_128),
    ("alam", codes::means_of_four),
    ("mesa", codes::over_all_samples),
    ("division", codes::means_and_rest),
    ("asa", codes::signs),
    ("alt", codes::signs),
    ("pool", blocks::pooled),
    ("gf", blocks::filtered),
    ("topk", sparse::largest),
    ("swat", sparse::largest),
    ("bsr", sparse::strongest_blocks),
    ("svd", low_rank::truncated),
    ("hosvd", low_rank::core_of_energy),
    ("asi", low_rank::core),
    ("velora", low_rank::parts_along_a_direction),
    ("compact", low_rank::random_projection),
    ("pamm", low_rank::rows_along_rows),
    ("basis", low_rank::sums_in_bins),
];

/// The bound of a codec; `None` for one that restores nothing.
pub(crate) fn bound_of(name: &str) -> Option<Bound> {
    BOUNDS.iter().find(|(family, _)| name.starts_with(family)).map(|(_, bound)| *bound)
}

fn exact(case: &Case<'_>) {
    assert_eq!(case.r, case.x, "{}", case.name);
}

impl Case<'_> {
    /// The numbers in the codec's name.
    fn numbers(&self) -> Vec<f64> {
        let parts = self.name.split(|c: char| !c.is_ascii_digit() && c != '.');
        parts.filter_map(|part| part.parse().ok()).collect()
    }

    fn largest(&self) -> f64 {
        self.x.iter().fold(0.0, |largest, x| x.abs().max(largest))
    }

    /// Rounding in sums of up to a thousand elements of this size, in the tensor's type.
    fn rounding(&self, size: f64) -> f64 {
        if self.dtype == DType::F64 { 1e-11 * size } else { 1e-5 * size + 1e-43 }
    }

    /// That in f32, in which codes are made whatever the tensor's type.
    fn single_rounding(&self, size: f64) -> f64 {
        1e-6 * size + 1e-43
    }

    /// |x|^2, with the scale taken out so that nothing overflows or vanishes.
    fn scaled(&self) -> (Vec<f64>, Vec<f64>, f64) {
        let largest = self.largest();
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let by = |values: &[f64]| values.iter().map(|x| x / scale).collect();
        // Of subnormal numbers f32 has a few digits.
        let coarse = if self.dtype == DType::F32 && largest < 1e-36 { 1e-3 } else { 0.0 };
        (by(&self.x), by(&self.r), self.rounding(1.0) + coarse)
    }

    /// Planes of rows and columns: an image's channels, or tokens of one row.
    fn plane(&self) -> (usize, usize) {
        match (self.axes, self.shape) {
            (AxisLayout::Images, &[_, _, h, w]) => (h, w),
            (_, &[.., features]) => (1, features),
            _ => (1, 1),
        }
    }

    /// Elements of a sample; a vector is one.
    fn sample(&self) -> usize {
        match self.shape {
            [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
            _ => self.x.len(),
        }
    }

    /// Each restored value is within what `allowed` says of its index.
    fn within(&self, expected: &[f64], allowed: impl Fn(usize) -> f64) {
        assert_eq!(expected.len(), self.r.len());
        for (at, (expected, r)) in expected.iter().zip(&self.r).enumerate() {
            let allowed = allowed(at);
            assert!(
                (expected - r).abs() <= allowed,
                "{} {:?} {:?}, {at}: {r} for {expected}, {allowed} allowed",
                self.name,
                self.dtype,
                self.shape
            );
        }
    }
}

fn energy(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
