//! The least and the greatest value of groups.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::affine::single;
use super::{Bits, Grouping, KERNEL, Layout};
use crate::Result;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::par_vec::split;
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};

/// The minimum and the maximum of each group: (groups, 2) as f32; NaN if a value of the group is
/// not finite.
///
/// # Errors
/// Returns an error if the grouping does not fit the tensor, or the type or device is not
/// supported.
pub fn extremes(input: &Tensor, row: usize, group: usize) -> Result<Tensor> {
    on_cuda!(input => quantise::extremes(input, row, group));
    let layout = Layout::new(input.elem_count(), &Grouping { row, group, bits: Bits::All(1) })?;
    let device = input.device();
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let mut found = vec![[0.0; 2]; layout.groups()];
        let pieces = layout.pieces();
        let targets = split(&mut found, pieces.iter().map(|groups| groups.end));
        pieces.into_par_iter().zip(targets).for_each(|(groups, found)| {
            extremes_of(input, &layout, groups, found);
        });
        let groups = found.len();
        Ok(Tensor::from_vec(found.into_flattened(), (groups, 2), device)?)
    })
}

/// The minimum and the maximum of the same group of all rows: (groups of a row, 2) as f32; NaN if a value
/// of such a group is not finite.
///
/// # Errors
/// Returns an error if the grouping does not fit the tensor, or the type or device is not
/// supported.
pub fn extremes_over_rows(input: &Tensor, row: usize, group: usize) -> Result<Tensor> {
    let layout = Layout::new(input.elem_count(), &Grouping { row, group, bits: Bits::All(1) })?;
    let of_pieces: Vec<Vec<[f32; 2]>> = if input.device().is_cpu() {
        by_dtype!(KERNEL, input, T => {
            read!(KERNEL; input: T);
            let pieces = input.par_chunks((layout.rows_per_piece() * row).max(1));
            Ok(pieces.map(|rows| over_rows(rows, &layout)).collect())
        })?
    } else {
        let all = extremes(input, row, group)?.flatten_all()?.to_vec1::<f32>()?;
        all.as_chunks().0.chunks(layout.groups_per_row).map(<[_]>::to_vec).collect()
    };
    let mut found = vec![[f32::INFINITY, f32::NEG_INFINITY]; layout.groups_per_row];
    for piece in of_pieces {
        for ([low, high], [piece_low, piece_high]) in found.iter_mut().zip(piece) {
            if low.is_nan() || piece_low.is_nan() {
                (*low, *high) = (f32::NAN, f32::NAN);
            } else {
                (*low, *high) = (low.min(piece_low), high.max(piece_high));
            }
        }
    }
    Ok(Tensor::from_vec(found.into_flattened(), (layout.groups_per_row, 2), input.device())?)
}

on_widest_vectors! {
    /// The extremes of some groups of `input`.
    fn extremes_of<T: Element>(
        input: &[T],
        layout: &Layout<'_>,
        groups: Range<usize>,
        found: &mut [[f32; 2]],
    ) {
        for (group, found) in layout.walk(groups).zip(found) {
            let (low, high) = extremes_in(&input[group.elements]);
            *found = [low, high];
        }
    }
}

on_widest_vectors! {
    /// The extremes of the groups of a row over some rows.
    fn over_rows<T: Element>(rows: &[T], layout: &Layout<'_>) -> Vec<[f32; 2]> {
        let mut extremes = vec![Extremes::none(); layout.groups_per_row];
        for row in rows.chunks_exact(layout.row) {
            for (extremes, group) in extremes.iter_mut().zip(row.chunks(layout.group)) {
                extremes.take(group);
            }
        }
        let mut found = vec![[0.0; 2]; layout.groups_per_row];
        for (found, extremes) in found.iter_mut().zip(extremes) {
            let (low, high) = extremes.both();
            *found = [low, high];
        }
        found
    }
}

/// The minimum and the maximum of some values.
#[derive(Clone, Copy)]
struct Extremes {
    low: [f32; LANES],
    high: [f32; LANES],
    /// Stays 0 for finite values, and is NaN for others.
    finite: [f32; LANES],
}

/// Values looked at side by side.
const LANES: usize = 32;

impl Extremes {
    /// Those of no value.
    #[inline(always)]
    fn none() -> Self {
        Self { low: [f32::INFINITY; LANES], high: [f32::NEG_INFINITY; LANES], finite: [0.0; LANES] }
    }

    /// Adds values.
    #[inline(always)]
    fn take<T: Element>(&mut self, values: &[T]) {
        let mut all = *self;
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            all = all.with(chunk);
        }
        if !rest.is_empty() {
            // Values that are there already change nothing.
            let mut chunk = [rest[0]; LANES];
            chunk[..rest.len()].copy_from_slice(rest);
            all = all.with(&chunk);
        }
        *self = all;
    }

    /// With one more value in each lane. By value: lanes that are changed in place become masked writes, which take
    /// about three times as long.
    #[inline(always)]
    fn with<T: Element>(self, chunk: &[T; LANES]) -> Self {
        let mut values = [0.0; LANES];
        for lane in 0..LANES {
            values[lane] = single(chunk[lane]);
        }
        let (mut low, mut high, mut finite) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let value = values[lane];
            low[lane] = if value < self.low[lane] { value } else { self.low[lane] };
        }
        for lane in 0..LANES {
            let value = values[lane];
            high[lane] = if value > self.high[lane] { value } else { self.high[lane] };
        }
        for lane in 0..LANES {
            finite[lane] = self.finite[lane] + values[lane] * 0.0;
        }
        Self { low, high, finite }
    }

    /// Both; NaN if a value is not finite in f32.
    #[inline(always)]
    fn both(self) -> (f32, f32) {
        let Self { mut low, mut high, mut finite } = self;
        // Lanes are halved repeatedly; one by one, this would take as long as the values themselves.
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                let (other_low, other_high) = (low[lane + width], high[lane + width]);
                low[lane] = if other_low < low[lane] { other_low } else { low[lane] };
                high[lane] = if other_high > high[lane] { other_high } else { high[lane] };
                finite[lane] += finite[lane + width];
            }
            width /= 2;
        }
        match finite[0].is_nan() {
            true => (f32::NAN, f32::NAN),
            false => (low[0], high[0]),
        }
    }
}

/// The minimum and the maximum; both NaN if a value is not finite in f32.
#[inline(always)]
pub(super) fn extremes_in<T: Element>(values: &[T]) -> (f32, f32) {
    let mut extremes = Extremes::none();
    extremes.take(values);
    extremes.both()
}
