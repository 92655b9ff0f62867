//! The plans of a study: what each is called, how long it trains, and what it starts from.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::AdaptiveSpec;

/// A plan under the name that a study gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPlan {
    /// Its name, which is also the first part of the names of its runs.
    pub name: String,
    /// The plan, as on a command line; see [`PlanSpec`](crate::PlanSpec). One that is adaptive in words.
    pub spec: String,
    /// How its codecs are found during training, if it is adaptive.
    pub adaptive: Option<AdaptiveSpec>,
    /// Passes over the training data, if they are not the study's; see
    /// [`Study::epochs_of`](crate::Study::epochs_of).
    pub epochs: Option<u64>,
    /// The plan whose trained weights this one starts from, each run from the run with the same
    /// seed. Without it, weights are drawn at random.
    pub from: Option<String>,
}

impl NamedPlan {
    /// A plan under the name of its own text, with the study's epochs and start.
    pub fn unnamed(spec: &str) -> Self {
        let (name, spec) = (spec.to_owned(), spec.to_owned());
        Self { name, spec, adaptive: None, epochs: None, from: None }
    }
}

/// The name of the run of a plan with a seed, which is also the name of its folder.
pub fn run_name(plan: &str, seed: u64) -> String {
    format!("{plan}-seed{seed}")
}

/// Reads plans in the order of the file. TOML tables are not ordered, so each plan's position in
/// the text gives the order.
pub(crate) fn in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<NamedPlan>, D::Error> {
    let table = BTreeMap::<String, Spanned<Entry>>::deserialize(deserializer)?;
    let mut plans: Vec<_> = table.into_iter().collect();
    plans.sort_by_key(|(_, entry)| entry.span().start);
    let named = |(name, entry): (String, Spanned<Entry>)| {
        let Entry { plan, adaptive, epochs, from } = entry.into_inner();
        NamedPlan { name, spec: plan, adaptive, epochs, from }
    };
    Ok(plans.into_iter().map(named).collect())
}

/// The value of a plan's name: the plan itself, or a table with the plan in it.
struct Entry {
    plan: String,
    adaptive: Option<AdaptiveSpec>,
    epochs: Option<u64>,
    from: Option<String>,
}

/// The table. Unknown keys are rejected by name, which serde's untagged enums would not do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    plan: Option<String>,
    adaptive: Option<AdaptiveSpec>,
    epochs: Option<u64>,
    from: Option<String>,
    /// Group sizes of auxiliary residual activation, which may also be given in the plan.
    ara: Option<Vec<usize>>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

/// A plan that may be written on several lines, which are broken where spaces may stand.
fn on_one_line(plan: &str) -> String {
    plan.lines().map(str::trim).collect()
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan, as in `\"pool2\"` or `{ plan = \"pool2\", epochs = 18 }`")
    }

    fn visit_str<E>(self, plan: &str) -> Result<Entry, E> {
        Ok(Entry { plan: on_one_line(plan), adaptive: None, epochs: None, from: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        let Table { plan, adaptive, epochs, from, ara } =
            Table::deserialize(MapAccessDeserializer::new(map))?;
        let groups = ara.map(|sizes| {
            let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
            format!("ara={}", sizes.join(":"))
        });
        let plan = plan.map(|plan| on_one_line(&plan));
        let plan: Vec<_> = plan.into_iter().chain(groups).collect();
        let plan = match (&adaptive, plan.as_slice()) {
            (None, []) => return Err(de::Error::missing_field("plan")),
            (Some(adaptive), []) => adaptive.to_string(),
            (None, plan) => plan.join(","),
            (Some(_), plan) => {
                let reason = format!(
                    "`{}` and `adaptive` given; an adaptive plan finds its codecs itself: leave one of the \
                     two out",
                    plan.join(",")
                );
                return Err(de::Error::custom(reason));
            }
        };
        Ok(Entry { plan, adaptive, epochs, from })
    }
}
