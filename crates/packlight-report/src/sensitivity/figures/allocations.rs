//! What each layer gets under a few budgets.

use packlight_allocation::{Allocation, Objective};
use packlight_figure::{Chosen, Figure, Strip, allocation_strips, binary};

use crate::Result;
use crate::sensitivity::Sensitivity;
use crate::sensitivity::ranking::of_allocation;

/// The budgets, as shares of the exact bytes.
const BUDGETS: [f64; 3] = [0.5, 0.3, 0.15];

impl Sensitivity {
    /// The allocations for three budgets along the network; `None` if none of them is feasible.
    pub(super) fn allocations(&self) -> Result<Option<Figure>> {
        let exact = self.measured.exact_bytes() as f64;
        let feasible = |share: &f64| {
            let budget = (share * exact) as u64;
            Some((*share, self.measured.allocate(budget, Objective::Sum).ok()?))
        };
        let allocated: Vec<(f64, Allocation)> = BUDGETS.iter().filter_map(feasible).collect();
        let headings: Vec<String> = allocated
            .iter()
            .map(|(share, allocation)| {
                format!(
                    "at most {share}× the exact bytes: keeps {}, predicted error {}",
                    binary(allocation.bytes as f64),
                    of_allocation(&self.measured, allocation).said(),
                )
            })
            .collect();
        let chosen: Vec<Vec<Chosen>> = allocated.iter().map(|(_, a)| self.chosen(a)).collect();
        let strips: Vec<Strip<'_>> = headings
            .iter()
            .zip(&chosen)
            .map(|(heading, chosen)| Strip { heading, chosen })
            .collect();
        if strips.is_empty() {
            return Ok(None);
        }
        let layers: Vec<(&str, f64)> = self
            .measured
            .layers()
            .iter()
            .map(|layer| (layer.facts.layer.as_str(), layer.facts.raw_bytes as f64))
            .collect();
        let codecs: Vec<&str> = self.codecs.iter().map(String::as_str).collect();
        let caption = self.caption("allocations", "The codec that each layer gets, by budget");
        Ok(Some(allocation_strips(&caption, "budget", &layers, &codecs, &strips)?))
    }

    /// The choices of an allocation, layer by layer.
    fn chosen(&self, allocation: &Allocation) -> Vec<Chosen> {
        let of = |(layer, codec): (&packlight_allocation::LayerChoices, &String)| {
            let choice = layer.choices.iter().find(|choice| choice.codec == *codec);
            Chosen {
                codec: self.codecs.iter().position(|known| known == codec),
                kept: choice.map_or(layer.facts.raw_bytes, |choice| choice.bytes) as f64,
                error: choice.map_or(0.0, |choice| choice.error.mean.sqrt()),
            }
        };
        self.measured.layers().iter().zip(&allocation.codecs).map(of).collect()
    }
}
