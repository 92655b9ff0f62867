//! The image layout of the inner loops: padded planes, with one offset for each tap.
//!
//! A convolution and the gradient of its input are the same kind of sum. Along one axis, target `t`
//! reads at tap `i` the source position `step (t + shift_i) + phase_i`. For a convolution `step` is
//! the stride. For the gradient it is 1, and the targets form as many lattices as the stride, each
//! with different taps. The source is laid out by phases, each a plane of `1 / step` of its rows
//! and columns, so that neighbouring targets read neighbouring cells at any stride and a tap has
//! the same offset from every target. Nothing is unfolded.

use super::problem::Problem;
use super::simd::RUN;
use crate::dtype::Element;

/// The most targets of the samples that share a buffer, unless a single sample has more.
const TARGETS: usize = 256;

/// The layout of some samples of a source.
pub(super) struct Grid {
    rows: Axis,
    columns: Axis,
    /// Columns of the target.
    width: usize,
    /// Columns of the kernel.
    kernel_width: usize,
    /// Samples that share a buffer; depends only on the shapes.
    pub(super) samples: usize,
}

/// One axis of the sum.
struct Axis {
    /// Source positions.
    size: usize,
    /// Distance between the source positions of neighbouring targets.
    step: usize,
    /// The least shift, which belongs to the first cell of a line.
    low: isize,
    /// Cells of a line.
    cells: usize,
    lattices: Vec<Lattice>,
}

/// Every `step`-th target from `start` on; all have the same taps.
struct Lattice {
    start: usize,
    step: usize,
    count: usize,
    taps: Vec<Meeting>,
}

/// The source position of a tap.
struct Meeting {
    tap: usize,
    phase: usize,
    shift: isize,
}

impl Axis {
    /// For a convolution with `taps` taps and `count` targets.
    fn forward(
        size: usize,
        count: usize,
        taps: usize,
        (stride, padding, dilation): (usize, usize, usize),
    ) -> Self {
        let meeting = |tap: usize| {
            let at = (tap * dilation) as isize - padding as isize;
            let stride = stride as isize;
            Meeting { tap, phase: at.rem_euclid(stride) as usize, shift: at.div_euclid(stride) }
        };
        let lattice = Lattice { start: 0, step: 1, count, taps: (0..taps).map(meeting).collect() };
        Self::new(size, stride, vec![lattice])
    }

    /// For the input's gradient, whose targets are the source of the convolution.
    fn backward(
        size: usize,
        count: usize,
        taps: usize,
        (stride, padding, dilation): (usize, usize, usize),
    ) -> Self {
        let lattice = |start: usize| {
            let meeting = |tap: usize| {
                let at = (start + padding) as isize - (tap * dilation) as isize;
                let stride = stride as isize;
                (at.rem_euclid(stride) == 0).then(|| Meeting { tap, phase: 0, shift: at / stride })
            };
            let count = count.saturating_sub(start).div_ceil(stride);
            Lattice { start, step: stride, count, taps: (0..taps).filter_map(meeting).collect() }
        };
        Self::new(size, 1, (0..stride).map(lattice).collect())
    }

    fn new(size: usize, step: usize, lattices: Vec<Lattice>) -> Self {
        let shifts = || lattices.iter().flat_map(|lattice| &lattice.taps).map(|tap| tap.shift);
        let (low, high) = (shifts().min().unwrap_or(0), shifts().max().unwrap_or(0));
        let count = lattices.iter().map(|lattice| lattice.count).max().unwrap_or(0);
        let cells = count.next_multiple_of(RUN) + (high - low) as usize;
        Self { size, step, low, cells, lattices }
    }

    /// The phases of the taps.
    fn phases(&self) -> impl Iterator<Item = usize> {
        (0..self.step).filter(|&phase| {
            self.lattices.iter().flat_map(|lattice| &lattice.taps).any(|tap| tap.phase == phase)
        })
    }

