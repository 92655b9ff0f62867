//! The shortest rules that give layers their codecs.

use std::collections::BTreeMap;

use packlight_record::LayerKind;
use packlight_spec::{PlanSpec, Selector};

use crate::choices::EXACT;

/// A layer and the codec that it is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) layer: &'a str,
    pub(crate) kind: LayerKind,
    pub(crate) codec: &'a str,
}

impl Target<'_> {
    /// The rule for this layer alone.
    fn rule(&self) -> String {
        format!("{}={}", self.layer, self.codec)
    }
}

/// The rules of a plan that give each layer its codec, in few characters: one for a kind, whose layers mostly have
/// it, then those for patterns of names, then those for single layers, each for what those before say wrongly.
///
/// A pattern with a codec leaves out layers that are not in the codec's scope, which this crate does not know. So
/// it is used for layers of one kind alone, or to keep layers exact, and not where it fits the name of one of
/// `blocks`, which save inputs when they are recomputed. Neither is `default`, for the same reasons.
///
/// The rule of a layer that has the name of a kind is also that of the kind. Where such names leave no short rules,
/// each layer has its own.
pub(crate) fn rules(targets: &[Target<'_>], blocks: &[&str]) -> Vec<String> {
    let mut by_kind: BTreeMap<LayerKind, Vec<usize>> = BTreeMap::new();
    for (number, target) in targets.iter().enumerate() {
        by_kind.entry(target.kind).or_default().push(number);
    }
    let patterns = patterns(targets, blocks);
    let namesake = |kind: LayerKind| targets.iter().find(|target| target.layer == kind.name());
    let start: Vec<State> = targets
        .iter()
        .map(|target| {
            let of_kind = by_kind.keys().any(|kind| kind.name() == target.layer);
            if of_kind && target.codec != EXACT { State::Fixed } else { State::Right }
        })
        .collect();
    let mut rules = Vec::new();
    let mut all = start.clone();
    for (&kind, layers) in &by_kind {
        let mut codecs: Vec<&str> = Vec::new();
        let used = [EXACT].into_iter().chain(layers.iter().map(|&layer| targets[layer].codec));
        for codec in namesake(kind).map_or(used.collect::<Vec<_>>(), |own| vec![own.codec]) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        let tried = codecs.into_iter().map(|codec| {
            let is_wrong =
                |&layer: &usize| targets[layer].codec != codec && start[layer] == State::Right;
            let wrong: Vec<usize> = layers.iter().copied().filter(is_wrong).collect();
            let mut states = start.clone();
            wrong.iter().for_each(|&layer| states[layer] = State::Wrong);
            let own = (codec != EXACT).then(|| format!("{}={codec}", kind.name()));
            let length = own.as_ref().map_or(0, |own| own.len() + 1);
            (length + characters(&exceptions(targets, states, &patterns)), own, wrong)
        });
        // Of equally short ones the first.
        if let Some((_, own, wrong)) = tried.min_by_key(|tried| tried.0) {
            rules.extend(own);
            wrong.into_iter().for_each(|layer| all[layer] = State::Wrong);
        }
    }
    rules.extend(exceptions(targets, all, &patterns));
    match say_it(&rules, targets) {
        true => rules,
        false => one_by_one(targets),
    }
}

fn characters(rules: &[String]) -> usize {
    rules.iter().map(|rule| rule.len() + 1).sum()
}

/// Whether rules give these layers their codecs.
fn say_it(rules: &[String], targets: &[Target<'_>]) -> bool {
    if rules.is_empty() {
        return targets.iter().all(|target| target.codec == EXACT);
    }
    let Ok(plan) = rules.join(",").parse::<PlanSpec>() else { return false };
    plan.rules.len() == rules.len()
        && targets
            .iter()
            .all(|target| plan.codec(target.layer, target.kind).unwrap_or(EXACT) == target.codec)
}

/// A rule for each layer. Exact ones have none, unless that of another layer would select them, which it does if
/// its name is also that of a kind.
fn one_by_one(targets: &[Target<'_>]) -> Vec<String> {
    let packed = targets.iter().filter(|target| target.codec != EXACT);
    let names: Vec<Selector> = packed.map(|target| Selector::from(target.layer)).collect();
    let needs_rule = |target: &&Target<'_>| {
        let selects = |name: &Selector| name.matches(target.layer, target.kind).is_some();
        target.codec != EXACT || names.iter().any(selects)
    };
    targets.iter().filter(needs_rule).map(Target::rule).collect()
}

/// A pattern with a codec, and the layers that it selects.
struct Pattern<'a> {
    text: String,
    codec: &'a str,
    /// Those that are to have the codec.
    agree: Vec<usize>,
    /// Those that are not, at most half as many.
    differ: Vec<usize>,
}

impl Pattern<'_> {
    fn rule(&self) -> String {
        format!("{}={}", self.text, self.codec)
    }
}

