//! Every size of a model: what its specification says, and the usual ones for the rest.

use super::{Architecture, ModelSpec, Stem};
use crate::layer::Nonlinearity;
use crate::{Error, Result};

/// The usual side of a patch, for small images.
const PATCH: usize = 4;

/// A specification with nothing missing and nothing out of place.
pub(super) enum Checked {
    Resnet18(ResNetSizes),
    Resnet20(ResNetSizes),
    Mlp(MlpSizes),
    Vit(VitSizes),
    Mixer(MixerSizes),
    Transformer(TransformerSizes),
}

pub(super) struct ResNetSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) stem: Stem,
    pub(super) classes: usize,
}

pub(super) struct MlpSizes {
    pub(super) inputs: usize,
    pub(super) hidden: Vec<usize>,
    pub(super) classes: usize,
}

pub(super) struct VitSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) patch: usize,
    pub(super) patches: usize,
    pub(super) activation: Nonlinearity,
    pub(super) classes: usize,
}

pub(super) struct MixerSizes {
    pub(super) in_channels: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) patch: usize,
    pub(super) patches: usize,
    pub(super) activation: Nonlinearity,
    pub(super) classes: usize,
}

pub(super) struct TransformerSizes {
    pub(super) source_vocabulary: usize,
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
    pub(super) dropout: f64,
    pub(super) activation: Nonlinearity,
    pub(super) classes: usize,
}

impl ModelSpec {
    /// The specification with every choice made.
    pub(super) fn checked(&self) -> Result<Checked> {
        self.validate()?;
        let fact = |key, value: Option<usize>| {
            value.ok_or_else(|| Error::Spec {
                key,
                reason: "not known; give it or take it from the data".into(),
            })
        };
        let classes = fact("classes", self.classes)?;
        let in_channels = || fact("in_channels", self.in_channels);
        let resnet = |usual_width| -> Result<ResNetSizes> {
            Ok(ResNetSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(usual_width),
                stem: self.stem.unwrap_or(Stem::Cifar),
                classes,
            })
        };
        Ok(match self.name {
            Architecture::Resnet18 => Checked::Resnet18(resnet(64)?),
            Architecture::Resnet20 => Checked::Resnet20(resnet(16)?),
            Architecture::Mlp => {
                let side = fact("image_size", self.image_size)?;
                Checked::Mlp(MlpSizes {
                    inputs: in_channels()? * side * side,
                    hidden: self.hidden.clone().unwrap_or_else(|| vec![128]),
                    classes,
                })
            }
            Architecture::Vit => Checked::Vit(VitSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(192),
                depth: self.depth.unwrap_or(12),
                heads: self.heads_of(self.width.unwrap_or(192), 3)?,
                patch: self.patch.unwrap_or(PATCH),
                patches: self.patches(fact("image_size", self.image_size)?)?,
                activation: self.activation.unwrap_or_default(),
                classes,
            }),
            Architecture::Mixer => Checked::Mixer(MixerSizes {
                in_channels: in_channels()?,
                width: self.width.unwrap_or(512),
                depth: self.depth.unwrap_or(8),
                patch: self.patch.unwrap_or(PATCH),
                patches: self.patches(fact("image_size", self.image_size)?)?,
                activation: self.activation.unwrap_or_default(),
                classes,
            }),
            Architecture::Transformer => Checked::Transformer(TransformerSizes {
                source_vocabulary: fact("source_vocabulary", self.source_vocabulary)?,
                width: self.width.unwrap_or(512),
                depth: self.depth.unwrap_or(6),
                heads: self.heads_of(self.width.unwrap_or(512), 8)?,
                dropout: self.dropout.unwrap_or(0.1),
                activation: self.activation.unwrap_or_default(),
                classes,
            }),
        })
    }

    /// Patches of a square image.
    fn patches(&self, side: usize) -> Result<usize> {
        let patch = self.patch.unwrap_or(PATCH);
        match side.is_multiple_of(patch) {
            true => Ok((side / patch).pow(2)),
            false => {
                let reason = format!("{patch} does not divide images of {side} x {side} pixels");
                Err(Error::Spec { key: "patch", reason })
            }
        }
    }

    /// Heads, which must divide the features.
    fn heads_of(&self, width: usize, usual: usize) -> Result<usize> {
        let heads = self.heads.unwrap_or(usual);
        match width.is_multiple_of(heads) {
            true => Ok(heads),
            false => {
                let reason = format!("{heads} do not divide the width, {width}");
                Err(Error::Spec { key: "heads", reason })
            }
        }
    }
}
