//! Blocks that are recomputed by name.

use packlight_autograd::Entry;

use super::*;

/// Each model with blocks, names of some of them as a plan writes them, and the blocks so named.
fn named_blocks() -> Vec<(ModelSpec, &'static str, Vec<&'static str>)> {
    let mlp = ModelSpec::new(Mlp { hidden: vec![9, 8, 7, 6] });
    let mlp = mlp.for_images(3, SIDE, 10).unwrap();
    let resnet20 = ModelSpec::new(Resnet20 { width: WIDTH }).for_images(3, SIDE, 10).unwrap();
    let [vit, mixer, transformer, gpt, bert] = of_tokens();
    vec![
        (resnet18(), "layer3.*", vec!["layer3.0", "layer3.1"]),
        (resnet18(), "layer4.0:layer1.?", vec!["layer1.0", "layer1.1", "layer4.0"]),
        (resnet50(), "*.2", vec!["layer1.2", "layer2.2", "layer3.2", "layer4.2"]),
        (resnet20, "layer2.1", vec!["layer2.1"]),
        (vit, "blocks.1:blocks.2", vec!["blocks.1", "blocks.2"]),
        (mixer, "blocks.3", vec!["blocks.3"]),
        (gpt, "transformer.h.1", vec!["transformer.h.1"]),
        (bert, "*.layer.2", vec!["bert.encoder.layer.2"]),
        (mlp, "hidden2:hidden4", vec!["hidden2", "hidden4"]),
        (
            transformer,
            "decoder.*.1:encoder.encoder_layers.0",
            vec!["encoder.encoder_layers.0", "decoder.decoder_layers.1"],
        ),
    ]
}

/// The names of the layers of a block.
fn layers_of<'a>(entries: &'a [Entry], block: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
    let prefixes = match block.strip_prefix("hidden") {
        Some(number) => [format!("fc{number}"), format!("relu{number}")],
        None => [block.to_owned(), format!("{block}.")],
    };
    let within = move |name: &str| {
        name == prefixes[0] || name == prefixes[1] || name.starts_with(&prefixes[1])
    };
    entries.iter().filter(move |entry| within(&entry.layer))
}

fn total<'a>(entries: impl Iterator<Item = &'a Entry>) -> usize {
    entries.map(|entry| entry.bytes.total()).sum()
}

#[test]
fn named_blocks_are_recomputed_and_no_bit_changes() {
    for (spec, names, blocks) in named_blocks() {
        let name = format!("{} {names}", spec.name());
        let plain = step_of(&spec, "none");
        let again = step_of(&spec, &format!("recompute={names}"));
        assert_eq!(plain.logits, again.logits, "{name}");
        assert_eq!(changed(&plain, &again), [""; 0], "{name}");
        assert_eq!(plain.buffers, again.buffers, "{name}");
        assert_eq!(again.ledger.kept(), 0, "{name}");
        let entries = again.ledger.entries();
        let recomputed: Vec<Entry> = entries.iter().filter(|entry| entry.again).cloned().collect();
        let of_blocks = blocks.iter().map(|block| layers_of(&recomputed, block).count());
        let of_blocks: Vec<usize> = of_blocks.collect();
        assert!(!of_blocks.contains(&0), "{name}: {of_blocks:?}");
        assert_eq!(of_blocks.iter().sum::<usize>(), recomputed.len(), "{name}");
    }
}

/// What a network with recomputed blocks keeps follows from what it keeps without: at the end of the
/// forward pass the blocks' inputs in place of what their layers save, and while a block is
/// recomputed what stands before it, its input, and what its layers save beside that.
#[test]
fn the_peak_is_that_of_the_forward_pass_or_of_a_block_while_it_is_recomputed() {
    let pixel = BATCH * 8;
    // Maps that the blocks read: of four channels at 16 x 16, of 16 at 4 x 4.
    for (names, inputs) in [
        ("layer1.*", vec![("layer1.0", WIDTH * 256), ("layer1.1", WIDTH * 256)]),
        ("layer4.0", vec![("layer4.0", 4 * WIDTH * 16)]),
        ("layer2.0:layer3.1", vec![("layer2.0", WIDTH * 256), ("layer3.1", 4 * WIDTH * 16)]),
    ] {
        let (plain, again) = (step("none"), step(&format!("recompute={names}")));
        let (entries, found) = (plain.ledger.entries(), again.ledger.entries());
        let mut forward = total(entries.iter());
        let mut highest = 0;
        for &(block, elements) in &inputs {
            let input = found.iter().find(|entry| *entry.layer == *block).unwrap();
            assert_eq!(input.bytes.total(), pixel * elements, "{names}: {block}");
            forward = forward - total(layers_of(&entries, block)) + pixel * elements;
            // The block's first convolution shares the input that is kept.
            let until = found.iter().position(|entry| *entry.layer == *block).unwrap();
            let until = total(found[..=until].iter());
            let extra = total(layers_of(&entries, block)) - pixel * elements;
            assert_eq!(total(layers_of(&found, block).filter(|e| e.again)), extra, "{block}");
            highest = highest.max(until + extra);
        }
        assert_eq!(total(found.iter().filter(|entry| !entry.again)), forward, "{names}");
        assert_eq!(again.ledger.peak(), highest.max(forward), "{names}");
        assert!(again.ledger.peak() < plain.ledger.peak(), "{names}");
    }
}

