//! Parts of a network that can be recomputed in the backward pass (gradient checkpointing).

use std::array;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Var;
use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;
use packlight_spec::nearest;

use crate::{Block, Builder, Checkpointing, Error, Module, Result};

/// A part of a network, checkpointed or not, that reads `N` further activations besides its main
/// input.
pub(crate) struct Checkpointed<M, const N: usize = 0> {
    inside: Arc<M>,
    checkpoint: Option<Checkpoint>,
}

/// The save points of a checkpointed part's inputs, and the parameters within the part.
struct Checkpoint {
    through: Arc<SavePoint>,
    beside: Vec<Arc<SavePoint>>,
    /// Each with its name and the save point that it belongs to.
    parameters: Vec<(String, Var, Arc<SavePoint>)>,
}

impl<M: Send + Sync + 'static, const N: usize> Checkpointed<M, N> {
    /// Makes a part that is not checkpointed.
    pub(crate) fn plain(inside: M) -> Self {
        Self { inside: Arc::new(inside), checkpoint: None }
    }

    /// Makes a part that is recomputed in the backward pass. The save point of its main input has
    /// the name of `builder`, and `beside` names those of its further inputs within it.
    pub(crate) fn recomputed(
        builder: &Builder,
        beside: [&str; N],
        make: impl FnOnce() -> Result<M>,
    ) -> Result<Self> {
        let through = builder.save_point(LayerKind::Segment)?;
        let layer = |name| builder.pp(name).save_point(LayerKind::Segment);
        let beside = beside.into_iter().map(layer).collect::<Result<_>>()?;
        let before = builder.finish().vars().len();
        let inside = Arc::new(make()?);
        let owned = builder.finish();
        let owned = owned.owned().skip(before);
        let parameter = |(name, var, owner): (&str, &Var, &Arc<SavePoint>)| {
            (name.into(), var.clone(), owner.clone())
        };
        let parameters = owned.map(parameter).collect();
        Ok(Self { inside, checkpoint: Some(Checkpoint { through, beside, parameters }) })
    }

    /// Applies `forward` to the part, to `x` and to the further inputs `beside`.
    pub(crate) fn forward_with(
        &self,
        x: &Activation,
        beside: [&Activation; N],
        forward: impl Fn(&M, &Activation, [&Activation; N]) -> Result<Activation> + Send + 'static,
    ) -> Result<Activation> {
        let Some(checkpoint) = &self.checkpoint else { return forward(&self.inside, x, beside) };
        let inside = self.inside.clone();
        let beside = array::from_fn(|at| (beside[at], &checkpoint.beside[at]));
        let x = (x, &checkpoint.through);
        let trained = checkpoint.parameters.iter().filter(|(name, _, owner)| owner.trains(name));
        let trained: Vec<Var> = trained.map(|(_, var, _)| var.clone()).collect();
        Ok(op::checkpoint(x, beside, &trained, move |x, beside| {
            forward(&inside, x, beside).map_err(|error| match error {
                Error::Autograd(error) => *error,
                other => candle_core::Error::wrap(other).into(),
            })
        })?)
    }
}

impl<M: Module + 'static> Module for Checkpointed<M> {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.forward_with(x, [], |inside, x, []| inside.forward(x))
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        match &self.checkpoint {
            None => self.inside.forward_owned(x),
            Some(_) => self.forward(&x),
        }
    }
}

/// A sequence of blocks, each of which reads `N` further activations besides the output of the
/// block before it.
pub(crate) struct CheckpointedBlocks<B, const N: usize = 0> {
    parts: Vec<Checkpointed<Vec<B>, N>>,
}

