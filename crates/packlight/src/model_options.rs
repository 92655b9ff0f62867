//! Options that say which model is meant.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use packlight::nn::ModelSpec;
use packlight::nn::layer::Nonlinearity;
use packlight::nn::model::{Architecture, Stem};

/// Which model.
#[derive(Args)]
pub(crate) struct ModelOptions {
    /// The architecture
    #[arg(long, value_parser = architectures())]
    model: Architecture,
    /// Channels of the first stage, or features of a token [default: 64 for resnet18, 16 for
    /// resnet20, 192 for vit, 512 for mixer and transformer]
    #[arg(long)]
    width: Option<usize>,
    /// What a resnet18 begins with [default: cifar]
    #[arg(long, value_parser = stems())]
    stem: Option<Stem>,
    /// Sizes of an mlp's hidden layers, as in 128,64 [default: 128]
    #[arg(long, value_delimiter = ',')]
    hidden: Option<Vec<usize>>,
    /// Blocks, or layers on each side [default: 12 for vit, 8 for mixer, 6 for transformer]
    #[arg(long)]
    depth: Option<usize>,
    /// Heads of attention [default: 3 for vit, 8 for transformer]
    #[arg(long)]
    heads: Option<usize>,
    /// Side of a patch in pixels, for vit and mixer [default: 4]
    #[arg(long)]
    patch: Option<usize>,
    /// What stands within feed-forward parts of vit, mixer and transformer [default: gelu]
    #[arg(long, value_parser = nonlinearities())]
    activation: Option<Nonlinearity>,
}

impl ModelOptions {
    /// The model's description, for data that is not known yet.
    pub(crate) fn spec(&self) -> ModelSpec {
        ModelSpec {
            width: self.width,
            stem: self.stem,
            hidden: self.hidden.clone(),
            depth: self.depth,
            heads: self.heads,
            patch: self.patch,
            activation: self.activation,
            ..ModelSpec::new(self.model)
        }
    }
}

fn architectures() -> impl TypedValueParser<Value = Architecture> {
    named(Architecture::ALL, Architecture::name)
}

fn stems() -> impl TypedValueParser<Value = Stem> {
    named([Stem::Cifar, Stem::Imagenet], Stem::name)
}

fn nonlinearities() -> impl TypedValueParser<Value = Nonlinearity> {
    named(Nonlinearity::ALL, Nonlinearity::name)
}

/// One of `values`, written by its name.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    values: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(values.map(name)).try_map(move |written| {
        values.into_iter().find(|&value| name(value) == written).ok_or("not one of the names")
    })
}
