//! The means of a pooled input as the input of a smaller convolution.
//!
//! Where the stride moves by whole blocks, a tap reads each block at one pixel at most, and the same way for
//! all targets. Then the means are an image, one pixel a block, and taps that read the same block share a tap
//! of a smaller kernel: 4 x 4 of them in place of 7 x 7 with a stride of 2 and blocks of 2 x 2.

use super::dense;
use super::problem::{Conv2dGeometry, Problem};
use crate::dtype::Element;

/// The convolution of the means that reads what the convolution of the restored input reads, where the
/// stride moves by whole blocks.
pub(super) struct MeansAsInput {
    problem: Problem,
    rows: ReadBlocks,
    columns: ReadBlocks,
}

/// The blocks that the taps of one axis read for one target.
struct ReadBlocks {
    /// Blocks before the first of the input.
    before: usize,
    /// The block of each tap, counted from the first that is read.
    of_taps: Vec<usize>,
}

impl ReadBlocks {
    fn new(
        block: usize,
        size: usize,
        taps: usize,
        (stride, padding, dilation): (usize, usize, usize),
    ) -> Option<Self> {
        // A block that ends beyond the input would be read where the input is zero.
        if !stride.is_multiple_of(block) || !size.is_multiple_of(block) || dilation > block {
            return None;
        }
        let before = padding.div_ceil(block);
        let block_of = |tap: usize| (before * block - padding + tap * dilation) / block;
        Some(Self { before, of_taps: (0..taps).map(block_of).collect() })
    }

    /// Blocks that are read for one target.
    fn count(&self) -> usize {
        self.of_taps.last().map_or(0, |last| last + 1)
    }
}

impl MeansAsInput {
    /// `None` if targets differ in how they read the blocks.
    pub(super) fn new(problem: &Problem, block: usize) -> Option<Self> {
        let (rows, columns) = problem.axes();
        let rows = ReadBlocks::new(block, problem.height, problem.kernel.0, rows)?;
        let columns = ReadBlocks::new(block, problem.width, problem.kernel.1, columns)?;
        let g = &problem.geometry;
        let geometry = Conv2dGeometry {
            stride: (g.stride.0 / block, g.stride.1 / block),
            padding: (rows.before, columns.before),
            dilation: (1, 1),
            groups: g.groups,
        };
        let problem = Problem {
            height: problem.height / block,
            width: problem.width / block,
            kernel: (rows.count(), columns.count()),
            geometry,
            ..*problem
        };
        Some(Self { problem, rows, columns })
    }

    /// The gradient of the weight of `restored`, the convolution of the restored input.
    pub(super) fn weight_grad<T: Element>(
        &self,
        restored: &Problem,
        means: &[T],
        grad: &[T],
    ) -> Vec<T> {
        let of_blocks = dense::weight_grad(&self.problem, means, grad);
        let mut result =
            Vec::with_capacity(restored.out_channels * restored.depth() * restored.taps());
        for kernel in of_blocks.chunks_exact(self.problem.taps()) {
            for row in &self.rows.of_taps {
                let kernel = &kernel[row * self.problem.kernel.1..];
                result.extend(self.columns.of_taps.iter().map(|&column| kernel[column]));
            }
        }
        result
    }
}
