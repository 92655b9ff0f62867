//! The results of each plan, in one row.

use packlight_spec::NamedPlan;

use crate::bias_and_variance::BiasAndVariance;
use crate::comparison::Comparison;
use crate::statistics::student;
use crate::step_time::StepTime;
use crate::training::Training;

/// Mean, standard deviation and range of a quantity over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SeedStats {
    pub(crate) n: u64,
    pub(crate) mean: f64,
    /// Sample standard deviation; NaN for one seed.
    pub(crate) sd: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl SeedStats {
    /// Half the width of the 95 % interval of the mean by Student's t; `None` for one seed.
    pub(crate) fn half_interval(&self) -> Option<f64> {
        student::half_interval(self.n, self.sd)
    }
}

/// Results of one layer under one plan, over all probed steps and seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerRow {
    pub(crate) layer: String,
    /// NaN where every cosine is undefined.
    pub(crate) cosine: f64,
    pub(crate) lowest_cosine: f64,
    pub(crate) relative_error: f64,
    /// The median learning indicator, averaged over steps and seeds.
    pub(crate) indicator: f64,
    /// The same over samples, for a linear layer whose samples have several tokens; otherwise NaN.
    pub(crate) sample_indicator: f64,
    /// The mean learning indicator, averaged over steps and seeds.
    pub(crate) mean_indicator: f64,
    /// The fraction of samples at or below 0.
    pub(crate) nonpositive: f64,
    /// The learning indicator's 5th, 25th, 75th and 95th percentile, averaged likewise.
    pub(crate) quantiles: [f64; 4],
    /// Bytes of the input that the probed steps kept, and of the exact one.
    pub(crate) kept: f64,
    pub(crate) raw: f64,
    /// Bytes that training kept of an input as large, by the ledger; NaN where it kept none for
    /// itself, as behind a shared input or in a checkpointed segment.
    pub(crate) trained: f64,
    /// The mean cosine of each seed over its probed steps.
    pub(crate) by_seed: Vec<(u64, f64)>,
}

impl LayerRow {
    /// Whether the plan's codec keeps less than the exact input or changes the gradient, as a codec
    /// on the output gradient does.
    pub(crate) fn compressed(&self) -> bool {
        self.kept < self.raw || self.trained < 0.999 * self.raw || self.relative_error > 0.0
    }
}

/// How one parameter's gradient differs between whole passes under one plan, over all probed steps
/// and seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterRow {
    pub(crate) parameter: String,
    /// NaN where every cosine is undefined.
    pub(crate) cosine: f64,
    pub(crate) highest_error: f64,
}

/// The results of one plan; `None` where they were not recorded.
#[derive(Debug, Clone)]
pub(crate) struct PlanRow {
    pub(crate) plan: NamedPlan,
    pub(crate) planned_epochs: u64,
    /// What it starts from and for how long it trains, beside the exact plan.
    pub(crate) training: Training,
    /// Runs that the study asks for.
    pub(crate) planned: u64,
    pub(crate) finished: u64,
    /// Test accuracy after the last epoch of the finished runs.
    pub(crate) accuracy: Option<SeedStats>,
    /// A language model's perplexity on the test text after the last epoch of the finished runs.
    pub(crate) perplexity: Option<SeedStats>,
    /// The BLEU of translations of the test part after the last epoch of the finished runs.
    pub(crate) bleu: Option<SeedStats>,
    /// The accuracy beside that of the plan that it is compared with, seed by seed.
    pub(crate) comparison: Option<Comparison>,
    /// Final accuracy and costs of each finished run.
    pub(crate) runs: Vec<RunPoint>,
    /// Bytes kept for the backward pass of one step, predicted and counted.
    pub(crate) kept: Option<f64>,
    pub(crate) counted: Option<f64>,
    /// Bytes of the state that codecs carry from step to step.
    pub(crate) codec_state: Option<f64>,
    /// The most bytes held at once: the ledger's peak, with what checkpointed segments keep again,
    /// plus the codec state.
    pub(crate) held: Option<f64>,
    /// Peaks in one step: of kept bytes by the ledger; of live bytes by the allocator beyond those before the step,
    /// plus the codec state, which is among these.
    pub(crate) peak_kept: Option<f64>,
    pub(crate) peak_allocated: Option<f64>,
    /// The process's resident peak in a step, mean over the runs.
    pub(crate) resident: Option<f64>,
    /// The time of a training step, measured by turns with the exact plan's.
    pub(crate) time: Option<StepTime>,
    /// Seconds that a run spends on measuring sensitivities, for its codecs or to choose them, mean over the runs.
    pub(crate) calibration_seconds: Option<f64>,
    pub(crate) layers: Vec<LayerRow>,
    /// The parameters whose gradient differs between whole passes; `None` without whole passes.
    pub(crate) changed: Option<Vec<ParameterRow>>,
    /// Bias and variance of the gradient, if passes were repeated.
    pub(crate) bias_and_variance: Option<BiasAndVariance>,
}

