//! Codes with all that it takes to restore their values, at once or some at a time.

use std::ops::Range;

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::affine::Affine;
use super::grouping::{Bits, Grouping, Layout};
use super::{KERNEL, packed};
use crate::Result;
use crate::bit_pack;
use crate::dtype::Element;
use crate::par_vec::{Blank, LARGEST_PIECE};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::read;

/// What [`unpack`](super::unpack) restores a tensor from.
#[derive(Debug, Clone, Copy)]
pub struct Coded<'a> {
    /// The codes (bytes, u8).
    pub codes: &'a Tensor,
    /// The minimum and the scale of each group.
    pub ranges: &'a Tensor,
    /// How the tensor is divided into groups.
    pub grouping: Grouping<'a>,
    /// The tensor's shape.
    pub shape: &'a [usize],
    /// The tensor's type.
    pub dtype: DType,
}

impl Coded<'_> {
    /// What `compute` makes of the codes, which must be on the CPU.
    pub(crate) fn read<R>(&self, compute: impl FnOnce(Codes<'_>) -> Result<R>) -> Result<R> {
        let (layout, ranges, shared) = packed(self)?;
        let codes = self.codes;
        read!(KERNEL; codes: u8, ranges: f32);
        let ranges = ranges.as_chunks::<2>().0;
        compute(Codes { codes, ranges, layout: &layout, shared })
    }
}

/// Codes of a layout and the ranges of its groups.
pub(crate) struct Codes<'a> {
    codes: &'a [u8],
    ranges: &'a [[f32; 2]],
    layout: &'a Layout<'a>,
    /// Whether the ranges are those of the groups of a row.
    shared: bool,
}

impl Codes<'_> {
    /// Restores some of the values on all threads.
    pub(crate) fn restore<T: Element>(&self, elements: Range<usize>, values: &mut Blank<'_, T>) {
        let starts = elements.clone().step_by(LARGEST_PIECE);
        let pieces: Vec<_> =
            starts.map(|start| start..elements.end.min(start + LARGEST_PIECE)).collect();
        let ends = pieces.iter().map(|piece| piece.end - elements.start).collect();
        values.parts(ends, pieces.into_par_iter(), |piece, values| decode(self, piece, values));
    }
}

on_widest_vectors! {
    /// Restores the values of some elements, which may begin and end within groups, on this thread.
    pub(crate) fn decode<T: Element>(from: &Codes<'_>, elements: Range<usize>, values: &mut Blank<'_, T>) {
        if elements.is_empty() {
            return; // of rows without elements, perhaps
        }
        let Codes { codes: all, ranges, layout, shared } = from;
        let bytes = matches!(layout.bits, Bits::All(8)); // each code is the byte of its value
        let first = layout.group_of(elements.start);
        let mut codes = &all[layout.byte(first)..];
        for (number, group) in (first..).zip(layout.walk(first..layout.groups())) {
            if group.elements.start >= elements.end {
                break;
            }
            let [min, scale] = ranges[if *shared { group.within } else { number }];
            let affine = Affine { min, scale };
            let wanted = group.elements.start.max(elements.start)..group.elements.end.min(elements.end);
            if bytes {
                values.write_from(&all[wanted], #[inline(always)] |code| affine.value(code));
                continue;
            }
            let count = (group.elements.len(), group.bits);
            let (own, rest) = codes.split_at(bit_pack::bytes(count.0, count.1));
            codes = rest;
            let wanted = wanted.start - group.elements.start..wanted.end - group.elements.start;
            bit_pack::read(own, count, wanted, #[inline(always)] |codes| {
                values.write_from(codes, #[inline(always)] |code| affine.value(code));
            });
        }
    }
}
