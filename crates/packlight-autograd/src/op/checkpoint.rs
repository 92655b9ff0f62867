//! Gradient checkpointing. Keeps what a part of the network reads and computes the part again in
//! the backward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016).

use std::array;
use std::sync::Arc;

use candle_core::Var;
use packlight_codec::AxisLayout;

use crate::activation::KeptPacked;
use crate::link::{Gradients, Link, Needs, output};
use crate::{Activation, Pass, Result, SavePoint};

/// What `part` makes of `x` and of what it reads beside it, keeping these alone, each by its layer;
/// `parameters` are those that `part` uses.
///
/// The gradients are those without checkpointing, to the bit: the second forward pass draws the
/// same random numbers and leaves running statistics as the first has left them, and what the part
/// adds to the gradient of an input that others read too, it adds in the same order. With a codec
/// on a layer, the part is computed again from the restored input.
///
/// # Errors
/// If `part` fails, or a codec cannot pack its input.
pub fn checkpoint<const N: usize>(
    x: (&Activation, &Arc<SavePoint>),
    beside: [(&Activation, &Arc<SavePoint>); N],
    parameters: &[Var],
    part: impl Fn(&Activation, [&Activation; N]) -> Result<Activation> + Send + 'static,
) -> Result<Activation> {
    let inputs: Vec<&Activation> = [x].into_iter().chain(beside).map(|(input, _)| input).collect();
    let tracked: Vec<_> = parameters.iter().map(Var::as_tensor).collect();
    if !Needs::of(&inputs, &tracked).any() {
        return part(x.0, beside.map(|(input, _)| input));
    }
    let once = |input: &Activation| {
        let pass = input.pass().clone().keeping_nothing();
        Activation::new(input.data().clone(), Arc::new(pass), None, input.axes())
    };
    let read = beside.map(|(input, _)| once(input));
    let made = part(&once(x.0), read.each_ref())?;
    let (data, axes) = (made.data().clone(), made.axes());
    drop((read, made));
    let own = Input::keep(x)?;
    let others = beside.into_iter().map(Input::keep).collect::<Result<Vec<_>>>()?;
    let used = parameters.to_vec();
    let y = output("checkpoint", data, &inputs, &tracked, move |grad| {
        let x = own.restored()?;
        let read = others.iter().map(Input::restored).collect::<Result<Vec<_>>>()?;
        let again = part(&x, array::from_fn(|at| &read[at]))?;
        drop((x, read, own, others)); // what layers within share lives on with them
        let end = again.link().cloned();
        drop(again);
        let store = end.map(|end| end.backward(grad)).transpose()?; // adds the inputs' gradients
        let parameters = store
            .map_or_else(Vec::new, |mut store| used.iter().map(|var| store.remove(var)).collect());
        Ok(Gradients { inputs: Vec::new(), parameters })
    })?;
    Ok(y.with_axes(axes))
}

/// An input that is kept in the place of all that the part would keep.
struct Input {
    kept: Arc<KeptPacked>,
    layer: Arc<SavePoint>,
    axes: AxisLayout,
    pass: Arc<Pass>,
    link: Option<Link>,
}

impl Input {
    fn keep((input, layer): (&Activation, &Arc<SavePoint>)) -> Result<Self> {
        let axes = input.axes();
        Ok(Self {
            kept: input.keep(layer, axes)?,
            layer: layer.clone(),
            axes,
            pass: Arc::new(input.pass().clone().again()),
            link: input.link().map(Link::apart).transpose()?,
        })
    }

    fn restored(&self) -> Result<Activation> {
        let data = self.kept.value().unpack().map_err(|e| self.layer.codec_failed(e))?;
        let input = Activation::new(data, self.pass.clone(), self.link.clone(), self.axes);
        input.share(&self.kept, &self.layer, self.axes);
        Ok(input)
    }
}
