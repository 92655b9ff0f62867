//! The sizes of what Winograd's method allocates.

use super::super::problem::Side;
use super::super::simd::{BLOCKS, CHANNELS, RUN};
use super::transform::{POINTS, SIDE, TAPS, TILE};
use super::{PAIR, Winograd};
use crate::par_vec::at_a_time;

impl Winograd {
    /// Whether the work is divided by target channels.
    pub(super) fn is_by_pairs(&self) -> bool {
        let tiles = self.batch * self.tiles.0 * self.tiles.1;
        self.target.channels > tiles && self.target.channels.is_multiple_of(PAIR)
    }

    /// The elements that [`Winograd::apply`] allocates beside the targets.
    pub(in crate::conv2d) fn workspace(&self) -> usize {
        let pairs = self.groups * self.pairs();
        if self.is_by_pairs() {
            // The targets are allocated once the tasks are done.
            let tasks = at_a_time(pairs) * (self.buffer() + self.filter() + self.packed_taps());
            let targets = self.batch * self.sample(&self.target);
            let points = self.groups * self.together() * self.points();
            return points + pairs * self.of_pair() + tasks.saturating_sub(targets);
        }
        let tasks = at_a_time(self.batch.div_ceil(self.samples));
        pairs * self.filter() + tasks * (self.buffer() + self.points())
    }

    /// Pairs of blocks of a group's target channels.
    pub(super) fn pairs(&self) -> usize {
        self.target.channels.div_ceil(PAIR)
    }

    /// Distance from one point of a filter to the next; see [`Self::point`].
    pub(super) fn filter_point(&self) -> usize {
        BLOCKS * self.source.channels + 1
    }

    /// Elements of the transformed taps of a pair of blocks.
    pub(super) fn filter(&self) -> usize {
        POINTS * self.filter_point() * CHANNELS
    }

    /// Elements of the taps of a block, before they are transformed.
    pub(super) fn packed_taps(&self) -> usize {
        self.source.channels * TAPS * TAPS * CHANNELS
    }

    /// Elements of all targets of a pair of blocks.
    pub(super) fn of_pair(&self) -> usize {
        self.batch * PAIR * self.target.pixels()
    }

    /// How often as many lines as are taken at a time make all of them.
    pub(super) fn together(&self) -> usize {
        (self.batch * self.tiles.0).div_ceil(self.lines)
    }

    /// Pixels of the rows, and runs of the sums and of the targets, in [`Buffers`].
    pub(super) fn buffer_sizes(&self) -> [usize; 3] {
        let sums = POINTS * BLOCKS * self.room / RUN;
        [SIDE * self.cells(), sums, self.lines * TILE * self.tiles.1]
    }

    /// Elements of [`Buffers`].
    pub(super) fn buffer(&self) -> usize {
        let [rows, sums, targets] = self.buffer_sizes();
        (rows + (sums + targets) * RUN) * CHANNELS
    }

    /// Pixels that a row of a line of tiles meets.
    pub(super) fn cells(&self) -> usize {
        self.tiles.1 * TILE + TAPS - 1
    }

    /// Distance from one point of a tile to the next: one more than needed, or the points of a tile
    /// would share cache lines.
    pub(super) fn point(&self) -> usize {
        self.source.channels.div_ceil(CHANNELS) * self.room + 1
    }

    /// Elements of the points of as many tiles as are taken at a time.
    pub(super) fn points(&self) -> usize {
        POINTS * self.point() * CHANNELS
    }

    /// Elements of a sample on one side.
    pub(super) fn sample(&self, side: &Side) -> usize {
        self.groups * side.channels * side.pixels()
    }
}
