//! The grammar of plans: a plan gives each save point a codec.

use std::fmt;
use std::str::FromStr;

use wildmatch::WildMatch;

use crate::memory_strategy::{group_sizes, named_blocks, scores, update};
use crate::{LayerKind, MemoryStrategy};

/// A plan as a user writes it: `pool2`, or rules such as `layer3.*=pool4,default=pool2`.
///
/// A rule is `SELECTOR=CODEC`, and a codec alone means `default=CODEC`. From the most to the least
/// specific, a selector is:
///
/// - a layer's name, such as `layer1.0.conv1`;
/// - a pattern of names with `*` and `?`, such as `layer3.*`;
/// - a kind, such as `conv`, `linear`, `norm` or `activation`;
/// - `default`, which selects all layers.
///
/// Seven words in place of a selector are for methods that are not codecs:
///
/// - `ara=2:2:2:2`: auxiliary residual activation, with a group size for each stage;
/// - `checkpoint=sqrt`, `block`, `cell` or a number of segments: gradient checkpointing;
/// - `recompute=layer3.*:layer4.0`: gradient checkpointing of the blocks of these names or patterns;
/// - `scores=recompute`: attention whose scores and probabilities exist only a few rows at a time;
/// - `update=eager`: parameters are updated during the backward pass, each as soon as its gradient is complete;
/// - `last=4`: trains only the last four conv and linear layers before the classifier, and the
///   classifier;
/// - `bias=all`: of all other layers trains the biases alone, norms' included; without `last`, these
///   are all layers but the classifier (Cai et al., "TinyTL", NeurIPS 2020, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSpec {
    text: String,
    /// The rules in the order in which they are written.
    pub rules: Vec<Rule>,
    /// How to build the network.
    pub strategy: MemoryStrategy,
    /// How many conv and linear layers before the classifier train; `None` if all do.
    pub last: Option<usize>,
    /// Whether biases train in layers whose weights do not: those before the ones that `last` trains.
    pub biases: bool,
}

/// A rule of a plan: the layers that it selects and their codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which layers.
    pub selector: Selector,
    /// The codec as it is written; this crate does not know which codecs exist.
    pub codec: String,
}

/// The layers that a rule selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All layers.
    Default,
    /// The layer of this name, or the layers of this kind.
    Name(String),
    /// The layers whose names match a pattern, in which `*` stands for any characters (dots
    /// included, or none) and `?` for any one character.
    Pattern(String),
}

/// How specific a selector is for a layer that it selects, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// It selects all layers.
    Default,
    /// It is the layer's kind.
    Kind,
    /// It is a pattern that the layer's name matches.
    Pattern,
    /// It is the layer's name.
    Name,
}

impl FromStr for PlanSpec {
    /// What is wrong and what to write instead.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.split([' ', '=']).next() == Some("adaptive") {
            return Err("an adaptive plan finds its codecs while a study trains it, so it is a table \
                        under `[plans]` in study.toml: `moving = { adaptive = { every = \"1 epoch\", \
                        budget = \"0.3x\" } }`"
                .to_owned());
        }
        let mut plan = PlanSpec {
            text: text.to_owned(),
            rules: Vec::new(),
            strategy: MemoryStrategy::default(),
            last: None,
            biases: false,
        };
        let mut written: Vec<(&str, &str)> = Vec::new();
        for rule in text.split(',') {
            let (left, right) = rule.split_once('=').unwrap_or(("default", rule));
            let (left, right) = (left.trim(), right.trim());
            if left.is_empty() || right.is_empty() {
                return Err(format!(
                    "`{}` is no rule; write CODEC or SELECTOR=CODEC, as in \
                     `layer3.*=pool4,default=pool2`",
                    rule.trim()
                ));
            }
            if let Some((_, earlier)) = written.iter().find(|(selector, _)| *selector == left) {
                return Err(twice(left, earlier, right));
            }
            if let ("checkpoint" | "recompute", Some(_)) = (left, &plan.strategy.checkpoint) {
                return Err(
                    "`checkpoint` and `recompute` both say what is recomputed; leave one of \
                            them out"
                        .to_owned(),
                );
            }
            written.push((left, right));
            match left {
                "ara" => plan.strategy.auxiliary_residual = Some(group_sizes(right)?),
                "checkpoint" => plan.strategy.checkpoint = Some(right.parse()?),
                "recompute" => plan.strategy.checkpoint = Some(named_blocks(right)?),
                "update" => plan.strategy.updates_eagerly = update(right)?,
                "scores" => plan.strategy.recompute_scores = scores(right)?,
                "last" => plan.last = Some(number_of_layers(right)?),
                "bias" => plan.biases = all_biases(right)?,
                _ => plan.rules.push(Rule { selector: left.into(), codec: right.to_owned() }),
            }
        }
        Ok(plan)
    }
}

