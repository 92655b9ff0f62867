//! Whole plans beside each other, on the same batches.

use std::collections::BTreeMap;

use packlight_record::{PlanError, PlanFacts, PlanRecord};

use crate::Estimate;
use crate::bootstrap::Bootstrap;
use crate::estimate::{Cluster, Sampling};

/// The relative squared error of a plan on a batch: [`PlanError::lasting_error`] or
/// [`PlanError::one_pass_error`].
pub type SquaredError = fn(&PlanError) -> f64;

/// What was measured of whole plans.
#[derive(Debug, Clone)]
pub struct PlanErrors {
    plans: Vec<PlanFacts>,
    clusters: Vec<Cluster>,
    /// By plan as it is written, then by the number of the cluster.
    errors: BTreeMap<String, BTreeMap<usize, PlanError>>,
    bootstrap: Bootstrap,
}

impl PlanErrors {
    /// Sorts the records of a log. Where a batch was measured again, the last measurement counts.
    pub fn new(records: &[PlanRecord]) -> Self {
        let plan = |record: &PlanRecord| match record {
            PlanRecord::Plan(facts) => Some(facts.clone()),
            PlanRecord::Error(_) => None,
        };
        let of_batches = || {
            records.iter().filter_map(|record| match record {
                PlanRecord::Error(error) => Some(error),
                PlanRecord::Plan(_) => None,
            })
        };
        let clusters = Cluster::all(of_batches().map(Cluster::of_error));
        let mut errors: BTreeMap<String, BTreeMap<usize, PlanError>> = BTreeMap::new();
        for error in of_batches() {
            if let Some(number) = Cluster::of_error(error).number(&clusters) {
                errors.entry(error.spec.clone()).or_default().insert(number, error.clone());
            }
        }
        let bootstrap = Bootstrap::new(clusters.len());
        Self { plans: records.iter().filter_map(plan).collect(), clusters, errors, bootstrap }
    }

    /// The plans in the order of the log.
    pub fn plans(&self) -> &[PlanFacts] {
        &self.plans
    }

    /// The error of a plan, as the root of a mean of squares, relative to the gradient's norm; `None` if it
    /// was not measured.
    pub fn error(&self, plan: &PlanFacts, of: SquaredError) -> Option<Estimate> {
        let measured = self.errors.get(&plan.spec)?;
        let sampling = Sampling::new(&self.clusters, measured.keys().copied().collect());
        let squares: Vec<f64> = measured.values().map(of).collect();
        let Estimate { mean, low, high, n } = self.bootstrap.estimate(&sampling, &squares);
        Some(Estimate { mean: mean.sqrt(), low: low.sqrt(), high: high.sqrt(), n })
    }

    /// How many times the error of `rival` that of `plan` is: the geometric mean of their ratios on the batches
    /// that both were measured on, so that each batch counts alike, however much larger errors are at one point
    /// of the training than at another. Batches are drawn anew with their ratios, so that what a batch does to
    /// both plans is not taken for a difference. `None` if they have no batch in common, or one of them has no
    /// error on a batch; 0 if `plan` has none on any.
    pub fn ratio(&self, plan: &PlanFacts, rival: &PlanFacts, of: SquaredError) -> Option<Estimate> {
        let (own, others) = (self.errors.get(&plan.spec)?, self.errors.get(&rival.spec)?);
        let common: BTreeMap<usize, (f64, f64)> = own
            .iter()
            .filter_map(|(number, own)| Some((*number, (of(own), of(others.get(number)?)))))
            .collect();
        let n = common.len();
        if n == 0 || common.values().any(|(_, other)| *other == 0.0) {
            return None;
        }
        if common.values().all(|(own, _)| *own == 0.0) {
            return Some(Estimate { mean: 0.0, low: 0.0, high: 0.0, n: n as u64 });
        }
        let sampling = Sampling::new(&self.clusters, common.keys().copied().collect());
        let logarithms: Vec<f64> =
            common.values().map(|(own, other)| (own / other).ln() / 2.0).collect();
        let Estimate { mean, low, high, n } = self.bootstrap.estimate(&sampling, &logarithms);
        mean.is_finite().then(|| Estimate { mean: mean.exp(), low: low.exp(), high: high.exp(), n })
    }
}

#[cfg(test)]
mod tests {
    use packlight_record::PlanOrigin;
    use packlight_spec::Point;

    use super::*;