impl<B: Send + Sync + 'static, const N: usize> CheckpointedBlocks<B, N> {
    /// Makes a block in each of `places`, from its number and its place. Of checkpointed blocks,
    /// those that are named have save points of their own names, and segments are called `segment1`,
    /// `segment2`, ... within `builder`; `beside` names the save points of their further inputs.
    pub(crate) fn new(
        builder: &Builder,
        places: &[Builder],
        checkpoint: Option<&Checkpointing>,
        beside: [&str; N],
        mut block: impl FnMut(usize, &Builder) -> Result<B>,
    ) -> Result<Self> {
        let part = |(range, recomputed): (Range<usize>, Option<Builder>)| {
            let mut one = |number: usize| places[number].block(|| block(number, &places[number]));
            let make = || range.map(&mut one).collect();
            match recomputed {
                Some(builder) => Checkpointed::recomputed(&builder, beside, make),
                None => Ok(Checkpointed::plain(make()?)),
            }
        };
        let parts = parts(builder, places, checkpoint);
        Ok(Self { parts: parts.into_iter().map(part).collect::<Result<_>>()? })
    }

    /// Applies all blocks to `x` in order, each with `forward`, which also gets the further inputs. It is given what the
    /// block before has made by value, so that this can be freed within the block.
    pub(crate) fn forward_with(
        &self,
        x: Activation,
        beside: [&Activation; N],
        forward: impl Fn(&B, Activation, [&Activation; N]) -> Result<Activation>
        + Clone
        + Send
        + 'static,
    ) -> Result<Activation> {
        self.parts.iter().try_fold(x, |x, part| {
            if part.checkpoint.is_none() {
                return part.inside.iter().try_fold(x, |x, block| forward(block, x, beside));
            }
            let forward = forward.clone();
            part.forward_with(&x, beside, move |blocks, x, beside| {
                blocks.iter().try_fold(x.clone(), |x, block| forward(block, x, beside))
            })
        })
    }

    /// All blocks in order, regardless of segments.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &B> {
        self.parts.iter().flat_map(|part| part.inside.iter())
    }
}

impl<B: Module + 'static> CheckpointedBlocks<B> {
    /// Applies all blocks in order to `x`.
    pub(crate) fn forward_owned(&self, x: Activation) -> Result<Activation> {
        self.forward_with(x, [], |block, x, []| block.forward_owned(x))
    }
}

/// The parts that blocks are cut into: which blocks, and the part's builder if it is recomputed.
fn parts(
    builder: &Builder,
    places: &[Builder],
    checkpoint: Option<&Checkpointing>,
) -> Vec<(Range<usize>, Option<Builder>)> {
    let count = places.len();
    match checkpoint {
        None | Some(Checkpointing::Cells) => vec![(0..count, None)],
        Some(named @ Checkpointing::Named(_)) => {
            let part = |(number, place): (usize, &Builder)| {
                (number..number + 1, named.names(place.name()).then(|| place.clone()))
            };
            places.iter().enumerate().map(part).collect()
        }
        Some(checkpoint) => {
            let segments = checkpoint.segments(count);
            let part = |segment: usize| {
                let range = segment * count / segments..(segment + 1) * count / segments;
                (range, Some(builder.pp(format!("segment{}", segment + 1))))
            };
            (0..segments).map(part).collect()
        }
    }
}

/// Checks that each name of a block to recompute fits one of the blocks that a model has.
pub(crate) fn check_names(checkpoint: Option<&Checkpointing>, blocks: &[Block]) -> Result<()> {
    let blocks: Vec<String> = blocks.iter().map(|block| block.name.clone()).collect();
    let blocks = blocks.as_slice();
    let Some(name) = checkpoint.and_then(|checkpoint| checkpoint.missing(blocks)) else {
        return Ok(());
    };
    let within = format!("{name}.*"); // the blocks of a stage
    let fits = Checkpointing::Named(vec![within.clone()]).missing(blocks).is_none();
    let near = || nearest(name, blocks.iter().map(String::as_str)).map(str::to_owned);
    let hint = match fits.then_some(within).or_else(near) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => ".".to_owned(),
    };
    let reason = format!(
        "`recompute={name}` fits no block of this model{hint} Blocks, of which a plan names several with \
         `:` between them: {}.",
        blocks.join(", ")
    );
    Err(Error::MemoryStrategy { reason })
}
