//! Convolution with 3 x 3 taps at stride 1, and the gradient of its input, by Winograd's
//! F(4x4, 3x3).
//!
//! Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, arXiv
//! 1509.09308. A tile of 4 x 4 targets reads 6 x 6 pixels `d` of each source channel, with the taps
//! `g`:
//!
//! ```text
//! targets = A' [ sum over channels of (G g G') * (B' d B) ] A
//! ```
//!
//! where ' transposes and * multiplies element by element.
//!
//! This takes 36 multiplications per channel instead of 144. Each of the 36 points of the
//! transformed tiles is a matrix product, which [`correlate`] computes as a convolution with one
//! tap. The interpolation points determine the rounding error: over 256 channels, f32 sums have an
//! error of 1.4e-6 with the points of [`transform`], 2.9e-6 with the usual 0, 1, -1, 2 and -2, and
//! 0.6e-6 if computed directly.

mod sizes;
mod transform;

use std::ops::Range;

use self::transform::{POINTS, SIDE, TAPS, TILE};
use super::planes::{Planes, sample_by_sample, side_by_side, taps_side_by_side};
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, correlate};
use crate::dtype::Element;
use crate::par_vec::{build, build_with};

/// Tiles per batch, so that their points stay in the cache; at least one line of tiles.
const TILES: usize = 32;
/// Tiles whose sums [`correlate`] takes at a time: two runs.
const TOGETHER: usize = 2 * RUN;
/// Target channels of a pair of blocks, which are computed together.
const PAIR: usize = BLOCKS * CHANNELS;
/// The least number of channels on both sides for which the products save more than the
/// transformations cost.
const CHANNELS_WORTH: usize = 48;

/// `target[b,r,t] =
/// sum over source channels c and taps k of weight[r,c,k] source[b,c,t + k - padding]`.
pub(super) struct Winograd {
    batch: usize,
    groups: usize,
    source: Side,
    target: Side,
    /// Rows above the source, and columns before it.
    padding: (usize, usize),
    /// Whether the taps count from the last to the first.
    flipped: bool,
    /// Lines of tiles of a sample, and tiles of a line.
    tiles: (usize, usize),
    /// Samples of a piece of work.
    samples: usize,
    /// Lines of tiles that are taken at a time.
    lines: usize,
    /// Tiles that there is room for.
    room: usize,
}

/// Buffers that tasks reuse; in all of them the channels of a block are adjacent.
struct Buffers<T> {
    /// The rows of pixels that a line of tiles meets, with their padding.
    rows: Vec<[T; CHANNELS]>,
    /// For each point, its sums over the channels.
    sums: Vec<[[T; CHANNELS]; RUN]>,
    /// For each line of tiles, its rows of targets.
    targets: Vec<[[T; CHANNELS]; RUN]>,
}

impl Winograd {
    /// For a convolution; `None` if this method does not apply or pay.
    pub(super) fn forward(problem: &Problem) -> Option<Self> {
        let (source, target) = problem.sides();
        Self::new(problem, source, target, problem.geometry.padding, false)
    }

    /// For the gradient of a convolution's input; `None` if this method does not apply or pay.
    pub(super) fn backward(problem: &Problem) -> Option<Self> {
        let (target, source) = problem.sides();
        let (above, before) = problem.geometry.padding;
        let padding = ((TAPS - 1).checked_sub(above)?, (TAPS - 1).checked_sub(before)?);
        Self::new(problem, source, target, padding, true)
    }

    fn new(
        problem: &Problem,
        source: Side,
        target: Side,
        padding: (usize, usize),
        flipped: bool,
    ) -> Option<Self> {
        let (g, batch) = (&problem.geometry, problem.batch);
        let open = problem.kernel == (TAPS, TAPS) && g.stride == (1, 1) && g.dilation == (1, 1);
        let (rows, columns) = (target.height.div_ceil(TILE), target.width.div_ceil(TILE));
        // Tiles that extend beyond the edge reduce the savings.
        let saves = 3 * rows * columns * POINTS <= 2 * target.pixels() * TAPS * TAPS;
        if !open || !saves || source.channels.min(target.channels) < CHANNELS_WORTH {
            return None;
        }
        let most = TILES.div_ceil(rows * columns).min(batch);
        // Equal numbers per task, so that the last one is not half empty.
        let samples = batch.div_ceil(batch.div_ceil(most));
        let lines = (TILES / columns).clamp(1, samples * rows);
        let room = (lines * columns).next_multiple_of(TOGETHER);
        let (groups, tiles) = (g.groups, (rows, columns));
        Some(Self { batch, groups, source, target, padding, flipped, tiles, samples, lines, room })
    }