/// All that may be of use, by their texts.
fn patterns<'a>(targets: &[Target<'a>], blocks: &[&str]) -> Vec<Pattern<'a>> {
    let mut texts: Vec<String> = targets.iter().flat_map(|target| texts(target.layer)).collect();
    texts.sort();
    texts.dedup();
    let mut patterns = Vec::new();
    for text in texts {
        let selects = |&layer: &usize| fits(&text, targets[layer].layer);
        let selected: Vec<usize> = (0..targets.len()).filter(selects).collect();
        let same_kind = selected.iter().all(|&l| targets[l].kind == targets[selected[0]].kind);
        let is_safe = same_kind && !blocks.iter().any(|block| fits(&text, block));
        let mut codecs: Vec<&str> = selected.iter().map(|&layer| targets[layer].codec).collect();
        codecs.sort_unstable();
        codecs.dedup();
        for codec in codecs.into_iter().filter(|&codec| is_safe || codec == EXACT) {
            let has_it = |&layer: &usize| targets[layer].codec == codec;
            let (agree, differ): (Vec<usize>, Vec<usize>) =
                selected.iter().copied().partition(has_it);
            if agree.len() > 1 && 2 * differ.len() <= agree.len() {
                patterns.push(Pattern { text: text.clone(), codec, agree, differ });
            }
        }
    }
    patterns
}

/// Patterns that fit a name: with a star for some of its parts that follow each other, but not for all, with and without
/// a question mark for a digit at its end.
fn texts(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let mut texts = Vec::new();
    for from in 0..parts.len() {
        for to in from + 1..=parts.len() {
            if to - from < parts.len() {
                texts.push([&parts[..from], &["*"], &parts[to..]].concat().join("."));
            }
        }
    }
    texts.push(name.to_owned());
    let without_digit = |text: &String| {
        let last = text.chars().next_back()?;
        last.is_ascii_digit().then(|| format!("{}?", &text[..text.len() - 1]))
    };
    let marked: Vec<String> = texts.iter().filter_map(without_digit).collect();
    texts.pop();
    texts.extend(marked);
    texts
}

/// Whether a pattern of [`texts`] fits a name, as [`Selector`] has it; this takes less time.
fn fits(pattern: &str, name: &str) -> bool {
    let end = |pattern: &str, name: &str| match pattern.strip_suffix('?') {
        Some(start) => {
            name.char_indices().next_back().is_some_and(|(at, _)| name[..at].ends_with(start))
        }
        None => name.ends_with(pattern),
    };
    match pattern.split_once('*') {
        Some((before, after)) => name
            .strip_prefix(before)
            .is_some_and(|rest| rest.chars().count() >= after.chars().count() && end(after, rest)),
        None => name.chars().count() == pattern.chars().count() && end(pattern, name),
    }
}

/// What rules that are less specific make of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Right,
    Wrong,
    /// It has a rule of its own in any case.
    Named,
    /// That rule is the one of a kind, too, and stands there already.
    Fixed,
}

