//! A learned bias of attention's scores for each distance of query and key. Saves nothing.

use candle_core::Tensor;
use packlight_kernels::blank::{blank, is_blank};
use packlight_kernels::{accumulate, linear};

use crate::operation::{Gradients, Needs, constant, output};
use crate::{Activation, Error, Result};

/// Scores `x` (samples x windows, heads, queries, keys), to which the entries of `table` (entries,
/// heads) at `index` (queries, keys), u32, are added, and those of `mask` (windows, queries, keys) to
/// the windows of each sample (Liu et al., "Swin transformer", ICCV 2021, equation 4).
///
/// # Errors
/// Returns an error if the shapes do not fit, or an index is not one of an entry.
pub fn relative_bias(
    x: &Activation,
    table: &Tensor,
    index: &Tensor,
    mask: &Tensor,
) -> Result<Activation> {
    let (&[all, heads, queries, keys], &[entries, of_table], &[windows, ..]) =
        (x.dims(), table.dims(), mask.dims())
    else {
        return Err(misfit(x, table, index, mask));
    };
    let fits = of_table == heads
        && index.dims() == [queries, keys]
        && mask.dims() == [windows, queries, keys]
        && windows > 0
        && all.is_multiple_of(windows);
    if !fits {
        return Err(misfit(x, table, index, mask));
    }
    let index = index.flatten_all()?;
    let data = match is_blank(x.data()) {
        true => blank(x.dims(), x.data().dtype())?,
        false => {
            let bias = table.detach().index_select(&index, 0)?.t()?;
            let bias = bias.reshape((1, heads, queries, keys))?;
            let bias = bias.broadcast_add(&mask.to_dtype(bias.dtype())?.unsqueeze(1)?)?;
            let scores = x.data().reshape((all / windows, windows, heads, queries, keys))?;
            accumulate::add_to_each(&scores, &bias.to_dtype(scores.dtype())?)?.reshape(x.dims())?
        }
    };
    let needs = Needs::of(&[x], &[table]);
    if !needs.any() {
        return Ok(constant(data, x).of_its_own());
    }
    let by_table = move |grad: &Tensor| -> Result<Tensor> {
        let sum = linear::bias_grad(&grad.flatten_from(1)?)?;
        let by_place = sum.reshape((heads, queries * keys))?.t()?.contiguous()?;
        let zeros = Tensor::zeros((entries, heads), grad.dtype(), grad.device())?;
        Ok(zeros.index_add(&index, &by_place, 0)?)
    };
    let y = output("relative_bias", data, &[x], &[table], move |grad| {
        let parameters = vec![needs.parameters[0].then(|| by_table(&grad)).transpose()?];
        Ok(Gradients { inputs: vec![Some(grad)], parameters })
    })?;
    Ok(y.of_its_own())
}

fn misfit(x: &Activation, table: &Tensor, index: &Tensor, mask: &Tensor) -> Error {
    let reason = format!(
        "scores {:?}, a table {:?}, an index {:?} and a mask {:?} do not fit each other",
        x.dims(),
        table.dims(),
        index.dims(),
        mask.dims()
    );
    Error::Shape { op: "relative_bias", reason }
}
