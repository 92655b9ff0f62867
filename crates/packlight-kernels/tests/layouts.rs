//! Kernels accept any layout: an input that is transposed, a slice of a larger tensor, or a
//! broadcast number gives the same bits as its contiguous copy.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_kernels::batched_matmul::{Matrices, products};
use packlight_kernels::block_sparse::BlockSparse;
use packlight_kernels::channel_affine::channel_affine;
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::cross_entropy::{self, Targets};
use packlight_kernels::division::{self, Divided, Maps};
use packlight_kernels::finite::is_finite;
use packlight_kernels::fixed_range::FixedRange;
use packlight_kernels::largest::largest;
use packlight_kernels::max_pool2d::{self, Windows};
use packlight_kernels::optimizer::{AdamW, Sgd};
use packlight_kernels::patches::{self, Patches};
use packlight_kernels::quantise::{self, Bits, Coded, Grouping, Rounding};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::softmax::{self, Visible};
use packlight_kernels::{
    Result, accumulate, argmax, attention, avg_pool2d, batch_norm, bit_mask, block_pool, dither,
    dropout, fp8, gelu, gelu_tanh, gram, layer_norm, linear, mean_axis, mode_product, nearest_line,
    orthonormalise, permute, plane_scale, relu, relu6, sigmoid, sign, silu, square,
    step_derivative, subsample, symmetric_eigen, tanh, top_k,
};

