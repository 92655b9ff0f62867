//! Which codec each layer packs its input with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use packlight_autograd::SavePoint;
use packlight_codec::{Codec, Scope};
use packlight_record::LayerKind;

use crate::nearest::nearest;
use crate::{Error, MemoryStrategy, Result, glob};

/// The kinds of layers that keep an input which a codec can pack.
const PACKABLE: [LayerKind; 6] = [
    LayerKind::Conv,
    LayerKind::Linear,
    LayerKind::Norm,
    LayerKind::Activation,
    LayerKind::Attention,
    LayerKind::Segment,
];

/// Which codec each layer packs its input with, as a user writes it: `pool2`, or rules such as
/// `layer3.*=pool4,default=pool2`.
///
/// A rule is `WHICH=CODEC`, and a codec alone is `default=CODEC`. WHICH is, from the most to the
/// least specific:
///
/// - a layer's name, such as `layer1.0.conv1`;
/// - a pattern of names with `*` and `?`, such as `layer3.*`: of the layers that fit, those whose
///   kind is in the codec's scope (see [`Codec::scope`]), or all where none is;
/// - a kind, such as `conv`, `linear`, `norm` or `activation`;
/// - `default`: all layers whose kind is in the codec's scope.
///
/// The most specific rule wins, and the later of two equally specific ones. Other layers keep
/// their inputs exactly.
///
/// Three words in the place of WHICH are for methods that are no codecs (see [`MemoryStrategy`]):
///
/// - `ara=2:2:2:2`: auxiliary residual activation, with a group size for each stage;
/// - `checkpoint=sqrt`, `block`, `cell` or a number of segments: gradient checkpointing;
/// - `last=4`: trains the last four conv and linear layers before the classifier, and it; norms,
///   embeddings and all layers before are frozen.
#[derive(Debug, Clone)]
pub struct Plan {
    text: String,
    rules: Vec<Rule>,
    strategy: MemoryStrategy,
    /// How many layers before the classifier train, where not all do.
    last: Option<usize>,
}

#[derive(Debug, Clone)]
struct Rule {
    which: Which,
    codec: Arc<dyn Codec>,
}

#[derive(Debug, Clone)]
enum Which {
    Default,
    /// A layer's name or a kind.
    Name(String),
    Pattern(String),
}

/// How specific a rule is for a layer that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Default,
    Kind,
    Pattern,
    Name,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// If a rule is incomplete or names a codec that does not exist; the error lists those that do.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let fail = |reason: String| Error::Plan { plan: text.to_owned(), reason };
        let (mut rules, mut strategy, mut last) = (Vec::new(), MemoryStrategy::default(), None);
        for rule in text.split(',') {
            let (which, codec) = rule.split_once('=').unwrap_or(("default", rule));
            let (which, codec) = (which.trim(), codec.trim());
            if which.is_empty() || codec.is_empty() {
                return Err(fail(format!(
                    "`{}` is no rule; write CODEC or WHICH=CODEC, as in `layer3.*=pool4,default=pool2`",
                    rule.trim()
                )));
            }
            let which = match which {
                "ara" => {
                    strategy.auxiliary_residual = Some(group_sizes(codec).map_err(fail)?);
                    continue;
                }
                "checkpoint" => {
                    strategy.checkpoint = Some(codec.parse().map_err(fail)?);
                    continue;
                }
                "last" => {
                    let expected = || format!("`last={codec}`: a number of layers expected");
                    last = Some(codec.parse().map_err(|_| fail(expected()))?);
                    continue;
                }
                "default" => Which::Default,
                pattern if pattern.contains(['*', '?']) => Which::Pattern(pattern.to_owned()),
                name => Which::Name(name.to_owned()),
            };
            let codec = packlight_codec::parse(codec).map_err(|e| fail(e.to_string()))?;
            rules.push(Rule { which, codec });
        }
        Ok(Self { text: text.to_owned(), rules, strategy, last })
    }

    /// How the network is to be put together.
    pub fn memory_strategy(&self) -> &MemoryStrategy {
        &self.strategy
    }

    /// Gives each of a model's layers its codec and freezes those that are not to train; layers
    /// that no rule covers get `none`. The strategy is for [`crate::Model::planned`].
    ///
    /// # Errors
    /// If a rule covers no layer; the error lists what exists, and no layer is changed.
    pub fn apply(&self, layers: &[Arc<SavePoint>]) -> Result<()> {
        let mut best: Vec<Option<(Rank, &Rule)>> = vec![None; layers.len()];
        for rule in &self.rules {
            let covered = rule
                .covers(layers)
                .map_err(|reason| Error::Plan { plan: self.text.clone(), reason })?;
            for (best, rank) in best.iter_mut().zip(covered) {
                if let Some(rank) = rank
                    && best.is_none_or(|(present, _)| rank >= present)
                {
                    *best = Some((rank, rule));
                }
            }
        }
        let none = packlight_codec::parse("none")
            .map_err(|e| Error::Plan { plan: self.text.clone(), reason: e.to_string() })?;
        let weighted =
            |layer: &Arc<SavePoint>| matches!(layer.kind(), LayerKind::Conv | LayerKind::Linear);
        let frozen = self.last.map_or(0, |last| {
            layers
                .iter()
                .filter(|layer| weighted(layer))
                .count()
                .saturating_sub(last.saturating_add(1))
        });
        let mut seen = 0;
        for layer in layers {
            seen += usize::from(weighted(layer));
            let trains = weighted(layer) && seen > frozen;
            layer.freeze(self.last.is_some() && !trains);
        }
        for (layer, best) in layers.iter().zip(best) {
            layer.set_codec(best.map_or_else(|| none.clone(), |(_, rule)| rule.codec.clone()));
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    /// The plan as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Plan::parse(text)
    }
}

