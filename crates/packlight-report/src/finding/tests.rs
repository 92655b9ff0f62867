use super::*;
use crate::comparison::Accuracies;
use crate::plan::LayerRow;
use crate::{comparison, made, training};

/// A plan with five seeds around `ends.1`, and this peak and these layers.
fn plan(name: &str, peak: f64, ends: (u64, f64), layers: &[(&str, f64)]) -> PlanRow {
    // The luck of a seed is the same for all plans, except for a little of their own.
    let luck = [-0.02, -0.01, 0.0, 0.01, 0.02];
    let own = [0.0005, -0.0005, 0.0, 0.0002, -0.0002].map(|v| v * name.len() as f64);
    let accuracies: Vec<f64> =
        luck.iter().zip(own).map(|(luck, own)| ends.1 + luck + own).collect();
    let layers: Vec<LayerRow> =
        layers.iter().map(|(layer, cosine)| made::layer(layer, *cosine)).collect();
    PlanRow { peak_kept: Some(peak), layers, ..made::plan(name, ends.0, &accuracies) }
}

fn none() -> PlanRow {
    plan("none", 100.0, (3, 0.9), &[])
}

/// The layers of a network with everything that claims are about.
fn network() -> Vec<(String, LayerKind)> {
    ["conv1", "layer2.0.downsample.0"].map(|layer| (layer.to_owned(), LayerKind::Conv)).to_vec()
}

fn judged(plans: &[PlanRow], layers: &[(String, LayerKind)], whole: bool) -> Vec<Finding> {
    let mut plans = plans.to_vec();
    training::classify(&mut plans, Some("none"));
    comparison::compare(&mut plans, Some("none"), Accuracies::default(), whole);
    findings(&plans, Some("none"), layers, whole)
}

fn verdicts(plans: &[PlanRow]) -> Vec<Verdict> {
    judged(plans, &network(), true).iter().map(|f| f.verdict).collect()
}

fn accuracy(plans: &[PlanRow]) -> Finding {
    judged(plans, &network(), true).remove(1)
}

const HIGHEST: [(&str, f64); 3] =
    [("conv1", 0.7), ("layer2.0.downsample.0", 0.9), ("fc", f64::NAN)];

#[test]
fn what_the_records_show_is_confirmed() {
    let plans = [
        none(),
        plan("pool2", 70.0, (3, 0.8), &HIGHEST),
        plan("pool2-long", 70.0, (4, 0.901), &HIGHEST),
    ];
    assert_eq!(verdicts(&plans), [Verdict::Confirmed; 3]);
    let found = judged(&plans, &network(), true);
    assert!(!found[0].headline.contains("pool2-long"), "{:?}", found[0]);
    assert_eq!(
        found[1].headline,
        "Test accuracy after 3 epochs: none 90.0 %, pool2 80.0 %; pool2-long 90.1 % after 4 epochs"
    );
    let details = &found[1].details;
    assert!(details[1].contains("n = 5, seeds from 78."), "{details:?}");
    assert!(details[1].contains("from none in points, paired: −10.0 ± 0."), "{details:?}");
    assert!(details[1].ends_with(" (n = 5); loss."), "{details:?}");
    assert!(details[2].ends_with(" (n = 5); equivalent within 1 point."), "{details:?}");
    assert_eq!(details[3], "pool2 keeps the accuracy with 4 epochs instead of 3.");
}

#[test]
fn what_they_contradict_is_denied() {
    let down = [("conv1", 0.9), ("layer2.0.downsample.0", 0.7)];
    let plans =
        [none(), plan("pool2", 110.0, (3, 0.7), &down), plan("pool2-long", 110.0, (6, 0.8), &down)];
    assert_eq!(verdicts(&plans), [Verdict::Denied; 3]);
}

#[test]
fn what_holds_for_some_plans_is_partly_so() {
    let higher = [("a", 0.9), ("b", 0.1), ("c", 0.1), ("layer2.0.downsample.0", 0.8)];
    let plans =
        [none(), plan("pool2", 70.0, (4, 0.9), &higher), plan("pool4", 110.0, (4, 0.8), &higher)];
    assert_eq!(verdicts(&plans), [Verdict::Partly; 3]);
}

#[test]
fn accuracy_that_needs_no_longer_run_shows_half_of_the_claim() {
    let finding = accuracy(&[none(), plan("pool2", 70.0, (3, 0.8995), &[])]);
    assert_eq!(finding.verdict, Verdict::Partly);
    let last = finding.details.last().unwrap();
    assert_eq!(last, "pool2 keeps the accuracy without more epochs.");
}

