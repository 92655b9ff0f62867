//! `mesa`: 8 bits a value over running ranges of heads or of groups of channels.
//!
//! Pan et al., "Mesa: a memory-saving training framework for transformers", arXiv 2111.11124: each
//! head, or group of channels, has a running estimate of its minimum and range, which moves a tenth of
//! the way to each new batch's, and values are rounded at random to 256 codes over it. The first step
//! uses its own batch's range. A value outside the running range gets the nearest code, which is
//! biased; the authors' kernel clamps only from below, so values above the range wrap around. Outside
//! attention a group is 64 channels or features, the width of a head in most transformers and the
//! authors' `convert_by_group_size(model, 64)`.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::{AxisLayout, Bytes, Codec, CodecState, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "mesa",
    parameters: &[],
    summary: "8 bits per value over running ranges of heads, or of groups of 64 channels or features",
    examples: &["mesa"],
    build: |_| Ok(Arc::new(Mesa)),
};

/// Channels or features that share a range.
const WIDTH: usize = 64;
/// The weight of a new batch.
const MOMENTUM: f32 = 0.1;
const LEVELS: f32 = 255.0;
/// The name under which minimum and range of each group are stored.
const RANGES: &str = "ranges";

/// Codes over running ranges.
#[derive(Debug)]
pub struct Mesa;

/// Rows whose groups have the same ranges: samples of images or of heads, or tokens.
fn grouping(shape: &[usize], axes: AxisLayout) -> Grouping<'static> {
    let (row, group) = match (axes, shape) {
        (AxisLayout::Heads, &[_, heads, ref head @ ..]) => {
            let head = head.iter().product();
            (heads * head, head)
        }
        (AxisLayout::Images, &[_, channels, ref plane @ ..]) => {
            let plane = plane.iter().product::<usize>();
            (channels * plane, WIDTH * plane)
        }
        (_, &[.., features]) => (features, WIDTH),
        (_, []) => (1, WIDTH),
    };
    Grouping { row, group: group.max(1), bits: Bits::All(8) }
}

fn bytes(shape: &[usize], axes: AxisLayout) -> Bytes {
    let metadata = grouping(shape, axes).groups_per_row() * 2 * size_of::<f32>();
    Bytes { payload: shape.iter().product(), metadata }
}

/// Least value and range of each group over all rows; `None` where one is not finite.
fn extremes(input: &Tensor, grouping: &Grouping<'_>) -> Result<Option<Vec<[f32; 2]>>> {
    let found = quantise::extremes_over_rows(input, grouping.row, grouping.group)?;
    let found = found.flatten_all()?.to_vec1::<f32>()?;
    let ranges = found.as_chunks::<2>().0.iter().map(|&[low, high]| [low, high - low]);
    let ranges: Vec<_> = ranges.collect();
    Ok(ranges.as_flattened().iter().all(|value| value.is_finite()).then_some(ranges))
}

/// The running ranges after this batch, which are stored.
fn update(batch: Vec<[f32; 2]>, memory: &mut CodecState, input: &Tensor) -> Result<Vec<[f32; 2]>> {
    let shape = (batch.len(), 2);
    let running = match memory.get(RANGES) {
        Some(running) if running.dims() == [shape.0, shape.1] => {
            let running = running.flatten_all()?.to_vec1::<f32>()?;
            let mix = |old: f32, new: f32| old + MOMENTUM * (new - old);
            let pairs = running.as_chunks::<2>().0.iter().zip(batch);
            pairs.map(|(old, new)| [mix(old[0], new[0]), mix(old[1], new[1])]).collect()
        }
        _ => batch,
    };
    memory.set(RANGES, &Tensor::from_slice(running.as_flattened(), shape, input.device())?);
    Ok(running)
}

impl Codec for Mesa {
    fn spec(&self) -> String {
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::PACKABLE)
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        Ok(Some(bytes(shape, site.axes)))
    }

    /// A batch with a value that is not finite unpacks to NaN throughout, and leaves the running
    /// ranges as they are.
    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let grouping = grouping(input.dims(), site.axes);
        let running = match extremes(input, &grouping)? {
            _ if input.elem_count() == 0 => vec![[0.0; 2]; grouping.groups_per_row()],
            Some(batch) => update(batch, site.state, input)?,
            None => vec![[f32::NAN; 2]; grouping.groups_per_row()],
        };
        let ranges: Vec<f32> =
            running.iter().flat_map(|&[offset, range]| [offset, range / LEVELS]).collect();
        let ranges = Tensor::from_vec(ranges, (running.len(), 2), input.device())?;
        let rounding = Rounding::Stochastic(site.key);
        let codes = quantise::pack_within(input, &ranges, &grouping, rounding)?;
        let (shape, dtype, axes) = (input.dims().to_vec(), input.dtype(), site.axes);
        Ok(Box::new(Codes { codes, ranges, shape, dtype, axes }))
    }
}

struct Codes {
    codes: Tensor,
    /// Least value and step of each group.
    ranges: Tensor,
    shape: Vec<usize>,
    dtype: DType,
    axes: AxisLayout,
}

impl Codes {
    fn as_coded(&self) -> Coded<'_> {
        let Self { codes, ranges, shape, dtype, .. } = self;
        let grouping = grouping(&self.shape, self.axes);
        Coded { codes, ranges, grouping, shape, dtype: *dtype }
    }
}

impl Packed for Codes {
    fn bytes(&self) -> Bytes {
        bytes(&self.shape, self.axes)
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(quantise::unpack(&self.as_coded())?)
    }

    fn coded(&self) -> Option<Coded<'_>> {
        Some(self.as_coded())
    }
}