    /// The first cell of a phase that holds a source position, and that position; the cells after
    /// it hold every `step`-th position after it.
    fn first(&self, phase: usize) -> Option<(usize, usize)> {
        let shift = self.low.max(0);
        let (cell, position) = ((shift - self.low) as usize, shift as usize * self.step + phase);
        (cell < self.cells && position < self.size).then_some((cell, position))
    }
}

/// Targets with the same taps.
pub(super) struct Part {
    /// The taps, as numbers in a kernel.
    pub(super) taps: Vec<usize>,
    /// The distance from the cell of a target to what it meets: for each source channel, each tap.
    pub(super) offsets: Vec<usize>,
    /// The cell of the first target of each run, sample by sample; rounded up to an even number by
    /// repeating one.
    pub(super) runs: Vec<usize>,
    /// For each run, its first target as an index into the samples, and how many there are.
    pub(super) targets: Vec<(usize, usize)>,
    /// Runs of a sample.
    pub(super) runs_of_sample: usize,
    /// Distance between the targets of a run.
    pub(super) step: usize,
}

impl Grid {
    /// For a convolution, and for the gradient of its weight.
    pub(super) fn forward(problem: &Problem) -> Self {
        let (rows, columns) = problem.axes();
        Self::new(
            Axis::forward(problem.height, problem.out_height, problem.kernel.0, rows),
            Axis::forward(problem.width, problem.out_width, problem.kernel.1, columns),
            (problem.out_height, problem.out_width),
            problem,
        )
    }

    /// For the gradient of a convolution's input.
    pub(super) fn backward(problem: &Problem) -> Self {
        let (rows, columns) = problem.axes();
        Self::new(
            Axis::backward(problem.out_height, problem.height, problem.kernel.0, rows),
            Axis::backward(problem.out_width, problem.width, problem.kernel.1, columns),
            (problem.height, problem.width),
            problem,
        )
    }

    fn new(rows: Axis, columns: Axis, (height, width): (usize, usize), problem: &Problem) -> Self {
        let batch = problem.batch;
        let most = (TARGETS / (height * width)).clamp(1, batch);
        // Equal numbers per buffer, so that the last one is not half empty.
        let samples = batch.div_ceil(batch.div_ceil(most));
        Self { rows, columns, width, kernel_width: problem.kernel.1, samples }
    }

    /// Cells of one phase of one channel.
    fn plane(&self) -> usize {
        self.samples * self.rows.cells * self.columns.cells
    }

    /// Cells of one channel.
    pub(super) fn channel(&self) -> usize {
        self.rows.step * self.columns.step * self.plane()
    }

    /// The taps of all parts.
    pub(super) fn taps(&self) -> usize {
        let of =
            |axis: &Axis| axis.lattices.iter().map(|lattice| lattice.taps.len()).sum::<usize>();
        of(&self.rows) * of(&self.columns)
    }

    /// Copies the planes of one sample's channels into a buffer that is otherwise zero.
    pub(super) fn place<T: Element>(&self, planes: &[T], sample: usize, buffer: &mut [T]) {
        let pixels = self.rows.size * self.columns.size;
        let channels = planes.chunks_exact(pixels).zip(buffer.chunks_exact_mut(self.channel()));
        for (plane, buffer) in channels {
            for (i, j) in
                self.rows.phases().flat_map(|i| self.columns.phases().map(move |j| (i, j)))
            {
                let start = (i * self.columns.step + j) * self.plane()
                    + sample * self.rows.cells * self.columns.cells;
                let (Some((row, y)), Some((column, x))) =
                    (self.rows.first(i), self.columns.first(j))
                else {
                    continue;
                };
                let cells = self.columns.cells;
                let rows = start + row * cells + column..start + self.rows.cells * cells;
                let count = (self.columns.size - x).div_ceil(self.columns.step).min(cells - column);
                copy_rows(
                    &plane[y * self.columns.size + x..],
                    (self.rows.step * self.columns.size, self.columns.step),
                    (&mut buffer[rows], cells),
                    count,
                );
            }
        }
    }

