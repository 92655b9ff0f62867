//! `asa<level>` and `alt<level>`: the sign of each element.
//!
//! Woo and Jeon, "Learning with auxiliary activation for memory-efficient training", ICLR 2023.
//! Auxiliary sign activation adds `eps sign(h)` to the input `h` of a linear layer and keeps those
//! signs alone, one bit each: the layer computes `W (h + eps s)`, and its weight's gradient is
//! `expansion G^T (eps s)`. It is the one method here that changes the forward pass to fit what is
//! kept. `alt` is its control without that addition: plain alternative activation.

use std::sync::Arc;

use candle_core::{DType, Shape, Tensor};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::{linear, sign};

use crate::registry::Entry;
use crate::spec::{number, parameters, wrong};
use crate::{AxisLayout, Bytes, Codec, Context, Packed, Result, Scope};

/// The authors' scale of the sign activation.
const EPSILON: f64 = 0.01;
/// The authors' factor on the weight gradient, `lr_expansion`, which undoes that scale.
const EXPANSION: f64 = 100.0;

/// How plans write auxiliary sign activation.
pub const AUXILIARY: Entry = Entry {
    pattern: "asa<level>[:<eps>:<expansion>]",
    summary: "signs, which the layer adds to its input (linear inputs up to a level of 1 to 4)",
    examples: &["asa4", "asa1", "asa2:0.02:50"],
    parse: |spec| parse(spec, "asa", true),
};

/// How plans write alternative activation.
pub const ALTERNATIVE: Entry = Entry {
    pattern: "alt<level>[:<eps>:<expansion>]",
    summary: "signs in the place of the input, which the layer does not add: a control for asa",
    examples: &["alt4"],
    parse: |spec| parse(spec, "alt", false),
};

fn parse(spec: &str, name: &'static str, added: bool) -> Option<Result<Arc<dyn Codec>>> {
    let rest = spec.strip_prefix(name)?;
    let (level, rest) = rest.split_at(rest.len().min(1));
    let read = || {
        let level = number(spec, level, 1..=4, &format!("a level from 1 to 4 after `{name}`"))?;
        let positive = |text| number(spec, text, f64::MIN_POSITIVE..=1e6, "a positive number");
        let (epsilon, expansion) = match parameters(rest, "").as_deref() {
            Some([]) => (EPSILON, EXPANSION),
            Some(&[epsilon, expansion]) => (positive(epsilon)?, positive(expansion)?),
            _ => {
                let reason =
                    format!("`{name}{level}` or `{name}{level}:<eps>:<expansion>` expected");
                return Err(wrong(spec, reason));
            }
        };
        Ok(Arc::new(Signs { name, level, epsilon, expansion, added }) as _)
    };
    Some(read())
}

/// Keeps signs.
#[derive(Debug)]
pub struct Signs {
    name: &'static str,
    level: u8,
    epsilon: f64,
    expansion: f64,
    added: bool,
}

impl Codec for Signs {
    fn name(&self) -> String {
        let Signs { name, level, epsilon, expansion, .. } = self;
        match (*epsilon, *expansion) == (EPSILON, EXPANSION) {
            true => format!("{name}{level}"),
            false => format!("{name}{level}:{epsilon}:{expansion}"),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Auxiliary(self.level)
    }

    fn bytes(&self, shape: &[usize], _: DType, _: AxisLayout) -> Result<Option<Bytes>> {
        let payload = shape.iter().product::<usize>().div_ceil(32) * 4;
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(PackedSigns {
            signs: sign::pack(input)?,
            shape: input.shape().clone(),
            dtype: input.dtype(),
            epsilon: self.epsilon,
            expansion: self.expansion,
        }))
    }

    fn input(&self, input: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.added.then(|| sign::add(input, self.epsilon)).transpose()?)
    }
}

struct PackedSigns {
    signs: Tensor,
    shape: Shape,
    dtype: DType,
    epsilon: f64,
    expansion: f64,
}

impl PackedSigns {
    /// The signs as the weight gradient sees them.
    fn expanded(&self) -> Result<Tensor> {
        let magnitude = self.epsilon * self.expansion;
        Ok(sign::unpack(&self.signs, magnitude, &self.shape, self.dtype)?)
    }
}

impl Packed for PackedSigns {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.signs.elem_count(), metadata: 0 }
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(sign::unpack(&self.signs, self.epsilon, &self.shape, self.dtype)?)
    }

    fn conv2d_weight_grad(
        &self,
        grad: &Tensor,
        weight_shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Tensor> {
        Ok(conv2d::weight_grad(&self.expanded()?, grad, weight_shape, geometry)?)
    }

    fn linear_weight_grad(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(linear::weight_grad(&self.expanded()?, grad)?)
    }
}
