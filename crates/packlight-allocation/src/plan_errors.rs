//! Whole plans beside each other, on the same batches.

use std::collections::BTreeMap;

use packlight_record::{PlanError, PlanFacts, PlanRecord, WholeError};

use crate::Estimate;
use crate::estimate::{Cluster, Sampling};
use crate::lasting::{lasting_errors, logarithms};
use crate::units::Units;

/// Which squared error of a plan is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squared {
    /// What averaging over steps leaves: the squared bias, as far as it is more than chance over the plan's
    /// batches, and [`VARIANCE_LEFT`](packlight_record::VARIANCE_LEFT) of the rest.
    Lasting,
    /// That of a single pass.
    OnePass,
}

/// What was measured of whole plans.
#[derive(Debug, Clone)]
pub struct PlanErrors {
    plans: Vec<PlanFacts>,
    clusters: Vec<Cluster>,
    /// By plan as it is written, then by the number of the cluster.
    errors: BTreeMap<String, BTreeMap<usize, PlanError>>,
    units: Units,
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
        let units = Units::new(&clusters);
        Self { plans: records.iter().filter_map(plan).collect(), clusters, errors, units }
    }

    /// The plans in the order of the log.
    pub fn plans(&self) -> &[PlanFacts] {
        &self.plans
    }

    /// The error of a plan, as the root of a mean of squares, relative to the gradient's norm; `None` if it
    /// was not measured.
    pub fn error(&self, plan: &PlanFacts, of: Squared) -> Option<Estimate> {
        let measured = self.errors.get(&plan.spec)?;
        let sampling = Sampling::new(&self.clusters, measured.keys().copied().collect());
        let errors: Vec<WholeError> = measured.values().map(PlanError::whole_error).collect();
        let squares = match of {
            Squared::Lasting => lasting_errors(&errors, &sampling),
            Squared::OnePass => errors.iter().map(WholeError::of_one_pass).collect(),
        };
        Some(sampling.error(&self.units, &squares).map(f64::sqrt))
    }

    /// How many times the error of `rival` that of `plan` is: the geometric mean of their ratios on the batches
    /// that both were measured on, so that each batch counts alike, however much larger errors are at one point
    /// of the training than at another. The interval is that of the logarithms of these ratios, so that what a
    /// batch does to both plans is not taken for a difference. `None` if they have no batch in common, or one of
    /// them has no error on a batch; 0 if `plan` has none on any.
    pub fn ratio(&self, plan: &PlanFacts, rival: &PlanFacts, of: Squared) -> Option<Estimate> {
        let (own, others) = (self.errors.get(&plan.spec)?, self.errors.get(&rival.spec)?);
        let pair = |(number, own): (&usize, &PlanError)| {
            Some((*number, (own.whole_error(), others.get(number)?.whole_error())))
        };
        let (clusters, (own, others)): (Vec<usize>, (Vec<WholeError>, Vec<WholeError>)) =
            own.iter().filter_map(pair).unzip();
        if clusters.is_empty() || others.iter().any(|error| error.squared_error == 0.0) {
            return None;
        }
        let sampling = Sampling::new(&self.clusters, clusters);
        if own.iter().all(|error| error.squared_error == 0.0) {
            return Some(sampling.comparison(&self.units, &vec![0.0; own.len()]));
        }
        let [own, others] = [own, others].map(|errors| match of {
            Squared::Lasting => logarithms(&errors, &sampling),
            Squared::OnePass => errors.iter().map(|e| 0.5 * e.of_one_pass().ln()).collect(),
        });
        let ratios: Vec<f64> = own.iter().zip(&others).map(|(own, other)| own - other).collect();
        let found = sampling.comparison(&self.units, &ratios);
        found.mean.is_finite().then(|| found.map(f64::exp))
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

    const LASTING: Squared = Squared::Lasting;
    const ONE_PASS: Squared = Squared::OnePass;

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
        let (low, high) = ratio.ends();
        assert!((low - 0.5).abs() < 1e-12 && (high - 0.5).abs() < 1e-12, "{ratio:?}");
        assert!(ratio.interval.is_some());
        let [own, other] = [&a, &b].map(|plan| found.error(plan, LASTING).unwrap());
        // (0.01 + 0.1 + 1) / 3, relative to the squared norm 4.
        assert!((own.mean - (1.11 / 12.0f64).sqrt()).abs() < 1e-12, "{own:?}");
        assert!(
            own.ends().1 > other.ends().0,
            "alone, the intervals say nothing: {own:?} {other:?}"
        );
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
        assert_eq!(ratio.interval, None, "two batches tell next to nothing");
        // A third with 1/4: of the logarithms 1, 3 and 2 (of 1/2) the standard error is 1 / sqrt(3).
        let third = [error("a", 2, 1.0, 1.0), error("b", 2, 16.0, 16.0)];
        let found = PlanErrors::new(&[records.to_vec(), third.to_vec()].concat());
        let ratio = found.ratio(&facts("a"), &facts("b"), LASTING).unwrap();
        let factor = 2f64.powf(4.302_653 / 3f64.sqrt());
        let (low, high) = ratio.ends();
        assert!(
            (low * factor - 0.25).abs() < 1e-6 && (high / factor - 0.25).abs() < 1e-6,
            "{ratio:?}"
        );
    }

    #[test]
    fn a_bias_by_chance_is_no_lasting_error() {
        // Neither plan has a bias: what two draws say of it is up or down by chance. a errs by half.
        let biases = [0.3, -0.2, 0.1, -0.2];
        let of = |spec: &'static str, error_of: f64, sign: f64| {
            let record = move |(batch, bias): (u64, f64)| {
                error(spec, batch, error_of, sign * bias * error_of)
            };
            (0..).zip(biases).map(record)
        };
        let records: Vec<PlanRecord> = of("a", 1.0, 1.0).chain(of("b", 4.0, -1.0)).collect();
        let found = PlanErrors::new(&records);
        let (a, b) = (facts("a"), facts("b"));
        let [lasting, one_pass] = [LASTING, ONE_PASS].map(|of| found.ratio(&a, &b, of).unwrap());
        assert!((lasting.mean - 0.5).abs() < 1e-12, "{lasting:?}");
        assert!((one_pass.mean - 0.5).abs() < 1e-12, "{one_pass:?}");
        // A nineteenth of the variance, relative to the squared norm 4.
        let alone = found.error(&a, LASTING).unwrap().mean;
        assert!((alone - (1.0 / 19.0 / 4.0f64).sqrt()).abs() < 1e-12, "{alone}");
    }

    #[test]
    fn a_bias_that_is_certain_counts_and_moves_the_interval() {
        // Shares of 0.5 and 0.7 by turns, however large the errors are: 0.6, of which chance takes
        // 4 * 0.04 / 3 / 4 / 0.36 = 0.037.
        let shares = [0.5, 0.7, 0.5, 0.7];
        let record = |(batch, share): (u64, f64)| {
            let square = 100f64.powi(batch as i32);
            [error("a", batch, square, share * square), error("b", batch, square, square)]
        };
        let records: Vec<PlanRecord> = (0..).zip(shares).flat_map(record).collect();
        let ratio = PlanErrors::new(&records).ratio(&facts("a"), &facts("b"), LASTING).unwrap();
        let counts = 1.0 - 4.0 * (0.04 / 3.0 / 4.0) / 0.36;
        let biased = 0.6 * counts;
        let lasts: f64 = biased + (1.0 - biased) / 19.0;
        assert!((ratio.mean - lasts.sqrt()).abs() < 1e-9, "{ratio:?} {lasts}");
        let half = 3.182_446 * (0.04f64 / 3.0 / 4.0).sqrt() * 0.5 * counts * (18.0 / 19.0) / lasts;
        let (low, high) = ratio.ends();
        assert!((low * half.exp() - ratio.mean).abs() < 1e-5, "{ratio:?} {half}");
        assert!((high / half.exp() - ratio.mean).abs() < 1e-5, "{ratio:?} {half}");
    }

    #[test]
    fn what_both_were_not_measured_on_does_not_count() {
        let records = [error("a", 0, 1.0, 1.0), error("a", 1, 9.0, 9.0), error("b", 0, 4.0, 4.0)];
        let again = error("a", 0, 0.04, 0.04);
        let found = PlanErrors::new(&[&records[..], &[again, error("c", 0, 0.0, 0.0)]].concat());
        let ratio = found.ratio(&facts("a"), &facts("b"), LASTING).unwrap();
        assert!((ratio.mean - 0.1).abs() < 1e-12 && ratio.n == 1, "{ratio:?}");
        assert_eq!(found.ratio(&facts("a"), &facts("c"), LASTING), None, "by nothing");
        assert_eq!(found.ratio(&facts("c"), &facts("a"), LASTING).unwrap().mean, 0.0);
        assert_eq!(found.ratio(&facts("a"), &facts("d"), LASTING), None);
        assert_eq!(found.error(&facts("d"), LASTING), None);
    }
}