#[test]
fn all_blocks_by_name_keep_what_checkpointed_blocks_do() {
    for (spec, ..) in named_blocks() {
        let bytes = |plan: &str| {
            let step = step_of(&spec, plan);
            let of = |entry: &Entry| (entry.bytes.total(), entry.kind, entry.again);
            (step.ledger.entries().iter().map(of).collect::<Vec<_>>(), step.ledger.peak())
        };
        assert_eq!(bytes("recompute=*"), bytes("checkpoint=block"), "{}", spec.name());
    }
}

/// Stochastic codecs within a block draw the same numbers when it is recomputed, and dropout drops
/// the same features (that of the transformer is on).
#[test]
fn random_draws_are_replayed() {
    let [vit, mixer, transformer, gpt, bert] = of_tokens();
    for (spec, names, codecs) in [
        (resnet18(), "layer3.*:layer1.1", "conv=q2,norm=q4"),
        (resnet50(), "layer2.1", "conv=actnn:2,norm=actnn:2"),
        (vit, "blocks.2", "linear=q2,norm=q3,attention=q2,activation=q2"),
        (mixer, "blocks.*", "linear=q1,norm=q2"),
        (transformer, "encoder.*", "linear=q2,norm=q2,attention=q2"),
        (gpt, "*.h.2", "linear=q2,norm=q2,attention=q2,activation=q2"),
        (bert, "*.layer.1", "linear=q2,norm=q2,attention=q2,activation=q2"),
    ] {
        let plain = step_of(&spec, codecs);
        let again = step_of(&spec, &format!("recompute={names},{codecs}"));
        assert_eq!(plain.logits, again.logits, "{names}");
        assert_eq!(changed(&plain, &again), [""; 0], "{names}");
        assert!(!changed(&step_of(&spec, "none"), &plain).is_empty(), "{names}");
        assert!(again.ledger.entries().iter().any(|entry| entry.again), "{names}");
    }
}

/// A recomputed block is a save point, so that a rule of its name packs its input.
#[test]
fn a_rule_with_the_name_of_a_block_packs_its_input() {
    let exact = step("recompute=layer2.1");
    let packed = step("recompute=layer2.1,layer2.1=q8");
    let bytes = |step: &Step| {
        let entries = step.ledger.entries();
        entries.iter().find(|entry| &*entry.layer == "layer2.1").unwrap().bytes.total()
    };
    assert!(bytes(&packed) * 4 < bytes(&exact));
    assert_eq!(packed.logits, exact.logits);
    assert!(changed(&exact, &packed).iter().all(|name| !name.starts_with("layer3")));
    assert!(changed(&exact, &packed).iter().any(|name| name.starts_with("layer2.1")));
}

#[test]
fn a_frozen_block_is_not_recomputed() {
    for (plan, recomputed) in
        [("recompute=layer1.*,last=4", false), ("recompute=layer4.*,last=4", true)]
    {
        let (tuned, again) = (step("last=4"), step(plan));
        assert_eq!(changed(&tuned, &again), [""; 0], "{plan}");
        assert_eq!(again.ledger.entries().iter().any(|entry| entry.again), recomputed, "{plan}");
        if !recomputed {
            assert_eq!(total(tuned.ledger.entries().iter()), total(again.ledger.entries().iter()));
        }
    }
}

#[test]
fn names_of_no_block_are_refused_and_the_blocks_are_named() {
    let [vit, _, transformer, ..] = of_tokens();
    let mlp = ModelSpec::new(Mlp { hidden: vec![9, 8] }).for_images(3, SIDE, 10).unwrap();
    for (spec, plan, parts) in [
        (resnet18(), "recompute=layer5.*", vec!["`recompute=layer5.*` fits no block", "layer4.1."]),
        (resnet18(), "recompute=layer3", vec!["did you mean `layer3.*`?", "layer1.0, layer1.1"]),
        (resnet18(), "recompute=layer1.0:layer3.1.conv1", vec!["did you mean `layer3.1`?"]),
        (vit, "recompute=block.2", vec!["did you mean `blocks.2`?", "blocks.0, blocks.1"]),
        (
            transformer,
            "recompute=encoder.*;decoder.*",
            vec!["with `:` between them", "encoder.encoder_layers.0", "decoder.decoder_layers.3."],
        ),
        (mlp, "recompute=fc1", vec!["hidden1, hidden2."]),
        (resnet18(), "ara=2:2:2:2,recompute=layer3.0", vec!["`checkpoint=cell`"]),
    ] {
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&spec, &plan, 3, DType::F64, &Device::Cpu);
        let error = model.err().unwrap().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
}
