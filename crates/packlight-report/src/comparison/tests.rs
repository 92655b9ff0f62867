use super::*;
use crate::{made, training};

/// Splitmix64, and normal numbers by the method of Box and Muller.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Test accuracies are multiples of this.
const RESOLUTION: f64 = 0.001;

/// The standard deviation of a plan's accuracy within a seed.
const OWN: f64 = 0.006;

/// The tests of one page: plans that lose `losses` against a baseline, over `seeds` whose luck all
/// plans share.
fn page(draws: &mut Draws, losses: &[f64], seeds: u64) -> Vec<Tested> {
    let luck: Vec<f64> = (0..seeds).map(|_| 0.02 * draws.normal()).collect();
    let mut accuracies = |loss: f64| -> Vec<(u64, f64)> {
        let seeds = (0..).zip(&luck);
        let drawn = seeds.map(|(seed, luck)| (seed, 0.9 + luck - loss + OWN * draws.normal()));
        drawn.map(|(seed, v)| (seed, (v / RESOLUTION).round() * RESOLUTION)).collect()
    };
    let base = accuracies(0.0);
    let pair = |loss: &f64| Paired::new(&accuracies(*loss), &base, RESOLUTION).unwrap();
    judge(&losses.iter().map(pair).collect::<Vec<_>>())
}

const PAGES: u32 = 10_000;

/// What a fraction of the pages that is 5 % may be by chance: three standard errors more.
fn one_in_twenty() -> f64 {
    LEVEL + 3.0 * (LEVEL * (1.0 - LEVEL) / f64::from(PAGES)).sqrt()
}

/// The fraction of pages of which `claims` holds.
fn fraction(losses: &[f64], seeds: u64, claims: impl Fn(&[Tested]) -> bool) -> f64 {
    let mut draws = Draws(20);
    let pages = (0..PAGES).filter(|_| claims(&page(&mut draws, losses, seeds)));
    pages.count() as f64 / f64::from(PAGES)
}

fn any(outcomes: &[Outcome]) -> impl Fn(&[Tested]) -> bool {
    move |page| page.iter().any(|tested| outcomes.contains(&tested.outcome))
}

#[test]
fn without_a_difference_at_most_one_page_in_twenty_claims_one() {
    for seeds in [3, 5, 10] {
        for plans in [1, 12] {
            let differs = |page: &[Tested]| {
                page.iter().any(|tested| tested.difference_p.is_some_and(|p| p <= LEVEL))
            };
            let wrong = fraction(&vec![0.0; plans], seeds, differs);
            assert!(wrong <= one_in_twenty(), "{plans} plans, {seeds} seeds: {wrong}");
            // Without a correction it would be one page in three.
            assert!(plans > 1 || wrong > 0.03, "the test must not sleep: {wrong}");
        }
    }
}

#[test]
fn with_a_loss_of_the_margin_at_most_one_page_in_twenty_claims_equivalence() {
    for seeds in [3, 5, 10] {
        for plans in [1, 12] {
            let losses = vec![MARGIN; plans];
            let wrong = fraction(&losses, seeds, any(&[Outcome::Equivalent]));
            assert!(wrong <= one_in_twenty(), "{plans} plans, {seeds} seeds: {wrong}");
        }
    }
}

#[test]
fn the_stated_number_of_seeds_has_the_stated_power() {
    for plans in [1usize, 12] {
        // The differences of two plans have this standard deviation.
        let sd = OWN * 2f64.sqrt();
        let seeds = power::seeds(sd, MARGIN, LEVEL / plans as f64, POWER).unwrap();
        let mut losses = vec![0.0; plans];
        losses[0] = MARGIN;
        let found =
            fraction(&losses, seeds, |page| page[0].difference_p.is_some_and(|p| p <= LEVEL));
        assert!(found >= POWER, "{plans} plans, {seeds} seeds: a loss is found by {found}");
        let same =
            fraction(&vec![0.0; plans], seeds, |page| page[0].outcome == Outcome::Equivalent);
        assert!(same >= POWER, "{plans} plans, {seeds} seeds: equivalence is found by {same}");
        // Not many more seeds than needed: with a third fewer it is missed more often.
        let fewer = fraction(&losses, seeds * 2 / 3, |page| {
            page[0].difference_p.is_some_and(|p| p <= LEVEL)
        });
        let fewer_same = fraction(&vec![0.0; plans], seeds * 2 / 3, |page| {
            page[0].outcome == Outcome::Equivalent
        });
        assert!(fewer.min(fewer_same) < POWER, "{plans} plans: {fewer} and {fewer_same}");
    }
}

fn compared(plans: &[PlanRow]) -> Vec<Comparison> {
    let mut plans = plans.to_vec();
    training::classify(&mut plans, Some("none"));
    compare(&mut plans, Some("none"), Accuracies::default(), true);
    plans.into_iter().filter_map(|plan| plan.comparison).collect()
}

#[test]
fn what_seeds_share_does_not_hide_a_difference() {
    // Seeds are ten points apart, plans one and a half.
    let base = made::plan("none", 3, &[0.70, 0.80, 0.90]);
    let plan = made::plan("q2", 3, &[0.685, 0.7851, 0.8849]);
    let found = &compared(&[base, plan])[0];
    assert_eq!(found.said(), "−1.5 ± 0.0 (n = 3)");
    assert_eq!((found.tested.outcome, found.verdict().as_str()), (Outcome::Loss, "loss"));
}