impl PlanSpec {
    /// The codec of the most specific rule for a layer, and of equally specific ones the last; `None` if there is
    /// no rule for it. Scopes of codecs, which this crate does not know, are not seen.
    pub fn codec(&self, layer: &str, kind: LayerKind) -> Option<&str> {
        let rules = self.rules.iter();
        let rules = rules.filter_map(|rule| Some((rule.selector.matches(layer, kind)?, rule)));
        rules.max_by_key(|rule| rule.0).map(|(_, rule)| rule.codec.as_str())
    }

    /// The plan on several lines, for a text in three quotation marks in TOML, where it takes more than one.
    pub fn wrapped(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for rule in self.text.split(',').map(str::trim) {
            match lines.last_mut() {
                Some(line) if line.len() + rule.len() + 1 < LINE => {
                    line.push(',');
                    line.push_str(rule);
                }
                _ => lines.push(rule.to_owned()),
            }
        }
        lines.join(",\n")
    }
}

/// The most characters of a line of [`PlanSpec::wrapped`], unless a rule has more.
const LINE: usize = 100;

impl fmt::Display for PlanSpec {
    /// The plan as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The error message for a selector that a plan has twice.
fn twice(selector: &str, first: &str, second: &str) -> String {
    match selector {
        "default" => format!(
            "`{first}` and `{second}` are both the default, and a layer has one codec; leave one of \
             them out, or say which layers it is for, as in `layer3.*={second},default={first}`"
        ),
        _ => format!("`{selector}` is both `{first}` and `{second}`; leave one of them out"),
    }
}

fn all_biases(text: &str) -> Result<bool, String> {
    match text {
        "all" => Ok(true),
        _ => Err(format!("`bias={text}`: `all` expected")),
    }
}

fn number_of_layers(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`last={text}`: a number of layers expected"))
}

impl From<&str> for Selector {
    fn from(text: &str) -> Self {
        match text {
            "default" => Selector::Default,
            pattern if pattern.contains(['*', '?']) => Selector::Pattern(pattern.to_owned()),
            name => Selector::Name(name.to_owned()),
        }
    }
}

impl Selector {
    /// How specifically this selects a layer of this name and kind; `None` if it does not.
    pub fn matches(&self, name: &str, kind: LayerKind) -> Option<Specificity> {
        match self {
            Selector::Default => Some(Specificity::Default),
            Selector::Pattern(pattern) => {
                WildMatch::new(pattern).matches(name).then_some(Specificity::Pattern)
            }
            Selector::Name(own) if own == name => Some(Specificity::Name),
            Selector::Name(own) => (own == kind.name()).then_some(Specificity::Kind),
        }
    }
}

impl fmt::Display for Selector {
    /// The selector as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Default => f.write_str("default"),
            Selector::Name(text) | Selector::Pattern(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpointing;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("layer3.*", "layer3.0.conv1", true),
            ("layer3.*", "layer3", false),
            ("*.conv?", "layer3.0.conv1", true),
            ("*.conv?", "conv1", false),
            ("*conv*", "conv1", true),
            ("*", "", true),
            ("layer?.0.*", "layer4.0.downsample.0", true),
            ("*.bn*", "layer1.0.bn1", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axcxb", false),
            ("**", "conv1", true),
            ("****************************y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false),
            ("?", "é", true),
            ("[a]*", "a", false),
            ("{a}*", "{a}x", true),
            ("!a*", "!ab", true),
            ("a/*", "a/b/c", true),
        ] {
            let found = Selector::from(pattern).matches(name, LayerKind::Conv).is_some();
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_not_prefixes() {
        for (name, other) in [("conv1", "conv11"), ("conv11", "conv1")] {
            assert_eq!(Selector::from(name).matches(other, LayerKind::Norm), None);
        }
    }

    #[test]
    fn a_layer_is_selected_by_name_pattern_kind_and_default() {
        let found = ["conv1", "conv*", "conv", "default"]
            .map(|selector| Selector::from(selector).matches("conv1", LayerKind::Conv).unwrap());
        assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
        assert_eq!(Selector::from("linear").matches("conv1", LayerKind::Conv), None);
    }

    #[test]
    fn a_codec_alone_is_the_default_and_spaces_do_not_matter() {
        let plan: PlanSpec = " layer3.* = pool4, pool2 ".parse().unwrap();
        let rules: Vec<String> =
            plan.rules.iter().map(|rule| format!("{}={}", rule.selector, rule.codec)).collect();
        assert_eq!(rules, ["layer3.*=pool4", "default=pool2"]);
        assert_eq!(plan.to_string(), "layer3.* = pool4, pool2");
    }

    #[test]
    fn a_long_plan_is_wrapped_at_its_commas() {
        let rules: Vec<String> = (0..20).map(|n| format!("layer{n}.conv1=q{n}")).collect();
        let text = rules.join(",");
        let plan: PlanSpec = text.parse().unwrap();
        let lines = plan.wrapped();
        assert!(lines.lines().count() > 2 && lines.lines().all(|line| line.len() <= LINE + 1));
        assert_eq!(lines.replace('\n', ""), text);
        assert_eq!(lines.parse::<PlanSpec>().unwrap().rules, plan.rules);
        assert_eq!("q2,fc=q4".parse::<PlanSpec>().unwrap().wrapped(), "q2,fc=q4");
    }

    #[test]
    fn strategies_are_not_rules() {
        let text = "ara=3:2,checkpoint=cell,scores=recompute,update=eager,last=4,bias=all,q2";
        let plan: PlanSpec = text.parse().unwrap();
        assert_eq!(plan.strategy.auxiliary_residual, Some(vec![3, 2]));
        assert_eq!(plan.strategy.checkpoint, Some(Checkpointing::Cells));
        assert!(plan.strategy.recompute_scores && plan.strategy.updates_eagerly);
        assert_eq!((plan.last, plan.biases, plan.rules.len()), (Some(4), true, 1));
    }

    #[test]
    fn blocks_to_recompute_are_names_and_patterns() {
        let plan: PlanSpec = "recompute=layer3.* : blocks.?0,q2".parse().unwrap();
        let checkpoint = plan.strategy.checkpoint.unwrap();
        assert_eq!(plan.rules.len(), 1);
        let names = ["layer3.0", "layer30.0", "blocks.1", "blocks.10"];
        assert_eq!(names.map(|name| checkpoint.names(name)), [true, false, false, true]);
        assert_eq!(checkpoint.missing(&names.map(str::to_owned)), None);
        assert_eq!(checkpoint.missing(&["layer3.0".to_owned()]), Some("blocks.?0"));
        assert!(!Checkpointing::Blocks.names("layer3.0"));
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for (text, expected) in [
            ("", "is no rule"),
            ("conv=", "SELECTOR=CODEC"),
            ("=q2", "`=q2` is no rule"),
            ("q2,", "is no rule"),
            ("ara=2:x", "a group size for each stage"),
            ("update=late", "`eager` expected"),
            ("checkpoint=0", "a number of segments expected"),
            ("recompute=", "SELECTOR=CODEC"),
            ("recompute=blocks.1:", "names or patterns of blocks expected"),
            ("recompute=blocks.1,checkpoint=block", "`checkpoint` and `recompute` both"),
            ("checkpoint=cell,recompute=blocks.1", "leave one of them out"),
            ("scores=keep", "`recompute` expected; they are kept without it"),
            ("last=-1", "a number of layers expected"),
            ("bias=4", "`bias=4`: `all` expected"),
            ("pool2,pool4", "`pool2` and `pool4` are both the default"),
            ("pool2,pool4", "as in `layer3.*=pool4,default=pool2`"),
            ("q2,conv=q4,default=q2", "`q2` and `q2` are both the default"),
            ("conv=q2,conv=q4", "`conv` is both `q2` and `q4`; leave one of them out"),
            ("last=1,last=2", "`last` is both `1` and `2`"),
            ("adaptive every 1 epoch within 0.3x", "under `[plans]` in study.toml"),
            ("adaptive=0.3x", "finds its codecs while a study trains it"),
        ] {
            let error = text.parse::<PlanSpec>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
