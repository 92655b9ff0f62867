//! Convolution with 3 x 3 taps at stride 1, and the gradient of its input, by Winograd's F(2x2, 3x3).
//!
//! Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, arXiv 1509.09308.
//! A tile of 2 x 2 targets meets 4 x 4 pixels `d` of each source channel, with the taps `g`:
//!
//! ```text
//! targets = A' [ sum over channels of (G g G') * (B' d B) ] A    (' transposes, * element by element)
//! ```
//!
//! That takes 16 multiplications a channel instead of 36. Each of the 16 points of the tiles so
//! transformed is a matrix product by itself, which [`correlate`] takes as a convolution with one
//! tap. Larger tiles would save more multiplications, but lose digits to their matrices.

mod transform;

use std::ops::Range;

use rayon::prelude::*;

use self::transform::{POINTS, SIDE, TAPS, TILE, TOGETHER};
use super::planes::Planes;
use super::problem::{Problem, Side};
use super::simd::{BLOCKS, CHANNELS, Lanes, RUN, correlate};
use crate::element::Element;
use crate::pieces::build_with;

/// Tiles that are taken at a time, so that their points stay in the cache; at least a line of them.
const TILES: usize = 64;
/// Elements between the points of the tiles that are taken at a time.
const APART: usize = 16;
/// Channels on both sides from which on the products save more than the transformations cost.
const CHANNELS_WORTH: usize = 48;

/// `target[b,r,t] = sum over source channels c and taps k of weight[r,c,k] source[b,c,t + k - padding]`.
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
    /// Distance from one point to the next, of as many tiles.
    point: usize,
}

/// What one piece of work after the other uses.
struct Buffers<T> {
    /// For each line of tiles, the rows that it meets, with their padding.
    rows: Vec<T>,
    /// For each point and each [`TOGETHER`] tiles, that of these tiles, channel by channel.
    points: Vec<T>,
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
        // Some more than they take, or the points of a tile would fall to the same lines of the cache.
        let point = (lines * columns).next_multiple_of(TOGETHER) * source.channels + APART;
        let (groups, tiles) = (g.groups, (rows, columns));
        Some(Self { batch, groups, source, target, padding, flipped, tiles, samples, lines, point })
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
        let (rows, columns) = self.tiles;
        // A row's even columns come before its odd ones, so that neighbouring tiles lie side by side.
        let half = columns + 1;
        let row_cells = 2 * half;
        let corner = |line: usize| (0..columns).map(move |tile| line * SIDE * row_cells + tile);
        let mut corners: Vec<usize> = (0..lines.len()).flat_map(corner).collect();
        corners.resize(corners.len().next_multiple_of(TOGETHER), 0);
        let corners = corners.as_chunks().0;
        let (above, before) = self.padding;
        for channel in 0..channels {
            let buffer = buffers.rows.chunks_exact_mut(SIDE * row_cells);
            for (number, buffer) in lines.clone().zip(buffer) {
                let (sample, line) = (number / rows, number % rows);
                let plane = (sample * self.groups + group) * channels + channel;
                let plane = &source[plane * height * width..][..height * width];
                for (row, buffer) in buffer.chunks_exact_mut(row_cells).enumerate() {
                    let (even, odd) = buffer.split_at_mut(half);
                    // The first column of the source is even or odd, as many columns as there are
                    // before it.
                    let (first, second) = match before % 2 {
                        0 => (&mut even[before / 2..], &mut odd[before / 2..]),
                        _ => (&mut odd[before / 2..], &mut even[before / 2 + 1..]),
                    };
                    match (line * TILE + row).checked_sub(above).filter(|row| *row < height) {
                        Some(row) => {
                            let line = &plane[row * width..][..width.min(row_cells - before)];
                            transform::split(line, first, second);
                        }
                        None => buffer.fill(T::zero()),
                    }
                }
            }
            let points = &mut buffers.points[channel * TOGETHER..];
            transform::tiles(
                &buffers.rows,
                half,
                corners,
                points,
                (self.point, channels * TOGETHER),
            );
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
        let groups_of_tiles = (lines.len() * columns).div_ceil(TOGETHER);
        let offsets: Vec<usize> = (0..depth).map(|channel| channel * TOGETHER).collect();
        let runs: Vec<usize> = (0..groups_of_tiles)
            .flat_map(|number| [0, RUN].map(|half| number * depth * TOGETHER + half))
            .collect();
        let places = &places[lines.start * self.runs_of_line()..lines.end * self.runs_of_line()];
        let blocks = outputs.div_ceil(CHANNELS);
        for first in (0..blocks).step_by(BLOCKS) {
            let count = BLOCKS.min(blocks - first);
            let filters = &filters[(group * blocks + first) * POINTS * depth..];
            let points = buffers.points.chunks_exact(self.point);
            let sums = buffers.sums.chunks_exact_mut(count * runs.len());
            for ((points, filters), sums) in
                points.zip(filters.chunks_exact(count * depth)).zip(sums).take(POINTS)
            {
                correlate(lanes, filters, points, &offsets, &runs, sums);
            }
            for block in 0..count {
                let sums = &buffers.sums[block * runs.len()..];
                let point = count * runs.len();
                transform::restore(sums, point, columns, &mut buffers.targets[..places.len()]);
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
        let blocks = to.channels.div_ceil(CHANNELS);
        let group = weight.len() / self.groups;
        let pair = BLOCKS * POINTS * from.channels;
        let mut filters =
            vec![[T::zero(); CHANNELS]; self.groups * blocks * POINTS * from.channels];
        let groups =
            filters.par_chunks_mut(blocks * POINTS * from.channels).zip(weight.par_chunks(group));
        groups.for_each(|(filters, weight)| {
            filters.par_chunks_mut(pair).enumerate().for_each(|(number, filters)| {
                let count = filters.len() / (POINTS * from.channels);
                for block in 0..count {
                    let first = (number * BLOCKS + block) * CHANNELS;
                    let outputs = first..(first + CHANNELS).min(to.channels);
                    for channel in 0..from.channels {
                        let filter =
                            transform::filter(&self.taps(weight, outputs.clone(), channel));
                        let at = filters[block * from.channels + channel..].iter_mut();
                        for (place, point) in at.step_by(count * from.channels).zip(filter) {
                            *place = point;
                        }
                    }
                }
            });
        });
        filters
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
        let zeros = [[T::zero(); CHANNELS]; RUN];
        let tiles = (self.lines * self.tiles.1).next_multiple_of(TOGETHER);
        Buffers {
            rows: vec![T::zero(); self.lines * SIDE * 2 * (self.tiles.1 + 1)],
            points: vec![T::zero(); POINTS * self.point],
            sums: vec![zeros; POINTS * BLOCKS * tiles / RUN],
            targets: vec![zeros; self.lines * self.runs_of_line()],
        }
    }

    /// Elements of a sample on one side.
    fn sample(&self, side: &Side) -> usize {
        self.groups * side.channels * side.pixels()
    }

    /// Runs of targets of a line of tiles.
    fn runs_of_line(&self) -> usize {
        TILE * (self.tiles.1 * TILE).div_ceil(RUN)
    }
}
