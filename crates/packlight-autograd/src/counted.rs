//! The backward pass of an operation on blanks ([`packlight_kernels::blank`]): it computes nothing, and
//! counts.

use candle_core::{Shape, Tensor};
use packlight_kernels::blank::blank;
use packlight_kernels::conv2d::Workspace;

use crate::gradient::Gradient;
use crate::ledger::InputGradients;
use crate::operation::{Backward, Gradients, Needs};
use crate::{Activation, Result};

/// The operations that pass their output's gradient on as it is, or a view of it.
const PASS_ON: [&str; 4] = ["add", "add_parameter", "relative_bias", "reshape"];

/// The operations whose multiplications are counted, with what they move; see `Ledger::multiply`.
const PRODUCTS: [&str; 4] = ["conv2d", "linear", "matmul", "attention"];

/// The operations that free what they have saved before they compute the last of their gradients.
const FREE_FIRST: [&str; 3] = ["conv2d", "linear", "matmul"];

/// The operations that write their input's gradient over their output's, where nothing else holds that.
const WRITE_OVER: [&str; 7] =
    ["batch_norm", "relu", "relu6", "gelu", "gelu_tanh", "silu", "softmax"];

/// The one of them that computes the gradient of each input from the other one.
const MULTIPLIES: &str = "matmul";

/// The operation that adds its input's gradient to what is there of it.
const ADDS_TO: &str = "slice";

/// The backward pass of an output that is a blank: so are the gradients. Nothing is computed, and what
/// was saved is freed.
pub(crate) fn counted(
    name: &'static str,
    data: &Tensor,
    inputs: &[&Activation],
    parameters: &[&Tensor],
    workspace: Workspace,
    saved: Backward,
) -> Backward {
    let dtype = data.dtype();
    let bytes = |shape: &Shape| shape.elem_count() * dtype.size_in_bytes();
    let Needs { inputs: by_input, parameters: by_parameter } = Needs::of(inputs, parameters);
    let needed = |shapes: Vec<Shape>, needs: &[bool]| -> Vec<Option<Shape>> {
        shapes.into_iter().zip(needs).map(|(shape, &need)| need.then_some(shape)).collect()
    };
    let shapes = inputs.iter().map(|input| input.values().shape().clone()).collect();
    let of_inputs = needed(shapes, &by_input);
    let shapes = parameters.iter().map(|parameter| parameter.shape().clone()).collect();
    let of_parameters = needed(shapes, &by_parameter);
    let sum = |shapes: &[Option<Shape>]| shapes.iter().flatten().map(bytes).sum::<usize>();
    let of_parameters_bytes = sum(&of_parameters);
    let of_inputs_bytes = if PASS_ON.contains(&name) { 0 } else { sum(&of_inputs) };
    let of_inputs_moved = of_inputs_bytes;
    let same_shape = of_inputs.iter().flatten().all(|shape| shape == data.shape());
    let ledger = inputs.first().and_then(|input| input.pass().ledger().cloned());
    let first = inputs.first().and_then(|input| input.link()).map(|link| link.slot.clone());
    let blanks = move |shapes: Vec<Option<Shape>>| -> packlight_kernels::Result<Vec<_>> {
        let one = |shape: Option<Shape>| shape.map(|shape| blank(shape, dtype)).transpose();
        shapes.into_iter().map(one).collect()
    };
    // What an operation reads and writes going forward, twice where that is done again.
    let data_bytes = bytes(data.shape());
    let read: usize = inputs.iter().map(|input| bytes(input.values().shape())).sum();
    let again = inputs.first().is_some_and(|input| input.pass().is_again());
    let passes = if again { 2 } else { 1 };
    let forward_moved = if name == "reshape" { 0 } else { passes * (read + data_bytes) };
    let streams = !PRODUCTS.contains(&name);
    let owning = matches!(saved, Backward::Owning(_));
    let count = move |arriving: &Tensor, owned: bool| -> Result<Gradients> {
        let adds = name == ADDS_TO && first.as_ref().is_some_and(|slot| slot.held().is_some());
        let by_inputs = InputGradients {
            bytes: if adds { 0 } else { of_inputs_bytes },
            written_over: owned && WRITE_OVER.contains(&name),
            after_saved: FREE_FIRST.contains(&name),
            with_last: name == MULTIPLIES,
        };
        match ledger {
            None => drop(saved),
            Some(ledger) => {
                let begun = ledger.begin_back(arriving);
                drop(saved);
                ledger.end_back(&begun, of_parameters_bytes, &by_inputs, workspace);
                if !again {
                    ledger.hand_over();
                }
                if streams {
                    let backward = if of_inputs_moved == 0 { 0 } else { data_bytes };
                    ledger.stream(&begun, forward_moved + backward + of_inputs_moved);
                }
            }
        }
        let inputs = match PASS_ON.contains(&name) && same_shape {
            true => of_inputs.iter().map(|i| i.as_ref().map(|_| arriving.clone())).collect(),
            false => blanks(of_inputs)?,
        };
        Ok(Gradients { inputs, parameters: blanks(of_parameters)? })
    };
    match owning {
        true => Backward::Owning(Box::new(move |gradient| {
            let owned = matches!(gradient, Gradient::Owned(_));
            count(gradient.tensor(), owned)
        })),
        false => Backward::Plain(Box::new(move |gradient| count(&gradient, false))),
    }
}
