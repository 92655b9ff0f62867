//! `asi:<r0>x<r1>x...`, `asi:<eps>` and `asi:<budget>MiB`: a small core, and a subspace along each
//! axis that is tracked from step to step.
//!
//! Nguyen et al., "Beyond low-rank decomposition: a shortcut approach for efficient on-device
//! learning" (ASI), ICML 2025, arXiv 2505.05086. What is saved, and the weight's gradient from
//! it, are those of [`hosvd`]; but the factors are not computed anew. Each step updates the last ones
//! by one step of subspace iteration, U = qr(A_m A_m^T U_last), at fixed ranks, limited by the length
//! of their axis. `asi:<eps>` takes the ranks of `hosvd:<eps>` on the first batch, and starts from its
//! vectors.
//!
//! `asi:<budget>MiB` chooses ranks as the paper does, for all layers with this codec at once. On the
//! first batch the trainer measures each layer's perplexity, the distance of its weight's gradient
//! from the exact one, at the ranks of `hosvd:0.4`, `hosvd:0.5` to `hosvd:0.9`
//! ([`Calibration::Distances`]). The layers then take the ranks with the least sum of perplexities
//! whose bytes, on a batch of that size, are within the budget; in the first step they save their
//! inputs whole. The authors divide the budget into parts of 1/1000 MB, we into 10,000 parts. Where
//! two layers share an input, the one that packs it counts for both.
//!
//! Without a last U, or along an axis whose length has changed, the iteration starts from a random U;
//! the authors start from a random A_m^T U. A batch that is only smaller than the last one, as at the
//! end of an epoch, does not update the stored factors.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_kernels::gaussian::gaussian;
use packlight_kernels::gram::gram;
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::orthonormalise::orthonormalise;
use packlight_kernels::rng::Key;
use packlight_record::LayerKind;
use rayon::prelude::*;

use crate::adaptive::selection::{Way, least_budget, select};
use crate::grammar::{Entry, Kind, Parameter, Values};
use crate::identity::Identity;
use crate::low_rank::factors as low_rank;
use crate::low_rank::hosvd;
use crate::low_rank::scaling::squarable;
use crate::low_rank::tucker::Tucker;
use crate::{Adaptive, Bytes, Calibration, Codec, CodecState, Error, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "asi",
    parameters: &[Parameter::new("ranks", Kind::Text(RANKS_TEXT), "size of the core")],
    summary: "a core and subspaces that follow from step to step",
    examples: &["asi:4x8x4x4", "asi:0.8", "asi:2x3", "asi:2MiB"],
    build: |values| Ok(Arc::new(Asi { ranks: ranks(values)? })),
};

const RANKS_TEXT: &str = "a rank for each axis such as `4x8x4x4`, a share of energy above 0 and at most \
                          1 such as `0.8`, or a budget for all layers such as `2MiB`";

fn ranks(values: &Values<'_>) -> Result<Ranks> {
    let text: String = values.get("ranks")?;
    let positive = |text: &str| text.parse().ok().filter(|number: &f64| *number > 0.0);
    let ranks = if let Some(budget) = text.strip_suffix("MiB") {
        positive(budget).filter(|mib| mib.is_finite()).map(Ranks::Budget)
    } else if text.contains('x') {
        let rank = |rank: &str| rank.parse().ok().filter(|rank| *rank > 0);
        text.split('x').map(rank).collect::<Option<_>>().map(Ranks::Fixed)
    } else {
        positive(&text).filter(|energy| *energy <= 1.0).map(Ranks::Energy)
    };
    ranks.ok_or_else(|| values.wrong(format!("{RANKS_TEXT} expected; `{text}` found")))
}

#[derive(Debug)]
enum Ranks {
    /// One for each axis.
    Fixed(Vec<usize>),
    /// Those at which HOSVD keeps this share of the first batch's energy along each axis.
    Energy(f64),
    /// Those of least perplexity with which all layers together take at most this many MiB.
    Budget(f64),
}

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(ranks) => {
                f.write_str(&ranks.iter().map(usize::to_string).collect::<Vec<_>>().join("x"))
            }
            Self::Energy(energy) => write!(f, "{energy}"),
            Self::Budget(mib) => write!(f, "{mib}MiB"),
        }
    }
}