#[test]
fn two_seeds_bear_no_verdict_on_accuracy_or_gradients_but_one_on_bytes() {
    let short = |plan: PlanRow| {
        let accuracies: Vec<f64> = plan.runs.iter().take(2).map(|run| run.accuracy).collect();
        let mut layers = plan.layers.clone();
        layers.iter_mut().for_each(|layer| layer.by_seed.truncate(2));
        let made = made::plan(&plan.plan.name, plan.planned_epochs, &accuracies);
        PlanRow { layers, peak_kept: plan.peak_kept, ..made }
    };
    let plans = [none(), plan("pool2", 70.0, (6, 0.9), &HIGHEST)].map(short);
    assert_eq!(verdicts(&plans), [Verdict::Confirmed, Verdict::Open, Verdict::Open]);
    let found = judged(&plans, &network(), true);
    let (accuracy, downsample) = (&found[1].details, &found[2].details);
    assert!(accuracy[1].contains("(n = 2: no interval); cannot say with n = 2; "), "{accuracy:?}");
    assert!(accuracy[1].contains(" seeds would."), "{accuracy:?}");
    assert_eq!(accuracy[2], "Whether pool2 keeps the accuracy, these runs cannot say.");
    assert!(downsample[0].contains("cannot say with n = 2; "), "{downsample:?}");
}

#[test]
fn a_codec_that_falls_behind_is_not_judged_without_a_longer_run() {
    let finding = accuracy(&[none(), plan("pool2", 70.0, (3, 0.8), &[])]);
    assert_eq!(finding.verdict, Verdict::Open);
    assert!(finding.headline.contains("pool2 80.0 %"), "{finding:?}");
    assert!(finding.details.last().unwrap().contains("the claim is untested"), "{finding:?}");
}

#[test]
fn the_exact_plan_with_more_epochs_is_what_a_longer_plan_is_compared_with() {
    let plans =
        [none(), plan("pool2", 70.0, (6, 0.9), &[]), plan("none-long", 100.0, (6, 0.95), &[])];
    let finding = accuracy(&plans);
    assert!(finding.details[1].contains("difference from none-long (6 epochs)"), "{finding:?}");
    assert!(finding.details[2].contains("difference from none in points, paired: +5.0"));
    assert_eq!(finding.verdict, Verdict::Denied, "5 points less in as many epochs");
}

#[test]
fn a_run_that_is_still_going_confirms_and_denies_nothing() {
    let mut going = plan("pool2", 70.0, (4, 0.9), &[]);
    going.finished = 4;
    let finding = accuracy(&[none(), going.clone()]);
    assert_eq!(finding.verdict, Verdict::Open);
    assert!(finding.details[1].contains("not judged before all runs finish"), "{finding:?}");
    let going = PlanRow { planned: 5, ..made::plan("pool2", 4, &[]) };
    let finding = accuracy(&[none(), going]);
    assert_eq!(finding.verdict, Verdict::Open);
    assert!(finding.details[1].contains("has no finished run"), "{finding:?}");
}

#[test]
fn without_a_baseline_nothing_is_compared_with_it() {
    let plans = [plan("pool2", 70.0, (3, 0.9), &[("conv1", 0.5)])];
    let findings = findings(&plans, None, &network(), true);
    assert!(findings.iter().all(|f| f.verdict == Verdict::Open));
}

#[test]
fn shortened_runs_are_not_judged() {
    let plans = [
        none(),
        plan("pool2", 70.0, (3, 0.8), &HIGHEST),
        plan("pool2-long", 70.0, (4, 0.901), &HIGHEST),
    ];
    for finding in judged(&plans, &network(), false) {
        assert_eq!(finding.verdict, Verdict::Open);
        assert!(finding.headline.starts_with("Not judged, since --scale"), "{finding:?}");
    }
}

#[test]
fn nothing_is_claimed_of_layers_that_the_network_lacks() {
    let plans = [none(), plan("pool2", 70.0, (3, 0.9), &HIGHEST)];
    let conv = [("conv1".to_owned(), LayerKind::Conv)];
    let linear = [("fc".to_owned(), LayerKind::Linear)];
    let count = |plans: &[PlanRow], layers: &[_]| judged(plans, layers, true).len();
    assert_eq!((count(&plans, &network()), count(&plans, &conv)), (3, 2));
    assert_eq!((count(&plans, &linear), count(&plans[..1], &network())), (0, 0));
}
