//! One codec at all layers but one.

use std::sync::Arc;

use packlight_autograd::Pass;
use packlight_codec::{Codec, CodecState};
use packlight_probe::one_on::{OneOn, Trial};
use packlight_record::{Compared, OneOff, SensitivityRecord};
use sha2::{Digest, Sha256};

use super::measurement::{Group, Measurement};
use super::scores::TogetherKey;
use super::table::Pair;
use crate::Result;
use crate::progress::Event;

/// A codec at all its layers, or at all but one.
#[derive(Debug, Clone)]
pub(super) struct Together {
    pub(super) codec: Arc<dyn Codec>,
    /// The layer that is exact.
    pub(super) except: Option<Arc<str>>,
    /// The indices of the pairs that are not.
    pub(super) pairs: Vec<usize>,
    /// SHA-256 of the names of all layers of the codec.
    pub(super) among: String,
}

impl Together {
    /// The passes with a codec at all its layers and at all but one; none if they follow from single layers: a codec
    /// that changes only the gradients of its layers' own weights, whose squared errors add up.
    pub(super) fn of(codec: &Arc<dyn Codec>, pairs: &[Pair]) -> Vec<Self> {
        let own = || (0..pairs.len()).filter(|&pair| pairs[pair].codec.spec() == codec.spec());
        if own().count() < 2 || own().all(|pair| pairs[pair].compared == Compared::Own) {
            return Vec::new();
        }
        let mut names = Sha256::new();
        own().for_each(|pair| names.update(format!("{}\n", pairs[pair].layer)));
        let among = crate::hex(&names.finalize());
        let left_out = [None].into_iter().chain(own().map(Some));
        let of = |left_out: Option<usize>| Self {
            codec: codec.clone(),
            except: left_out.map(|pair| pairs[pair].layer.clone()),
            pairs: own().filter(|pair| Some(*pair) != left_out).collect(),
            among: among.clone(),
        };
        left_out.map(of).collect()
    }
}

impl Measurement<'_> {
    /// Measures what a group lacks of codecs at all layers and at all but one.
    pub(super) fn measure_together<F: Fn(&Pass) -> packlight_nn::Result<candle_core::Tensor>>(
        &mut self,
        one_on: &OneOn<'_, F>,
        group: &Group,
        settled: &[(usize, CodecState)],
        state: &str,
    ) -> Result<()> {
        let (place, draws) = (self.place(group), self.table.spec.draws);
        for &at in &group.together {
            let Together { codec, except, pairs, among } = &self.table.together[at];
            let trials: Vec<Trial> = pairs.iter().map(|&pair| self.trial(pair, settled)).collect();
            let outcome = one_on.together(&trials, draws)?.and_then(|errors| {
                let finite = errors.squared_error.is_finite();
                finite.then_some(errors).ok_or_else(|| "the gradient is not finite".to_owned())
            });
            self.work.advance(draws as f64 * self.work.pass, &place, self.progress);
            match outcome {
                Ok(errors) => {
                    let one_off = OneOff {
                        state: state.to_owned(),
                        point: group.point,
                        seed: group.seed,
                        batch: group.batch,
                        draws,
                        except: except.as_ref().map(|layer| layer.to_string()),
                        codec: codec.spec(),
                        among: among.clone(),
                        squared_error: errors.squared_error,
                        squared_bias: errors.squared_bias.filter(|bias| bias.is_finite()),
                        whole_norm: one_on.norm(),
                    };
                    self.scores.append([SensitivityRecord::OneOff(one_off)])?;
                }
                Err(reason) => {
                    let except = except.as_ref().map(|layer| format!(" but `{layer}`"));
                    let (codec, except) = (codec.spec(), except.unwrap_or_default());
                    let text = format!("{place}: {codec} at all layers{except}: {reason}");
                    self.progress.event(Event::Warning { text: &text });
                }
            }
        }
        Ok(())
    }

    pub(super) fn together_key(&self, group: &Group, at: usize) -> TogetherKey {
        let Together { codec, except, among, .. } = &self.table.together[at];
        let layer = except.as_ref().map(ToString::to_string).unwrap_or_default();
        let point = group.point.share().to_bits();
        let draws = self.table.spec.draws;
        ((group.seed, point, group.batch, draws, layer, codec.spec()), among.clone())
    }
}
