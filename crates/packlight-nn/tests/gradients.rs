//! With nothing compressed, a network's gradients are those of candle's own autograd.

#![allow(clippy::unwrap_used)]

use candle_core::{D, DType, Device, Result, Tensor, Var, backprop::GradStore};
use candle_nn::{Optimizer, ParamsAdamW};
use packlight_autograd::{Activation, Pass, op};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::layer::{BatchNorm2d, Conv2d, Conv2dConfig, Linear, MaxPool2d, Relu};
use packlight_nn::{Builder, Module, Parameters};

/// Convolution, batch norm, ReLU, max-pool and a linear layer.
struct Net {
    conv: Conv2d,
    bn: BatchNorm2d,
    relu: Relu,
    pool: MaxPool2d,
    fc: Linear,
    parameters: Parameters,
}

impl Net {
    fn new(dtype: DType) -> Self {
        let builder = Builder::new(1, dtype, &Device::Cpu).unwrap();
        let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let conv = Conv2d::with(&builder.pp("conv"), 3, 4, 3, config).unwrap();
        let bn = BatchNorm2d::new(&builder.pp("bn"), 4).unwrap();
        let relu = Relu::new(&builder.pp("relu")).unwrap();
        let pool = MaxPool2d::new(&builder.pp("pool"), 2).unwrap();
        let fc = Linear::new(&builder.pp("fc"), 64, 5).unwrap();
        Self { conv, bn, relu, pool, fc, parameters: builder.finish() }
    }

    fn loss(&self, images: &Tensor, labels: &Tensor) -> Tensor {
        let x = Activation::from_tensor(images, &Pass::training()).unwrap();
        let x = self.bn.forward(&self.conv.forward(&x).unwrap()).unwrap();
        let x = self.pool.forward(&self.relu.forward(&x).unwrap()).unwrap();
        let logits = self.fc.forward(&op::flatten(&x).unwrap()).unwrap();
        // Candle's own loss, so that leaving to an ordinary tensor is tested too.
        candle_nn::loss::cross_entropy(&logits.into_tensor().unwrap(), labels).unwrap()
    }

    fn var(&self, name: &str) -> &Var {
        self.parameters.named().find(|(found, _)| *found == name).unwrap().1
    }

    /// The same network in plain candle operations on the same variables.
    fn candles_loss(&self, images: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let channels = |name: &str| self.var(name).reshape((1, 4, 1, 1));
        let x = images.conv2d(self.var("conv.weight"), 1, 1, 1, 1)?;
        let x = x.broadcast_add(&channels("conv.bias")?)?;
        let mean = x.mean_keepdim(0)?.mean_keepdim(2)?.mean_keepdim(3)?;
        let centered = x.broadcast_sub(&mean)?;
        let variance = centered.sqr()?.mean_keepdim(0)?.mean_keepdim(2)?.mean_keepdim(3)?;
        let x = centered.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
        let x = x.broadcast_mul(&channels("bn.weight")?)?.broadcast_add(&channels("bn.bias")?)?;
        // The gradient of candle's own max-pool (0.11) is too small by the size of the window.
        let windows = x.relu()?.reshape((6, 4, 4, 2, 4, 2))?;
        let x = windows.max(5)?.max(3)?.flatten_from(1)?;
        let logits = x.matmul(&self.var("fc.weight").t()?)?.broadcast_add(self.var("fc.bias"))?;
        let logs = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        candle_nn::loss::nll(&logs, labels)
    }
}

fn batch(dtype: DType) -> (Tensor, Tensor) {
    let mut stream = Key::new(2, Purpose::Sample).stream();
    let values: Vec<f64> = (0..6 * 3 * 8 * 8).map(|_| stream.normal()).collect();
    let images = Tensor::from_vec(values, (6, 3, 8, 8), &Device::Cpu).unwrap();
    let labels = Tensor::new(&[0u32, 1, 2, 3, 4, 0], &Device::Cpu).unwrap();
    (images.to_dtype(dtype).unwrap(), labels)
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `|a - b| / |b|`.
fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn gradients_are_candles_own() {
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
        let net = Net::new(dtype);
        let (images, labels) = batch(dtype);
        let images = Var::from_tensor(&images).unwrap();
        let ours = net.loss(&images, &labels);
        let candles = net.candles_loss(&images, &labels).unwrap();
        assert!(relative_error(&flat(&ours), &flat(&candles)) < tolerance);
        let (ours, candles) = (ours.backward().unwrap(), candles.backward().unwrap());
        let gradient = |grads: &GradStore, var: &Var| flat(grads.get(var).unwrap());
        for (name, var) in net.parameters.named().chain([("images", &images)]) {
            if name == "conv.bias" {
                // Batch norm takes the mean off again: the gradient is 0 but for rounding.
                assert!(gradient(&ours, var).iter().all(|g| g.abs() < tolerance));
                continue;
            }
            let error = relative_error(&gradient(&ours, var), &gradient(&candles, var));
            assert!(error < tolerance, "{dtype:?} {name}: {error:e}");
        }
    }
}

#[test]
fn candles_adamw_trains_the_network_as_it_is() {
    let net = Net::new(DType::F32);
    let (images, labels) = batch(DType::F32);
    let config = ParamsAdamW { lr: 0.01, ..ParamsAdamW::default() };
    let mut adamw = candle_nn::AdamW::new(net.parameters.vars(), config).unwrap();
    let losses: Vec<f32> = (0..30)
        .map(|_| {
            let loss = net.loss(&images, &labels);
            adamw.step(&loss.backward().unwrap()).unwrap();
            loss.to_scalar().unwrap()
        })
        .collect();
    assert!(losses[29] < 0.2 * losses[0], "{losses:?}");
}
