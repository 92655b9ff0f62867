//! How fast a machine may go at most, and an estimate of how long a step takes there.

mod cards;
mod this;

use std::str::FromStr;

use packlight::nn::footprint::{Footprint, LayerFootprint};
use serde::Serialize;

use cards::CARDS;

/// The memory of a machine, and the rates that bound its speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) name: String,
    /// Where the figures are from.
    source: String,
    /// `None` where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes that its memory reads or writes in a second.
    bytes_per_second: f64,
    /// Operations on f32 in a second; a multiplication with its addition counts as two.
    f32_per_second: f64,
    /// Those on bf16, summed in f32; `None` where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    bf16_per_second: Option<f64>,
}

/// The machine that a step is planned for.
#[derive(Debug, Clone)]
pub(crate) enum On {
    /// This one, which is measured.
    This,
    /// A card, by its datasheet.
    Card(Machine),
}

impl FromStr for On {
    /// What is wrong and what to write instead.
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "this" {
            return Ok(On::This);
        }
        let card = CARDS.iter().find(|card| card.name == name);
        let names: Vec<&str> = CARDS.iter().map(|card| card.name).collect();
        card.map(|card| On::Card(card.machine())).ok_or_else(|| {
            format!("no card of this name is known; expected `this` or one of {}", names.join(", "))
        })
    }
}

impl On {
    /// The machine, measured where it is this one.
    ///
    /// # Errors
    /// Returns an error if the measurement fails.
    pub(crate) fn machine(&self) -> anyhow::Result<Machine> {
        match self {
            On::This => this::measured(),
            On::Card(card) => Ok(card.clone()),
        }
    }
}

impl Machine {
    /// An estimate of the seconds of a layer, forward and back, in f32: each of its products computes and
    /// moves its bytes at the same time, and one of both takes longer.
    pub(crate) fn seconds(&self, layer: &LayerFootprint) -> f64 {
        self.bound(layer, 1.0, self.f32_per_second)
    }

    /// [`Machine::seconds`] of a step.
    pub(crate) fn step_seconds(&self, step: &Footprint) -> f64 {
        let between = step.streamed_between as f64 / self.bytes_per_second;
        between + step.layers.iter().map(|layer| self.seconds(layer)).sum::<f64>()
    }

    /// The same in bf16, with half of the bytes; `None` where the machine has
    /// no bf16.
    pub(crate) fn step_seconds_in_bf16(&self, step: &Footprint) -> Option<f64> {
        let rate = self.bf16_per_second?;
        let between = 0.5 * step.streamed_between as f64 / self.bytes_per_second;
        Some(between + step.layers.iter().map(|layer| self.bound(layer, 0.5, rate)).sum::<f64>())
    }

    /// The seconds at this rate of operations, with a share of the bytes.
    fn bound(&self, layer: &LayerFootprint, share: f64, rate: f64) -> f64 {
        let moving = |bytes: u64| share * bytes as f64 / self.bytes_per_second;
        let products = layer.products.iter().map(|product| {
            let operations = 2.0 * (product.forward + product.backward) as f64;
            moving(product.moved).max(operations / rate)
        });
        moving(layer.streamed) + products.sum::<f64>()
    }

    /// Whether it is one of the cards, whose kernels are not this machine's.
    pub(crate) fn is_a_card(&self) -> bool {
        CARDS.iter().any(|card| card.name == self.name)
    }

    /// Its name and figures, in words.
    pub(crate) fn in_words(&self) -> String {
        let memory = self.memory_bytes.map(|bytes| format!("{:.0} GB at ", bytes as f64 / 1e9));
        let bf16 = self.bf16_per_second.map(|rate| format!(", {:.1} in bf16", rate / 1e12));
        format!(
            "{}: {}{:.0} GB/s, {:.2} T operations a second in f32{} ({})",
            self.name,
            memory.unwrap_or_default(),
            self.bytes_per_second / 1e9,
            self.f32_per_second / 1e12,
            bf16.unwrap_or_default(),
            self.source
        )
    }
}