    /// The multiplications of a sample for each pair of channels, with those of pixels beyond the edge.
    pub(super) fn multiplications(&self) -> usize {
        let of_axis = |axis: &Axis, run: usize| -> usize {
            let lattices = axis.lattices.iter();
            lattices.map(|lattice| lattice.count.next_multiple_of(run) * lattice.taps.len()).sum()
        };
        of_axis(&self.rows, 1) * of_axis(&self.columns, RUN)
    }

    /// The parts of the targets, except those without taps, for sums over `channels` channels and
    /// samples of `target_sample` targets.
    pub(super) fn parts(&self, channels: usize, target_sample: usize) -> Vec<Part> {
        let lattices = self.rows.lattices.iter();
        let pairs = lattices.flat_map(|rows| self.columns.lattices.iter().map(move |c| (rows, c)));
        let pairs =
            pairs.filter(|(rows, columns)| !rows.taps.is_empty() && !columns.taps.is_empty());
        pairs.map(|(rows, columns)| self.part(rows, columns, channels, target_sample)).collect()
    }

    fn part(
        &self,
        rows: &Lattice,
        columns: &Lattice,
        channels: usize,
        target_sample: usize,
    ) -> Part {
        let met = || rows.taps.iter().flat_map(|row| columns.taps.iter().map(move |c| (row, c)));
        let taps = met().map(|(row, column)| row.tap * self.kernel_width + column.tap).collect();
        let offset = |(row, column): (&Meeting, &Meeting)| {
            let phase = row.phase * self.columns.step + column.phase;
            let down = (row.shift - self.rows.low) as usize;
            let right = (column.shift - self.columns.low) as usize;
            phase * self.plane() + down * self.columns.cells + right
        };
        let offsets = (0..channels)
            .flat_map(|channel| met().map(move |taps| channel * self.channel() + offset(taps)));
        let (mut runs, mut targets) = (Vec::new(), Vec::new());
        for sample in 0..self.samples {
            for y in 0..rows.count {
                for x in (0..columns.count).step_by(RUN) {
                    runs.push((sample * self.rows.cells + y) * self.columns.cells + x);
                    let pixel = (rows.start + y * rows.step) * self.width;
                    let pixel = pixel + columns.start + x * columns.step;
                    targets.push((sample * target_sample + pixel, RUN.min(columns.count - x)));
                }
            }
        }
        runs.resize(runs.len().next_multiple_of(2), 0);
        let runs_of_sample = targets.len() / self.samples;
        Part { taps, offsets: offsets.collect(), runs, targets, runs_of_sample, step: columns.step }
    }
}

/// Copies the `count` elements of each row, from where rows are `distance` and their elements
/// `step` apart to where rows are `cells` apart.
fn copy_rows<T: Element>(
    source: &[T],
    (distance, step): (usize, usize),
    (target, cells): (&mut [T], usize),
    count: usize,
) {
    let rows = source.chunks(distance).zip(target.chunks_mut(cells));
    match (step, count) {
        // Rows are often this short, and a call for each would take longer than the copy.
        (1, 4) => rows.for_each(copy::<T, 4>),
        (1, 8) => rows.for_each(copy::<T, 8>),
        (1, 16) => rows.for_each(copy::<T, 16>),
        (1, 32) => rows.for_each(copy::<T, 32>),
        (1, _) => rows.for_each(|(source, target)| {
            target[..count].copy_from_slice(&source[..count]);
        }),
        _ => rows.for_each(|(source, target)| {
            let source = source.iter().step_by(step);
            target[..count].iter_mut().zip(source).for_each(|(target, source)| *target = *source);
        }),
    }
}

/// Copies the first `N` elements.
fn copy<T: Element, const N: usize>((source, target): (&[T], &mut [T])) {
    if let (Some(source), Some(target)) = (source.first_chunk::<N>(), target.first_chunk_mut()) {
        *target = *source;
    }
}
