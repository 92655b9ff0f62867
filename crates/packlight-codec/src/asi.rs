//! `asi:<r0>x<r1>x...` and `asi:<eps>`: a small core, and a subspace along each axis that follows
//! from step to step.
//!
//! Nguyen et al., "Beyond low-rank decomposition: a shortcut approach for efficient on-device
//! learning" (ASI), ICML 2025, arXiv 2505.05086. What is kept, and how the weight's gradient comes
//! from it, is that of [`crate::hosvd`]; but the factors are not decomposed anew: at each step one
//! step of subspace iteration takes the last ones on, U = qr(A_m A_m^T U_last), at fixed ranks,
//! which no axis exceeds. `asi:<eps>` has the first batch choose the ranks by the rule of
//! `hosvd:<eps>`, and starts from its vectors; the paper's choice under a budget of memory is made
//! for all layers at once and gives ranks to write out.
//!
//! Without a last U the iteration starts from a random one; the authors start with a random
//! A_m^T U. So it does along an axis whose length has changed; but a batch that is only smaller
//! than the last, as at the end of an epoch, leaves nothing behind.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::gaussian::gaussian;
use packlight_kernels::gram::gram;
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::rng::Key;
use packlight_record::LayerKind;
use rayon::prelude::*;

use crate::registry::Entry;
use crate::spec::{number, parameters, wrong};
use crate::tucker::Tucker;
use crate::{
    Bytes, Codec, Context, Error, InputForm, Memory, Packed, Result, Scope, hosvd, low_rank,
};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "asi:<ranks>",
    summary: "a core and subspaces that follow by one step each time; ranks 4x8x4x4, or a share eps",
    examples: &["asi:4x8x4x4", "asi:0.8", "asi:2x3"],
    parse,
};

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    let parameters = parameters(spec, "asi")?;
    let ranks = match parameters[..] {
        [ranks] if ranks.contains('x') => {
            let expected = "a rank for each axis, as in `asi:4x8x4x4`,";
            let ranks = ranks.split('x').map(|rank| number(spec, rank, 1.., expected));
            ranks.collect::<Result<_>>().map(Ranks::Fixed)
        }
        [energy] => low_rank::energy(spec, energy).map(Ranks::Energy),
        _ => Err(wrong(spec, "ranks or a share of energy expected, `asi:4x8x4x4` or `asi:0.8`")),
    };
    Some(ranks.map(|ranks| Arc::new(Asi { ranks }) as _))
}

#[derive(Debug)]
enum Ranks {
    /// One for each axis.
    Fixed(Vec<usize>),
    /// Those at which HOSVD keeps this share of the first batch's energy along each axis.
    Energy(f64),
}

/// The Tucker decomposition by a step of subspace iteration at these ranks.
#[derive(Debug)]
pub struct Asi {
    ranks: Ranks,
}

/// What is remembered: the factor along this axis.
fn remembered(memory: &Memory, axis: usize) -> Option<&Tensor> {
    memory.get(&name(axis))
}

fn name(axis: usize) -> String {
    format!("factor{axis}")
}

/// The largest rank that an unfolding along this axis can have.
fn full_rank(shape: &[usize], axis: usize) -> usize {
    let length = shape[axis];
    length.min(shape.iter().product::<usize>() / length.max(1))
}

impl Codec for Asi {
    fn name(&self) -> String {
        match &self.ranks {
            Ranks::Fixed(ranks) => {
                format!("asi:{}", ranks.iter().map(usize::to_string).collect::<Vec<_>>().join("x"))
            }
            Ranks::Energy(energy) => format!("asi:{energy}"),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, shape: &[usize], dtype: DType, form: InputForm) -> Result<Option<Bytes>> {
        low_rank::check(self, shape, form)?;
        let Ranks::Fixed(ranks) = &self.ranks else { return Ok(None) };
        if ranks.len() != shape.len() {
            let reason = format!("{} ranks for {} axes", ranks.len(), shape.len());
            return Err(Error::Shape { codec: self.name(), shape: shape.into(), reason });
        }
        let ranks: Vec<usize> =
            ranks.iter().enumerate().map(|(m, &rank)| rank.min(full_rank(shape, m))).collect();
        let factors: usize = shape.iter().zip(&ranks).map(|(length, rank)| length * rank).sum();
        let elements = ranks.iter().product::<usize>() + factors;
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let shape = input.dims();
        self.bytes(shape, input.dtype(), context.form)?; // refuses what does not fit
        let last: Vec<Option<&Tensor>> =
            (0..shape.len()).map(|axis| remembered(context.memory, axis)).collect();
        let factors = match self.ranks(&last) {
            Ok(ranks) => {
                let axes = last.par_iter().zip(ranks).enumerate();
                let step = axes.map(|(axis, (last, rank))| {
                    let key = context.key.layer(&name(axis));
                    subspace_step(input, axis, rank.min(full_rank(shape, axis)), *last, key)
                });
                step.collect::<Result<Vec<_>>>()?
            }
            Err(energy) => hosvd::factors(input, energy)?,
        };
        if !is_smaller_batch(shape, &last) {
            for (axis, factor) in factors.iter().enumerate() {
                // A copy: what is packed is freed with the step, what is remembered is not.
                context.memory.set(&name(axis), &factor.copy()?);
            }
        }
        Ok(Box::new(Tucker::project(input, factors)?))
    }
}

impl Asi {
    /// The rank along each axis, or the energy that has yet to choose them.
    fn ranks(&self, last: &[Option<&Tensor>]) -> std::result::Result<Vec<usize>, f64> {
        match &self.ranks {
            Ranks::Fixed(ranks) => Ok(ranks.clone()),
            Ranks::Energy(energy) => {
                let ranks = last.iter().map(|last| last.as_ref()?.dims().last().copied());
                ranks.collect::<Option<_>>().ok_or(*energy)
            }
        }
    }
}

/// Whether only the batch differs from what was remembered, and has become smaller.
fn is_smaller_batch(shape: &[usize], last: &[Option<&Tensor>]) -> bool {
    let before = |last: &Option<&Tensor>| last.and_then(|u| u.dims().first().copied()).unwrap_or(0);
    let mut lengths = shape.iter().zip(last.iter().map(before));
    lengths.next().is_some_and(|(now, before)| *now < before)
        && lengths.all(|(now, before)| *now == before)
}

/// One step of subspace iteration with the unfolding A of a tensor along an axis of length d:
/// an orthonormal basis (d, rank) of A A^T U, for the last U or a random one.
fn subspace_step(
    tensor: &Tensor,
    axis: usize,
    rank: usize,
    last: Option<&Tensor>,
    key: Key,
) -> Result<Tensor> {
    let length = tensor.dim(axis)?;
    let u = match last.filter(|last| last.dims() == [length, rank]) {
        Some(last) => last.clone(),
        None => gaussian(key, &[length, rank], tensor.dtype(), 1.0)?,
    };
    let product = if length * length <= tensor.elem_count() {
        mode_product(&gram(tensor, axis)?, &u.t()?.to_dtype(DType::F64)?, 1)?
    } else {
        let unfolding = low_rank::unfold(tensor, axis)?;
        linear::forward(&unfolding, &linear::weight_grad(&unfolding, &u)?, None)?
    };
    Ok(orthonormalise(&product)?.to_dtype(tensor.dtype())?)
}
