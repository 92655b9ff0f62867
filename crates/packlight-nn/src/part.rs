//! Parts of a network that may be computed again in the backward pass.

use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, Layer, op};
use packlight_record::LayerKind;

use crate::arrangement::Checkpointing;
use crate::{Builder, Error, Module, Result};

/// A part of a network, checkpointed or not.
pub(crate) struct Part<M> {
    inside: Arc<M>,
    checkpoint: Option<(Arc<Layer>, Vec<Var>)>,
}

impl<M: Module + 'static> Part<M> {
    /// Makes a part that is computed once.
    pub(crate) fn plain(inside: M) -> Self {
        Self { inside: Arc::new(inside), checkpoint: None }
    }

    /// Makes a part that is computed again in the backward pass; `builder` names it as a layer.
    pub(crate) fn checkpointed(
        builder: &Builder,
        make: impl FnOnce() -> Result<M>,
    ) -> Result<Self> {
        let layer = builder.layer(LayerKind::Segment)?;
        let before = builder.finish().vars().len();
        let inside = Arc::new(make()?);
        let parameters = builder.finish().vars().split_off(before);
        Ok(Self { inside, checkpoint: Some((layer, parameters)) })
    }
}

impl<M: Module + 'static> Module for Part<M> {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        let Some((layer, parameters)) = &self.checkpoint else { return self.inside.forward(x) };
        let inside = self.inside.clone();
        Ok(op::checkpoint(x, parameters, layer, move |x| {
            inside.forward(x).map_err(|error| match error {
                Error::Autograd(error) => *error,
                other => candle_core::Error::wrap(other).into(),
            })
        })?)
    }
}

/// Blocks one after another.
pub(crate) struct Chain<B> {
    parts: Vec<Part<Blocks<B>>>,
}

struct Blocks<B>(Vec<B>);

impl<B: Module + 'static> Chain<B> {
    /// Makes `count` blocks, in segments called `segment1`, `segment2`, ... where they are
    /// checkpointed.
    pub(crate) fn new(
        builder: &Builder,
        count: usize,
        checkpoint: Option<Checkpointing>,
        mut block: impl FnMut(usize) -> Result<B>,
    ) -> Result<Self> {
        let segments = checkpoint.map_or(0, |checkpoint| checkpoint.segments(count));
        if segments == 0 {
            let blocks = (0..count).map(block).collect::<Result<_>>()?;
            return Ok(Self { parts: vec![Part::plain(Blocks(blocks))] });
        }
        let part = |segment: usize| {
            let range = segment * count / segments..(segment + 1) * count / segments;
            Part::checkpointed(&builder.pp(format!("segment{}", segment + 1)), || {
                Ok(Blocks(range.map(&mut block).collect::<Result<_>>()?))
            })
        };
        Ok(Self { parts: (0..segments).map(part).collect::<Result<_>>()? })
    }

    /// All blocks in order, whatever the segments.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &B> {
        self.parts.iter().flat_map(|part| &part.inside.0)
    }
}

impl<B: Module + 'static> Module for Chain<B> {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.parts.iter().try_fold(x.clone(), |x, part| part.forward(&x))
    }
}

impl<B: Module> Module for Blocks<B> {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.0.iter().try_fold(x.clone(), |x, block| block.forward(&x))
    }
}
