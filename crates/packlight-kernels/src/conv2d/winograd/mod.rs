//! Convolution with 3 x 3 taps at stride 1, and the gradient of its input, by Winograd's
//! F(4x4, 3x3).
//!
//! Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, arXiv 1509.09308.
//! A tile of 4 x 4 targets meets 6 x 6 pixels `d` of each source channel, with the taps `g`:
//!
//! ```text
//! targets = A' [ sum over channels of (G g G') * (B' d B) ] A    (' transposes, * element by element)
//! ```
//!
//! That takes 36 multiplications a channel instead of 144. Each of the 36 points of the tiles so
//! transformed is a matrix product by itself, which [`correlate`] takes as a convolution with one
//! tap. The points at which the polynomials are taken decide how many digits are lost: over 256
//! channels, sums in f32 with those of [`transform`] are 1.4e-6 off, with the usual 0, 1, -1, 2 and
//! -2 2.9e-6, and direct ones 0.6e-6.

mod transform;

use std::ops::Range;

use rayon::prelude::*;

use self::transform::{POINTS, SIDE, TAPS, TILE};
use super::planes::{Planes, side_by_side};
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, correlate};
use crate::element::Element;
use crate::pieces::build_with;

/// Tiles that are taken at a time, so that their points stay in the cache; at least a line of them.
const TILES: usize = 32;
/// Tiles whose sums [`correlate`] takes at a time: two runs.
const TOGETHER: usize = 2 * RUN;
/// Channels on both sides from which on the products save more than the transformations cost.
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

/// What one piece of work after the other uses; all hold the channels of a block side by side.
struct Buffers<T> {
    /// The rows of pixels that a line of tiles meets, with their padding.
    rows: Vec<[T; CHANNELS]>,
    /// For each point and block of channels, that of each tile.
    points: Vec<[T; CHANNELS]>,
    /// For each point, its sums over the channels.
    sums: Vec<[[T; CHANNELS]; RUN]>,
    /// For each line of tiles, its rows of targets.
    targets: Vec<[[T; CHANNELS]; RUN]>,
}

impl Winograd {
    /// For a convolution, where this way is open and pays.
    pub(super) fn forward(problem: &Problem) -> Option<Self> {
        let (source, target) = problem.sides();
        Self::new(problem, source, target, problem.geometry.padding, false)
    }