/// A finished run's final accuracy and the costs of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunPoint {
    pub(crate) seed: u64,
    pub(crate) accuracy: f64,
    /// The peak by the allocator, with the codec state.
    pub(crate) peak_allocated: Option<f64>,
    /// The most bytes held at once, by the ledger, with the codec state.
    pub(crate) held: Option<f64>,
}

impl PlanRow {
    /// The plan's name, with its training where that is not the study's: `pool2-long (24 epochs)`.
    pub(crate) fn label(&self) -> String {
        match self.training.mark(self.planned_epochs) {
            Some(mark) => format!("{} ({mark})", self.plan.name),
            None => self.plan.name.clone(),
        }
    }

    /// The final accuracy of each finished run, by seed.
    pub(crate) fn accuracies(&self) -> Vec<(u64, f64)> {
        self.runs.iter().map(|run| (run.seed, run.accuracy)).collect()
    }

    /// The shares of their inputs that the layers kept at the probed steps and in training, over the
    /// layers of which both are known.
    pub(crate) fn shares(&self) -> Option<(f64, f64)> {
        let known = || self.layers.iter().filter(|l| l.trained.is_finite());
        let sum = |of: fn(&LayerRow) -> f64| known().map(of).sum::<f64>();
        let raw = sum(|l| l.raw);
        (raw > 0.0).then(|| (sum(|l| l.kept) / raw, sum(|l| l.trained) / raw))
    }

    /// The same, where they differ by more than a hundredth: the probe saw another codec than the one
    /// that trained.
    pub(crate) fn differing_shares(&self) -> Option<(f64, f64)> {
        let shares @ (probed, trained) = self.shares()?;
        ((probed - trained).abs() > 0.01 * probed.max(trained)).then_some(shares)
    }

    /// Layers whose input is kept compressed.
    pub(crate) fn compressed(&self) -> impl Iterator<Item = &LayerRow> {
        self.layers.iter().filter(|l| l.compressed())
    }

    /// Whether the probe saw any layer kept compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.compressed().next().is_some()
    }

    /// Whether any recorded gradient differs from the exact one, even if only through other layers.
    pub(crate) fn alters(&self) -> bool {
        self.compresses() || self.changed().next().is_some()
    }

    /// The parameters whose gradient differs between whole passes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &ParameterRow> {
        self.changed.iter().flatten()
    }

    /// Mean cosine between whole passes over the parameters whose gradient differs.
    pub(crate) fn whole_cosine(&self) -> Option<f64> {
        mean(self.changed().map(|p| p.cosine))
    }

    /// The most bytes held at once, as a multiple of `base`'s.
    pub(crate) fn held_ratio(&self, base: Option<&PlanRow>) -> Option<f64> {
        let (own, from) = self.held.zip(base?.held)?;
        (from > 0.0).then(|| own / from)
    }

    /// Mean cosine over the compressed layers.
    pub(crate) fn cosine(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.cosine))
    }

    /// The compressed layer with the lowest mean cosine.
    pub(crate) fn worst(&self) -> Option<&LayerRow> {
        let defined = self.compressed().filter(|l| l.cosine.is_finite());
        defined.min_by(|a, b| a.cosine.total_cmp(&b.cosine))
    }

    /// The mean over the compressed layers of their mean learning indicators.
    pub(crate) fn indicator(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.mean_indicator))
    }

    /// The mean over the compressed layers of the fraction of samples at or below 0.
    pub(crate) fn nonpositive(&self) -> Option<f64> {
        mean(self.compressed().map(|l| l.nonpositive))
    }
}

/// The first plan of each codec: plans that differ only in their epochs keep the same bytes.
pub(crate) fn codecs(plans: &[PlanRow]) -> impl Iterator<Item = &PlanRow> {
    let first = |spec: &str| plans.iter().position(|p| p.plan.spec == spec);
    plans.iter().enumerate().filter(move |(i, p)| first(&p.plan.spec) == Some(*i)).map(|(_, p)| p)
}

/// The mean of the finite values; `None` if there are none.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let finite: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
}
