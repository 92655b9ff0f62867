//! What can be counted for a published number.

use packlight::autograd::Entry;
use packlight::nn::Plan;
use packlight::nn::footprint::{Footprint, LayerFootprint};
use packlight::record::KeptKind;
use packlight::report::Counted;
use packlight::spec::LayerKind;
use serde::Deserialize;

use super::counter::{Counter, ON};
use super::rank;
use crate::command::fit::{Fit, largest};

const GB: f64 = 1e9;
const MIB: f64 = (1 << 20) as f64;
const GIB: f64 = (1 << 30) as f64;

/// The bytes of the card on which the largest networks are looked for.
const CARD: u64 = 24_000_000_000;

/// How a number is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    PeakSaving,
    TorchSaving,
    Kept,
    MaskKept,
    KeptInGib,
    TorchKept,
    Ratio,
    PackedRatio,
    ConvInputs,
    SvdRank,
    HosvdRank,
    LargestDepth,
    LargestWidth,
}

impl Rule {
    pub(super) const ALL: [Rule; 13] = [
        Rule::PeakSaving,
        Rule::TorchSaving,
        Rule::Kept,
        Rule::KeptInGib,
        Rule::MaskKept,
        Rule::TorchKept,
        Rule::Ratio,
        Rule::PackedRatio,
        Rule::ConvInputs,
        Rule::SvdRank,
        Rule::HosvdRank,
        Rule::LargestDepth,
        Rule::LargestWidth,
    ];

    /// Its name on the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Rule::PeakSaving => "share of the peak",
            Rule::TorchSaving => "share of PyTorch's",
            Rule::Kept | Rule::KeptInGib => "kept",
            Rule::MaskKept => "kept, PyTorch's pooling",
            Rule::TorchKept => "kept by PyTorch",
            Rule::Ratio => "ratio",
            Rule::PackedRatio => "ratio, packed pooling",
            Rule::ConvInputs => "convolution inputs",
            Rule::SvdRank => "rank implied",
            Rule::HosvdRank => "ranks implied",
            Rule::LargestDepth => "largest depth",
            Rule::LargestWidth => "largest width",
        }
    }

    /// What it counts, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Rule::PeakSaving => {
                "1 − peak of a step with the plan / peak with `none`, as `packlight plan` counts: parameters, \
                 buffers, SGD's momentum, what is kept, and gradients, but no workspace of kernels."
            }
            Rule::TorchSaving => {
                "The share by which the plan's packed convolution inputs shrink what PyTorch keeps (see \
                 there), if its ReLUs read the packed copies."
            }
            Rule::Kept | Rule::KeptInGib => {
                "What the forward pass keeps for the backward pass, payload and metadata, without \
                 parameters."
            }
            Rule::MaskKept => {
                "Kept, with one bit for each element of a ReLU, and what PyTorch's max-pooling keeps beyond \
                 ours: its input, and indices of 8 bytes where ours have one."
            }
            Rule::TorchKept => {
                "The inputs of convolutions, norms and linear layers, each tensor once, the outputs of ReLUs \
                 that no convolution reads, and the max-pooling's indices of 8 bytes."
            }
            Rule::Ratio => {
                "Kept with `none` / kept with the plan, both with PyTorch's pooling where there is one."
            }
            Rule::PackedRatio => {
                "Kept with `none` and PyTorch's pooling / kept with the plan, whose pooling keeps one byte \
                 for each index, as ActNN's does."
            }
            Rule::ConvInputs => {
                "What the convolutions that train keep of their inputs; one that two convolutions read \
                 counts twice, as in the authors' code."
            }
            Rule::SvdRank => {
                "The K for which K (B + CHW) numbers for each layer are the published bytes."
            }
            Rule::HosvdRank => {
                "The share s for which ranks of s times each axis, at least 1, take the published bytes: \
                 K₀K₁K₂K₃ + BK₀ + CK₁ + HK₂ + WK₃ numbers for each layer."
            }
            Rule::LargestDepth => {
                "The most blocks whose peak is within 24 GB (of 10⁹ bytes); in a ResNet, blocks are added to \
                 the third stage of ResNet-152, and layers are counted as its name does."
            }
            Rule::LargestWidth => {
                "The most channels of the first stage, or features of a token, whose peak is within 24 GB \
                 (of 10⁹ bytes)."
            }
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Rule::PeakSaving | Rule::TorchSaving => "%",
            Rule::Kept | Rule::MaskKept => "GB",
            Rule::KeptInGib | Rule::TorchKept => "GiB",
            Rule::Ratio | Rule::PackedRatio => "×",
            Rule::ConvInputs | Rule::SvdRank | Rule::HosvdRank => "MiB",
            Rule::LargestDepth => "layers",
            Rule::LargestWidth => "channels",
        }
    }

    /// The command that shows what was counted.
    pub(super) fn command(self, options: &str, plan: &str) -> String {
        let on = ON.join(" ");
        let more = match self {
            Rule::PeakSaving => format!(" {on}"),
            Rule::LargestDepth => format!(" {on} --budget 24GB --fit depth"),
            Rule::LargestWidth => format!(" {on} --budget 24GB --fit width"),
            _ => String::new(),
        };
        format!("packlight plan {options} --plan {plan}{more}")
    }

    /// Counts for the network of this name with this plan.
    ///
    /// # Errors
    /// Returns an error if the network or the plan cannot be planned, or `published` is no number where
    /// it is one that follows from it.
    pub(super) fn count(
        self,
        counter: &mut Counter,
        network: &str,
        plan: &str,
        published: &str,
    ) -> anyhow::Result<Counted> {
        let number = |number: f64| Ok(Counted::Number(number));
        if let Rule::LargestDepth | Rule::LargestWidth = self {
            let arguments = counter.arguments(network)?;
            let fit = if self == Rule::LargestDepth { Fit::Depth } else { Fit::Width };
            return number(largest(&arguments, &Plan::parse(plan)?, fit, CARD)?.size as f64);
        }
        let with = counter.footprint(network, plan)?;
        let none = counter.footprint(network, "none")?;
        match self {
            Rule::PeakSaving => {
                number(100.0 * (1.0 - with.peak_bytes() as f64 / none.peak_bytes() as f64))
            }
            Rule::TorchSaving => {
                let saved = conv_inputs(&none) - conv_inputs(&with);
                number(100.0 * saved as f64 / torch_kept(&none) as f64)
            }
            Rule::Kept => number(with.kept().total() as f64 / GB),
            Rule::KeptInGib => number(with.kept().total() as f64 / GIB),
            Rule::MaskKept => number(mask_kept(&with) as f64 / GB),
            Rule::TorchKept => number(torch_kept(&with) as f64 / GIB),
            Rule::Ratio => number(mask_kept(&none) as f64 / mask_kept(&with) as f64),
            Rule::PackedRatio => number(mask_kept(&none) as f64 / with.kept().total() as f64),
            Rule::ConvInputs => number((conv_inputs(&with) + read_twice(&with)) as f64 / MIB),
            Rule::SvdRank | Rule::HosvdRank => {
                let numbers = published.parse::<f64>()? * MIB / 4.0;
                let shapes: Vec<&[usize]> = trained_convs(&with)
                    .flat_map(|layer| &layer.products)
                    .map(|product| product.input.as_slice())
                    .collect();
                Ok(self.implied(&shapes, numbers).map_or(Counted::Nothing, Counted::Implied))
            }
            Rule::LargestDepth | Rule::LargestWidth => Ok(Counted::Nothing), // searched for above
        }
    }
}

