//! Plans whose codecs exist, and what they do to a model's layers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use packlight_autograd::SavePoint;
use packlight_codec::{Codec, Scope};
use packlight_spec::{LayerKind, PlanSpec, Selector, Specificity, nearest};

use crate::{Error, MemoryStrategy, Result};

/// A plan for a model: which codec each layer packs its input with, and how the network is put
/// together.
///
/// [`PlanSpec`] describes how plans are written. A codec has a scope (see [`Codec::scope`]): the kinds
/// of layers that its paper is about. Where a rule's selector is a pattern or `default`, the rule
/// covers those of the selected layers that are in its codec's scope, and a pattern that selects no
/// such layer covers all that it selects. A name or a kind is explicit, so the scope does not matter.
///
/// Of the rules that cover a layer, the most specific wins, and of equally specific rules the last.
/// Layers that no rule covers save their inputs exactly.
#[derive(Debug, Clone)]
pub struct Plan {
    spec: PlanSpec,
    rules: Vec<Rule>,
}

/// The layers that are to have a codec.
#[derive(Debug, Clone)]
struct Rule {
    selector: Selector,
    codec: Arc<dyn Codec>,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// Returns an error if a rule is incomplete or names a codec that does not exist; the error lists
    /// those that do.
    pub fn parse(text: &str) -> Result<Self> {
        let fail = |reason: String| Error::Plan { plan: text.trim().to_owned(), reason };
        let spec: PlanSpec = text.parse().map_err(fail)?;
        let rule = |rule: &packlight_spec::Rule| {
            let codec = packlight_codec::parse(&rule.codec).map_err(|e| fail(e.to_string()))?;
            Ok(Rule { selector: rule.selector.clone(), codec })
        };
        Ok(Self { rules: spec.rules.iter().map(rule).collect::<Result<_>>()?, spec })
    }

    /// How the network is to be put together.
    pub fn memory_strategy(&self) -> &MemoryStrategy {
        &self.spec.strategy
    }

    /// Gives each of a model's layers its codec, and freezes those that are not to train. Layers that
    /// no rule covers get the codec `none`. The strategy is for [`crate::Model::planned`].
    ///
    /// # Errors
    /// Returns an error if a rule covers no layer; the error lists the layers, and none is changed.
    pub fn apply(&self, layers: &[Arc<SavePoint>]) -> Result<()> {
        let fail = |reason: String| Error::Plan { plan: self.to_string(), reason };
        let mut best: Vec<Option<(Specificity, &Rule)>> = vec![None; layers.len()];
        for rule in &self.rules {
            for (best, covered) in best.iter_mut().zip(rule.covers(layers).map_err(fail)?) {
                if let Some(specificity) = covered
                    && best.is_none_or(|(present, _)| specificity >= present)
                {
                    *best = Some((specificity, rule));
                }
            }
        }
        let none = packlight_codec::parse("none").map_err(|e| fail(e.to_string()))?;
        for (layer, best) in layers.iter().zip(best) {
            layer.set_codec(best.map_or_else(|| none.clone(), |(_, rule)| rule.codec.clone()));
        }
        self.freeze(layers);
        Ok(())
    }

    /// Freezes all layers but the last conv and linear ones, if the plan says how many of these train, or
    /// that of all others only biases do.
    fn freeze(&self, layers: &[Arc<SavePoint>]) {
        if self.spec.last.is_none() && !self.spec.biases {
            layers.iter().for_each(|layer| layer.freeze(false));
            return;
        }
        let weighted =
            |layer: &Arc<SavePoint>| matches!(layer.kind(), LayerKind::Conv | LayerKind::Linear);
        let trained = self.spec.last.unwrap_or(0).saturating_add(1); // and the classifier
        let mut left = layers.iter().filter(|layer| weighted(layer)).count();
        for layer in layers {
            match weighted(layer) && left <= trained {
                true => layer.freeze(false),
                false if self.spec.biases => layer.freeze_all_but_bias(),
                false => layer.freeze(true),
            }
            left -= usize::from(weighted(layer));
        }
    }
}

impl fmt::Display for Plan {
    /// The plan as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Plan::parse(text)
    }
}

