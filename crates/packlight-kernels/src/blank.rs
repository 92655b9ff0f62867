//! Blank tensors: a shape and a type without memory, for passes that only count bytes.
//!
//! A blank is a view of one shared element, so a tensor of any shape takes no memory. A kernel checks
//! the shapes of a blank as it does those of any tensor, and then returns blanks in place of its
//! results. Where a kernel or candle does not know blanks, it computes with ones; that takes memory and
//! time, and has the same shape.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};

use crate::Result;

/// The elements that blanks are views of, one for each type.
static ONES: Mutex<Vec<Tensor>> = Mutex::new(Vec::new());

/// A blank of this shape and type.
///
/// # Errors
/// Returns an error if candle does not support the type.
pub fn blank(shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    let mut ones = ONES.lock().unwrap_or_else(PoisonError::into_inner);
    let one = match ones.iter().find(|one| one.dtype() == dtype) {
        Some(one) => one.clone(),
        None => {
            let one = Tensor::ones((), dtype, &Device::Cpu)?;
            ones.push(one.clone());
            one
        }
    };
    Ok(one.broadcast_as(shape)?)
}

/// Whether a tensor is a blank.
pub fn is_blank(tensor: &Tensor) -> bool {
    if tensor.stride().iter().any(|&stride| stride != 0) {
        return false;
    }
    let ones = ONES.lock().unwrap_or_else(PoisonError::into_inner);
    let (storage, _) = tensor.storage_and_layout();
    let is_its = |one: &Tensor| std::ptr::eq(&*one.storage_and_layout().0, &*storage);
    ones.iter().any(|one| one.dtype() == tensor.dtype() && is_its(one))
}

/// The tensor in another shape of as many elements. A blank stays one.
///
/// # Errors
/// Returns an error if the number of elements differs.
pub fn reshape(tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let elements = shape.iter().product::<usize>();
    match is_blank(tensor) && elements == tensor.elem_count() {
        true => blank(shape, tensor.dtype()),
        false => Ok(tensor.reshape(shape)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blanks_and_their_views_are_blank() {
        let huge = blank((1 << 20, 1 << 20), DType::F32).unwrap();
        assert!(
            is_blank(&huge) && is_blank(&huge.detach()) && is_blank(&huge.narrow(0, 3, 5).unwrap())
        );
        assert!(is_blank(&reshape(&huge, &[1 << 10, 1 << 30]).unwrap()));
        assert!(reshape(&huge, &[3]).is_err());
        let ones = Tensor::ones((), DType::F32, &Device::Cpu).unwrap();
        assert!(!is_blank(&ones) && !is_blank(&ones.broadcast_as((2, 3)).unwrap()));
        assert!(!is_blank(&Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap()));
        assert!(!is_blank(&blank((2, 3), DType::F32).unwrap().contiguous().unwrap()));
    }
}
