//! The sizes of one convolution, checked once.

use super::KERNEL;
use crate::tensor_io::count;
use crate::{Error, Result};

/// Stride, padding and dilation as (vertical, horizontal), and the number of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2dGeometry {
    /// Distance between the input pixels of neighbouring output pixels.
    pub stride: (usize, usize),
    /// Zeros around the input, on each side.
    pub padding: (usize, usize),
    /// Distance between the input pixels of neighbouring taps.
    pub dilation: (usize, usize),
    /// Number of independent groups of channels; as many as channels make it depthwise.
    pub groups: usize,
}

impl Default for Conv2dGeometry {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

impl Conv2dGeometry {
    /// Height and width of the output for an input and a kernel of these heights and widths.
    ///
    /// # Errors
    /// Returns an error if there is no output, a stride or dilation is 0, or a size is too large to
    /// count.
    pub fn output_size(
        &self,
        input: (usize, usize),
        kernel: (usize, usize),
    ) -> Result<(usize, usize)> {
        let Self { stride, padding, dilation, .. } = *self;
        if [stride.0, stride.1, dilation.0, dilation.1].contains(&0) {
            return Err(Error::shape(
                KERNEL,
                format!("stride {stride:?} and dilation {dilation:?} must be at least 1"),
            ));
        }
        let reach = |size: usize, pad: usize, dilation: usize, taps: usize, stride: usize| {
            let covered = dilation.checked_mul(taps.checked_sub(1)?)?.checked_add(1)?;
            let padded = pad.checked_mul(2)?.checked_add(size)?;
            (padded.checked_sub(covered)? / stride).checked_add(1)
        };
        let height = reach(input.0, padding.0, dilation.0, kernel.0, stride.0);
        let width = reach(input.1, padding.1, dilation.1, kernel.1, stride.1);
        height.zip(width).ok_or_else(|| {
            let reason = format!(
                "the kernel {kernel:?} with {self:?} is empty, larger than the padded input {input:?} or too large to count"
            );
            Error::shape(KERNEL, reason)
        })
    }
}

/// A group's planes on one side of a convolution, and the layout of its weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    /// Channels of a group.
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Distance between the weights of neighbouring channels.
    pub(super) weights: usize,
}

impl Side {
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// All sizes of one convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) batch: usize,
    pub(crate) in_channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) out_channels: usize,
    pub(crate) kernel: (usize, usize),
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) geometry: Conv2dGeometry,
}

impl Problem {
    /// Checks that an input, a weight and a geometry fit together.
    pub(crate) fn new(
        input: &[usize],
        weight: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Self> {
        let fail = |reason: String| Err(Error::shape(KERNEL, reason));
        let (&[batch, in_channels, height, width], &[out_channels, depth, kh, kw]) =
            (input, weight)
        else {
            return fail(format!(
                "expected input (N,C,H,W) and weight (O,C,Kh,Kw), found {input:?} and {weight:?}"
            ));
        };
        let groups = geometry.groups;
        if groups == 0 || in_channels % groups != 0 || out_channels % groups != 0 {
            return fail(format!(
                "{in_channels} input and {out_channels} output channels do not divide into {groups} groups"
            ));
        }
        if depth != in_channels / groups {
            return fail(format!(
                "weight {weight:?} with {groups} groups needs {} input channels, the input {input:?} has {in_channels}",
                depth.saturating_mul(groups)
            ));
        }
        if input.contains(&0) || weight.contains(&0) {
            return fail(format!("input {input:?} or weight {weight:?} holds no elements"));
        }
        let (out_height, out_width) = geometry.output_size((height, width), (kh, kw))?;
        let padding = geometry.padding;
        count(KERNEL, &[batch, in_channels, height + 2 * padding.0, width + 2 * padding.1])?;
        count(KERNEL, &[batch, out_channels, out_height, out_width])?;
        Ok(Self {
            batch,
            in_channels,
            height,
            width,
            out_channels,
            kernel: (kh, kw),
            out_height,
            out_width,
            geometry: *geometry,
        })
    }

    /// Input channels of one output channel.
    pub(crate) fn depth(&self) -> usize {
        self.in_channels / self.geometry.groups
    }

    /// Output channels of one group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.out_channels / self.geometry.groups
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub(crate) fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Stride, padding and dilation of each axis.
    pub(super) fn axes(&self) -> ((usize, usize, usize), (usize, usize, usize)) {
        let g = &self.geometry;
        ((g.stride.0, g.padding.0, g.dilation.0), (g.stride.1, g.padding.1, g.dilation.1))
    }

    /// Inputs and outputs.
    pub(super) fn sides(&self) -> (Side, Side) {
        let (depth, outputs, taps) = (self.depth(), self.group_outputs(), self.taps());
        let (height, width) = (self.height, self.width);
        let input = Side { channels: depth, height, width, weights: taps };
        let (height, width) = (self.out_height, self.out_width);
        (input, Side { channels: outputs, height, width, weights: depth * taps })
    }

    pub(crate) fn output_shape(&self) -> (usize, usize, usize, usize) {
        (self.batch, self.out_channels, self.out_height, self.out_width)
    }

    pub(crate) fn check_grad(&self, grad: &[usize]) -> Result<()> {
        let (n, c, h, w) = self.output_shape();
        if grad == [n, c, h, w] {
            return Ok(());
        }
        Err(Error::shape(
            KERNEL,
            format!("expected output gradient ({n}, {c}, {h}, {w}), found {grad:?}"),
        ))
    }

    pub(crate) fn check_bias(&self, bias: &[usize]) -> Result<()> {
        if bias == [self.out_channels] {
            return Ok(());
        }
        Err(Error::shape(KERNEL, format!("expected bias ({}), found {bias:?}", self.out_channels)))
    }

    pub(crate) fn check_pooled(&self, pooled: &[usize], block: usize) -> Result<()> {
        let expected = [
            self.batch,
            self.in_channels,
            self.height.div_ceil(block.max(1)),
            self.width.div_ceil(block.max(1)),
        ];
        if block > 0 && pooled == expected {
            return Ok(());
        }
        Err(Error::shape(
            KERNEL,
            format!("expected pooled input {expected:?} for blocks of {block}, found {pooled:?}"),
        ))
    }
}