impl Rule {
    /// How specifically this rule covers each layer, `None` for those that it does not cover; or why
    /// it covers no layer at all.
    fn covers(&self, layers: &[Arc<SavePoint>]) -> Result<Vec<Option<Specificity>>, String> {
        let selected: Vec<_> =
            layers.iter().map(|layer| self.selector.matches(layer.name(), layer.kind())).collect();
        let among = |covered: &dyn Fn(&SavePoint) -> bool| -> Vec<Option<Specificity>> {
            selected
                .iter()
                .zip(layers)
                .map(|(found, layer)| found.filter(|_| covered(layer)))
                .collect()
        };
        let any = |covered: &[Option<Specificity>]| covered.iter().any(Option::is_some);

        if !any(&selected) {
            return Err(self.selects_nothing(layers));
        }
        let scope = self.codec.scope();
        let in_scope = among(&|layer| layer.is_in(scope));
        match self.selector {
            Selector::Default if !any(&in_scope) => return Err(self.default_covers_nothing(layers)),
            Selector::Default | Selector::Pattern(_) if any(&in_scope) => return Ok(in_scope),
            _ => {}
        }
        // A scope may go beyond the kinds that pack, as that of `none` does.
        let packable =
            among(&|layer| layer.is_in(scope) || LayerKind::PACKABLE.contains(&layer.kind()));
        match any(&packable) {
            true => Ok(packable),
            false => Err(self.packs_nothing(layers, &selected)),
        }
    }

    fn selects_nothing(&self, layers: &[Arc<SavePoint>]) -> String {
        let kinds = kinds(layers);
        let names = || layers.iter().map(|layer| layer.name());
        let written = self.selector.to_string();
        let selects = |pattern: &String| {
            let pattern = Selector::from(pattern.as_str());
            layers.iter().any(|layer| pattern.matches(layer.name(), layer.kind()).is_some())
        };
        let within = format!("{}.*", written.trim_end_matches('.')); // the layers of a block
        let near = || nearest(&written, names().chain(kinds.iter().copied())).map(str::to_owned);
        let begins = || Some(format!("{written}*")).filter(selects);
        let hint = match Some(within).filter(selects).or_else(near).or_else(begins) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => ".".to_owned(),
        };
        format!(
            "`{written}` fits no layer of this model{hint} Layers: {}. Kinds: {}.",
            names().collect::<Vec<_>>().join(", "),
            kinds.join(", ")
        )
    }

    fn default_covers_nothing(&self, layers: &[Arc<SavePoint>]) -> String {
        let codec = self.codec.spec();
        let scope = scope_in_words(self.codec.scope());
        let present = kinds(layers);
        let instead: Vec<String> = LayerKind::PACKABLE
            .iter()
            .filter(|kind| present.contains(&kind.name()))
            .map(|kind| format!("`{}={codec}`", kind.name()))
            .collect();
        format!(
            "by default {codec} is for {scope}, of which this model has none; write {}",
            instead.join(" or ")
        )
    }

    fn packs_nothing(&self, layers: &[Arc<SavePoint>], selected: &[Option<Specificity>]) -> String {
        let selected = layers.iter().zip(selected).find(|(_, found)| found.is_some());
        let example = selected.map(|(layer, _)| layer.name()).unwrap_or_default();
        format!(
            "`{}` fits only layers such as `{example}`, which keeps no input that a codec could \
             pack; {} layers do",
            self.selector,
            LayerKind::PACKABLE.map(LayerKind::name).join(", ")
        )
    }
}

/// The layers in a scope, in words.
pub fn scope_in_words(scope: Scope) -> String {
    match scope {
        Scope::Kinds(kinds) => {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("{} layers", names.join(" and "))
        }
        Scope::Auxiliary(level) => {
            format!("linear layers of a transformer or mixer up to level {level}")
        }
    }
}

/// The kinds of a model's layers, each once, in the order of [`LayerKind::ALL`].
fn kinds(layers: &[Arc<SavePoint>]) -> Vec<&'static str> {
    let present = |kind: &LayerKind| layers.iter().any(|layer| layer.kind() == *kind);
    LayerKind::ALL.iter().filter(|kind| present(kind)).map(|kind| kind.name()).collect()
}
