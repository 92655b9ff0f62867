//! `hosvd:<eps>`: a small core, and leading singular vectors along each axis.
//!
//! Nguyen et al., "Activation map compression through tensor decomposition for deep learning",
//! NeurIPS 2024. Saved are, along each axis m, the leading left singular vectors U_m of the tensor's
//! unfolding, the fewest whose squared singular values sum to at least a share eps of all, and
//! the core S = A x_0 U_0^T x_1 U_1^T ...: k0 k1 k2 k3 + B k0 + C k1 + H k2 + W k3 numbers for a batch
//! of images. Five contractions give the weight's gradient. The authors pad both spatial factors
//! alike; here any stride, padding and dilation works.
//!
//! `hosvd:<eps>:st` truncates the axes one after the other, each on what the previous ones have left
//! (Vannieuwenhoven et al., SIAM J. Sci. Comput. 34, 2012): faster, with slightly less kept.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::mode_product::mode_product;
use packlight_record::LayerKind;
use rayon::prelude::*;

use crate::grammar::{Entry, Parameter, word};
use crate::low_rank::factors as low_rank;
use crate::low_rank::scaling::squarable;
use crate::low_rank::tucker::Tucker;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "hosvd",
    parameters: &[
        low_rank::ENERGY,
        Parameter::words(
            &["st"],
            "truncates the axes one after the other: faster, and a little less is saved",
        ),
    ],
    summary: "a core and vectors that carry a share eps of each axis's energy",
    examples: &["hosvd:0.8", "hosvd:0.9", "hosvd:0.8:st", "hosvd:1"],
    build: |values| {
        Ok(Arc::new(Hosvd { energy: values.get("eps")?, sequential: values.has("st") }))
    },
};

/// The Tucker decomposition with this share of the energy along each axis.
#[derive(Debug)]
pub struct Hosvd {
    energy: f64,
    sequential: bool,
}

impl Codec for Hosvd {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.energy, &word(self.sequential, "st")])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Conv])
    }

    fn bytes(&self, site: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        low_rank::check(self, shape, site.axes)?;
        Ok(None)
    }

    fn bounds(&self, shape: &[usize], dtype: DType) -> [usize; 2] {
        low_rank::core_bounds(shape, dtype)
    }

    fn pack(&self, input: &Tensor, site: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        low_rank::check(self, input.dims(), site.axes)?;
        if self.sequential {
            let (mut core, mut factors) = (input.clone(), Vec::with_capacity(input.rank()));
            for axis in 0..input.rank() {
                let factor = low_rank::leading_vectors(&squarable(&core)?, axis, self.energy)?;
                core = mode_product(&core, &factor.t()?, axis)?;
                factors.push(factor);
            }
            return Ok(Box::new(Tucker::from_core(core, factors)));
        }
        Ok(Box::new(Tucker::project(input, factors(input, self.energy)?)?))
    }
}

/// For each axis the leading left singular vectors (d,k) of the unfolding along it that carry a
/// share `energy` of all.
///
/// # Errors
/// Returns an error if an element is not finite.
pub(crate) fn factors(tensor: &Tensor, energy: f64) -> Result<Vec<Tensor>> {
    let tensor = &squarable(tensor)?;
    let axes = (0..tensor.rank()).into_par_iter();
    axes.map(|axis| low_rank::leading_vectors(tensor, axis, energy)).collect()
}
