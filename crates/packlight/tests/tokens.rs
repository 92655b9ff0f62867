//! Vision transformers, mixers and transformers on the command line.

#![allow(clippy::unwrap_used)]

mod common;

use common::{json, packlight, run, stderr, study};
use packlight::record::{Record, read_log};

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

/// The records of the plan `pooled` of a study.
fn records(dir: &std::path::Path) -> Vec<Record> {
    read_log::<Record>(&dir.join("runs/pooled-seed0/records.jsonl")).unwrap().values
}

#[test]
fn a_silu_s_derivative_in_two_bits_reaches_training() {
    let silu = small("vit").replace("heads = 2", "heads = 2\nactivation = \"silu\"");
    let dir = study(&silu.replace("linear=pool2,blocks.1.*=pool4", "resilu2"));
    let output = run(dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    // Samples, 4 x 4 patches and the class token, and hidden features, of four bytes each.
    let whole = 16 * 17 * 64 * 4;
    let (mut kept, mut cosines) = (Vec::new(), Vec::new());
    for record in records(dir.path()) {
        match record {
            Record::Kept { layer, payload, metadata, raw, .. } if layer.ends_with("mlp.act") => {
                kept.push((payload, metadata, raw));
            }
            Record::WholeGradient { parameter, fidelity, .. } => {
                cosines.push((parameter, fidelity.cosine.unwrap()));
            }
            _ => {}
        }
    }
    assert_eq!(kept, [(whole / 16, 0, whole); 2]);
    let cosine = |name: &str| cosines.iter().find(|(found, _)| found == name).unwrap().1;
    assert!(cosine("blocks.1.mlp.fc2.weight") == 1.0, "behind the last of them all is exact");
    // Around 0, where training begins, the derivative is 1/2 and its steps are about 0 and 1, which
    // makes a cosine of 0.7 of what goes through; shortcuts go around.
    for (name, lowest) in [("blocks.0.mlp.fc1.weight", 0.5), ("patch_embed.proj.weight", 0.9)] {
        assert!((lowest..0.99999).contains(&cosine(name)), "{cosines:?}");
    }
}

#[test]
fn a_derivative_of_another_function_is_refused_with_a_word_on_what_to_write() {
    for (activation, codec, instead) in [
        ("silu", "regelu2", "for SiLU write `resilu2`"),
        ("gelu", "resilu2", "for GELU write `regelu2`"),
    ] {
        let heads = format!("heads = 2\nactivation = \"{activation}\"");
        let text = small("vit").replace("heads = 2", &heads);
        let dir = study(&text.replace("linear=pool2,blocks.1.*=pool4", codec));
        let output = run(dir.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("plan pooled of the study, on a batch of 16"), "{said}");
        assert!(said.contains("blocks.1.mlp.act") && said.contains(instead), "{said}");
        assert!(!dir.path().join("runs").exists(), "found before anything is timed");
    }
    let wrong = small("mixer").replace("patch = 4", "patch = 4\nactivation = \"sliu\"");
    assert!(stderr(&run(study(&wrong).path())).contains("did you mean `silu`?"));
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

#[test]
fn plans_that_cannot_pack_are_refused_where_they_are_shown() {
    for (model, plan, words) in [
        ("vit", "linear=gf2", ["layer `blocks.0.attn.qkv`", "`gf2`"]),
        ("vit", "resilu2", ["blocks.3.mlp.act", "`regelu2`"]),
        ("transformer", "velora:7", ["layer `encoder.encoder_layers.0", "7 parts"]),
        ("vit", "compact:9223372036854775807", ["layer `blocks.0", "at most 24 numbers"]),
    ] {
        let mut plans = packlight(["plans", "--model", model, "--width", "24", "--heads", "2"]);
        let output = plans.args(["--depth", "4", "--plan", plan]).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("plan `{plan}`")), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}