impl Rule {
    /// For each layer how specifically this rule covers it, if it does; or why it covers none.
    fn covers(&self, layers: &[Arc<SavePoint>]) -> Result<Vec<Option<Rank>>, String> {
        let fits: Vec<_> = layers.iter().map(|layer| self.which.fits(layer)).collect();
        let among = |covered: &dyn Fn(&SavePoint) -> bool| -> Vec<Option<Rank>> {
            fits.iter().zip(layers).map(|(rank, layer)| rank.filter(|_| covered(layer))).collect()
        };
        let any = |covered: &Vec<Option<Rank>>| covered.iter().any(Option::is_some);

        if !any(&fits) {
            return Err(self.fits_nothing(layers));
        }
        let scope = self.codec.scope();
        let scoped = among(&|layer| layer.is_in(scope));
        match self.which {
            Which::Default if any(&scoped) => return Ok(scoped),
            Which::Default => return Err(self.default_covers_nothing(layers)),
            Which::Pattern(_) if any(&scoped) => return Ok(scoped),
            _ => {}
        }
        // What is in scope by default may go beyond the kinds that pack, as for `none`.
        let packable = among(&|layer| layer.is_in(scope) || PACKABLE.contains(&layer.kind()));
        match any(&packable) {
            true => Ok(packable),
            false => Err(self.packs_nothing(layers, &fits)),
        }
    }

    fn fits_nothing(&self, layers: &[Arc<SavePoint>]) -> String {
        let kinds = kinds(layers);
        let names = || layers.iter().map(|layer| layer.name());
        let written = self.which.written();
        let hint = nearest(written, names().chain(kinds.iter().copied()))
            .map(|name| format!("; the nearest is `{name}`"))
            .unwrap_or_default();
        format!(
            "`{written}` fits no layer of this model{hint}. Layers: {}. Kinds: {}.",
            names().collect::<Vec<_>>().join(", "),
            kinds.join(", ")
        )
    }

    fn default_covers_nothing(&self, layers: &[Arc<SavePoint>]) -> String {
        let codec = self.codec.spec();
        let scope = scope_in_words(self.codec.scope());
        let present = kinds(layers);
        let instead: Vec<String> = PACKABLE
            .iter()
            .filter(|kind| present.contains(&kind.name()))
            .map(|kind| format!("`{}={codec}`", kind.name()))
            .collect();
        format!(
            "by default {codec} is for {scope}, of which this model has none; write {}",
            instead.join(" or ")
        )
    }

    fn packs_nothing(&self, layers: &[Arc<SavePoint>], fits: &[Option<Rank>]) -> String {
        let fitting = layers.iter().zip(fits).find(|(_, rank)| rank.is_some());
        let example = fitting.map(|(layer, _)| layer.name()).unwrap_or_default();
        format!(
            "`{}` fits only layers such as `{example}`, which keeps no input that a codec could \
             pack; {} layers do",
            self.which.written(),
            PACKABLE.map(LayerKind::name).join(", ")
        )
    }
}

/// The sizes in `2:2:2:2`.
fn group_sizes(text: &str) -> Result<Vec<usize>, String> {
    let sizes: Result<_, _> = text.split(':').map(str::parse).collect();
    sizes.map_err(|_| format!("`ara={text}`: a group size for each stage expected, as in 2:2:2:2"))
}

/// What a scope covers, for errors and lists.
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

/// The kinds of a model's layers, each once, in the order in which kinds are listed.
fn kinds(layers: &[Arc<SavePoint>]) -> Vec<&'static str> {
    let present = |kind: &LayerKind| layers.iter().any(|layer| layer.kind() == *kind);
    LayerKind::ALL.iter().filter(|kind| present(kind)).map(|kind| kind.name()).collect()
}

impl Which {
    fn written(&self) -> &str {
        match self {
            Which::Default => "default",
            Which::Name(written) | Which::Pattern(written) => written,
        }
    }

    fn fits(&self, layer: &SavePoint) -> Option<Rank> {
        match self {
            Which::Default => Some(Rank::Default),
            Which::Pattern(pattern) => {
                glob::matches(pattern, layer.name()).then_some(Rank::Pattern)
            }
            Which::Name(name) if name == layer.name() => Some(Rank::Name),
            Which::Name(name) => (name == layer.kind().name()).then_some(Rank::Kind),
        }
    }
}
