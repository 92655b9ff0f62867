//! Pointwise non-linearities.

use std::sync::Arc;

use packlight_autograd::{Activation, SavePoint, op};
use packlight_record::LayerKind;
use serde::{Deserialize, Serialize};

use super::Module;
use crate::{Builder, Result};

/// `max(x, 0)`; saves one bit per element.
pub struct Relu {
    save_point: Arc<SavePoint>,
}

impl Relu {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Relu)? })
    }
}

impl Module for Relu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::relu(x, &self.save_point)?)
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::relu(x, &self.save_point)?)
    }
}

/// `min(max(x, 0), 6)`; saves one bit per element.
pub struct Relu6 {
    save_point: Arc<SavePoint>,
}

impl Relu6 {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Relu)? })
    }
}

impl Module for Relu6 {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::relu6(x, &self.save_point)?)
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::relu6(x, &self.save_point)?)
    }
}

/// `x` times the standard normal distribution function of `x`, in its exact form (Hendrycks and
/// Gimpel, 2016).
pub struct Gelu {
    save_point: Arc<SavePoint>,
}

impl Gelu {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Activation)? })
    }
}

impl Module for Gelu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::gelu(x, &self.save_point)?)
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::gelu(x, &self.save_point)?)
    }
}

/// The approximation of [`Gelu`] by a hyperbolic tangent that GPT-2 computes with, "gelu_new" there.
pub struct GeluTanh {
    save_point: Arc<SavePoint>,
}

impl GeluTanh {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Activation)? })
    }
}

impl Module for GeluTanh {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::gelu_tanh(x, &self.save_point)?)
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::gelu_tanh(x, &self.save_point)?)
    }
}

/// `x` times the logistic function of `x`, also called swish (Elfwing, Uchibe and Doya, 2018).
pub struct Silu {
    save_point: Arc<SavePoint>,
}

impl Silu {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Activation)? })
    }
}

impl Module for Silu {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::silu(x, &self.save_point)?)
    }

    fn forward_owned(&self, x: Activation) -> Result<Activation> {
        Ok(op::silu(x, &self.save_point)?)
    }
}

/// The hyperbolic tangent; saves its output.
pub struct Tanh {
    save_point: Arc<SavePoint>,
}

impl Tanh {
    /// Makes the layer; it has no parameters.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn new(builder: &Builder) -> Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Activation)? })
    }
}

impl Module for Tanh {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        Ok(op::tanh(x, &self.save_point)?)
    }
}

/// The non-linearities that a [`FeedForward`](super::FeedForward) can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// [`Gelu`].
    #[default]
    Gelu,
    /// [`GeluTanh`].
    GeluTanh,
    /// [`Silu`].
    Silu,
}

impl Nonlinearity {
    /// Makes a layer of it.
    ///
    /// # Errors
    /// Returns an error if the name is taken.
    pub fn layer(self, builder: &Builder) -> Result<Box<dyn Module>> {
        Ok(match self {
            Nonlinearity::Gelu => Box::new(Gelu::new(builder)?),
            Nonlinearity::GeluTanh => Box::new(GeluTanh::new(builder)?),
            Nonlinearity::Silu => Box::new(Silu::new(builder)?),
        })
    }
}