/// Rules for the layers that are wrong: as long as a pattern saves characters, the one that saves most, then names.
/// A layer that a pattern would make wrong has its name, too, which is more specific.
fn exceptions(
    targets: &[Target<'_>],
    mut states: Vec<State>,
    patterns: &[Pattern<'_>],
) -> Vec<String> {
    let lengths: Vec<usize> = targets.iter().map(|target| target.rule().len() + 1).collect();
    let mut rules = Vec::new();
    loop {
        let sum = |layers: &[usize], state: State| -> usize {
            layers
                .iter()
                .filter(|&&layer| states[layer] == state)
                .map(|&layer| lengths[layer])
                .sum()
        };
        let saves = |pattern: &Pattern<'_>| {
            let costs = pattern.text.len() + pattern.codec.len() + 2;
            sum(&pattern.agree, State::Wrong)
                .saturating_sub(costs + sum(&pattern.differ, State::Right))
        };
        let best = patterns.iter().map(|pattern| (saves(pattern), pattern));
        // Of equally good ones the first.
        let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let Some((1.., pattern)) = best else { break };
        rules.push(pattern.rule());
        for &layer in &pattern.agree {
            if states[layer] == State::Wrong {
                states[layer] = State::Right;
            }
        }
        for &layer in &pattern.differ {
            if states[layer] != State::Fixed {
                states[layer] = State::Named;
            }
        }
    }
    let of_its_own = |state: State| matches!(state, State::Wrong | State::Named);
    let named = targets.iter().zip(states).filter(|(_, state)| of_its_own(*state));
    rules.extend(named.map(|(target, _)| target.rule()));
    rules
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target<'a>(layer: &'a str, kind: LayerKind, codec: &'a str) -> Target<'a> {
        Target { layer, kind, codec }
    }

    /// The names of a network with blocks.
    fn names() -> Vec<(String, LayerKind)> {
        let mut names =
            vec![("conv1".to_owned(), LayerKind::Conv), ("bn1".into(), LayerKind::Norm)];
        for block in (1..=12).map(|n| format!("layer{}.{}", 1 + n / 4, n % 4)) {
            names.extend((1..=3).map(|n| (format!("{block}.conv{n}"), LayerKind::Conv)));
            names.extend((1..=3).map(|n| (format!("{block}.bn{n}"), LayerKind::Norm)));
        }
        names.push(("fc".into(), LayerKind::Linear));
        names
    }

    #[test]
    fn kinds_come_first_then_patterns_then_names() {
        let names = names();
        let codec = |name: &str, kind| match name {
            "conv1" => "none",
            "layer2.1.conv1" => "q8",
            _ if name.ends_with("conv2") => "q2",
            _ if kind == LayerKind::Conv => "q4",
            "fc" => "q8",
            _ => "none",
        };
        let targets: Vec<Target<'_>> =
            names.iter().map(|(name, kind)| target(name, *kind, codec(name, *kind))).collect();
        assert_eq!(
            rules(&targets, &[]),
            ["conv=q4", "*.conv2=q2", "conv1=none", "layer2.1.conv1=q8", "fc=q8"]
        );
    }

    #[test]
    fn a_block_that_is_exact_is_one_rule_and_no_pattern_packs_what_a_block_reads() {
        let names = names();
        let codec = |name: &str| if name.starts_with("layer2.1.") { "none" } else { "q4" };
        let targets: Vec<Target<'_>> =
            names.iter().map(|(name, kind)| target(name, *kind, codec(name))).collect();
        assert_eq!(rules(&targets, &[]), ["conv=q4", "norm=q4", "layer2.1.*=none", "fc=q4"]);
        // The blocks of the second stage alone.
        let codec = |name: &str, kind| match kind {
            LayerKind::Conv if name.starts_with("layer2.") => "q4",
            _ => "none",
        };
        let convs = names.iter().filter(|(_, kind)| *kind == LayerKind::Conv);
        let targets: Vec<Target<'_>> =
            convs.map(|(name, kind)| target(name, *kind, codec(name, *kind))).collect();
        assert_eq!(rules(&targets, &[]), ["layer2.*=q4"]);
        assert_eq!(rules(&targets, &["layer2.0", "layer2.1"]), ["layer2.*.conv?=q4"]);
        // All but one of a stage.
        let codec = |name: &str| match name {
            "layer2.1.conv2" => "none",
            _ if name.starts_with("layer2.") => "q4",
            _ => "none",
        };
        let convs = names.iter().filter(|(_, kind)| *kind == LayerKind::Conv);
        let targets: Vec<Target<'_>> =
            convs.map(|(name, kind)| target(name, *kind, codec(name))).collect();
        assert_eq!(rules(&targets, &[]), ["layer2.*=q4", "layer2.1.conv2=none"]);
    }

    #[test]
    fn a_layer_with_the_name_of_its_kind_has_the_rule_of_the_kind() {
        let names = ["norm", "a.norm1", "a.norm2", "b.norm1", "b.norm2"];
        let codec = |name: &str| if name == "a.norm2" { "q2" } else { "q4" };
        let targets = names.map(|name| target(name, LayerKind::Norm, codec(name)));
        assert_eq!(rules(&targets, &[]), ["norm=q4", "a.norm2=q2"]);
        let codec = |name: &str| if name == "norm" { "q2" } else { "q4" };
        let targets = names.map(|name| target(name, LayerKind::Norm, codec(name)));
        assert_eq!(rules(&targets, &[]), ["norm=q2", "*.norm?=q4"]);
        let codec = |name: &str| if name == "norm" { "none" } else { "q4" };
        let targets = names.map(|name| target(name, LayerKind::Norm, codec(name)));
        assert_eq!(rules(&targets, &[]), ["*.norm?=q4"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn rules_say_what_each_layer_has_in_no_more_characters(
            chosen in prop::collection::vec(0usize..4, 75),
            stages in prop::collection::vec(0usize..5, 4),
        ) {
            let names = names();
            let codecs = ["none", "q2", "q4", "pool2"];
            let of = |(number, (name, kind)): (usize, &'_ (String, LayerKind))| {
                // Some stages agree, others are mixed.
                let stage = name.chars().nth(5).and_then(|digit| digit.to_digit(10));
                let agreed = stage.map_or(4, |stage| stages[stage as usize % 4]);
                let codec = codecs.get(agreed).copied().unwrap_or(codecs[chosen[number]]);
                (name.clone(), *kind, codec)
            };
            let all: Vec<_> = names.iter().enumerate().map(of).collect();
            let targets: Vec<Target<'_>> =
                all.iter().map(|(name, kind, codec)| target(name, *kind, codec)).collect();
            let found = rules(&targets, &["layer2.1"]);
            prop_assert!(say_it(&found, &targets), "{found:?}");
            prop_assert!(characters(&found) <= characters(&one_by_one(&targets)), "{found:?}");
            for pattern in patterns(&targets, &[]) {
                for (name, kind, _) in &all {
                    let selected = Selector::from(pattern.text.as_str()).matches(name, *kind);
                    prop_assert_eq!(fits(&pattern.text, name), selected.is_some(), "{}", pattern.text);
                }
            }
        }
    }
}