/// An input of this shape: normal numbers, or integers below a bound.
#[derive(Clone, Copy)]
enum Input {
    Normal(&'static [usize]),
    Labels(&'static [usize], u32),
    Bytes(&'static [usize], u32),
}
use Input::{Bytes, Labels, Normal};

impl Input {
    fn tensor(self, number: usize) -> Tensor {
        let mut stream = Key::new(6, Purpose::Sample).step(number as u64).stream();
        let (Normal(shape) | Labels(shape, _) | Bytes(shape, _)) = self;
        let count = shape.iter().product();
        let numbers: Vec<f32> = match self {
            Normal(_) => (0..count).map(|_| stream.normal() as f32).collect(),
            Labels(_, bound) | Bytes(_, bound) => {
                (0..count).map(|_| stream.below(bound) as f32).collect()
            }
        };
        let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
        match self {
            Normal(_) => tensor,
            Labels(..) => tensor.to_dtype(DType::U32).unwrap(),
            Bytes(..) => tensor.to_dtype(DType::U8).unwrap(),
        }
    }
}

/// The same numbers in other layouts, or other numbers in layouts in which they repeat.
fn layouts(x: &Tensor) -> candle_core::Result<Vec<(&'static str, Tensor)>> {
    let last = x.rank() - 1;
    let turned = |x: &Tensor| x.transpose(0, last);
    let part = |axis: usize| {
        let other = x.zeros_like()?;
        Tensor::cat(&[&other, x, &other], axis)?.narrow(axis, x.dim(axis)?, x.dim(axis)?)
    };
    let repeated = |axis: usize| x.narrow(axis, 0, 1)?.broadcast_as(x.shape());
    Ok(vec![
        ("transposed", turned(&turned(x)?.contiguous()?)?),
        (
            "a column",
            Tensor::stack(&[&x.zeros_like()?, x], x.rank())?
                .narrow(last + 1, 1, 1)?
                .squeeze(last + 1)?,
        ),
        ("a part of the first axis", part(0)?),
        ("a part of the last axis", part(last)?),
        ("repeated along the first axis", repeated(0)?),
        ("repeated along the last axis", repeated(last)?),
        ("one number", x.flatten_all()?.narrow(0, 0, 1)?.broadcast_as(x.shape())?),
    ])
}

type Kernel = fn(&[Tensor]) -> Result<Vec<Tensor>>;

const IMAGES: &[usize] = &[3, 4, 6, 8];
/// The axes of `IMAGES` before each plane.
const PLANES: &[usize] = &[3, 4];
const TOKENS: &[usize] = &[3, 5, 8];
const MATRIX: &[usize] = &[7, 6];
const SAME: Conv2dGeometry =
    Conv2dGeometry { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 1 };
const HALVES: Windows = Windows { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
const MAPS: Maps = Maps { size: (6, 8), block: (4, 4), bits: 2 };
const PATCHES: [Patches; 2] =
    [Patches { count: 3, size: 3, before: 1 }, Patches { count: 4, size: 2, before: 0 }];
const GROUPING: Grouping<'_> = Grouping { row: 48, group: 16, bits: Bits::All(3) };
const ROUNDING: Rounding = Rounding::Nearest;

fn key() -> Key {
    Key::new(1, Purpose::Codec)
}

fn adamw() -> AdamW {
    let betas = (0.9, 0.99);
    AdamW { learning_rate: 0.1, betas, epsilon: 1e-8, weight_decay: 0.01, step: 3 }
}

fn three((a, b, c): (Tensor, Tensor, Tensor)) -> Vec<Tensor> {
    vec![a, b, c]
}

fn number(value: f64) -> Result<Tensor> {
    Ok(Tensor::new(value, &Device::Cpu)?)
}

/// Each kernel with its tensors.
const KERNELS: &[(&str, &[Input], Kernel)] = &[
    ("accumulate::add", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        Ok(vec![accumulate::add(&x[0], &x[1])?])
    }),
    ("accumulate::add_in_place", &[Normal(TOKENS)], |x| {
        let target = Tensor::ones(TOKENS, DType::F32, &Device::Cpu)?;
        accumulate::add_in_place(&target, &x[0])?;
        Ok(vec![target])
    }),
    ("argmax", &[Normal(MATRIX)], |x| Ok(vec![argmax::argmax(&x[0])?])),
    ("avg_pool2d", &[Normal(IMAGES)], |x| {
        Ok(vec![avg_pool2d::forward(&x[0], (2, 3), (2, 1))?, avg_pool2d::global(&x[0])?])
    }),
    ("avg_pool2d::backward", &[Normal(&[3, 4, 3, 4])], |x| {
        Ok(vec![avg_pool2d::backward(&x[0], IMAGES, (2, 2), (2, 2))?])
    }),
    ("avg_pool2d::global_backward", &[Normal(&[3, 4])], |x| {
        Ok(vec![avg_pool2d::global_backward(&x[0], (6, 8))?])
    }),
    ("batch_norm::statistics", &[Normal(IMAGES)], |x| {
        let (mean, variance) = batch_norm::statistics(&x[0])?;
        Ok(vec![mean, variance])
    }),
    (
        "batch_norm::normalise",
        &[Normal(IMAGES), Normal(&[4]), Normal(&[4]), Normal(&[4]), Normal(&[4])],
        |x| Ok(vec![batch_norm::normalise(&x[0], &x[1], &x[2], &x[3], &x[4])?]),
    ),
    (
        "batch_norm::backward",
        &[Normal(IMAGES), Normal(IMAGES), Normal(&[4]), Normal(&[4]), Normal(&[4])],
        |x| Ok(three(batch_norm::backward(&x[0], &x[1], &x[2], &x[3], &x[4])?)),
    ),
    (
        "batch_norm::backward_in_place",
        &[Normal(IMAGES), Normal(IMAGES), Normal(&[4]), Normal(&[4]), Normal(&[4])],
        |x| {
            let grad = x[1].force_contiguous()?;
            Ok(three(batch_norm::backward_in_place(&x[0], &grad, &x[2], &x[3], &x[4])?))
        },
    ),
    ("batched_matmul", &[Normal(&[3, 4, 5]), Normal(&[3, 5, 6])], |x| {
        Ok(vec![products(Matrices::plain(&x[0]), Matrices::plain(&x[1]))?])
    }),
    ("batched_matmul, transposed", &[Normal(&[3, 5, 4]), Normal(&[3, 6, 5])], |x| {
        Ok(vec![products(Matrices::transposed(&x[0]), Matrices::transposed(&x[1]))?])
    }),
    ("bit_mask", &[Normal(TOKENS)], |x| {
        let mask = bit_mask::non_zero(&relu::forward_only(&x[0])?)?;
        Ok(vec![bit_mask::compress(&x[0], &mask)?, mask])
    }),
    ("bit_mask::expand", &[Normal(&[60]), Bytes(&[15], 1)], |x| {
        // Four bits of each byte.
        let mask = (&x[1] + 53.0)?;
        Ok(vec![bit_mask::expand(&x[0], &mask, TOKENS)?])
    }),
    ("block_pool", &[Normal(IMAGES)], |x| {
        Ok(vec![block_pool::pool(&x[0], 4)?, block_pool::pool_features(&x[0], 3)?])
    }),
    ("block_pool::unpool", &[Normal(&[3, 4, 2, 2])], |x| {
        Ok(vec![block_pool::unpool(&x[0], 4, (6, 8))?, block_pool::unpool_features(&x[0], 4, 7)?])
    }),
    ("block_sparse", &[Normal(TOKENS), Normal(&[3, 5, 4])], |x| {
        let packed = BlockSparse::pack(&x[0], 15, 4, 5)?;
        Ok(vec![packed.unpack(TOKENS)?, packed.linear_weight_grad(&x[1])?])
    }),
    ("conv2d", &[Normal(IMAGES), Normal(&[5, 4, 3, 3]), Normal(&[5])], |x| {
        Ok(vec![conv2d::forward(&x[0], &x[1], Some(&x[2]), &SAME)?])
    }),
    (
        "conv2d, the gradients",
        &[Normal(IMAGES), Normal(&[5, 4, 3, 3]), Normal(&[3, 5, 6, 8])],
        |x| {
            Ok(vec![
                conv2d::input_grad(&x[2], &x[1], IMAGES, &SAME)?,
                conv2d::weight_grad(&x[0], &x[2], &[5, 4, 3, 3], &SAME)?,
                conv2d::bias_grad(&x[2])?,
            ])
        },
    ),
    ("conv2d, from means", &[Normal(&[3, 4, 2, 2]), Normal(&[3, 5, 6, 8])], |x| {
        let shape = [5, 4, 3, 3];
        Ok(vec![conv2d::weight_grad_from_pooled(&x[0], 4, IMAGES, &x[1], &shape, &SAME)?])
    }),
    ("conv2d, Winograd's", &[Normal(&[2, 48, 8, 8]), Normal(&[48, 48, 3, 3])], |x| {
        Ok(vec![
            conv2d::forward(&x[0], &x[1], None, &SAME)?,
            conv2d::input_grad(&x[0], &x[1], &[2, 48, 8, 8], &SAME)?,
        ])
    }),
    ("cross_entropy", &[Normal(TOKENS), Labels(&[3, 5], 8)], |x| {
        let targets = Targets { smoothing: 0.1, ignored: Some(9) };
        let (loss, probabilities) = cross_entropy::forward(&x[0], &x[1], &targets)?;
        Ok(vec![loss, probabilities])
    }),
    ("cross_entropy::backward", &[Normal(TOKENS), Labels(&[3, 5], 8)], |x| {
        let one = number(1.0)?.to_dtype(DType::F32)?;
        Ok(vec![cross_entropy::backward(&x[0], &x[1], &Targets::default(), &one)?])
    }),
    ("channel_affine", &[Normal(IMAGES), Normal(&[4]), Normal(&[4])], |x| {
        Ok(vec![channel_affine(&x[0], &x[1], &x[2])?])
    }),
    ("dither", &[Normal(TOKENS)], |x| {
        Ok(vec![dither::dither(&x[0], 0.3, key())?, number(dither::deviation(&x[0])?)?])
    }),
    ("division", &[Normal(IMAGES)], |x| {
        let Divided { means, codes, ranges } = division::pack(&x[0], &MAPS, ROUNDING)?;
        Ok(vec![means, codes, ranges])
    }),
    ("division::unpack", &[Normal(&[12, 4]), Bytes(&[144], 256), Normal(&[12, 2])], |x| {
        let [means, ranges] = [x[0].to_dtype(DType::BF16)?, x[2].to_dtype(DType::BF16)?];
        let divided = Divided { means, codes: x[1].clone(), ranges };
        Ok(vec![division::unpack(&divided, &MAPS, IMAGES, DType::F32)?])
    }),
    ("dropout", &[Normal(TOKENS)], |x| Ok(vec![dropout::apply(&x[0], 0.4, key())?])),
    ("finite", &[Normal(TOKENS)], |x| Ok(vec![number(f64::from(is_finite(&x[0])?))?])),
    ("fixed_range", &[Normal(IMAGES), Normal(&[4]), Normal(&[4])], |x| {
        let range = FixedRange::new(&x[1], &x[2], 4)?;
        let codes = range.pack(&x[0])?;
        Ok(vec![range.normalised(&codes, IMAGES)?, range.output(&codes, IMAGES)?, codes])
    }),
    ("fixed_range::restore", &[Bytes(&[288], 256)], |x| {
        let ones = Tensor::ones(4, DType::F32, &Device::Cpu)?;
        let range = FixedRange::new(&ones, &ones, 4)?;
        Ok(vec![range.normalised(&x[0], IMAGES)?, range.output(&x[0], IMAGES)?])
    }),
    ("fp8", &[Normal(TOKENS)], |x| {
        let (codes, scales) = fp8::pack(&x[0], fp8::Format::E5M2, 8)?;
        Ok(vec![codes, scales])
    }),
    ("fp8::unpack", &[Bytes(TOKENS, 120), Normal(&[15])], |x| {
        Ok(vec![fp8::unpack(&x[0], &x[1], fp8::Format::E5M2, DType::F32)?])
    }),
    ("gelu", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        Ok(vec![gelu::forward(&x[0])?, gelu::backward((&x[0]).into(), &x[1])?])
    }),
    ("gram", &[Normal(&[3, 40, 12, 4])], |x| (0..4).map(|axis| gram::gram(&x[0], axis)).collect()),
    ("largest", &[Normal(TOKENS)], |x| Ok(vec![number(largest(&x[0])?)?])),
    ("layer_norm", &[Normal(TOKENS), Normal(&[8]), Normal(&[8])], |x| {
        let found = layer_norm::forward(&x[0], &x[1], &x[2], 1e-5)?;
        Ok(vec![found.output, found.mean, found.inverse])
    }),
    (
        "layer_norm::backward",
        &[Normal(TOKENS), Normal(TOKENS), Normal(&[15]), Normal(&[15]), Normal(&[8])],
        |x| Ok(three(layer_norm::backward((&x[0]).into(), &x[1], &x[2], &x[3], &x[4])?)),
    ),
    ("accumulate::add_to_each", &[Normal(TOKENS), Normal(&[5, 8])], |x| {
        Ok(vec![accumulate::add_to_each(&x[0], &x[1])?])
    }),
    ("linear", &[Normal(TOKENS), Normal(&[6, 8]), Normal(&[6])], |x| {
        Ok(vec![linear::forward(&x[0], &x[1], Some(&x[2]))?])
    }),
    ("linear, the gradients", &[Normal(TOKENS), Normal(&[6, 8]), Normal(&[3, 5, 6])], |x| {
        Ok(vec![
            linear::input_grad(&x[2], &x[1])?,
            linear::weight_grad(&x[0], &x[2])?,
            linear::transposed_weight_grad((&x[0]).into(), &x[2])?,
            linear::bias_grad(&x[2])?,
            linear::weight_grad_from_pooled(&x[0], 4, 30, &x[2])?,
        ])
    }),
    ("max_pool2d", &[Normal(IMAGES)], |x| {
        let (output, indices) = max_pool2d::forward(&x[0], &HALVES)?;
        Ok(vec![output, indices])
    }),
    ("max_pool2d::backward", &[Normal(&[3, 4, 3, 4]), Bytes(&[3, 4, 3, 4], 4)], |x| {
        Ok(vec![max_pool2d::backward(&x[0], &x[1], IMAGES, &HALVES)?])
    }),
    ("mean_axis", &[Normal(TOKENS)], |x| {
        (0..3).map(|axis| mean_axis::forward(&x[0], axis)).collect()
    }),
    ("mean_axis::backward", &[Normal(&[3, 8])], |x| {
        Ok(vec![mean_axis::backward(&x[0], TOKENS, 1)?])
    }),
    ("mode_product", &[Normal(IMAGES), Normal(&[5, 6])], |x| {
        Ok(vec![mode_product::mode_product(&x[0], &x[1], 2)?])
    }),
    ("nearest_line", &[Normal(MATRIX), Normal(&[3, 6])], |x| {
        let (indices, factors) = nearest_line::nearest(&x[0], &x[1])?;
        Ok(vec![indices, factors])
    }),
    (
        "nearest_line, back",
        &[Normal(&[3, 6]), Labels(&[7], 3), Normal(&[7]), Normal(MATRIX)],
        |x| {
            Ok(vec![
                nearest_line::restore(&x[0], &x[1], &x[2])?,
                nearest_line::gather(&x[3], &x[1], &x[2], 3)?,
            ])
        },
    ),
    ("optimizer", &[Normal(TOKENS)], |x| {
        let tensor = || Tensor::ones(TOKENS, DType::F32, &Device::Cpu);
        let (parameter, velocity) = (tensor()?, tensor()?);
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01, nesterov: true };
        sgd.step(&parameter, &velocity, &x[0])?;
        Ok(vec![parameter, velocity])
    }),
    ("optimizer, AdamW", &[Normal(TOKENS)], |x| {
        let tensor = || Tensor::ones(TOKENS, DType::F32, &Device::Cpu);
        let (parameter, m, v) = (tensor()?, tensor()?, tensor()?);
        adamw().step(&parameter, (&m, &v), &x[0])?;
        Ok(vec![parameter, m, v])
    }),
    ("orthonormalise", &[Normal(MATRIX)], |x| Ok(vec![orthonormalise::orthonormalise(&x[0])?])),
    ("patches", &[Normal(IMAGES)], |x| {
        let [rows, columns] = PATCHES;
        Ok(vec![patches::sums(&x[0], rows, columns)?, patches::means(&x[0], rows, columns)?])
    }),
    ("patches, back", &[Normal(&[3, 4, 3, 4])], |x| {
        let [rows, columns] = PATCHES;
        Ok(vec![
            patches::spread(&x[0], rows, columns, (6, 8), true)?,
            patches::interpolate(&x[0], rows, columns, (6, 8))?,
        ])
    }),
    ("permute", &[Normal(IMAGES)], |x| Ok(vec![permute::permute(&x[0], &[2, 0, 3, 1])?])),
    ("quantise", &[Normal(IMAGES)], |x| {
        let (codes, ranges) = quantise::pack(&x[0], &GROUPING, Rounding::Stochastic(key()))?;
        Ok(vec![codes, ranges, quantise::extremes(&x[0], 48, 16)?])
    }),
    ("quantise, within", &[Normal(IMAGES), Normal(&[3, 2])], |x| {
        Ok(vec![quantise::pack_within(&x[0], &x[1], &GROUPING, ROUNDING)?])
    }),
    ("quantise::unpack", &[Bytes(&[216], 256), Normal(&[36, 2])], |x| {
        let ranges = x[1].to_dtype(DType::BF16)?;
        let (codes, shape, dtype) = (&x[0], IMAGES, DType::F32);
        let coded = Coded { codes, ranges: &ranges, grouping: GROUPING, shape, dtype };
        Ok(vec![quantise::unpack(&coded)?])
    }),
    ("relu", &[Normal(TOKENS)], |x| {
        let (output, mask) = relu::forward(&x[0])?;
        Ok(vec![output, mask, relu::forward_only(&x[0])?])
    }),
    ("plane_scale", &[Normal(IMAGES), Normal(PLANES), Normal(IMAGES)], |x| {
        Ok(vec![plane_scale::scale(&x[0], &x[1])?, plane_scale::products(&x[0], &x[2], PLANES)?])
    }),
    ("sigmoid", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        let y = sigmoid::forward(&x[0])?;
        Ok(vec![sigmoid::backward(&x[0], &x[1])?, y])
    }),
    ("tanh", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        let y = tanh::forward(&x[0])?;
        Ok(vec![tanh::backward(&x[0], &x[1])?, y])
    }),
    ("relu6", &[Normal(TOKENS)], |x| {
        let (output, mask) = relu6::forward(&x[0])?;
        Ok(vec![output, mask, relu6::forward_only(&x[0])?])
    }),
    ("relu::backward", &[Normal(TOKENS), Bytes(&[15], 256)], |x| {
        Ok(vec![relu::backward(&x[0], &x[1])?])
    }),
    ("sign", &[Normal(TOKENS)], |x| Ok(vec![sign::pack(&x[0])?, sign::add(&x[0], 0.1)?])),
    ("sign::unpack", &[Bytes(&[16], 256)], |x| {
        Ok(vec![sign::unpack(&x[0], 0.1, &TOKENS.into(), DType::F32)?])
    }),
    ("gelu_tanh", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        Ok(vec![gelu_tanh::forward(&x[0])?, gelu_tanh::backward((&x[0]).into(), &x[1])?])
    }),
    ("silu", &[Normal(TOKENS), Normal(TOKENS)], |x| {
        Ok(vec![silu::forward(&x[0])?, silu::backward((&x[0]).into(), &x[1])?])
    }),
    ("softmax", &[Normal(&[3, 4, 5]), Normal(&[3, 4, 5])], |x| {
        let visible = Visible { lengths: Some(vec![2, 5, 3]), causal: true };
        Ok(vec![softmax::forward(&x[0], &visible)?, softmax::backward(&x[0], &x[1])?])
    }),
    ("attention", &[Normal(&[3, 2, 4, 5]), Normal(&[3, 2, 6, 5]), Normal(&[3, 2, 6, 7])], |x| {
        let visible = Visible { lengths: Some(vec![2, 6, 3]), causal: false };
        let y = attention::forward(&x[0], &x[1], &x[2], &visible, None)?;
        let grads = attention::backward(&x[0], &x[1], &x[2], &y, &visible, None)?;
        Ok([vec![y], grads.into()].concat())
    }),
    ("square", &[Normal(TOKENS)], |x| Ok(vec![number(square::sum(&x[0])?)?])),
    ("step_derivative", &[Normal(TOKENS)], |x| {
        Ok(vec![step_derivative::codes(&x[0], [-1.0, 0.0, 1.0])?])
    }),
    ("step_derivative::backward", &[Bytes(&[30], 256), Normal(TOKENS)], |x| {
        Ok(vec![step_derivative::backward(&x[0], [0.0, 0.3, 0.7, 1.0], &x[1])?])
    }),
    ("subsample", &[Normal(IMAGES)], |x| Ok(vec![subsample::forward(&x[0], 2, 6)?])),
    ("subsample::backward", &[Normal(&[3, 6, 3, 4])], |x| {
        Ok(vec![subsample::backward(&x[0], IMAGES, 2)?])
    }),
    ("symmetric_eigen", &[Normal(MATRIX)], |x| {
        let gram = gram::gram(&x[0], 1)?.t()?;
        Ok(vec![symmetric_eigen::symmetric_eigen(&gram, |values| Ok(values.len()))?.vectors])
    }),
    ("top_k", &[Normal(TOKENS)], |x| {
        Ok(vec![top_k::indices(&x[0], 17)?, top_k::mask(&x[0], 3, 5)?, top_k::largest(&x[0], 17)?])
    }),
    ("top_k::gather", &[Normal(TOKENS), Labels(&[17], 120)], |x| {
        Ok(vec![top_k::gather(&x[0], &x[1])?])
    }),
    ("top_k::scatter", &[Normal(&[17])], |x| {
        let indices = Tensor::arange_step(0u32, 119, 7, &Device::Cpu)?;
        Ok(vec![top_k::scatter(&x[0], &indices, TOKENS)?])
    }),
    ("top_k::put", &[Normal(TOKENS), Normal(&[17])], |x| {
        let indices = Tensor::arange_step(0u32, 119, 7, &Device::Cpu)?;
        Ok(vec![top_k::put(&x[0], &x[1], &indices)?])
    }),
];