    /// The targets of all samples, plus `bias`, which holds a value for each of their channels.
    pub(super) fn apply<T: Element>(
        &self,
        source: &[T],
        weight: &[T],
        bias: Option<&[T]>,
    ) -> Vec<T> {
        match self.is_by_pairs() {
            true => self.by_pairs(source, weight, bias),
            false => self.by_samples(source, weight, bias),
        }
    }

    /// Each task takes some samples; all share the transformed taps.
    fn by_samples<T: Element>(&self, source: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (pairs, size) = (self.groups * self.pairs(), self.filter());
        let filters = build(pairs * size, size, |number, filters| {
            self.filters(weight, number, filters.as_chunks_mut().0);
        });
        let (sample_in, sample_out) = (self.sample(&self.source), self.sample(&self.target));
        let places = self.places(self.samples, sample_out);
        let (len, piece) = (self.batch * sample_out, self.samples * sample_out);
        let buffers = || (self.buffers(), vec![T::zero(); self.points()]);
        build_with(len, piece, buffers, |(buffers, points), number, target| {
            let source = &source[number * self.samples * sample_in..];
            let lines = target.len() / sample_out * self.tiles.0;
            let mut target = Planes { values: target, pixels: self.target.pixels(), bias };
            for (group, filters) in filters.chunks_exact(self.pairs() * size).enumerate() {
                for first in (0..lines).step_by(self.lines) {
                    let lines = first..(first + self.lines).min(lines);
                    self.transform(source, group, lines.clone(), points, buffers);
                    let places = self.places_of(&places, lines);
                    for (pair, filters) in filters.chunks_exact(size).enumerate() {
                        let first = group * self.target.channels + pair * PAIR;
                        let end = (first + PAIR).min((group + 1) * self.target.channels);
                        self.multiply(filters, points, places, buffers, first..end, &mut target);
                    }
                }
            }
        })
    }

    /// Each task takes a pair of blocks of target channels and all tiles, whose points are shared.
    /// This is for fewer tiles than channels, where the transformed taps need more memory than the
    /// points.
    fn by_pairs<T: Element>(&self, source: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let lines = self.batch * self.tiles.0;
        let together = self.together();
        let lines = |number: usize| number * self.lines..((number + 1) * self.lines).min(lines);
        let size = self.points();
        let points = build_with(
            self.groups * together * size,
            size,
            || self.buffers(),
            |buffers, number, points| {
                let (group, number) = (number / together, number % together);
                self.transform(source, group, lines(number), points, buffers);
            },
        );
        let plane = self.target.pixels();
        let places = self.places(self.batch, PAIR * plane);
        let piece = self.of_pair();
        let buffers = || (self.buffers(), vec![T::zero(); self.filter()]);
        let pairs = self.groups * self.pairs();
        let by_pair =
            build_with(pairs * piece, piece, buffers, |(buffers, filters), number, target| {
                self.filters(weight, number, filters.as_chunks_mut().0);
                let bias = bias.map(|bias| &bias[number * PAIR..]);
                let mut target = Planes { values: target, pixels: plane, bias };
                let points = &points[number / self.pairs() * together * size..];
                for (number, points) in points.chunks_exact(size).take(together).enumerate() {
                    let places = self.places_of(&places, lines(number));
                    self.multiply(filters, points, places, buffers, 0..PAIR, &mut target);
                }
            });
        sample_by_sample(&by_pair, (self.batch, self.groups), &self.target, PAIR)
    }

    /// Transforms the tiles of some lines, of all channels of a group: for each point and block of
    /// channels, that of each tile.
    fn transform<T: Element>(
        &self,
        source: &[T],
        group: usize,
        lines: Range<usize>,
        points: &mut [T],
        buffers: &mut Buffers<T>,
    ) {
        let Side { channels, height, width, .. } = self.source;
        let (above, before) = self.padding;
        let (pixels, cells) = (height * width, self.cells());
        let lanes = Lanes::of_this_machine::<T>();
        let points = points.as_chunks_mut().0;
        for block in 0..channels.div_ceil(CHANNELS) {
            let first = block * CHANNELS;
            let count = CHANNELS.min(channels - first);
            for (position, number) in lines.clone().enumerate() {
                let (sample, line) = (number / self.tiles.0, number % self.tiles.0);
                let planes = ((sample * self.groups + group) * channels + first) * pixels;
                let planes = &source[planes..][..count * pixels];
                // A line shares its first rows with the last ones of the line above it.
                let shared = if position > 0 && line > 0 { SIDE - TILE } else { 0 };
                buffers.rows.copy_within(TILE * cells..(TILE + shared) * cells, 0);
                let rows = buffers.rows.chunks_exact_mut(cells).enumerate().skip(shared);
                for (row, cells) in rows {
                    match (line * TILE + row).checked_sub(above).filter(|row| *row < height) {
                        Some(row) => {
                            let end = cells.len().min(before + width);
                            let cells = &mut cells[before..end];
                            side_by_side(lanes, &planes[row * width..], pixels, count, cells);
                        }
                        None => cells.fill([T::zero(); CHANNELS]),
                    }
                }
                let points = &mut points[block * self.room + position * self.tiles.1..];
                transform::tiles(&buffers.rows, cells, points, self.point());
            }
        }
    }