const MIB: f64 = (1 << 20) as f64;
/// The percentages of energy whose ranks a budget chooses from.
const LEVELS: &[u8] = &[40, 50, 60, 70, 80, 90];

// The names under which a layer's state under a budget is stored, beside the factors.
/// The perplexity at each level.
const PERPLEXITIES: &str = "perplexities";
/// The bytes at each level.
const TAKEN: &str = "taken";
/// The ranks (levels, axes).
const CHOICES: &str = "choices";
/// The ranks that were chosen.
const RANKS: &str = "ranks";

/// The Tucker decomposition by a step of subspace iteration at these ranks.
#[derive(Debug)]
pub struct Asi {
    ranks: Ranks,
}

/// How a tensor is packed at one step.
enum Packing {
    /// At these ranks.
    Ranks(Vec<usize>),
    /// At those that keep this share of energy along each axis.
    Energy(f64),
    /// As it is.
    Whole,
}

/// The stored factor along this axis.
fn remembered(memory: &CodecState, axis: usize) -> Option<&Tensor> {
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
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.ranks])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        low_rank::check(self, shape, site.axes)?;
        let Ranks::Fixed(ranks) = &self.ranks else { return Ok(None) };
        if ranks.len() != shape.len() {
            let reason = format!("{} ranks for {} axes", ranks.len(), shape.len());
            return Err(Error::Shape { codec: self.spec(), shape: shape.into(), reason });
        }
        let ranks: Vec<usize> =
            ranks.iter().enumerate().map(|(m, &rank)| rank.min(full_rank(shape, m))).collect();
        let factors: usize = shape.iter().zip(&ranks).map(|(length, rank)| length * rank).sum();
        let elements = ranks.iter().product::<usize>() + factors;
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        low_rank::core_bounds(shape, dtype)
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let shape = input.dims();
        self.bytes(site, shape, input.dtype())?; // refuses what does not fit
        let packing = self.packing(input, site)?;
        let last: Vec<Option<&Tensor>> =
            (0..shape.len()).map(|axis| remembered(site.state, axis)).collect();
        let factors = match packing {
            Packing::Whole => return Identity.pack(input, site),
            Packing::Energy(energy) => hosvd::factors(input, energy)?,
            Packing::Ranks(ranks) => {
                let input = &squarable(input)?;
                let axes = last.par_iter().zip(ranks).enumerate();
                let step = axes.map(|(axis, (last, rank))| {
                    let key = site.key.layer(&name(axis));
                    subspace_step(input, axis, rank.min(full_rank(shape, axis)), *last, key)
                });
                step.collect::<Result<Vec<_>>>()?
            }
        };
        if !is_smaller_batch(shape, &last) {
            for (axis, factor) in factors.iter().enumerate() {
                // A copy: what is packed is freed with the step, what is remembered is not.
                site.state.set(&name(axis), &factor.copy()?);
            }
        }
        Ok(Box::new(Tucker::project(input, factors)?))
    }

    fn adaptive(&self) -> Option<&dyn Adaptive> {
        if let Ranks::Budget(_) = self.ranks { Some(self) } else { None }
    }
}

impl Adaptive for Asi {
    fn measure(&self, step: u64, _: u64) -> Option<Calibration> {
        (step == 0).then_some(Calibration::Distances(LEVELS))
    }

    fn measured(&self, numbers: &[f64], state: &mut CodecState) -> Result<()> {
        state.set(PERPLEXITIES, &Tensor::new(numbers, &Device::Cpu)?);
        Ok(())
    }

    fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
        let Ranks::Budget(mib) = self.ranks else { return Ok(()) };
        let (mut choosing, mut tensors) = (Vec::new(), Vec::new());
        for layer in layers {
            if let Some(ways) = ways(layer)? {
                choosing.push(layer);
                tensors.push(ways);
            }
        }
        let selected = select(&tensors, mib * MIB).ok_or_else(|| {
            let least = (least_budget(&tensors) / MIB * 1e4).ceil() / 1e4; // so much suffices
            let count = tensors.len();
            let reason = format!("{count} layers take {least:.4} MiB at least; allow more");
            Error::Parameter { spec: self.spec(), reason }
        })?;
        for (layer, level) in choosing.into_iter().zip(selected) {
            let ranks = layer.get(CHOICES).map(|choices| choices.get(level)).transpose()?;
            if let Some(ranks) = ranks {
                layer.set(RANKS, &ranks.copy()?);
            }
        }
        Ok(())
    }
}

