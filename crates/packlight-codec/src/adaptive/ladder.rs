//! Bits for whole tensors by the sensitivity of the gradients to each, for GACT and ALAM.

use candle_core::{Device, Tensor};

use crate::{CodecState, Result, Site};

/// A precision that a tensor may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The bits of its code, by which trials name it and from which its variance is predicted.
    pub(crate) bits: u8,
    /// The bits of the budget that a value takes.
    pub(crate) size: f64,
}

impl Step {
    /// A code of this many bits; 32 leaves the tensor as it is.
    pub(crate) const fn of(bits: u8) -> Self {
        Self { bits, size: bits as f64 }
    }
}

/// Precisions, highest first, and the mean size that all tensors together may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ladder {
    pub(crate) steps: &'static [Step],
    pub(crate) mean: f64,
}

// The names under which a layer's state is stored.
const ELEMENTS: &str = "elements";
const SENSITIVITY: &str = "sensitivity";
const BITS: &str = "bits";

impl Ladder {
    /// The bits for a tensor of this many elements: those of a trial, or those allocated, or before
    /// any allocation the most within the mean size.
    ///
    /// # Errors
    /// Returns an error if candle cannot store it.
    pub(crate) fn bits(&self, elements: usize, site: &mut Site<'_>) -> Result<u8> {
        site.state.set(ELEMENTS, &Tensor::new(elements as f64, &Device::Cpu)?);
        let allocated = match site.state.get(BITS) {
            Some(bits) => bits.to_scalar::<u8>()?,
            None => {
                let fitting = self.steps.iter().find(|step| step.size <= self.mean);
                fitting.or(self.steps.last()).map_or(1, |step| step.bits)
            }
        };
        Ok(site.level.unwrap_or(allocated))
    }

    /// Stores the sensitivity that was measured of a layer.
    ///
    /// # Errors
    /// Returns an error if candle cannot store it.
    pub(crate) fn measured(&self, numbers: &[f64], state: &mut CodecState) -> Result<()> {
        if let &[sensitivity] = numbers {
            state.set(SENSITIVITY, &Tensor::new(sensitivity, &Device::Cpu)?);
        }
        Ok(())
    }

    /// Allocates bits to the layers that have been measured.
    ///
    /// # Errors
    /// Returns an error if candle cannot store them.
    pub(crate) fn allocate(&self, layers: &mut [&mut CodecState]) -> Result<()> {
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
        for (&(index, _), step) in measured.iter().zip(self.distribute(&saved)) {
            layers[index].set(BITS, &Tensor::new(step.bits, &Device::Cpu)?);
        }
        Ok(())
    }

    /// The step of each tensor, within the mean size over all elements if the last step is.
    ///
    /// All start at the first step. Then one tensor at a time goes a step down, where that adds least
    /// variance for the bits that it frees; the variance is the sum of sensitivity 4^-(bits - 1).
    fn distribute(&self, saved: &[Saved]) -> Vec<Step> {
        let mut places = vec![0; saved.len()];
        let elements: f64 = saved.iter().map(|saved| saved.elements).sum();
        let mut taken = elements * self.steps[0].size;
        while taken > elements * self.mean {
            let costs = saved.iter().zip(&places).map(|(saved, &place)| self.cost(saved, place));
            let next = costs
                .enumerate()
                .filter_map(|(index, cost)| Some((index, cost?)))
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let Some((index, _)) = next else { break };
            let place = &mut places[index];
            taken -=
                saved[index].elements * (self.steps[*place].size - self.steps[*place + 1].size);
            *place += 1;
        }
        places.into_iter().map(|place| self.steps[place]).collect()
    }

    /// The variance that the step down from `place` adds per bit that it frees.
    fn cost(&self, saved: &Saved, place: usize) -> Option<f64> {
        let (now, next) = (self.steps.get(place)?, self.steps.get(place + 1)?);
        let variance = |step: &Step| saved.sensitivity * 4f64.powi(1 - i32::from(step.bits));
        let size = saved.elements * (now.size - next.size);
        Some((variance(next) - variance(now)) / size.max(1.0))
    }
}

/// A tensor that shares the budget.
#[derive(Debug, Clone, Copy)]
struct Saved {
    elements: f64,
    sensitivity: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last step takes less than its bits say.
    const STEPS: [Step; 5] =
        [Step::of(32), Step::of(8), Step::of(4), Step::of(2), Step { bits: 1, size: 0.5 }];

    fn sizes(saved: &[(f64, f64)], mean: f64) -> Vec<f64> {
        let of = |&(elements, sensitivity)| Saved { elements, sensitivity };
        let saved: Vec<_> = saved.iter().map(of).collect();
        let shared = Ladder { steps: &STEPS, mean }.distribute(&saved);
        shared.into_iter().map(|step| step.size).collect()
    }

    #[test]
    fn the_budget_holds_and_sensitive_tensors_get_no_fewer_bits() {
        let saved = [(100.0, 1.0), (100.0, 10.0), (100.0, 1e6), (100.0, 0.0)];
        for mean in [0.5, 0.9, 2.0, 3.5, 4.0, 8.0, 32.0] {
            let sizes = sizes(&saved, mean);
            assert!(sizes.iter().sum::<f64>() <= 4.0 * mean, "{mean}: {sizes:?}");
            assert!(sizes[3] <= sizes[0] && sizes[0] <= sizes[1] && sizes[1] <= sizes[2]);
        }
        assert_eq!(sizes(&saved, 32.0), [32.0; 4]);
    }

    #[test]
    fn a_large_tensor_gives_its_bits_before_a_small_one() {
        assert_eq!(sizes(&[(1e6, 1.0), (10.0, 1.0)], 8.1), [8.0, 32.0]);
        assert_eq!(sizes(&[(10.0, f64::NAN), (10.0, 1.0)], 0.5), [0.5, 0.5]);
        assert!(sizes(&[], 2.0).is_empty());
    }
}
