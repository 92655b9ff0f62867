//! Footprints of the networks that `tables.toml` names.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, bail};
use clap::Parser;
use packlight::nn::footprint::Footprint;
use packlight::nn::{ModelSpec, Plan};

use crate::command::plan::Arguments;

/// Counts do not depend on the machine that makes the page: they leave out the workspace of its kernels, as
/// for this card.
pub(super) const ON: [&str; 2] = ["--on", "rtx3090"];

/// Makes footprints, each once.
pub(super) struct Counter {
    /// The options of `packlight plan` for each network.
    networks: BTreeMap<String, String>,
    made: BTreeMap<(String, String), Rc<Footprint>>,
}

/// A command line of `packlight plan`, without these two words.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

impl Counter {
    pub(super) fn new(networks: BTreeMap<String, String>) -> Self {
        Self { networks, made: BTreeMap::new() }
    }

    /// The options of a network; empty if there is none of this name.
    pub(super) fn options(&self, network: &str) -> &str {
        self.networks.get(network).map_or("", String::as_str)
    }

    /// The name of a network with images of another size, which is then one of those that can be counted.
    ///
    /// # Errors
    /// Returns an error if there is no such network.
    pub(super) fn with_images(&mut self, network: &str, side: u32) -> anyhow::Result<String> {
        let Some(options) = self.networks.get(network) else {
            bail!("there is no network `{network}` in [networks]");
        };
        let (name, options) =
            (format!("{network} at {side} pixels"), format!("{options} --image {side}"));
        self.networks.insert(name.clone(), options);
        Ok(name)
    }

    /// The step of a network that its options describe.
    ///
    /// # Errors
    /// Returns an error if there is no network of this name, or its options are not valid.
    pub(super) fn arguments(&self, network: &str) -> anyhow::Result<Arguments> {
        let Some(options) = self.networks.get(network) else {
            bail!("there is no network `{network}` in [networks]");
        };
        let line = Line::try_parse_from(options.split_whitespace().chain(ON));
        let line = line.with_context(|| format!("network `{network}`"))?;
        Ok(line.arguments)
    }

    /// What a step of the network keeps with this plan.
    ///
    /// # Errors
    /// Returns an error as [`Counter::arguments`] does, or if the plan does not fit the network.
    pub(super) fn footprint(&mut self, network: &str, plan: &str) -> anyhow::Result<Rc<Footprint>> {
        let key = (network.to_owned(), plan.to_owned());
        if let Some(made) = self.made.get(&key) {
            return Ok(made.clone());
        }
        let arguments = self.arguments(network)?;
        let made = Rc::new(of(&arguments, &arguments.spec()?, plan)?);
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

/// What a step of `spec` keeps with this plan, at the sizes that `arguments` give.
pub(super) fn of(arguments: &Arguments, spec: &ModelSpec, plan: &str) -> anyhow::Result<Footprint> {
    arguments.footprint(spec, &Plan::parse(plan)?, arguments.given_batch()?)
}