impl Asi {
    /// How to pack a tensor now. Under a budget, stores its ranks at all levels where they are
    /// needed.
    fn packing(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Packing> {
        Ok(match &self.ranks {
            Ranks::Fixed(ranks) => Packing::Ranks(ranks.clone()),
            Ranks::Energy(energy) => {
                let rank = |axis| remembered(site.state, axis)?.dims().last().copied();
                let ranks = (0..input.rank()).map(rank).collect::<Option<_>>();
                ranks.map_or(Packing::Energy(*energy), Packing::Ranks)
            }
            Ranks::Budget(_) => match (site.level, site.state.get(RANKS)) {
                (Some(0), _) => Packing::Whole,
                (Some(percent), _) => Packing::Energy(f64::from(percent) / 100.0),
                (None, Some(ranks)) => {
                    let ranks = ranks.to_vec1::<u32>()?;
                    Packing::Ranks(ranks.into_iter().map(|rank| rank as usize).collect())
                }
                (None, None) => {
                    if site.state.get(PERPLEXITIES).is_some() {
                        survey(input, site.state)?;
                    }
                    Packing::Whole
                }
            },
        })
    }
}

/// Stores the ranks of a tensor at all levels, and its bytes at each.
fn survey(input: &Tensor, memory: &mut CodecState) -> Result<()> {
    let (mut choices, mut taken) = (Vec::<u32>::new(), Vec::new());
    for &percent in LEVELS {
        let factors = hosvd::factors(input, f64::from(percent) / 100.0)?;
        for factor in &factors {
            choices.push(factor.dim(1)? as u32);
        }
        taken.push(Tucker::project(input, factors)?.bytes().total() as f64);
    }
    memory.set(CHOICES, &Tensor::from_vec(choices, (LEVELS.len(), input.rank()), &Device::Cpu)?);
    memory.set(TAKEN, &Tensor::new(taken, &Device::Cpu)?);
    Ok(())
}

/// The options of a layer within the budget, if its ranks are not chosen yet and have been measured.
fn ways(memory: &CodecState) -> Result<Option<Vec<Way>>> {
    let (None, Some(taken), Some(perplexities)) =
        (memory.get(RANKS), memory.get(TAKEN), memory.get(PERPLEXITIES))
    else {
        return Ok(None);
    };
    let ways = taken.to_vec1()?.into_iter().zip(perplexities.to_vec1()?);
    Ok(Some(ways.map(|(bytes, cost)| Way { bytes, cost }).collect()))
}

/// Whether the shape differs from the stored factors only by a smaller batch.
fn is_smaller_batch(shape: &[usize], last: &[Option<&Tensor>]) -> bool {
    let before = |last: &Option<&Tensor>| last.and_then(|u| u.dims().first().copied()).unwrap_or(0);
    let mut lengths = shape.iter().zip(last.iter().map(before));
    lengths.next().is_some_and(|(now, before)| *now < before)
        && lengths.all(|(now, before)| *now == before)
}

/// One step of subspace iteration with the unfolding A of a tensor that can be squared along an axis of
/// length d: an orthonormal basis (d, rank) of A A^T U, for the last U or a random one.
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
        None => gaussian(key, &[length, rank], tensor.dtype(), 1.0)?.to_device(tensor.device())?,
    };
    let product = if length * length <= tensor.elem_count() {
        mode_product(&gram(tensor, axis)?, &u.t()?.to_dtype(DType::F64)?, 1)?
    } else {
        let unfolding = low_rank::unfold(tensor, axis)?;
        linear::forward(&unfolding, &linear::weight_grad(&unfolding, &u)?, None)?
    };
    Ok(orthonormalise(&product)?.to_dtype(tensor.dtype())?)
}
