//! `none`: the tensor itself, shared and not copied.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::{Bytes, Codec, Packed, Result, Scope, Site};

/// Its grammar.
pub const ENTRY: Entry = Entry {
    name: "none",
    parameters: &[],
    summary: "the whole input",
    examples: &["none"],
    build: |_| Ok(Arc::new(Identity)),
};

/// Saves the tensor as it is.
#[derive(Debug)]
pub struct Identity;

impl Codec for Identity {
    fn spec(&self) -> String {
        ENTRY.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&LayerKind::ALL)
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        Ok(Some(bytes(shape, dtype)))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        Ok(Box::new(Whole(input.clone())))
    }
}

/// The bytes of a whole tensor.
pub(crate) fn bytes(shape: &[usize], dtype: DType) -> Bytes {
    Bytes { payload: shape.iter().product::<usize>() * dtype.size_in_bytes(), metadata: 0 }
}

struct Whole(Tensor);

impl Packed for Whole {
    fn bytes(&self) -> Bytes {
        bytes(self.0.dims(), self.0.dtype())
    }

    fn unpack(&self) -> Result<Tensor> {
        Ok(self.0.clone())
    }
}