    /// Multiplies the points of some tiles with the filters of a pair of blocks, and writes the
    /// targets, of the channels `channels`, to `places`.
    fn multiply<T: Element>(
        &self,
        filters: &[T],
        points: &[T],
        places: &[(usize, usize)],
        buffers: &mut Buffers<T>,
        channels: Range<usize>,
        target: &mut Planes<'_, T>,
    ) {
        let lanes = Lanes::of_this_machine::<T>();
        let depth = self.source.channels;
        let place = |channel: usize| channel / CHANNELS * self.room * CHANNELS + channel % CHANNELS;
        let offsets: Vec<usize> = (0..depth).map(place).collect();
        let tiles = (places.len() / TILE).next_multiple_of(TOGETHER);
        let runs: Vec<usize> = (0..tiles).step_by(RUN).map(|tile| tile * CHANNELS).collect();
        let count = channels.len().div_ceil(CHANNELS);
        let filters = filters.as_chunks().0.chunks(self.filter_point());
        let points = points.chunks(self.point() * CHANNELS);
        let sums = buffers.sums.chunks_exact_mut(count * runs.len());
        for ((points, filters), sums) in points.zip(filters).zip(sums).take(POINTS) {
            let filters = &filters[..count * depth];
            correlate::<T, CHANNELS>(lanes, filters, points, &offsets, &runs, sums);
        }
        for block in 0..count {
            let sums = &buffers.sums.as_flattened()[block * tiles..];
            let targets = &mut buffers.targets[..places.len()];
            transform::restore(sums, count * tiles, self.tiles.1, targets.as_flattened_mut());
            let first = channels.start + block * CHANNELS;
            let channels = first..(first + CHANNELS).min(channels.end);
            target.write(channels, &buffers.targets, places, 1);
        }
    }

    /// The transformed taps of pair `number` of blocks of target channels, group by group: for each
    /// point, block and source channel, those of the targets side by side.
    fn filters<T: Element>(&self, weight: &[T], number: usize, filters: &mut [[T; CHANNELS]]) {
        let (from, to) = (&self.source, &self.target);
        let (group, pair) = (number / self.pairs(), number % self.pairs());
        let weight = &weight[group * weight.len() / self.groups..];
        let lanes = Lanes::of_this_machine::<T>();
        let mut taps = vec![[[T::zero(); CHANNELS]; TAPS * TAPS]; from.channels];
        for block in 0..BLOCKS {
            let first = (pair * BLOCKS + block) * CHANNELS;
            for (channel, taps) in taps.iter_mut().enumerate() {
                taps_side_by_side(lanes, weight, (from, to), (channel, first), taps);
                if self.flipped {
                    taps.reverse();
                }
            }
            let points = &mut filters[block * from.channels..];
            transform::filters(&taps, points, self.filter_point());
        }
    }

    /// Where the rows of targets of some samples go, which are `distance` apart, line by line of
    /// the tiles, in runs: the first of a run in the first channel's plane, and how many there are.
    fn places(&self, samples: usize, distance: usize) -> Vec<(usize, usize)> {
        let Side { height, width, .. } = self.target;
        let (rows, columns) = self.tiles;
        let rows = (0..samples).flat_map(|n| (0..rows * TILE).map(move |row| (n, row)));
        rows.flat_map(|(number, row)| {
            (0..columns * TILE).step_by(RUN).map(move |column| match row < height {
                true => (number * distance + row * width + column, RUN.min(width - column)),
                false => (0, 0),
            })
        })
        .collect()
    }

    /// Those of some lines of tiles.
    fn places_of<'a>(
        &self,
        places: &'a [(usize, usize)],
        lines: Range<usize>,
    ) -> &'a [(usize, usize)] {
        &places[lines.start * TILE * self.tiles.1..lines.end * TILE * self.tiles.1]
    }

    fn buffers<T: Element>(&self) -> Buffers<T> {
        let zeros = [T::zero(); CHANNELS];
        let [rows, sums, targets] = self.buffer_sizes();
        Buffers {
            rows: vec![zeros; rows],
            sums: vec![[zeros; RUN]; sums],
            targets: vec![[zeros; RUN]; targets],
        }
    }
}
