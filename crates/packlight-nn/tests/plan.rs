//! Plans: the most specific rule wins, and a rule that covers nothing is an error.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use packlight_autograd::SavePoint;
use packlight_nn::Plan;
use packlight_record::LayerKind;

/// A small residual network's layers.
fn layers() -> Vec<Arc<SavePoint>> {
    [
        ("conv1", LayerKind::Conv),
        ("bn1", LayerKind::Norm),
        ("relu", LayerKind::Relu),
        ("layer1.0.conv1", LayerKind::Conv),
        ("layer1.0.bn1", LayerKind::Norm),
        ("layer2.0.conv1", LayerKind::Conv),
        ("layer2.0.bn1", LayerKind::Norm),
        ("linear", LayerKind::Linear),
        ("loss", LayerKind::Loss),
    ]
    .map(|(name, kind)| SavePoint::new(name, kind))
    .to_vec()
}

/// The layers that `plan` gives another codec than `none`.
fn planned(plan: &str) -> Vec<String> {
    let layers = layers();
    Plan::parse(plan).unwrap().apply(&layers).unwrap();
    let codecs = layers.iter().map(|layer| (layer.name(), layer.codec().spec()));
    codecs
        .filter(|(_, codec)| codec != "none")
        .map(|(name, codec)| format!("{name}={codec}"))
        .collect()
}

fn refused(plan: &str) -> String {
    let layers = layers();
    Plan::parse("pool4").unwrap().apply(&layers).unwrap();
    let error = Plan::parse(plan).and_then(|plan| plan.apply(&layers)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("plan `{plan}`: ")), "{error}");
    assert_eq!(layers[0].codec().spec(), "pool4", "a refused plan changes nothing");
    error
}

#[test]
fn a_codec_alone_is_for_its_scope() {
    let convs = ["conv1=pool2", "layer1.0.conv1=pool2", "layer2.0.conv1=pool2"];
    assert_eq!(planned("pool2"), convs);
    assert_eq!(planned(" default = pool2 "), convs);
    assert_eq!(planned("none"), [""; 0]);
}

#[test]
fn the_most_specific_rule_wins_wherever_it_stands() {
    let expected = ["conv1=pool2", "layer1.0.conv1=pool3", "layer2.0.conv1=pool4", "linear=pool8"];
    for plan in [
        "default=pool2,linear=pool8,layer*=pool4,layer1.0.conv1=pool3",
        "layer1.0.conv1=pool3,layer*=pool4,linear=pool8,pool2",
        "pool8,conv=pool2,linear=pool8,layer*=pool4,layer1.0.conv1=pool3",
    ] {
        assert_eq!(planned(plan), expected, "{plan}");
    }
}

#[test]
fn the_later_of_equals_wins() {
    assert_eq!(
        planned("layer*=pool2,layer2.*=pool4"),
        ["layer1.0.conv1=pool2", "layer2.0.conv1=pool4"]
    );
    assert_eq!(
        planned("layer2.*=pool4,layer*=pool2"),
        ["layer1.0.conv1=pool2", "layer2.0.conv1=pool2"]
    );
}

#[test]
fn none_exempts() {
    assert_eq!(planned("pool2,conv1=none"), ["layer1.0.conv1=pool2", "layer2.0.conv1=pool2"]);
    assert_eq!(planned("pool2,*=none"), [""; 0]);
}

#[test]
fn names_and_kinds_go_beyond_the_scope_and_patterns_where_they_must() {
    assert_eq!(planned("norm=pool2").len(), 3);
    assert_eq!(planned("layer1.0.bn1=pool2"), ["layer1.0.bn1=pool2"]);
    assert_eq!(planned("layer1.*=pool2"), ["layer1.0.conv1=pool2"]);
    assert_eq!(planned("layer*.bn?=pool2"), ["layer1.0.bn1=pool2", "layer2.0.bn1=pool2"]);
}

#[test]
fn a_plan_resets_the_one_before() {
    let layers = layers();
    Plan::parse("norm=pool2").unwrap().apply(&layers).unwrap();
    Plan::parse("linear=pool2").unwrap().apply(&layers).unwrap();
    assert_eq!(layers[1].codec().spec(), "none");
}

#[test]
fn plans_print_as_they_were_written() {
    for plan in ["pool2", "layer3.*=pool4, default=pool2"] {
        assert_eq!(Plan::parse(plan).unwrap().to_string(), plan);
    }
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let error = refused("layer1.0.cnov1=pool2");
    assert!(error.contains("did you mean `layer1.0.conv1`?"), "{error}");
    assert!(error.contains("Layers: conv1, bn1, relu,"), "{error}");
    for block in ["layer1", "layer1."] {
        let error = refused(&format!("{block}=pool2"));
        assert!(error.contains("did you mean `layer1.*`?"), "{error}");
    }
    let error = refused("layer7.*=pool2");
    assert!(error.contains("`layer7.*` fits no layer"), "{error}");
    let error = refused("convv=pool2");
    assert!(error.contains("Kinds: ") && error.contains("`conv"), "{error}");
    let error = refused("pull2");
    assert!(error.contains("pool"), "{error}");
}

#[test]
fn incomplete_rules_are_shown() {
    for plan in ["", "pool2,", "=pool2", "conv="] {
        let error = refused(plan);
        assert!(error.contains("write CODEC or SELECTOR=CODEC"), "{error}");
    }
}

#[test]
fn layers_without_an_input_to_pack_are_refused() {
    for plan in ["relu=pool2", "loss=pool2", "re*=pool2"] {
        let error = refused(plan);
        assert!(error.contains("keeps no input that a codec could pack"), "{error}");
    }
    assert_eq!(planned("relu=none"), [""; 0]);
}

#[test]
fn a_default_that_covers_nothing_says_what_to_write() {
    let layers = [("fc1", LayerKind::Linear), ("relu1", LayerKind::Relu)];
    let layers = layers.map(|(name, kind)| SavePoint::new(name, kind));
    let error = Plan::parse("pool2").unwrap().apply(&layers).unwrap_err().to_string();
    assert!(
        error.ends_with("for conv layers, of which this model has none; write `linear=pool2`"),
        "{error}"
    );
}

#[test]
fn as_many_last_layers_as_one_likes_is_all_of_them() {
    for last in ["3", "4", "18446744073709551615"] {
        let layers = layers();
        Plan::parse(&format!("last={last}")).and_then(|plan| plan.apply(&layers)).unwrap();
        let trains = |layer: &&Arc<SavePoint>| !layer.is_frozen();
        let trained: Vec<_> = layers.iter().filter(trains).map(|layer| layer.name()).collect();
        assert_eq!(trained, ["conv1", "layer1.0.conv1", "layer2.0.conv1", "linear"], "{last}");
    }
}
