//! Gradient checkpointing. Saves what a part of the network reads and computes the part again in
//! the backward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016).

use std::array;
use std::sync::Arc;

use candle_core::Var;
use packlight_codec::{AxisLayout, Op};
use packlight_kernels::blank::is_blank;

use crate::link::Link;
use crate::operation::{Gradients, Needs, output_of_any};
use crate::{Activation, EagerUpdates, Ledger, Pass, Result, SavePoint, SavedInput};

/// Runs `part` on `x` and on what it reads `beside` it, and saves these inputs alone, each at its
/// save point. `parameters` are those that `part` uses.
///
/// The gradients are those without checkpointing, to the bit: the second forward pass draws the
/// same random numbers and leaves running statistics as they are, and where an input is also read
/// elsewhere, gradients are added in the same order. With a codec at a save point, the part is
/// computed again from the restored input.
///
/// # Errors
/// Returns an error if `part` fails, or a codec cannot pack its input.
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
        let pass = input.pass().clone().saving_nothing();
        Activation::new(input.data().clone(), Arc::new(pass), None, input.axes())
    };
    let read = beside.map(|(input, _)| once(input));
    let made = part(&once(x.0), read.each_ref())?;
    let (data, axes) = (made.data().clone(), made.axes());
    drop((read, made));
    let own = Input::save(x)?;
    let others = beside.into_iter().map(Input::save).collect::<Result<Vec<_>>>()?;
    let used = parameters.to_vec();
    let y = output_of_any("checkpoint", data, &inputs, &tracked, move |grad| {
        let gradients = EagerUpdates::default(); // collects each once, where candle would add it to zeros
        let x = own.restored(&gradients)?;
        let read = others.iter().map(|o| o.restored(&gradients)).collect::<Result<Vec<_>>>()?;
        let ledger = x.pass().ledger().filter(|_| is_blank(&grad)).cloned();
        let wait = |before, after| ledger.iter().for_each(|ledger| ledger.wait(before, after));
        wait(None, Some(&grad));
        let again = part(&x, array::from_fn(|at| &read[at]))?;
        wait(Some(&grad), None);
        drop((x, read, own, others)); // what layers within share lives on with them
        let end = again.link().cloned();
        drop(again);
        let store = end.map(|end| end.backward(grad, &gradients)).transpose()?; // adds the inputs' own
        ledger.iter().for_each(Ledger::hand_over);
        let parameters = store
            .map_or_else(Vec::new, |mut store| used.iter().map(|var| store.remove(var)).collect());
        Ok(Gradients { inputs: Vec::new(), parameters })
    })?;
    Ok(y.with_axes(axes))
}

/// An input that is saved in place of all that the part would save.
struct Input {
    saved: SavedInput,
    axes: AxisLayout,
    pass: Pass,
    link: Option<Link>,
}

impl Input {
    fn save((input, save_point): (&Activation, &Arc<SavePoint>)) -> Result<Self> {
        Ok(Self {
            saved: input.save(save_point, Op::Segment)?,
            axes: input.axes(),
            pass: input.pass().clone().again(),
            link: input.link().map(Link::apart).transpose()?,
        })
    }

    /// The input for a pass whose gradients of parameters go to `gradients`.
    fn restored(&self, gradients: &EagerUpdates) -> Result<Activation> {
        let data = self.saved.unpack()?;
        let pass = Arc::new(self.pass.clone().with_eager_updates(gradients));
        let input = Activation::new(data, pass, self.link.clone(), self.axes);
        input.share(&self.saved);
        Ok(input)
    }
}
