//! `gf<r>`: sums over patches of r x r output pixels, for both gradients of a convolution.
//!
//! Yang, Li and Marculescu, "Efficient on-device training via gradient filtering" (CVPR 2023). Output
//! and output gradient are cut into patches of r x r pixels, the input into windows of r s x r s for
//! stride s, both centred on the image. The sum of the input over each window is saved.
//! With the mean `g` of the output gradient over each patch and the sum `w` of the weight's taps:
//!
//! ```text
//! dW[o,c,i,j] = 1/s^2 sum_{b,patch} g[b,o,patch] x[b,c,patch]     the same for all taps
//! dX[b,c,pixel] = 1/s^2 sum_o w[o,c] g[b,o,patch]                 for the window of the pixel
//! ```
//!
//! So the input's gradient is approximate too, and its error reaches the layers before. Axes with
//! a dilation of at least r (and above 1) keep their taps in `w`, r times closer together.
//!
//! The authors' code has no 1/s^2, which makes both gradients s^2 too large at stride s; `gf<r>:paper`
//! does the same. Where windows together are smaller than the image (no padding), the authors' code
//! fails; here the pixels outside them get no gradient.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::patches::{self, Patches};
use packlight_record::LayerKind;

use crate::grammar::{Entry, Kind, Parameter, Presence, word};
use crate::{Bytes, Codec, Error, Op, Packed, Result, RewriteGradients, Scope, ShareKey, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "gf",
    parameters: &[
        Parameter::new("r", Kind::Whole(1, 1024), "side of a patch of output pixels")
            .with(Presence::Attached),
        Parameter::words(
            &["paper"],
            "leaves gradients s^2 too large at stride s, as the authors do",
        ),
    ],
    summary: "sums over patches of r x r output pixels; approximates the input gradient, too",
    examples: &["gf2", "gf4", "gf3:paper"],
    build: |values| {
        Ok(Arc::new(GradientFilter { patch: values.get("r")?, paper: values.has("paper") }))
    },
};

/// Gradient filtering with patches of this many output pixels each way.
#[derive(Debug, Clone, Copy)]
pub struct GradientFilter {
    patch: usize,
    /// Whether gradients stay s^2 too large at stride s.
    paper: bool,
}

/// Where the patches lie, as rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    input: (Patches, Patches),
    output: (Patches, Patches),
}

impl GradientFilter {
    fn unfit(&self, reason: String) -> Error {
        Error::Layer { codec: self.spec(), reason }
    }

    /// Where the patches lie for an input of this shape, if a convolution saves it.
    fn layout_for(&self, op: Op<'_>, input: &[usize]) -> Result<Layout> {
        match op {
            Op::Conv2d { weight_shape, geometry } => self.layout(input, weight_shape, &geometry),
            _ => Err(self.unfit("it is for convolutions".into())),
        }
    }

