//! Feature maps as block means and few-bit codes of the residual.
//!
//! The code of DIVISION (Wang et al., "DIVISION: memory efficient training via dual activation
//! precision", ICML 2023). The means are bf16, and the residual is taken from the rounded means, so
//! it includes their rounding error. Blocks at the edge average only the elements that they hold.

use candle_core::{DType, Device, Tensor};
use half::bf16;
use rayon::prelude::*;

use crate::bit_pack;
use crate::cuda::on_cuda;
use crate::dtype::Element;
use crate::noise::{Noise, Rounding};
use crate::par_vec::{Blank, build_parts, split, write_parts};
use crate::quantise::{Affine, Bits, Grouping, Layout, TOGETHER, encode_together};
use crate::simd_dispatch::on_widest_vectors;
use crate::tensor_io::{by_dtype, read};
use crate::{Error, Result};

const KERNEL: &str = "division";

/// What is left of so many values is still in the nearest cache when it is coded.
const NEAR: usize = 4096;

/// How a tensor is divided into maps and maps into blocks.
#[derive(Debug, Clone, Copy)]
pub struct Maps {
    /// Rows and columns of a map.
    pub size: (usize, usize),
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Bits of a residual's code.
    pub bits: u8,
}

/// A packed tensor.
#[derive(Debug)]
pub struct Divided {
    /// The means (maps, blocks), bf16.
    pub means: Tensor,
    /// The codes of the residual (u8).
    pub codes: Tensor,
    /// Minimum and scale of each map (maps, 2), bf16.
    pub ranges: Tensor,
}

impl Maps {
    /// Elements of a map.
    pub fn elements(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Blocks of a map.
    pub fn blocks(&self) -> usize {
        self.size.0.div_ceil(self.block.0.max(1)) * self.size.1.div_ceil(self.block.1.max(1))
    }

    /// The size of the blocks, if a map has only whole ones of the same size.
    fn whole_blocks(&self) -> Option<(usize, usize)> {
        let ((rows, columns), (height, width)) = (self.size, self.block);
        let (height, width) = (height.min(rows), width.min(columns));
        let whole = rows.is_multiple_of(height) && columns.is_multiple_of(width);
        whole.then_some((height, width))
    }

    /// Bytes of a map's codes.
    pub fn code_bytes(&self) -> usize {
        bit_pack::bytes(self.elements(), self.bits)
    }

    /// A map is a group of codes.
    pub(crate) fn grouping(&self) -> Grouping<'static> {
        let row = self.elements();
        Grouping { row, group: row.max(1), bits: Bits::All(self.bits) }
    }

    fn layout(&self, elements: usize) -> Result<Layout<'static>> {
        if self.block.0 == 0 || self.block.1 == 0 {
            return Err(Error::shape(KERNEL, "a block must hold at least one element"));
        }
        Layout::new(elements, &self.grouping())
    }
}

/// Means and codes of a tensor whose elements are maps one after the other.
///
/// # Errors
/// Returns an error if the maps do not make up the tensor, or the type or device is not supported.
pub fn pack(input: &Tensor, maps: &Maps, rounding: Rounding) -> Result<Divided> {
    let layout = maps.layout(input.elem_count())?;
    on_cuda!(input => division::pack(input, maps, rounding));
    let (device, blocks) = (input.device(), maps.blocks());
    by_dtype!(KERNEL, input, T => {
        read!(KERNEL; input: T);
        let count = layout.groups();
        let mut means = vec![bf16::ZERO; count * blocks];
        let mut ranges = vec![[bf16::ZERO; 2]; count];
        let pieces = layout.pieces();
        let means_of = split(&mut means, pieces.iter().map(|piece| piece.end * blocks));
        let ranges_of = split(&mut ranges, pieces.iter().map(|piece| piece.end));
        let beside = pieces.par_iter().zip(means_of.into_par_iter().zip(ranges_of)).enumerate();
        let ends = pieces.iter().map(|piece| layout.byte(piece.end));
        let codes = write_parts(ends, beside, |(number, (piece, (means, ranges))), codes| {
            let size = maps.elements();
            let input = &input[piece.start * size..piece.end * size];
            let mut noise = Noise::new(rounding, number);
            encode(input, maps, &mut noise, codes, means, ranges);
        });
        Ok(Divided {
            means: Tensor::from_vec(means, (count, blocks), device)?,
            codes: Tensor::from_vec(codes, layout.bytes, device)?,
            ranges: Tensor::from_vec(ranges.into_flattened(), (count, 2), device)?,
        })
    })
}

