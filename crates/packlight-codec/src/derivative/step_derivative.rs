//! `regelu2`, `resilu2`: two bits of a derivative that takes four values.
//!
//! Yang, Wang, Zhang et al., "Reducing fine-tuning memory overhead by approximate and memory-sharing
//! backpropagation" (ICML 2024). The forward pass is the exact GELU or SiLU; the derivative is that
//! of the best sum of three ReLUs, which steps from 0 over two levels to 1 at three thresholds (the
//! constants are the authors'). Of an element only its step is saved.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use packlight_kernels::step_derivative;
use packlight_record::LayerKind;

use crate::grammar::Entry;
use crate::{Bytes, Codec, Error, Op, Packed, Result, Scope, Site};

/// The grammar of the one for GELU.
pub const REGELU2: Entry = Entry {
    name: GELU.name,
    parameters: &[],
    summary: "two bits of a GELU's derivative, in four steps",
    examples: &[GELU.name],
    build: |_| Ok(Arc::new(GELU)),
};

/// The grammar of the one for SiLU.
pub const RESILU2: Entry = Entry {
    name: SILU.name,
    parameters: &[],
    summary: "two bits of a SiLU's derivative, in four steps",
    examples: &[SILU.name],
    build: |_| Ok(Arc::new(SILU)),
};

const GELU: StepDerivative = StepDerivative {
    name: "regelu2",
    function: "GELU",
    thresholds: [-3.1858810036855245, -0.001178821281161997, 3.190832613414926],
    steps: [-0.04922261145617846, 1.0979632065417297],
};

const SILU: StepDerivative = StepDerivative {
    name: "resilu2",
    function: "SiLU",
    thresholds: [-6.3050461001646445, -0.0008684942046214787, 6.325815242089708],
    steps: [-0.04060357190528599, 1.080925428529668],
};

/// The derivative of a sum of three ReLUs.
#[derive(Debug, Clone, Copy)]
pub struct StepDerivative {
    name: &'static str,
    function: &'static str,
    /// Above each of them the derivative is one step higher.
    thresholds: [f64; 3],
    /// The first two steps; the third leads to 1.
    steps: [f64; 2],
}

impl Codec for StepDerivative {
    fn spec(&self) -> String {
        self.name.into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Activation])
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], _: DType) -> Result<Option<Bytes>> {
        let payload = shape.iter().product::<usize>().div_ceil(4);
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let codes = step_derivative::codes(input, self.thresholds)?;
        Ok(Box::new(Steps { codes, codec: *self }))
    }
}

struct Steps {
    codes: Tensor,
    codec: StepDerivative,
}

impl Steps {
    fn unfit(&self, instead: &str) -> Error {
        let StepDerivative { name, function, .. } = self.codec;
        let reason = format!(
            "it keeps the derivative of {function} alone, so only that can use it{instead}"
        );
        Error::Layer { codec: name.into(), reason }
    }

    /// The gradient of `asking`'s input, whose function must be this codec's.
    fn grad(&self, asking: StepDerivative, grad: &Tensor) -> Result<Tensor> {
        if asking.function != self.codec.function {
            let StepDerivative { name, function, .. } = asking;
            return Err(self.unfit(&format!("; for {function} write `{name}`")));
        }
        let [first, second] = self.codec.steps;
        let levels = [0.0, first, first + second, 1.0];
        Ok(step_derivative::backward(&self.codes, levels, grad)?)
    }
}

impl Packed for Steps {
    fn bytes(&self) -> Bytes {
        Bytes { payload: self.codes.elem_count(), metadata: 0 }
    }

    fn is_apart(&self) -> bool {
        true
    }

    /// Always an error: a step does not tell the value.
    fn unpack(&self) -> Result<Tensor> {
        Err(self.unfit(""))
    }

    fn gradient(&self, op: Op<'_>, output_grad: &Tensor) -> Result<Option<Tensor>> {
        match op {
            Op::Gelu => self.grad(GELU, output_grad).map(Some),
            Op::Silu => self.grad(SILU, output_grad).map(Some),
            _ => Ok(None),
        }
    }
}
