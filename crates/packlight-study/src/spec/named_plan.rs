//! The plans of a study: what each is called, how long it trains, and from where.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A plan under the name that the study gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPlan {
    /// Its name, which is also the first part of its runs' folder names.
    pub name: String,
    /// The plan, as on a command line.
    pub spec: String,
    /// Passes over the training data, where they are not the study's; see
    /// [`Study::epochs_of`](super::Study::epochs_of).
    pub epochs: Option<u64>,
    /// The plan whose finished runs leave the weights that this one's start from, each from the one
    /// of its seed; without it weights are drawn at random.
    pub from: Option<String>,
}

/// TOML tables have no order of their own; where each plan stands in the file gives them one.
pub(super) fn in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<NamedPlan>, D::Error> {
    let table = BTreeMap::<String, Spanned<Entry>>::deserialize(deserializer)?;
    let mut plans: Vec<_> = table.into_iter().collect();
    plans.sort_by_key(|(_, entry)| entry.span().start);
    let named = |(name, entry): (String, Spanned<Entry>)| {
        let Entry { plan, epochs, from } = entry.into_inner();
        NamedPlan { name, spec: plan, epochs, from }
    };
    Ok(plans.into_iter().map(named).collect())
}

/// What stands behind a plan's name: the plan, or a table with the plan in it.
struct Entry {
    plan: String,
    epochs: Option<u64>,
    from: Option<String>,
}

/// The table, whose unknown keys are refused by name, as serde's untagged enums would not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    plan: Option<String>,
    epochs: Option<u64>,
    from: Option<String>,
    /// Group sizes of auxiliary residual activation, which the plan may also say itself.
    ara: Option<Vec<usize>>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan, as in `\"pool2\"` or `{ plan = \"pool2\", epochs = 18 }`")
    }

    fn visit_str<E>(self, plan: &str) -> Result<Entry, E> {
        Ok(Entry { plan: plan.to_owned(), epochs: None, from: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        let Table { plan, epochs, from, ara } =
            Table::deserialize(MapAccessDeserializer::new(map))?;
        let groups = ara.map(|sizes| {
            let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
            format!("ara={}", sizes.join(":"))
        });
        let plan: Vec<_> = plan.into_iter().chain(groups).collect();
        if plan.is_empty() {
            return Err(serde::de::Error::missing_field("plan"));
        }
        Ok(Entry { plan: plan.join(","), epochs, from })
    }
}
