//! Vision transformers, mixers and transformers on the command line.

#![allow(clippy::unwrap_used)]

mod common;

use common::{json, packlight, run, stderr, study};

fn small(name: &str) -> String {
    let heads = if name == "vit" { "heads = 2" } else { "" };
    format!(
        r#"
name = "tokens"
title = "Tokens"
seeds = [0]
epochs = 1
batch = 16

[model]
name = "{name}"
width = 16
depth = 2
patch = 4
{heads}

[data]
name = "digits"
size = 16
train_limit = 64
test_limit = 32

[plans]
none = "none"
pooled = "linear=pool2,blocks.1.*=pool4"

[optimizer]
name = "adamw"
learning_rate = 0.001

[probe]
steps = [1]
whole = true
"#
    )
}

#[test]
fn images_can_be_classified_by_tokens() {
    for name in ["vit", "mixer"] {
        let dir = study(&small(name));
        let output = run(dir.path());
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let wrong = small(name).replace("patch = 4", "patch = 5");
        let output = run(study(&wrong).path());
        assert!(stderr(&output).contains("patch: 5 does not divide images of 16 x 16"));
        let wrong = small(name).replace("patch = 4", "pacth = 4");
        assert!(stderr(&run(study(&wrong).path())).contains("did you mean `patch`?"));
    }
}

#[test]
fn one_thread_or_two_give_the_same_records() {
    let images = "name = \"digits\"\nsize = 16";
    let transformer = small("transformer").replace("patch = 4", "heads = 2");
    let transformer = transformer.replace(images, "name = \"reverse\"").replace("blocks", "*");
    for text in [small("vit"), small("mixer"), transformer] {
        let records = ["1", "2"].map(|threads| {
            let dir = study(&text);
            let output = packlight(["run", "--threads", threads]).arg(dir.path()).output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            std::fs::read(dir.path().join("runs/pooled-seed0/records.jsonl")).unwrap()
        });
        assert!(records[0] == records[1], "{text}");
    }
}

#[test]
fn plans_show_what_attention_keeps() {
    for (model, layer) in [
        ("vit", "blocks.3.attn.softmax"),
        ("transformer", "decoder.decoder_layers.0.src_multi_headed_attention.key"),
    ] {
        let mut plans = packlight(["plans", "--model", model, "--width", "24", "--heads", "2"]);
        let output = plans.args(["--json", "--plan", "attention=pool2"]).output().unwrap();
        let layers = json(&output);
        let found = layers.as_array().unwrap().iter().find(|found| found["layer"] == layer);
        let found = found.unwrap();
        assert_eq!((&found["kind"], &found["codec"]), (&"attention".into(), &"pool2".into()));
    }
}
