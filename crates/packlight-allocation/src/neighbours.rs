//! Why a layer has its codec: what the next ones would cost.

use serde::Serialize;

use crate::{Allocation, Measured};

/// The codecs next to that of a layer in an allocation, all other layers as they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbours {
    /// Of the choices with which fewer bytes are kept, the one with the least error.
    pub cheaper: Option<Neighbour>,
    /// Of the choices with a smaller error, the one with which the fewest bytes are kept.
    pub better: Option<Neighbour>,
}

/// Another codec for a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbour {
    /// The codec.
    pub codec: String,
    /// The bytes that are kept with it at most, less those that are kept now. A copy that another layer
    /// keeps anyway costs nothing, and nothing is saved by doing without it.
    pub bytes: i64,
    /// The layer's error with it, less that with its codec now.
    pub error: f64,
}

impl Measured {
    /// What the next cheaper and the next better codec of each layer would cost, in the order of
    /// [`Measured::layers`].
    pub fn neighbours(&self, allocation: &Allocation) -> Vec<Neighbours> {
        let chosen = self.indices(allocation);
        let of = |layer| self.neighbours_of(layer, &chosen, &allocation.recomputed);
        (0..chosen.len()).map(of).collect()
    }

    fn neighbours_of(&self, layer: usize, chosen: &[usize], recomputed: &[usize]) -> Neighbours {
        let choices = &self.layers()[layer].choices;
        let now = (self.peak(chosen, recomputed).0, choices[chosen[layer]].error.mean);
        let with = |choice: usize| {
            let mut others = chosen.to_vec();
            others[layer] = choice;
            Neighbour {
                codec: choices[choice].codec.clone(),
                bytes: self.peak(&others, recomputed).0.cast_signed() - now.0.cast_signed(),
                error: choices[choice].error.mean - now.1,
            }
        };
        let all: Vec<Neighbour> = (0..choices.len()).map(with).collect();
        let by_error = |a: &&Neighbour, b: &&Neighbour| {
            a.error.total_cmp(&b.error).then(a.bytes.cmp(&b.bytes))
        };
        let by_bytes = |a: &&Neighbour, b: &&Neighbour| {
            a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error))
        };
        Neighbours {
            cheaper: all.iter().filter(|other| other.bytes < 0).min_by(by_error).cloned(),
            better: all.iter().filter(|other| other.error < 0.0).min_by(by_bytes).cloned(),
        }
    }
}
