//! The learning indicator of a restored activation.

use candle_core::{DType, Tensor};
use packlight_record::{Distribution, LayerKind};
use rayon::prelude::*;

use super::{distribution, ratio, values};
use crate::{Error, Result};

/// The elements that one value of the learning indicator covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Each sample: all axes but the first.
    Samples,
    /// Each token: the last axis.
    Tokens,
}

impl Rows {
    /// The authors' choice for a layer: tokens for a linear one, samples for a convolution.
    pub fn of(kind: LayerKind) -> Self {
        if kind == LayerKind::Linear { Rows::Tokens } else { Rows::Samples }
    }
}

/// `LI = r.(2h - r) / |h|^2 = 1 - |h - r|^2 / |h|^2` of a restored activation `r` of an exact `h`
/// (Auxiliary Activation Learning, ICLR 2023): 1 if they are equal, 0 if keeping nothing would be
/// as good, below 0 if it would be better.
///
/// There is one value for each of `rows`, except those whose exact activation is zero or not
/// finite;
/// `None` if none is left.
///
/// # Errors
/// Returns an error if the shapes differ or a tensor cannot be read.
pub fn learning_indicator(
    rows: Rows,
    exact: &Tensor,
    restored: &Tensor,
) -> Result<Option<Distribution>> {
    if exact.dims() != restored.dims() {
        return Err(Error::Shape {
            what: "activations".into(),
            expected: exact.dims().to_vec(),
            found: restored.dims().to_vec(),
        });
    }
    let row: usize = match rows {
        Rows::Samples => exact.dims().iter().skip(1).product(),
        Rows::Tokens => exact.dims().last().copied().unwrap_or(1),
    };
    if row == 0 {
        return Ok(None);
    }
    let indicators = match (exact.dtype(), restored.dtype()) {
        (DType::F32, DType::F32) => {
            let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            of_rows(&values(exact)?, &values(restored)?, row)
        }
        _ => of_rows(&values(exact)?, &values(restored)?, row),
    };
    Ok(distribution(&indicators))
}

/// The defined values, in the order of the rows.
fn of_rows<T: Copy + Into<f64> + Sync>(exact: &[T], restored: &[T], row: usize) -> Vec<f64> {
    let rows = exact.par_chunks_exact(row).zip(restored.par_chunks_exact(row));
    rows.filter_map(|(h, r)| of_row(h, r)).collect()
}

fn of_row<T: Copy + Into<f64>>(exact: &[T], restored: &[T]) -> Option<f64> {
    let (mut numerator, mut reference) = (0.0, 0.0);
    for (&h, &r) in exact.iter().zip(restored) {
        let (h, r): (f64, f64) = (h.into(), r.into());
        numerator += r * (2.0 * h - r);
        reference += h * h;
    }
    ratio(numerator, reference)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_are_samples_for_conv_and_tokens_for_linear() {
        let x = tensor(&[1.0; 24], &[2, 3, 4]);
        let count = |kind| learning_indicator(Rows::of(kind), &x, &x).unwrap().unwrap().count;
        assert_eq!(count(LayerKind::Conv), 2);
        assert_eq!(count(LayerKind::Linear), 6);
    }

    #[test]
    fn a_sample_s_value_weighs_its_tokens_by_their_energy() {
        // Of one sample of two tokens the larger is exact and the smaller dropped.
        let (h, r) = (tensor(&[3.0, 0.0, 0.0, 1.0], &[1, 2, 2]), [3.0, 0.0, 0.0, 0.0]);
        let r = tensor(&r, &[1, 2, 2]);
        let mean = |rows| learning_indicator(rows, &h, &r).unwrap().unwrap().mean;
        assert_eq!((mean(Rows::Samples), mean(Rows::Tokens)), (0.9, 0.5));
    }

    #[test]
    fn exact_is_1_nothing_is_0_worse_is_negative() {
        let h = tensor(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 0.0, 0.0], &[4, 2]);
        let r = tensor(&[1.0, 2.0, 0.0, 0.0, -1.0, -2.0, 3.0, 0.0], &[4, 2]);
        let li = learning_indicator(Rows::Tokens, &h, &r).unwrap().unwrap();
        // The last row has a zero reference and does not count.
        assert_eq!((li.count, li.min, li.median, li.max), (3, -3.0, 0.0, 1.0));
        assert!((li.nonpositive - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn undefined_without_a_reference() {
        let zero = tensor(&[0.0; 4], &[2, 2]);
        assert_eq!(learning_indicator(Rows::Samples, &zero, &zero).unwrap(), None);
        let wrong = tensor(&[0.0; 4], &[4, 1]);
        assert!(learning_indicator(Rows::Samples, &zero, &wrong).is_err());
    }
}