/// Restores the tensor, as f32 or f64.
///
/// # Errors
/// Returns an error if the sizes do not fit, or the type or device is not supported.
pub fn unpack(divided: &Divided, maps: &Maps, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let layout = maps.layout(shape.iter().product())?;
    let (count, blocks) = (layout.groups(), maps.blocks());
    let found = (divided.codes.dims(), divided.means.dims(), divided.ranges.dims());
    let expected = (&[layout.bytes][..], &[count, blocks][..], &[count, 2][..]);
    if found != expected {
        return Err(Error::shape(
            KERNEL,
            format!("{count} maps of {blocks} blocks do not fit codes, means and ranges {found:?}"),
        ));
    }
    on_cuda!(divided.codes => division::unpack(divided, maps, shape, dtype));
    match dtype {
        DType::F32 => restore::<f32>(divided, maps, &layout, shape),
        DType::F64 => restore::<f64>(divided, maps, &layout, shape),
        found => Err(Error::DType { kernel: KERNEL, found }),
    }
}

fn restore<T: Element>(
    divided: &Divided,
    maps: &Maps,
    layout: &Layout<'_>,
    shape: &[usize],
) -> Result<Tensor> {
    let Divided { means, codes, ranges } = divided;
    read!(KERNEL; means: bf16, codes: u8, ranges: bf16);
    let (size, blocks) = (maps.elements(), maps.blocks());
    let pieces = layout.pieces();
    let ends = pieces.iter().map(|piece| piece.end * size);
    let output = build_parts(ends, pieces.par_iter(), |piece, output: &mut [T]| {
        let codes = &codes[layout.byte(piece.start)..layout.byte(piece.end)];
        let means = &means[piece.start * blocks..piece.end * blocks];
        let ranges = &ranges[2 * piece.start..2 * piece.end];
        decode(codes, means, ranges, maps, output);
    });
    Ok(Tensor::from_vec(output, shape, &Device::Cpu)?)
}

on_widest_vectors! {
    fn encode<T: Element>(
        input: &[T],
        maps: &Maps,
        noise: &mut Noise,
        codes: &mut Blank<'_, u8>,
        means: &mut [bf16],
        ranges: &mut [[bf16; 2]],
    ) {
        let (size, columns) = (maps.elements(), maps.size.1);
        let together = (NEAR / size).clamp(1, TOGETHER);
        let mut left = vec![0f32; together * size];
        let mut line = vec![0f32; columns];
        let parts = input.chunks(together * size).zip(means.chunks_mut(together * maps.blocks()));
        for ((input, means), ranges) in parts.zip(ranges.chunks_mut(together)) {
            let whole = maps.whole_blocks();
            if let Some((1, width)) = whole && maps.size.0 == 1 {
                divide_lines(input, width, means, &mut left);
            } else {
                let targets =
                    left.chunks_exact_mut(size).zip(means.chunks_exact_mut(maps.blocks()));
                for (values, (left, means)) in input.chunks_exact(size).zip(targets) {
                    match whole {
                        Some((8, 8)) => divide_squares::<T, 8>(values, columns, means, left),
                        Some((4, 4)) => divide_squares::<T, 4>(values, columns, means, left),
                        _ => divide(values, maps, means, &mut line, left),
                    }
                }
            }
            let mut groups = [(&left[..0], maps.bits); TOGETHER];
            let groups = &mut groups[..ranges.len()];
            for (values, left) in groups.iter_mut().zip(left.chunks_exact(size)) {
                values.0 = left;
            }
            encode_together(groups, ranges, noise, codes);
        }
    }
}

/// The means of a map's blocks, and what is left of its values, with the sums of a block's columns in `line`.
#[inline(always)]
fn divide<T: Element>(
    values: &[T],
    maps: &Maps,
    means: &mut [bf16],
    line: &mut [f32],
    left: &mut [f32],
) {
    let ((_, columns), (height, width)) = (maps.size, maps.block);
    // The rows that a row of blocks covers.
    let bands = values.chunks(height * columns).zip(left.chunks_mut(height * columns));
    for ((band, left), means) in bands.zip(means.chunks_exact_mut(columns.div_ceil(width))) {
        // Down the columns first, so that whole rows are added at once.
        line.fill(0.0);
        for row in band.chunks_exact(columns) {
            for (sum, value) in line.iter_mut().zip(row) {
                *sum += value.wide() as f32;
            }
        }
        let rows = band.len() / columns;
        for (mean, sums) in means.iter_mut().zip(line.chunks_mut(width)) {
            let mut sum = 0.0;
            for column in sums.iter() {
                sum += column;
            }
            *mean = bf16::from_f32(sum / (rows * sums.len()) as f32);
            sums.fill(f32::from(*mean));
        }
        for (left, row) in left.chunks_exact_mut(columns).zip(band.chunks_exact(columns)) {
            for ((left, value), mean) in left.iter_mut().zip(row).zip(line.iter()) {
                *left = value.wide() as f32 - mean;
            }
        }
    }
}

