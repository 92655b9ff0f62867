//! `gact:<bits>`: bits for each saved tensor by how much it disturbs all gradients.
//!
//! Liu et al., "GACT: activation compressed training for generic network architectures" (ICML
//! 2022). Every tensor that an operation keeps is quantised as `q<b>` does, in 1, 2, 4 or 8 bits or
//! left as it is. Every 1,000 steps the trainer measures each tensor's sensitivity c (see
//! [`Codec::calibrates_every`]), and bits are allocated so that the predicted variance, the sum of
//! `c 4^-(bits - 1)`, is least within `bits` on average: from whole tensors for all, one step down
//! the ladder at a time, where it costs least for what it saves. Until then all have `bits`, rounded
//! down to a step of the ladder.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use packlight_kernels::quantise::Rounding;

use crate::grouped::Code;
use crate::identity::Identity;
use crate::quantised::{GROUP, KEEPERS};
use crate::registry::Entry;
use crate::spec::{number, parameters, wrong};
use crate::{Bytes, Codec, Context, InputForm, Memory, Packed, Result, Scope};

/// How plans write it.
pub const ENTRY: Entry = Entry {
    pattern: "gact:<bits>",
    summary: "1 to 8 bits or all, so many on average, by each tensor's measured sensitivity",
    examples: &["gact:4", "gact:2"],
    parse,
};

/// Bits that a tensor may have, most first; at 32 it is left as it is.
const LADDER: [u8; 5] = [32, 8, 4, 2, 1];
/// Steps from one measurement to the next.
const INTERVAL: u64 = 1000;

// What is remembered of a layer.
const ELEMENTS: &str = "elements";
const SENSITIVITY: &str = "sensitivity";
const BITS: &str = "bits";

fn parse(spec: &str) -> Option<Result<Arc<dyn Codec>>> {
    Some(match parameters(spec, "gact")?[..] {
        [bits] => number(spec, bits, 1.0..=32.0, "bits on average, 1 to 32,")
            .map(|mean| Arc::new(Gact { mean }) as _),
        _ => Err(wrong(spec, "bits on average expected, as in `gact:4`")),
    })
}

/// So many bits on average.
#[derive(Debug)]
pub struct Gact {
    mean: f64,
}

impl Gact {
    /// What a tensor is packed in that nothing is known of.
    fn first_bits(&self) -> u8 {
        LADDER.into_iter().find(|&bits| f64::from(bits) <= self.mean).unwrap_or(1)
    }
}

impl Codec for Gact {
    fn name(&self) -> String {
        format!("gact:{}", self.mean)
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(KEEPERS)
    }

    fn bytes(&self, _: &[usize], _: DType, _: InputForm) -> Result<Option<Bytes>> {
        Ok(None) // what is remembered decides
    }

    fn pack(&self, input: &Tensor, context: &mut Context<'_>) -> Result<Box<dyn Packed>> {
        let memory = &mut *context.memory;
        memory.set(ELEMENTS, &Tensor::new(input.elem_count() as f64, &Device::Cpu)?);
        let allocated = match memory.get(BITS) {
            Some(bits) => bits.to_scalar::<u8>()?,
            None => self.first_bits(),
        };
        match memory.trial().unwrap_or(allocated) {
            bits @ 1..=8 => {
                let rounding = Rounding::Stochastic(context.key);
                Ok(Box::new(Code { group: GROUP, bits }.pack(input, rounding)?))
            }
            _ => Identity.pack(input, context),
        }
    }

    fn calibrates_every(&self) -> Option<u64> {
        Some(INTERVAL)
    }

    fn calibrated(&self, sensitivity: f64, memory: &mut Memory) -> Result<()> {
        memory.set(SENSITIVITY, &Tensor::new(sensitivity, &Device::Cpu)?);
        Ok(())
    }

    fn allocate(&self, layers: &mut [&mut Memory]) -> Result<()> {
        let mut measured = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            if let (Some(elements), Some(sensitivity)) =
                (layer.get(ELEMENTS), layer.get(SENSITIVITY))
            {
                let (elements, sensitivity) = (elements.to_scalar()?, sensitivity.to_scalar()?);
                measured.push((index, Saved { elements, sensitivity }));
            }
        }
        let saved: Vec<Saved> = measured.iter().map(|&(_, saved)| saved).collect();
        for (&(index, _), bits) in measured.iter().zip(allocate(&saved, self.mean)) {
            layers[index].set(BITS, &Tensor::new(bits, &Device::Cpu)?);
        }
        Ok(())
    }
}

/// A tensor that shares the budget.
#[derive(Debug, Clone, Copy)]
struct Saved {
    elements: f64,
    sensitivity: f64,
}

impl Saved {
    /// The variance that the next step down the ladder adds, for each bit that it saves.
    fn cost(&self, step: usize) -> Option<f64> {
        let (&bits, &fewer) = (LADDER.get(step)?, LADDER.get(step + 1)?);
        let variance = |bits: u8| self.sensitivity * 4f64.powi(1 - i32::from(bits));
        let saved = self.elements * f64::from(bits - fewer);
        Some((variance(fewer) - variance(bits)) / saved.max(1.0))
    }
}

/// The bits of each tensor, within `mean` on average over all elements if one bit each is.
fn allocate(saved: &[Saved], mean: f64) -> Vec<u8> {
    let mut steps = vec![0; saved.len()];
    let elements: f64 = saved.iter().map(|saved| saved.elements).sum();
    let mut taken = elements * f64::from(LADDER[0]);
    while taken > elements * mean {
        let costs = saved.iter().zip(&steps).map(|(saved, &step)| saved.cost(step)).enumerate();
        let next = costs
            .filter_map(|(index, cost)| Some((index, cost?)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((index, _)) = next else { break };
        taken -= saved[index].elements * f64::from(LADDER[steps[index]] - LADDER[steps[index] + 1]);
        steps[index] += 1;
    }
    steps.into_iter().map(|step| LADDER[step]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(saved: &[(f64, f64)], mean: f64) -> Vec<u8> {
        let of = |&(elements, sensitivity)| Saved { elements, sensitivity };
        allocate(&saved.iter().map(of).collect::<Vec<_>>(), mean)
    }

    #[test]
    fn the_budget_holds_and_sensitive_tensors_get_no_fewer_bits() {
        let saved = [(100.0, 1.0), (100.0, 10.0), (100.0, 1e6), (100.0, 0.0)];
        for mean in [1.0, 2.0, 3.5, 4.0, 8.0, 32.0] {
            let bits = bits(&saved, mean);
            let sum: f64 = bits.iter().map(|&bits| f64::from(bits)).sum();
            assert!(sum <= 4.0 * mean, "{mean}: {bits:?}");
            assert!(bits[3] <= bits[0] && bits[0] <= bits[1] && bits[1] <= bits[2], "{bits:?}");
        }
        assert_eq!(bits(&saved, 32.0), [32; 4]);
    }

    #[test]
    fn a_large_tensor_gives_its_bits_before_a_small_one() {
        assert_eq!(bits(&[(1e6, 1.0), (10.0, 1.0)], 8.1), [8, 32]);
        assert_eq!(bits(&[(10.0, f64::NAN), (10.0, 1.0)], 1.0), [1, 1]);
        assert!(bits(&[], 2.0).is_empty());
    }
}