impl Rule {
    /// The ranks for which layers of these inputs keep so many numbers, in words; `None` for other rules.
    pub(super) fn implied(self, shapes: &[&[usize]], numbers: f64) -> Option<String> {
        match self {
            Rule::SvdRank => Some(rank::of_svd(shapes, numbers)),
            Rule::HosvdRank => Some(rank::of_hosvd(shapes, numbers)),
            _ => None,
        }
    }
}

fn of_kind(footprint: &Footprint, kind: LayerKind) -> impl Iterator<Item = &LayerFootprint> {
    footprint.layers.iter().filter(move |layer| layer.layer.kind() == kind)
}

/// The convolutions that compute the gradient of their weight.
pub(super) fn trained_convs(footprint: &Footprint) -> impl Iterator<Item = &LayerFootprint> {
    of_kind(footprint, LayerKind::Conv)
        .filter(|layer| layer.products.iter().any(|product| product.trains))
}

/// The bytes of the inputs that convolutions keep.
fn conv_inputs(footprint: &Footprint) -> usize {
    footprint.kept_by(LayerKind::Conv).total()
}

/// The bytes of what a convolution reads and another one has kept.
fn read_twice(footprint: &Footprint) -> usize {
    let shared = trained_convs(footprint).filter(|layer| layer.saved.is_empty());
    let read = shared.flat_map(|layer| &layer.products);
    read.map(|product| 4 * product.input.iter().product::<usize>()).sum()
}

fn masks(layer: &LayerFootprint) -> usize {
    let masks = layer.saved.iter().filter(|entry| entry.kind == KeptKind::Mask);
    masks.map(|entry| entry.bytes.total()).sum()
}

/// The bytes of the outputs of ReLUs, of which masks have a bit for each element.
fn relu_outputs(layer: &LayerFootprint) -> usize {
    4 * 8 * masks(layer)
}

/// What is kept, with PyTorch's max-pooling.
fn mask_kept(footprint: &Footprint) -> usize {
    let mut kept = footprint.kept().total();
    for (before, layer) in footprint.layers.iter().zip(footprint.layers.iter().skip(1)) {
        if layer.layer.kind() == LayerKind::Pool {
            kept += relu_outputs(before) + 7 * masks(layer);
        }
    }
    kept
}

/// What PyTorch keeps of a network whose convolutions read outputs of ReLUs, of the max-pooling, and
/// the images.
fn torch_kept(footprint: &Footprint) -> usize {
    let inputs = |entry: &&Entry| entry.kind == KeptKind::Input;
    let raw = |layer: &LayerFootprint| -> usize {
        layer.saved.iter().filter(inputs).map(|entry| entry.raw).sum()
    };
    let sum = |kind, of: fn(&LayerFootprint) -> usize| -> usize {
        of_kind(footprint, kind).map(of).sum()
    };
    let kept: usize = footprint.layers.iter().map(raw).sum();
    let images = of_kind(footprint, LayerKind::Conv).next().map_or(0, raw);
    let convs: usize = of_kind(footprint, LayerKind::Conv).map(raw).sum();
    let indices = sum(LayerKind::Pool, masks);
    let read_by_convs = convs - images - 4 * indices;
    kept + sum(LayerKind::Relu, relu_outputs).saturating_sub(read_by_convs) + 8 * indices
}
