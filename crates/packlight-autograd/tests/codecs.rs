//! What codecs do within operations that act elsewhere than on the kept input.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::{self, Conv2dGeometry};
use packlight_autograd::{Activation, Ledger, Pass, SavePoint};
use packlight_codec::{
    Bytes, Codec, Op, PackNormOutput, Packed, PackedNorm, RewriteGradients, RewriteOperands, Scope,
    Site, parse,
};
use packlight_kernels::conv2d;
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::{KeptKind, LayerKind};

fn var(shape: &[usize], name: &str) -> Var {
    let mut stream = Key::new(5, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn layer(kind: LayerKind, codec: &str) -> Arc<SavePoint> {
    let layer = SavePoint::new("layer", kind);
    layer.set_codec(parse(codec).unwrap());
    layer
}

const SAME: Conv2dGeometry =
    Conv2dGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 1 };

/// Output and gradients of input, weight and bias of a convolution.
fn convolution(x: &Var, w: &Var, b: &Var, layer: &Arc<SavePoint>, pass: &Pass) -> Vec<Vec<f64>> {
    let entered = Activation::from_tensor(x, pass).unwrap();
    let y = op::conv2d(&entered, w, Some(b), SAME, layer).unwrap().into_tensor().unwrap();
    let loss = (&y * var(y.dims(), "projection").as_tensor()).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let all = [&y, gradients.get(x).unwrap(), gradients.get(w).unwrap(), gradients.get(b).unwrap()];
    all.map(|t| t.flatten_all().unwrap().to_vec1::<f64>().unwrap()).into()
}

#[test]
fn swat_computes_with_sparse_weights_and_keeps_sparse_inputs() {
    let (x, w, b) = (var(&[2, 3, 6, 6], "x"), var(&[4, 3, 3, 3], "w"), var(&[4], "b"));
    let swat = layer(LayerKind::Conv, "swat:0.25");
    let found = convolution(&x, &w, &b, &swat, &Pass::training());
    let sparse =
        Var::from_tensor(&swat.codec().operands().unwrap().weight(&w).unwrap().unwrap()).unwrap();
    let plain = layer(LayerKind::Conv, "none");
    let expected = convolution(&x, &sparse, &b, &plain, &Pass::training());
    assert_eq!((&found[0], &found[1], &found[3]), (&expected[0], &expected[1], &expected[3]));
    assert_ne!(found[2], expected[2]);
    // The weight's gradient is that of the sparse input, for all of the weight.
    let kept = packlight_kernels::top_k::largest(&x, 54).unwrap();
    let grad = var(&[2, 4, 6, 6], "projection");
    let by_weight = conv2d::weight_grad(&kept, &grad, w.dims(), &SAME).unwrap();
    assert_eq!(found[2], by_weight.flatten_all().unwrap().to_vec1::<f64>().unwrap());
}

#[test]
fn gradient_filtering_leaves_output_and_bias_exact_and_changes_the_rest() {
    let (x, w, b) = (var(&[2, 3, 6, 6], "x"), var(&[4, 3, 3, 3], "w"), var(&[4], "b"));
    let exact = convolution(&x, &w, &b, &layer(LayerKind::Conv, "none"), &Pass::training());
    let found = convolution(&x, &w, &b, &layer(LayerKind::Conv, "gf2"), &Pass::training());
    assert_eq!((&found[0], &found[3]), (&exact[0], &exact[3]));
    assert!(found[1] != exact[1] && found[2] != exact[2]);
}

#[test]
fn convolutions_share_a_filtered_copy_where_their_windows_are_the_same() {
    let halving = |padding| Conv2dGeometry { stride: (2, 2), padding: (padding, padding), ..SAME };
    let ledger = Ledger::new();
    let pass = Pass::training().with_ledger(&ledger);
    let x = Activation::from_tensor(&var(&[2, 3, 8, 8], "x"), &pass).unwrap();
    let mut outputs = Vec::new();
    let mut kept = |side: usize, geometry| {
        let w = var(&[4, 3, side, side], "w");
        let y = op::conv2d(&x, &w, None, geometry, &layer(LayerKind::Conv, "gf2")).unwrap();
        outputs.push(y);
        ledger.kept()
    };
    // 2 x 2 windows of 4 pixels each way for both, then 4 x 4 windows of 2.
    assert_eq!(kept(3, halving(1)), 2 * 3 * 4 * 8);
    assert_eq!(kept(1, halving(0)), 2 * 3 * 4 * 8);
    assert_eq!(kept(3, SAME), 2 * 3 * 20 * 8);
}

#[test]
fn resprop_remembers_what_others_do_not() {
    let (x, w, b) = (var(&[2, 3, 6, 6], "x"), var(&[4, 3, 3, 3], "w"), var(&[4], "b"));
    let remembered = |codec: &str, pass: &Pass| {
        let layer = layer(LayerKind::Conv, codec);
        convolution(&x, &w, &b, &layer, pass);
        layer.codec_state().bytes()
    };
    assert_eq!(remembered("dither:2", &Pass::training()), 0);
    assert_eq!(remembered("resprop:0.1", &Pass::training()), 2 * 4 * 36 * 8);
    // A pass that looks on only leaves nothing behind.
    assert_eq!(remembered("resprop:0.1", &Pass::training().freeze_statistics()), 0);
}

#[test]
fn step_derivatives_leave_the_output_exact_at_two_bits_an_element() {
    let x = Var::from_tensor(&(var(&[3, 40], "x").as_tensor() / 4.0).unwrap()).unwrap();
    type Op = fn(&Activation, &Arc<SavePoint>) -> packlight_autograd::Result<Activation>;
    let gelu: Op = |x, layer| op::gelu(x, layer);
    for (codec, op) in [("regelu2", gelu), ("resilu2", |x, layer| op::silu(x, layer))] {
        let run = |codec: &str| {
            let ledger = Ledger::new();
            let pass = Pass::training().with_ledger(&ledger);
            let entered = Activation::from_tensor(&x, &pass).unwrap();
            let y = op(&entered, &layer(LayerKind::Activation, codec)).unwrap();
            let y = y.into_tensor().unwrap();
            let gradients = y.sum_all().unwrap().backward().unwrap();
            let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let kept = ledger.entries()[0].bytes.total();
            assert_eq!(ledger.entries()[0].kind, KeptKind::Input);
            (values(&y), values(gradients.get(&x).unwrap()), kept)
        };
        let ((exact, _, whole), (output, mut gradient, kept)) = (run("none"), run(codec));
        assert_eq!((output, whole, kept), (exact, 120 * DType::F64.size_in_bytes(), 30));
        gradient.sort_by(f64::total_cmp);
        gradient.dedup();
        assert_eq!(gradient.len(), 2, "between the outer thresholds, in which all of x lies");
    }
}

#[test]
fn a_derivative_of_another_function_is_refused() {
    let x = var(&[4], "x");
    let entered = Activation::from_tensor(&x, &Pass::training()).unwrap();
    let y = op::silu(&entered, &layer(LayerKind::Activation, "regelu2")).unwrap();
    let error = y.into_tensor().unwrap().sum_all().unwrap().backward().unwrap_err().to_string();
    assert!(error.contains("`regelu2`") && error.contains("GELU"), "{error}");
}

/// Fails at one of the things that a codec does, by name.
#[derive(Debug, Clone, Copy)]
struct Failing {
    at: &'static str,
    packs_norm_output: bool,
    /// Whether it fails as on a device without memory.
    lacks_memory: bool,
}

/// What the driver of a CUDA device says where there is no memory.
const NO_MEMORY: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";

impl Failing {
    fn unless(&self, at: &str) -> packlight_codec::Result<()> {
        match self.at == at {
            true if self.lacks_memory => Err(candle_core::Error::Cuda(NO_MEMORY.into()))?,
            true => Err(packlight_codec::Error::Parameter {
                spec: "failing".into(),
                reason: format!("as asked, at {at}"),
            }),
            false => Ok(()),
        }
    }
}

impl Codec for Failing {
    fn spec(&self) -> String {
        "failing".into()
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[])
    }

    fn bytes(&self, _: &Site<'_>, _: &[usize], _: DType) -> packlight_codec::Result<Option<Bytes>> {
        Ok(None)
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> packlight_codec::Result<Box<dyn Packed>> {
        self.unless("pack")?;
        Ok(Box::new(FailingCopy(*self, input.clone())))
    }

    fn operands(&self) -> Option<&dyn RewriteOperands> {
        Some(self)
    }

    fn gradients(&self) -> Option<&dyn RewriteGradients> {
        Some(self)
    }

    fn norm_output(&self) -> Option<&dyn PackNormOutput> {
        if self.packs_norm_output { Some(self) } else { None }
    }
}

impl RewriteOperands for Failing {
    fn input(&self, _: &Tensor) -> packlight_codec::Result<Option<Tensor>> {
        self.unless("input").map(|()| None)
    }

    fn weight(&self, _: &Tensor) -> packlight_codec::Result<Option<Tensor>> {
        self.unless("weight").map(|()| None)
    }
}

impl RewriteGradients for Failing {
    fn output_grad(&self, _: &Tensor, _: &mut Site<'_>) -> packlight_codec::Result<Option<Tensor>> {
        self.unless("output_grad").map(|()| None)
    }

    fn input_grad(
        &self,
        _: Op<'_>,
        _: &Tensor,
        _: &Tensor,
        _: &[usize],
    ) -> packlight_codec::Result<Option<Tensor>> {
        self.unless("input_grad").map(|()| None)
    }
}

impl PackNormOutput for Failing {
    fn norm_bytes(&self, _: &[usize], _: DType) -> Option<Bytes> {
        None
    }

    fn pack_norm_output(
        &self,
        normalised: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &mut Site<'_>,
    ) -> packlight_codec::Result<Box<dyn PackedNorm>> {
        self.unless("pack")?;
        Ok(Box::new(FailingCopy(*self, normalised.clone())))
    }
}

struct FailingCopy(Failing, Tensor);

impl Packed for FailingCopy {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn gradient(&self, _: Op<'_>, _: &Tensor) -> packlight_codec::Result<Option<Tensor>> {
        self.0.unless("gradient").map(|()| None)
    }

    fn unpack(&self) -> packlight_codec::Result<Tensor> {
        self.0.unless("unpack")?;
        Ok(self.1.clone())
    }
}

impl PackedNorm for FailingCopy {
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    fn normalised(&self) -> packlight_codec::Result<Tensor> {
        self.unpack()
    }

    fn output(&self) -> packlight_codec::Result<Tensor> {
        self.unpack()
    }
}

/// An operation on this layer, whose input has a gradient.
type OnLayer = fn(&Activation, &Arc<SavePoint>) -> packlight_autograd::Result<Activation>;

#[test]
fn an_error_of_a_codec_and_a_lack_of_memory_name_the_layer() {
    let weighted = ["pack", "gradient", "unpack", "input", "weight", "output_grad", "input_grad"];
    let asking = ["pack", "gradient", "unpack"];
    let packing = ["pack", "unpack"];
    let conv: OnLayer =
        |x, layer| op::conv2d(x, &var(&[2, 3, 3, 3], "w"), Some(&var(&[2], "b")), SAME, layer);
    let linear: OnLayer = |x, layer| op::linear(x, &var(&[2, 4], "w"), None, layer);
    let product: OnLayer = |x, layer| op::matmul_transposed(x, x, layer, layer);
    let batch_norm: OnLayer = |x, layer| {
        let running =
            op::RunningStatistics { mean: var(&[3], "m"), variance: var(&[3], "v"), momentum: 0.1 };
        op::batch_norm(x, &var(&[3], "w"), &var(&[3], "b"), &running, 1e-5, layer)
    };
    let layer_norm: OnLayer =
        |x, layer| op::layer_norm(x, &var(&[4], "w"), &var(&[4], "b"), 1e-5, layer);
    let softmax: OnLayer = |x, layer| op::softmax(x, &op::Visible::default(), layer);
    for (name, op, hooks, packs_norm_output) in [
        ("conv2d", conv, &weighted[..], false),
        ("linear", linear, &weighted, false),
        ("matmul", product, &packing, false),
        ("gelu", |x, layer| op::gelu(x, layer), &asking, false),
        ("silu", |x, layer| op::silu(x, layer), &asking, false),
        ("softmax", softmax, &packing, false),
        ("batch_norm", batch_norm, &packing, false),
        ("layer_norm", layer_norm, &packing, false),
        ("batch_norm", batch_norm, &packing, true),
        ("layer_norm", layer_norm, &packing, true),
    ] {
        for (at, lacks_memory) in hooks.iter().flat_map(|&at| [(at, false), (at, true)]) {
            let layer = SavePoint::new("layer3.1.part", LayerKind::Conv);
            layer.set_codec(Arc::new(Failing { at, packs_norm_output, lacks_memory }));
            let x = Activation::from_tensor(&var(&[2, 3, 4, 4], "x"), &Pass::training()).unwrap();
            let error = match op(&x, &layer) {
                Err(error) => error.to_string(),
                Ok(y) => {
                    let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
                    loss.backward().err().map(|error| error.to_string()).unwrap_or_default()
                }
            };
            let expected = match lacks_memory {
                false => format!("as asked, at {at}"),
                true => "`: an operation of candle's: the device has no memory left".to_owned(),
            };
            assert!(
                error.contains("layer `layer3.1.part`") && error.contains(&expected),
                "{name} at {at}, {packs_norm_output}: `{error}`"
            );
        }
    }
}