/// [`divide`] where all blocks are squares of `SIDE` pixels: the same sums, each in registers. Short loops whose length
/// the compiler does not know cost more than the sums themselves.
#[inline(always)]
fn divide_squares<T: Element, const SIDE: usize>(
    values: &[T],
    columns: usize,
    means: &mut [bf16],
    left: &mut [f32],
) {
    let bands = values.chunks_exact(SIDE * columns).zip(left.chunks_exact_mut(SIDE * columns));
    for ((band, left), means) in bands.zip(means.chunks_exact_mut(columns / SIDE)) {
        for (block, mean) in means.iter_mut().enumerate() {
            let mut square = [[0f32; SIDE]; SIDE];
            let mut sums = [0f32; SIDE];
            for (line, row) in square.iter_mut().zip(band.chunks_exact(columns)) {
                let row = &row[block * SIDE..][..SIDE];
                for column in 0..SIDE {
                    line[column] = row[column].wide() as f32;
                    sums[column] += line[column];
                }
            }
            let mut sum = 0.0;
            for column in sums {
                sum += column;
            }
            *mean = bf16::from_f32(sum / (SIDE * SIDE) as f32);
            let mean = f32::from(*mean);
            for (line, left) in square.iter().zip(left.chunks_exact_mut(columns)) {
                let left = &mut left[block * SIDE..][..SIDE];
                for column in 0..SIDE {
                    left[column] = line[column] - mean;
                }
            }
        }
    }
}

/// Blocks of tokens whose sums are taken at a time.
const LINES: usize = 8;