    fn facts(spec: &str) -> PlanFacts {
        let (plan, spec) = (spec.to_owned(), spec.to_owned());
        PlanFacts { plan, spec, origin: PlanOrigin::Uniform, budget: 10, bytes: 9 }
    }

    fn error(spec: &str, batch: u64, squared_error: f64, bias: f64) -> PlanRecord {
        PlanRecord::Error(PlanError {
            state: "state".into(),
            point: Point::START,
            seed: 1,
            batch,
            draws: 2,
            spec: spec.into(),
            squared_error,
            squared_bias: Some(bias),
            whole_norm: 2.0,
        })
    }

    const LASTING: SquaredError = PlanError::lasting_error;
    const ONE_PASS: SquaredError = PlanError::one_pass_error;

    #[test]
    fn a_ratio_is_paired_by_batch() {
        // Batches differ a hundredfold; on each of them b errs twice as much as a.
        let mut records: Vec<PlanRecord> = Vec::new();
        for batch in 0..6 {
            let square = 0.01 * 10f64.powi(batch as i32 % 3);
            records.push(error("a", batch, square, square));
            records.push(error("b", batch, 4.0 * square, 4.0 * square));
        }
        let found = PlanErrors::new(&records);
        let (a, b) = (facts("a"), facts("b"));
        let ratio = found.ratio(&a, &b, LASTING).unwrap();
        assert!((ratio.mean - 0.5).abs() < 1e-12 && ratio.n == 6, "{ratio:?}");
        assert!((ratio.low - 0.5).abs() < 1e-12 && (ratio.high - 0.5).abs() < 1e-12, "{ratio:?}");
        let [own, other] = [&a, &b].map(|plan| found.error(plan, LASTING).unwrap());
        // (0.01 + 0.1 + 1) / 3, relative to the squared norm 4.
        assert!((own.mean - (1.11 / 12.0f64).sqrt()).abs() < 1e-12, "{own:?}");
        assert!(own.high > other.low, "alone, the intervals say nothing: {own:?} {other:?}");
    }

    #[test]
    fn of_a_variance_a_nineteenth_lasts_and_a_single_pass_has_all() {
        let records = [error("a", 0, 1.9, 0.0), error("b", 0, 0.4, 0.4)];
        let found = PlanErrors::new(&records);
        let (a, b) = (facts("a"), facts("b"));
        let lasting = found.ratio(&a, &b, LASTING).unwrap().mean;
        assert!((lasting - 0.5).abs() < 1e-12, "{lasting}");
        let one_pass = found.ratio(&a, &b, ONE_PASS).unwrap().mean;
        assert!((one_pass - (1.9f64 / 0.4).sqrt()).abs() < 1e-12, "{one_pass}");
    }

    #[test]
    fn each_batch_counts_alike() {
        // Ratios 1/2 and 1/8 of errors that differ a millionfold: the root of 1/16.
        let records = [
            error("a", 0, 1e-6, 1e-6),
            error("b", 0, 4e-6, 4e-6),
            error("a", 1, 1e6, 1e6),
            error("b", 1, 64e6, 64e6),
        ];
        let ratio = PlanErrors::new(&records).ratio(&facts("a"), &facts("b"), LASTING).unwrap();
        assert!((ratio.mean - 0.25).abs() < 1e-12, "{ratio:?}");
        assert!((ratio.low - 0.125).abs() < 1e-12 && (ratio.high - 0.5).abs() < 1e-12, "{ratio:?}");
    }

    #[test]
    fn what_both_were_not_measured_on_does_not_count() {
        let records = [error("a", 0, 1.0, 1.0), error("a", 1, 9.0, 9.0), error("b", 0, 4.0, 4.0)];
        let again = error("a", 0, 0.04, 0.04);
        let found = PlanErrors::new(&[&records[..], &[again, error("c", 0, 0.0, 0.0)]].concat());
        let ratio = found.ratio(&facts("a"), &facts("b"), LASTING).unwrap();
        assert!((ratio.mean - 0.1).abs() < 1e-12 && ratio.n == 1, "{ratio:?}");
        assert_eq!(found.ratio(&facts("a"), &facts("c"), LASTING), None, "by nothing");
        assert_eq!(found.ratio(&facts("c"), &facts("a"), LASTING).unwrap().high, 0.0);
        assert_eq!(found.ratio(&facts("a"), &facts("d"), LASTING), None);
        assert_eq!(found.error(&facts("d"), LASTING), None);
    }
}
