//! Planned steps with every kind of row.

use packlight_report::{PlannedLayer, PlannedMoment, PlannedPlan, PlannedSteps};

const LAYERS: usize = 60;

pub(crate) fn steps() -> PlannedSteps {
    let plans = ["none", "ara=3:2:2:1,checkpoint=cell,default=actnn:3", "hosvd:0.9"];
    PlannedSteps {
        model: "resnet50, width 64, stem imagenet; images of 3 x 224 x 224, 1000 classes".into(),
        setting: "batch 512, sgd, f32".into(),
        machine: Some("rtx4090: 24 GB at 1008 GB/s, 82.60 T operations a second in f32".into()),
        budget: Some(24e9),
        plans: (1..).zip(plans).map(|(number, plan)| step(plan, f64::from(number))).collect(),
        layers_csv: b"plan,layer\nnone,conv1\n".to_vec(),
    }
}

fn step(plan: &str, number: f64) -> PlannedPlan {
    let is_exact = !plan.starts_with("hosvd");
    let layer = |at: usize| PlannedLayer {
        layer: format!("layer{}.{}.downsample.0", at / 8, at % 8),
        kind: "conv".into(),
        codec: plan.split([',', '=']).next_back().unwrap_or_default().into(),
        frozen: (at == 3).then_some("frozen"),
        parameters: 2e6,
        gradients: 2e6,
        optimizer: 2e6,
        kept: 1e9 / number,
        within: (!is_exact).then_some([16.0, 1e9]),
        kept_again: if number == 2.0 { 4e8 } else { 0.0 },
        workspace: 3e7,
        multiplications: 123_456_789_012,
        moved: 7e9,
        seconds: Some(0.0123),
    };
    let moment = |at: usize| {
        let left = at.min(2 * LAYERS - at) as f64;
        let is_backward = at >= LAYERS;
        let come = if is_backward { (at - LAYERS) as f64 * 2e6 } else { 0.0 };
        let bytes = [1e8, 1e8, come, left * 2e8 / number, 3e8, 3e7];
        PlannedMoment { layer: format!("layer{at}"), is_backward, bytes }
    };
    PlannedPlan {
        plan: plan.into(),
        is_exact,
        kept: 4e10 / number,
        peak: 5e10 / number,
        peak_layer: Some("layer4.2.downsample.0".into()),
        multiplications: 12_345_678_901_234,
        moved: 4e11,
        seconds: Some(1.23),
        seconds_in_bf16: Some(0.4),
        layers: (0..LAYERS).map(layer).collect(),
        course: (0..=2 * LAYERS).map(moment).collect(),
    }
}