    /// For the gradient of a convolution's input, where this way is open and pays.
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
        // Tiles that reach beyond the edge may take up some of what is saved.
        let saves = 3 * rows * columns * POINTS <= 2 * target.pixels() * TAPS * TAPS;
        if !open || !saves || source.channels.min(target.channels) < CHANNELS_WORTH {
            return None;
        }
        let most = TILES.div_ceil(rows * columns).min(batch);
        // As many to each piece, so that the last one is not half empty.
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
        let filters = self.filters(weight);
        let places = self.places();
        let (sample_in, sample_out) = (self.sample(&self.source), self.sample(&self.target));
        let (len, piece) = (self.batch * sample_out, self.samples * sample_out);
        build_with(
            len,
            piece,
            || self.buffers(),
            |buffers, number, target| {
                let source = &source[number * self.samples * sample_in..];
                let lines = target.len() / sample_out * self.tiles.0;
                let pixels = self.target.pixels();
                let mut target = Planes { values: target, pixels, bias };
                for group in 0..self.groups {
                    for first in (0..lines).step_by(self.lines) {
                        let lines = first..(first + self.lines).min(lines);
                        self.transform(source, group, lines.clone(), buffers);
                        self.multiply(&filters, group, lines, &places, buffers, &mut target);
                    }
                }
            },
        )
    }

    /// Transforms the tiles of some lines, of all channels of a group.
    fn transform<T: Element>(
        &self,
        source: &[T],
        group: usize,
        lines: Range<usize>,
        buffers: &mut Buffers<T>,
    ) {
        let Side { channels, height, width, .. } = self.source;
        let (above, before) = self.padding;
        let (pixels, cells) = (height * width, self.cells());
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
                            side_by_side(&planes[row * width..], pixels, count, cells);
                        }
                        None => cells.fill([T::zero(); CHANNELS]),
                    }
                }
                let points = &mut buffers.points[block * self.room + position * self.tiles.1..];
                transform::tiles(&buffers.rows, cells, points, self.point());
            }
        }
    }

    /// Multiplies the points of some lines of tiles with a group's filters, and writes the targets.
    fn multiply<T: Element>(
        &self,
        filters: &[[T; CHANNELS]],
        group: usize,
        lines: Range<usize>,
        places: &[(usize, usize)],
        buffers: &mut Buffers<T>,
        target: &mut Planes<'_, T>,
    ) {
        let lanes = Lanes::of_this_machine::<T>();
        let (depth, outputs) = (self.source.channels, self.target.channels);
        let columns = self.tiles.1;
        let place = |channel: usize| channel / CHANNELS * self.room * CHANNELS + channel % CHANNELS;
        let offsets: Vec<usize> = (0..depth).map(place).collect();
        let tiles = (lines.len() * columns).next_multiple_of(TOGETHER);
        let runs: Vec<usize> = (0..tiles).step_by(RUN).map(|tile| tile * CHANNELS).collect();
        let places = &places[lines.start * TILE * columns..lines.end * TILE * columns];
        let blocks = outputs.div_ceil(CHANNELS);
        for first in (0..blocks).step_by(BLOCKS) {
            let count = BLOCKS.min(blocks - first);
            let pair = group * blocks.div_ceil(BLOCKS) + first / BLOCKS;
            let filters = filters[pair * self.pair()..].chunks(self.filter_point());
            let points = buffers.points.chunks(self.point());
            let sums = buffers.sums.chunks_exact_mut(count * runs.len());
            for ((points, filters), sums) in points.zip(filters).zip(sums).take(POINTS) {
                let (filters, points) = (&filters[..count * depth], points.as_flattened());
                correlate::<T, CHANNELS>(lanes, filters, points, &offsets, &runs, sums);
            }
            for block in 0..count {
                let sums = &buffers.sums.as_flattened()[block * tiles..];
                let targets = &mut buffers.targets[..places.len()];
                transform::restore(sums, count * tiles, columns, targets.as_flattened_mut());
                let channel = (first + block) * CHANNELS;
                let channels = channel..(channel + CHANNELS).min(outputs);
                let channels = group * outputs + channels.start..group * outputs + channels.end;
                target.write(channels, &buffers.targets, places, 1);
            }
        }
    }

    /// The transformed taps: group by group and pair of blocks of target channels by pair, for each
    /// point, block and source channel, those of the targets side by side.
    fn filters<T: Element>(&self, weight: &[T]) -> Vec<[T; CHANNELS]> {
        let (from, to) = (&self.source, &self.target);
        let pairs = to.channels.div_ceil(BLOCKS * CHANNELS);
        let mut filters = vec![[T::zero(); CHANNELS]; self.groups * pairs * self.pair()];
        filters.par_chunks_mut(self.pair()).enumerate().for_each(|(number, filters)| {
            let (group, pair) = (number / pairs, number % pairs);
            let weight = &weight[group * weight.len() / self.groups..];
            for block in 0..BLOCKS {
                let first = (pair * BLOCKS + block) * CHANNELS;
                let outputs = first..(first + CHANNELS).min(to.channels);
                let taps: Vec<_> = (0..from.channels)
                    .map(|channel| self.taps(weight, outputs.clone(), channel))
                    .collect();
                let points = &mut filters[block * from.channels..];
                transform::filters(&taps, points, self.filter_point());
            }
        });
        filters
    }

    /// Distance from one point of a filter to the next; see [`Self::point`].
    fn filter_point(&self) -> usize {
        BLOCKS * self.source.channels + 1
    }

    /// Elements of a pair of blocks of filters.
    fn pair(&self) -> usize {
        POINTS * self.filter_point()
    }

    /// The taps of a source channel in their order, for some target channels side by side.
    fn taps<T: Element>(
        &self,
        weight: &[T],
        outputs: Range<usize>,
        channel: usize,
    ) -> [[T; CHANNELS]; TAPS * TAPS] {
        let mut taps = [[T::zero(); CHANNELS]; TAPS * TAPS];
        for (lane, output) in outputs.enumerate() {
            let start = output * self.target.weights + channel * self.source.weights;
            for (number, weight) in weight[start..][..TAPS * TAPS].iter().enumerate() {
                taps[number][lane] = *weight;
            }
        }
        if self.flipped {
            taps.reverse();
        }
        taps
    }

    /// Where the rows of targets go, line by line of the tiles of a piece, in runs: the first of a
    /// run in the first channel's plane, and how many there are.
    fn places(&self) -> Vec<(usize, usize)> {
        let Side { height, width, .. } = self.target;
        let (rows, columns) = self.tiles;
        let sample = self.sample(&self.target);
        let rows = (0..self.samples).flat_map(|n| (0..rows * TILE).map(move |row| (n, row)));
        rows.flat_map(|(number, row)| {
            (0..columns * TILE).step_by(RUN).map(move |column| match row < height {
                true => (number * sample + row * width + column, RUN.min(width - column)),
                false => (0, 0),
            })
        })
        .collect()
    }

    fn buffers<T: Element>(&self) -> Buffers<T> {
        let zeros = [T::zero(); CHANNELS];
        Buffers {
            rows: vec![zeros; SIDE * self.cells()],
            points: vec![zeros; POINTS * self.point()],
            sums: vec![[zeros; RUN]; POINTS * BLOCKS * self.room / RUN],
            targets: vec![[zeros; RUN]; self.lines * TILE * self.tiles.1],
        }
    }

    /// Pixels that a row of a line of tiles meets.
    fn cells(&self) -> usize {
        self.tiles.1 * TILE + TAPS - 1
    }

    /// Distance from one point of a tile to the next: one more than they take, or the points of a
    /// tile would fall to the same lines of the cache.
    fn point(&self) -> usize {
        self.source.channels.div_ceil(CHANNELS) * self.room + 1
    }

    /// Elements of a sample on one side.
    fn sample(&self, side: &Side) -> usize {
        self.groups * side.channels * side.pixels()
    }
}
