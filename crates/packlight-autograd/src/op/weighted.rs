//! What convolutions and linear layers do alike: they save their input, which only the gradient of
//! their weight needs.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_codec::{AxisLayout, Op};
use packlight_kernels::Result as KernelResult;
use packlight_kernels::blank::is_blank;
use packlight_kernels::conv2d::Workspace;
use packlight_kernels::values::Values;

use crate::observer::Place;
use crate::operation::{Gradients, Needs, constant, output_working};
use crate::{Activation, Observer, Pass, Product, Result, SavePoint, SavedInput, WeightGradient};

/// A layer with a weight: its kernels.
pub(super) trait Weighted: Send + 'static {
    /// Its name in errors.
    const NAME: &'static str;
    /// What the axes of its input and of its output mean.
    const AXES: AxisLayout;

    fn op<'a>(&self, weight: &'a Tensor) -> Op<'a>;

    /// The weight as kernels and codecs take it, or its gradient as the parameter is: a view.
    fn oriented(&self, weight: Tensor) -> KernelResult<Tensor> {
        Ok(weight)
    }

    fn forward(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> KernelResult<Tensor>;

    fn weight_grad(
        &self,
        input: Values<'_>,
        grad: &Tensor,
        weight: &[usize],
    ) -> KernelResult<Tensor>;

    fn bias_grad(&self, grad: &Tensor) -> KernelResult<Tensor>;

    fn input_grad(&self, grad: &Tensor, weight: &Tensor, input: &[usize]) -> KernelResult<Tensor>;

    /// What its kernels allocate beside their results.
    fn workspace(&self, input: &Tensor, weight: &Tensor) -> KernelResult<Workspace>;
}

/// The output of a layer with a weight, which is computed in the type of its input.
pub(super) fn weighted<L: Weighted>(
    layer: L,
    x: &Activation,
    weight: &Tensor,
    bias: Option<&Tensor>,
    save_point: &Arc<SavePoint>,
) -> Result<Activation> {
    let dtype = x.values().dtype();
    let oriented = cast(&layer, weight, dtype, save_point)?;
    let (input, used) = match is_blank(x.data()) {
        true => (x.data().clone(), oriented.clone()),
        false => (used_input(x.data(), save_point)?, used_weight(&oriented, save_point)?),
    };
    let added = bias.map(|bias| bias.detach().to_dtype(dtype)).transpose()?;
    let data = layer.forward(&input, &used, added.as_ref()).map_err(|e| save_point.failed(e))?;
    let own_bias = bias.map(|bias| save_point.parameter("bias", bias));
    let parameters = [save_point.parameter("weight", weight)].into_iter().chain(own_bias);
    let parameters: Vec<Tensor> = parameters.collect();
    let parameters: Vec<&Tensor> = parameters.iter().collect();
    let needs = Needs::of(&[x], &parameters);
    let ledger = x.pass().ledger().filter(|_| is_blank(&data));
    let workspace = match ledger {
        Some(_) => layer.workspace(&input, &oriented).map_err(|e| save_point.failed(e))?,
        None => Workspace::default(),
    };
    let workspace = Workspace {
        forward: workspace.forward,
        weight_grad: if needs.parameters[0] { workspace.weight_grad } else { 0 },
        input_grad: if needs.inputs[0] { workspace.input_grad } else { 0 },
    };
    if let Some(ledger) = ledger {
        let (output, per_output) = (data.elem_count(), oriented.dims()[1..].iter().product());
        let gradients = usize::from(needs.parameters[0]) + usize::from(needs.inputs[0]);
        let (layer, of_weight) = (save_point.shared_name(), weight.elem_count());
        ledger.multiply(Product {
            trains: needs.parameters[0],
            workspace: workspace.forward.max(workspace.weight_grad).max(workspace.input_grad),
            again: x.pass().is_again(),
            ..Product::new(layer, &input, of_weight, (output, per_output), gradients)
        });
    }
    if !needs.any() {
        return Ok(constant(data, x).with_axes(L::AXES).of_its_own());
    }
    let saved = match needs.parameters[0] {
        true => {
            let saved = x.clone().with_axes(L::AXES).save(save_point, layer.op(&oriented))?;
            Some(ProbedInput::new(saved, x.pass(), &input, save_point))
        }
        false => None,
    };
    let (shape, by, pass) = (x.dims().to_vec(), save_point.clone(), x.shared_pass());
    let weight = weight.detach(); // a view, where a copy in a narrower type would stay until it runs
    if let Some(ledger) = ledger {
        let layer = save_point.shared_name();
        ledger.work(layer, &data, workspace.forward, x.pass().is_again());
    }
    let y = output_working(L::NAME, data, &[x], &parameters, workspace, move |exact| {
        let oriented = cast(&layer, &weight, dtype, &by)?;
        let (exact, op) = (exact.into_tensor(), layer.op(&oriented));
        let grad = used_output_grad(&exact, op, L::AXES, &by, &pass)?;
        let by_weight = saved.map(|saved| {
            let compute =
                |input: Values<'_>, grad: &Tensor| layer.weight_grad(input, grad, oriented.dims());
            let place = Place { op, axes: L::AXES, pass: &pass };
            let gradient = saved.weight_grad(place, &grad, &exact, compute)?;
            layer.oriented(gradient).map_err(|e| by.failed(e))
        });
        let mut parameters = vec![by_weight.transpose()?];
        let by_bias = needs.parameters.get(1).map(|&need| {
            need.then(|| layer.bias_grad(&grad).map_err(|e| by.failed(e))).transpose()
        });
        parameters.extend(by_bias.transpose()?);
        let by_input = needs.inputs[0].then(|| {
            let used = used_weight(&oriented, &by)?;
            input_grad(&layer, op, &grad, &used, &shape, &by)
        });
        Ok(Gradients { inputs: vec![by_input.transpose()?], parameters })
    })?;
    Ok(y.with_axes(L::AXES).of_its_own())
}