    /// Where the patches of a convolution lie, if it is one that has them.
    fn layout(
        &self,
        input: &[usize],
        weight: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Layout> {
        let (&[_, channels, height, width], &[outputs, depth, kh, kw]) = (input, weight) else {
            return Err(self.unfit(format!(
                "images (N,C,H,W) and a weight (O,C,Kh,Kw) expected, {input:?} and {weight:?} found"
            )));
        };
        let depthwise = depth == 1 && channels == geometry.groups && outputs == channels;
        if geometry.groups != 1 && !depthwise {
            return Err(self.unfit(format!(
                "it knows convolutions with one group, and depthwise ones with as many outputs as \
                 inputs; this one has {} groups, {channels} inputs and {outputs} outputs",
                geometry.groups
            )));
        }
        let (out_height, out_width) = geometry.output_size((height, width), (kh, kw))?;
        let rows = self.axis(height, out_height, geometry.stride.0);
        let columns = self.axis(width, out_width, geometry.stride.1);
        Ok(Layout { input: (rows.0, columns.0), output: (rows.1, columns.1) })
    }

    /// The gradient of a convolution's input (N,C,H,W), from that of its output.
    fn conv2d_input_grad(
        &self,
        grad: &Tensor,
        weight: &Tensor,
        input_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        let Layout { input, output } = self.layout(input_shape, weight.dims(), geometry)?;
        let means = patches::means(grad, output.0, output.1)?;
        // A convolution of patches: with the taps that stay apart, r times closer together.
        let (&[samples, channels, height, width], &[_, _, kh, kw]) = (input_shape, weight.dims())
        else {
            return Err(self.unfit("images (N,C,H,W) expected".into())); // `layout` has seen to it
        };
        let axis = |taps: usize, dilation: usize| match dilation > 1 && dilation >= self.patch {
            true => (taps, dilation / self.patch, (taps - 1) * (dilation / self.patch)),
            false => (1, 1, 0),
        };
        let (rows, columns) = (axis(kh, geometry.dilation.0), axis(kw, geometry.dilation.1));
        if rows.2 % 2 != 0 || columns.2 % 2 != 0 {
            return Err(self.unfit(format!(
                "a dilated kernel of {kh} x {kw} taps has no centre; odd sizes expected"
            )));
        }
        let mut taps = weight.clone();
        for (axis, kept) in [(2, rows.0), (3, columns.0)] {
            if kept == 1 {
                taps = taps.sum_keepdim(axis)?;
            }
        }
        let among_patches = Conv2dGeometry {
            stride: (1, 1),
            padding: (rows.2 / 2, columns.2 / 2),
            dilation: (rows.1, columns.1),
            groups: geometry.groups,
        };
        let shape = [samples, channels, input.0.count, input.1.count];
        let by_patch = conv2d::input_grad(&means, &taps, &shape, &among_patches)?;
        let by_patch = (by_patch * self.scale(geometry))?;
        Ok(patches::spread(&by_patch, input.0, input.1, (height, width), false)?)
    }

    /// The patches of one axis: over the input, and over the output.
    fn axis(&self, input: usize, output: usize, stride: usize) -> (Patches, Patches) {
        let count = output.div_ceil(self.patch);
        let centred = |size: usize, length: usize| Patches {
            count,
            size,
            before: ((count * size) as isize - length as isize + 1).div_euclid(2),
        };
        (centred(self.patch * stride, input), centred(self.patch, output))
    }

    fn scale(&self, geometry: &Conv2dGeometry) -> f64 {
        match self.paper {
            true => 1.0,
            false => 1.0 / (geometry.stride.0 * geometry.stride.1) as f64,
        }
    }
}

impl Codec for GradientFilter {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.patch, &word(self.paper, "paper")])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let Layout { input: (rows, columns), .. } = self.layout_for(site.op, shape)?;
        let maps: usize = shape.iter().take(2).product();
        let payload = maps * rows.count * columns.count * dtype.size_in_bytes();
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let layout = self.layout_for(site.op, input.dims())?;
        let sums = patches::sums(input, layout.input.0, layout.input.1)?;
        Ok(Box::new(Sums { sums, layout, shape: input.dims().to_vec(), codec: *self }))
    }

    /// Convolutions share sums over the same windows.
    fn share_key(&self, site: &Site<'_>, shape: &[usize]) -> ShareKey {
        let windows = self.layout_for(site.op, shape).map(|layout| layout.input);
        ShareKey::new(format!("{} over {windows:?}", self.spec()), site.axes)
    }

    fn gradients(&self) -> Option<&dyn RewriteGradients> {
        Some(self)
    }
}

impl RewriteGradients for GradientFilter {
    fn input_grad(
        &self,
        op: Op<'_>,
        output_grad: &Tensor,
        weight: &Tensor,
        input_shape: &[usize],
    ) -> Result<Option<Tensor>> {
        let Op::Conv2d { geometry, .. } = op else { return Ok(None) };
        self.conv2d_input_grad(output_grad, weight, input_shape, &geometry).map(Some)
    }
}

struct Sums {
    sums: Tensor,
    layout: Layout,
    shape: Vec<usize>,
    codec: GradientFilter,
}

impl Packed for Sums {
    fn bytes(&self) -> Bytes {
        Bytes::of_tensors([&self.sums], [])
    }

    fn is_apart(&self) -> bool {
        true
    }

    /// The mean of each window: the smallest input with these sums.
    fn unpack(&self) -> Result<Tensor> {
        let (rows, columns) = self.layout.input;
        let size = match self.shape[..] {
            [_, _, height, width] => (height, width),
            _ => (0, 0),
        };
        Ok(patches::spread(&self.sums, rows, columns, size, true)?)
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        let Op::Conv2d { weight_shape, geometry } = op else { return Ok(None) };
        let (rows, columns) = self.codec.layout(&self.shape, weight_shape, &geometry)?.output;
        let means = patches::means(output_grad, rows, columns)?;
        let pointwise = Conv2dGeometry { groups: geometry.groups, ..Conv2dGeometry::default() };
        let one_tap: Vec<usize> = weight_shape.iter().take(2).copied().chain([1, 1]).collect();
        let tap = conv2d::weight_grad(&self.sums, &means, &one_tap, &pointwise)?;
        let tap = (tap * self.codec.scale(&geometry))?;
        Ok(Some(tap.broadcast_as(weight_shape)?.contiguous()?))
    }
}