fn bits(tensors: &[Tensor]) -> Vec<u64> {
    let of = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    tensors.iter().flat_map(|tensor| of(tensor).unwrap()).map(f64::to_bits).collect()
}

#[test]
fn every_layout_gives_what_its_contiguous_copy_gives() {
    let mut wrong = Vec::new();
    for &(name, inputs, kernel) in KERNELS {
        let plain: Vec<Tensor> =
            inputs.iter().enumerate().map(|(number, input)| input.tensor(number)).collect();
        for (number, input) in plain.iter().enumerate() {
            for (layout, other) in layouts(input).unwrap() {
                assert_eq!(other.dims(), input.dims());
                let (mut found, mut copied) = (plain.clone(), plain.clone());
                copied[number] = other.force_contiguous().unwrap();
                found[number] = other;
                let case = format!("{name}, input {number}, {layout}");
                match (kernel(&found), kernel(&copied)) {
                    (Ok(found), Ok(expected)) if bits(&found) == bits(&expected) => {}
                    (Err(a), Err(b)) if a.to_string() == b.to_string() => {
                        wrong.push(format!("{case}: the table's inputs do not fit: {a}"));
                    }
                    _ => wrong.push(case),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_changed_in_place_must_be_contiguous() {
    let grad = Normal(MATRIX).tensor(0);
    for (layout, target) in layouts(&grad).unwrap() {
        if target.is_contiguous() {
            continue; // a part of the first axis
        }
        let error = accumulate::add_in_place(&target, &grad).unwrap_err().to_string();
        let refused = error.contains("contiguous tensors") || error.contains("repeated elements");
        assert!(refused, "{layout}: {error}");
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        assert!(sgd.step(&target, &grad.zeros_like().unwrap(), &grad).is_err(), "{layout}");
        let [m, v] = [(); 2].map(|()| grad.zeros_like().unwrap());
        assert!(adamw().step(&target, (&m, &v), &grad).is_err(), "{layout}");
    }
}
