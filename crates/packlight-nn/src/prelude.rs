//! What a program that trains a network needs: `use packlight_nn::prelude::*`.

pub use candle_core::{DType, Device, Tensor};
pub use packlight_autograd::{Activation, Ledger, Pass, op};

pub use crate::layer::{
    BatchNorm2d, Conv2d, Conv2dConfig, CrossEntropy, Dropout, Embedding, Flatten, Gelu,
    GlobalAvgPool2d, LayerNorm, Linear, LinearConfig, MaxPool2d, Relu, Sequential, Silu,
};
pub use crate::model::Inputs;
pub use crate::optimizer::{AdamW, Sgd, SgdConfig};
pub use crate::{Builder, Model, ModelSpec, Module, Parameters, Plan, Schedule, Steps, Trainer};