/// The weight as kernels and codecs take it, in this type. Both passes make it.
fn cast<L: Weighted>(
    layer: &L,
    weight: &Tensor,
    dtype: DType,
    save_point: &SavePoint,
) -> Result<Tensor> {
    layer.oriented(weight.detach().to_dtype(dtype)?).map_err(|e| save_point.failed(e))
}

/// What a layer computes with in place of its input.
fn used_input(input: &Tensor, save_point: &SavePoint) -> Result<Tensor> {
    let codec = save_point.codec();
    let used = codec.operands().map(|operands| operands.input(input)).transpose();
    Ok(used.map_err(|e| save_point.codec_failed(e))?.flatten().unwrap_or_else(|| input.clone()))
}

/// What a layer computes with in place of its weight, outside candle's graph. The backward pass
/// computes it again, since saving it would take memory.
fn used_weight(weight: &Tensor, save_point: &SavePoint) -> Result<Tensor> {
    let codec = save_point.codec();
    let used = codec.operands().map(|operands| operands.weight(weight)).transpose();
    let used = used.map_err(|e| save_point.codec_failed(e))?.flatten();
    Ok(used.unwrap_or_else(|| weight.clone()).detach())
}

/// What the backward pass computes with in place of the output's gradient.
fn used_output_grad(
    exact: &Tensor,
    op: Op<'_>,
    axes: AxisLayout,
    save_point: &SavePoint,
    pass: &Pass,
) -> Result<Tensor> {
    let codec = save_point.codec();
    let Some(gradients) = codec.gradients() else { return Ok(exact.clone()) };
    let used = save_point.with_site(pass, op, axes, |site| gradients.output_grad(exact, site))?;
    Ok(used.unwrap_or_else(|| exact.clone()))
}

/// The gradient of the input: the codec's, or else the exact one for this output gradient.
fn input_grad(
    layer: &impl Weighted,
    op: Op<'_>,
    grad: &Tensor,
    weight: &Tensor,
    input: &[usize],
    save_point: &SavePoint,
) -> Result<Tensor> {
    let codec = save_point.codec();
    let own = codec.gradients().map(|gradients| gradients.input_grad(op, grad, weight, input));
    match own.transpose().map_err(|e| save_point.codec_failed(e))?.flatten() {
        Some(gradient) => Ok(gradient),
        None => layer.input_grad(grad, weight, input).map_err(|e| save_point.failed(e)),
    }
}

/// The saved input of a layer with a weight, and the exact one where a probe compares both weight
/// gradients.
struct ProbedInput {
    saved: SavedInput,
    save_point: Arc<SavePoint>,
    probe: Option<(Tensor, Arc<dyn Observer>)>,
}

impl ProbedInput {
    /// What was saved; `input` is what the layer computes with.
    fn new(saved: SavedInput, pass: &Pass, input: &Tensor, save_point: &Arc<SavePoint>) -> Self {
        let probe = pass.observer().map(|observer| (input.clone(), observer.clone()));
        Self { saved, save_point: save_point.clone(), probe }
    }

    /// The weight's gradient from what was saved and the output gradient `grad`. A probe also sees
    /// the one from the exact input and the exact output gradient.
    fn weight_grad(
        self,
        place: Place<'_>,
        grad: &Tensor,
        exact_grad: &Tensor,
        compute: impl Fn(Values<'_>, &Tensor) -> KernelResult<Tensor>,
    ) -> Result<Tensor> {
        let gradient = self.saved.gradient_reading(place.op, grad, |input| compute(input, grad))?;
        if let Some((input, observer)) = &self.probe {
            let layer = &self.save_point;
            let restored = self.saved.unpack()?;
            // Where both are the exact tensors themselves, so is the gradient.
            let is_exact = restored.id() == input.id() && grad.id() == exact_grad.id();
            let exact = match is_exact {
                true => gradient.clone(),
                false => compute(input.into(), exact_grad).map_err(|e| layer.failed(e))?,
            };
            let seen = WeightGradient {
                layer,
                input,
                restored: &restored,
                exact: &exact,
                compressed: &gradient,
                kept: self.saved.bytes(),
                place,
                output_grad: exact_grad,
                compute: &compute,
            };
            observer.weight_gradient(&seen).map_err(|reason| layer.probe_failed(reason))?;
        }
        Ok(gradient)
    }
}