#[test]
fn only_seeds_that_both_have_are_compared_and_two_are_too_few() {
    let base = made::plan("none", 3, &[0.7, 0.8, 0.9]);
    let mut plan = made::plan("q2", 3, &[0.6, 0.71, 0.1]);
    plan.runs[2].seed = 9;
    let found = &compared(&[base.clone(), plan])[0];
    assert_eq!(found.said(), "−9.5 (n = 2: no interval)");
    assert!(found.verdict().starts_with("cannot say with n = 2; "), "{}", found.verdict());
    let one = &compared(&[base, made::plan("q2", 3, &[0.6])])[0];
    assert_eq!(one.said(), "−10.0 (n = 1: no interval)");
    assert_eq!(one.verdict(), "cannot say with n = 1; 3 or more may");
}

#[test]
fn a_loss_that_only_the_correction_hides_is_not_called_open() {
    let base = made::plan("none", 3, &[0.70, 0.71, 0.70]);
    let worse = made::plan("q2", 3, &[0.50, 0.53, 0.49]); // p = 0.003
    let mut plans = vec![base, worse];
    plans.extend((0..39).map(|at| made::plan(&format!("other{at}"), 3, &[0.69, 0.72, 0.70])));
    let found = compared(&plans);
    assert_eq!(found[0].tested.outcome, Outcome::LossAlone);
    assert_eq!(found[0].verdict(), "a loss if tested alone, not among 40 plans");
    assert_eq!(found[1].tested.outcome, Outcome::Undecided);
    assert!(found[1].verdict().starts_with("cannot say with n = 3; "), "{}", found[1].verdict());
}

#[test]
fn shortened_runs_are_not_judged_alone_either() {
    let mut plans =
        [made::plan("none", 3, &[0.70, 0.71, 0.70]), made::plan("q2", 3, &[0.5, 0.53, 0.49])];
    training::classify(&mut plans, Some("none"));
    compare(&mut plans, Some("none"), Accuracies::default(), false);
    let found = plans[1].comparison.as_ref().unwrap();
    assert_eq!(found.tested.outcome, Outcome::Shortened);
    assert!(found.verdict().starts_with("not judged"), "{}", found.verdict());
}

#[test]
fn an_accuracy_that_is_only_guessed_is_not_kept() {
    let mut plans = vec![
        made::plan("none", 3, &[0.10, 0.11, 0.10]),
        made::plan("same", 3, &[0.10, 0.11, 0.10]),
        made::plan("wide", 3, &[0.10, 0.09, 0.11]),
        made::plan("learns", 3, &[0.80, 0.81, 0.80]),
    ];
    training::classify(&mut plans, Some("none"));
    let mut outcomes = |guessed| {
        let accuracies = Accuracies { resolution: 0.01, guessed };
        compare(&mut plans, Some("none"), accuracies, true);
        let found = plans.iter().filter_map(|plan| plan.comparison.as_ref());
        found.map(|found| found.tested.outcome).collect::<Vec<_>>()
    };
    use Outcome::{Equivalent, Gain, Guessing, Undecided};
    assert_eq!(outcomes(Some(0.05)), [Equivalent, Undecided, Gain]);
    assert_eq!(outcomes(None), [Equivalent, Undecided, Gain], "runs that do not say it");
    assert_eq!(outcomes(Some(0.1)), [Guessing, Guessing, Gain]);
    let found = plans[1].comparison.as_ref().unwrap().verdict();
    assert_eq!(found, "not judged, since none only guesses");
}

#[test]
fn two_seeds_far_above_a_guess_do_not_guess_however_far_apart() {
    // Nine standard deviations below the mean is a guess, too.
    let mut plans = [made::plan("none", 3, &[0.76, 0.58]), made::plan("q2", 3, &[0.75, 0.59])];
    training::classify(&mut plans, Some("none"));
    let accuracies = Accuracies { resolution: 0.001, guessed: Some(0.11) };
    compare(&mut plans, Some("none"), accuracies, true);
    let found = plans[1].comparison.as_ref().unwrap();
    assert_eq!(found.tested.outcome, Outcome::Undecided);
    let of = |accuracy| made::plan("none", 3, &[accuracy]).accuracy.unwrap();
    let guesses = [0.11, 0.119, 0.121].map(|mean| accuracies.only_guessed(of(mean)));
    assert_eq!(guesses, [true, true, false]);
}

#[test]
fn each_plan_is_compared_with_one_that_trained_alike() {
    let mut tuned = made::plan("last", 3, &[0.97, 0.98]);
    tuned.plan.from = Some("q4".into());
    let plans = [
        made::plan("none", 6, &[0.9, 0.9]),
        made::plan("q4", 6, &[0.95, 0.96]),
        made::plan("q4-long", 12, &[0.95, 0.96]),
        made::plan("q4-longer", 24, &[0.95, 0.96]),
        made::plan("none-long", 12, &[0.9, 0.9]),
        tuned,
    ];
    let found = compared(&plans);
    let with: Vec<&str> = found.iter().map(|c| c.with.as_str()).collect();
    assert_eq!(with, ["none", "none-long (12 epochs)", "none", "none", "q4"]);
    assert!((found[4].difference.mean - 0.02).abs() < 1e-12, "from the plan that it started from");
    let mut rows = plans.to_vec();
    training::classify(&mut rows, Some("none"));
    assert_eq!(rows[5].label(), "last (6 + 3 epochs)");
    assert_eq!((rows[2].label().as_str(), rows[1].label().as_str()), ("q4-long (12 epochs)", "q4"));
}