/// [`divide`] of maps of a single row, as tokens are, whose blocks are all `width` long: the same sums, those of several
/// blocks at a time. Each addition waits for the one before it.
#[inline(always)]
fn divide_lines<T: Element>(values: &[T], width: usize, means: &mut [bf16], left: &mut [f32]) {
    let parts = values.chunks(LINES * width).zip(left.chunks_mut(LINES * width));
    for ((values, left), means) in parts.zip(means.chunks_mut(LINES)) {
        let mut sums = [0f32; LINES];
        if values.len() == LINES * width {
            // As slices whose length the loop knows.
            let line = |number: usize| &values[number * width..][..width];
            let [a, b, c, d, e, f, g, h] = std::array::from_fn(line);
            for column in 0..width {
                let values = [a, b, c, d, e, f, g, h].map(|line| line[column].wide() as f32);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        } else {
            for (sum, line) in sums.iter_mut().zip(values.chunks_exact(width)) {
                for value in line {
                    *sum += value.wide() as f32;
                }
            }
        }
        let lines = values.chunks_exact(width).zip(left.chunks_exact_mut(width));
        for ((values, left), (mean, sum)) in lines.zip(means.iter_mut().zip(sums)) {
            *mean = bf16::from_f32(sum / width as f32);
            let mean = f32::from(*mean);
            for (left, value) in left.iter_mut().zip(values) {
                *left = value.wide() as f32 - mean;
            }
        }
    }
}

on_widest_vectors! {
    fn decode<T: Element>(
        codes: &[u8],
        means: &[bf16],
        ranges: &[bf16],
        maps: &Maps,
        output: &mut [T],
    ) {
        let ((_, columns), (height, width)) = (maps.size, maps.block);
        let mut line = vec![0f32; columns];
        let parts = output.chunks_exact_mut(maps.elements()).zip(codes.chunks_exact(maps.code_bytes()));
        let kept = means.chunks_exact(maps.blocks()).zip(ranges.as_chunks::<2>().0);
        for ((values, codes), (means, range)) in parts.zip(kept) {
            let (min, scale) = (f32::from(range[0]), f32::from(range[1]));
            let mut left = &mut *values;
            bit_pack::read(codes, (left.len(), maps.bits), 0..left.len(), #[inline(always)] |codes| {
                let (now, rest) = std::mem::take(&mut left).split_at_mut(codes.len());
                for (value, &code) in now.iter_mut().zip(codes) {
                    *value = Affine { min, scale }.value(code);
                }
                left = rest;
            });
            let bands = values.chunks_mut(height * columns);
            for (band, means) in bands.zip(means.chunks_exact(columns.div_ceil(width))) {
                for (mean, line) in means.iter().zip(line.chunks_mut(width)) {
                    line.fill(f32::from(*mean));
                }
                for row in band.chunks_exact_mut(columns) {
                    for (value, mean) in row.iter_mut().zip(&line) {
                        *value = T::narrow(f64::from(value.wide() as f32 + mean));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_pool;
    use crate::rng::{Key, Purpose, Stream};

    #[test]
    fn the_means_are_those_of_pooling() {
        let mut stream = Key::new(1, Purpose::Sample).stream();
        for (height, width) in [(8, 8), (14, 14), (3, 20), (1, 1)] {
            let values: Vec<f32> =
                (0..6 * height * width).map(|_| stream.normal() as f32 + 3.0).collect();
            let x = Tensor::from_vec(values, (2, 3, height, width), &Device::Cpu).unwrap();
            let maps = Maps { size: (height, width), block: (8, 8), bits: 2 };
            let means = pack(&x, &maps, Rounding::Nearest).unwrap().means;
            let pooled = block_pool::pool(&x, 8).unwrap().reshape(means.shape()).unwrap();
            let gap = (means.to_dtype(DType::F32).unwrap() / pooled).unwrap();
            for ratio in gap.flatten_all().unwrap().to_vec1::<f32>().unwrap() {
                assert!((ratio - 1.0).abs() < 1.0 / 256.0 + 1e-5, "{ratio}");
            }
        }
    }

    #[test]
    fn squares_have_the_sums_of_any_blocks() {
        fn compare<const SIDE: usize>(size: (usize, usize), stream: &mut Stream) {
            let maps = Maps { size, block: (SIDE, SIDE), bits: 2 };
            assert_eq!(maps.whole_blocks(), Some((SIDE, SIDE)));
            let values: Vec<f32> = (0..maps.elements()).map(|_| stream.normal() as f32).collect();
            let found = |squares: bool| {
                let mut means = vec![bf16::ZERO; maps.blocks()];
                let (mut left, mut line) = (vec![0.0; values.len()], vec![0.0; size.1]);
                match squares {
                    true => divide_squares::<_, SIDE>(&values, size.1, &mut means, &mut left),
                    false => divide(&values, &maps, &mut means, &mut line, &mut left),
                }
                (means, left)
            };
            assert_eq!(found(true), found(false));
        }
        let mut stream = Key::new(1, Purpose::Sample).stream();
        for (rows, columns) in [(1, 1), (1, 4), (4, 4), (3, 2)] {
            compare::<8>((8 * rows, 8 * columns), &mut stream);
            compare::<4>((4 * rows, 4 * columns), &mut stream);
        }
        let maps = |size, block| Maps { size, block, bits: 2 }.whole_blocks();
        assert_eq!(maps((4, 4), (8, 8)), Some((4, 4)));
        assert_eq!(maps((14, 14), (8, 8)), None);
    }

    #[test]
    fn lines_have_the_sums_of_any_blocks() {
        let mut stream = Key::new(2, Purpose::Sample).stream();
        for (count, columns, width) in [(1, 3, 3), (5, 192, 64), (16, 64, 64), (3, 60, 12)] {
            let maps = Maps { size: (1, columns), block: (1, width), bits: 2 };
            let values: Vec<f32> = (0..count * columns).map(|_| stream.normal() as f32).collect();
            let (mut means, mut left) =
                (vec![bf16::ZERO; count * maps.blocks()], vec![0.0; values.len()]);
            let (mut expected, mut expected_left, mut line) =
                (means.clone(), left.clone(), vec![0.0; columns]);
            divide_lines(&values, width, &mut means, &mut left);
            let targets = expected.chunks_mut(maps.blocks()).zip(expected_left.chunks_mut(columns));
            for (values, (means, left)) in values.chunks(columns).zip(targets) {
                divide(values, &maps, means, &mut line, left);
            }
            assert_eq!((means, left), (expected, expected_left), "{count} {columns} {width}");
        }
    }

    #[test]
    fn errors_say_what_does_not_fit() {
        let x = Tensor::zeros((2, 3, 4, 4), DType::F32, &Device::Cpu).unwrap();
        let refused = |maps: Maps| pack(&x, &maps, Rounding::Nearest).unwrap_err().to_string();
        assert!(refused(Maps { size: (4, 4), block: (0, 8), bits: 2 }).contains("at least one"));
        assert!(refused(Maps { size: (5, 4), block: (8, 8), bits: 2 }).contains("rows of 20"));
        let maps = Maps { size: (4, 4), block: (8, 8), bits: 2 };
        let packed = pack(&x, &maps, Rounding::Nearest).unwrap();
        let error = unpack(&packed, &maps, &[1, 3, 4, 4], DType::F32).unwrap_err().to_string();
        assert!(error.contains("3 maps of 1 blocks"), "{error}");
    }
}
