//! Fully connected layers, batched products and convolutions. The products themselves are candle's, here
//! on the CPU; what is ours are the columns, the images and the sums.

use candle_core::{DType, Tensor};
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::batched_matmul::{Matrices, products};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::cuda::{Call, ConvolutionPass, Gpu};
use packlight_kernels::{cuda, linear};

use crate::{results, sample, wide};

/// Products are summed in another order, and each one in bf16 is rounded once, and again where something is added.
fn close(dtype: DType) -> Tolerance {
    Tolerance::OfLargest(if dtype == DType::BF16 { 1.0 / 128.0 } else { 2e-6 })
}

/// The types of the kernels.
const TYPES: [DType; 2] = [DType::F32, DType::BF16];

#[test]
fn fully_connected_layers_are_those_of_the_cpu() {
    let leading = [vec![1], vec![3, 70], vec![0]];
    for (leading, dtype) in leading.iter().flat_map(|leading| TYPES.map(|dtype| (leading, dtype))) {
        let shape = |last: usize| [leading.as_slice(), &[last]].concat();
        let (x, g) = (sample(shape(7), "x", dtype), sample(shape(5), "g", dtype));
        let (w, b) = (sample((5, 7), "w", dtype), sample(5, "b", dtype));
        let [x32, g32, w32, b32] = [&x, &g, &w, &b].map(wide);
        let expected = [
            linear::forward(&x32, &w32, Some(&b32)).unwrap(),
            linear::forward(&x32, &w32, None).unwrap(),
            linear::input_grad(&g32, &w32).unwrap(),
            linear::weight_grad(&x32, &g32).unwrap(),
            linear::bias_grad(&g32).unwrap(),
        ];
        let expected = results(&expected.each_ref(), dtype);
        prove(&expected, close(dtype), |gpu| {
            Ok(vec![
                cuda::linear::forward(gpu, &x, &w, Some(&b), &shape(5))?,
                cuda::linear::forward(gpu, &x, &w, None, &shape(5))?,
                cuda::linear::input_grad(gpu, &g, &w, &shape(7))?,
                cuda::linear::weight_grad(gpu, &x, &g, (7, 5))?,
                cuda::linear::bias_grad(gpu, &g, 5)?,
            ])
        })
        .unwrap();
    }
}

#[test]
fn sums_of_columns_in_bf16_are_rounded_once() {
    let g = sample((300, 33), "g", DType::BF16);
    let expected = linear::bias_grad(&wide(&g)).unwrap();
    prove(&results(&[&expected], DType::BF16), Tolerance::Bytes, |gpu| {
        Ok(vec![cuda::linear::bias_grad(gpu, &g, 33)?])
    })
    .unwrap();
}

#[test]
fn batched_products_are_those_of_the_cpu() {
    for dtype in TYPES {
        let (a, b) = (sample((2, 3, 4, 5), "a", dtype), sample((2, 3, 5, 6), "b", dtype));
        let turned = |x: &Tensor| x.transpose(2, 3).unwrap().contiguous().unwrap();
        let (at, bt) = (turned(&a), turned(&b));
        let expected = products(Matrices::plain(&wide(&a)), Matrices::plain(&wide(&b))).unwrap();
        let expected = results(&[&expected], dtype);
        for (left, right) in [
            (Matrices::plain(&a), Matrices::plain(&b)),
            (Matrices::transposed(&at), Matrices::plain(&b)),
            (Matrices::plain(&a), Matrices::transposed(&bt)),
            (Matrices::transposed(&at), Matrices::transposed(&bt)),
        ] {
            prove(&expected, close(dtype), |gpu| {
                Ok(vec![cuda::batched_matmul::products(gpu, left, right, &[2, 3, 4, 6])?])
            })
            .unwrap();
        }
    }
}

/// A convolution and its gradients through the gates.
fn convolution(input: [usize; 4], weight: [usize; 4], geometry: &Conv2dGeometry) {
    TYPES.iter().for_each(|&dtype| convolution_in(dtype, input, weight, geometry));
}

fn convolution_in(dtype: DType, input: [usize; 4], weight: [usize; 4], geometry: &Conv2dGeometry) {
    let (x, w) = (sample(&input, "x", dtype), sample(&weight, "w", dtype));
    let b = sample(weight[0], "b", dtype);
    let [x32, w32, b32] = [&x, &w, &b].map(wide);
    let y = conv2d::forward(&x32, &w32, Some(&b32), geometry).unwrap();
    let g = sample(y.shape(), "g", dtype);
    let g32 = wide(&g);
    let expected = [
        y,
        conv2d::forward(&x32, &w32, None, geometry).unwrap(),
        conv2d::input_grad(&g32, &w32, &input, geometry).unwrap(),
        conv2d::weight_grad(&x32, &g32, &weight, geometry).unwrap(),
        conv2d::bias_grad(&g32).unwrap(),
    ];
    let expected = results(&expected.each_ref(), dtype);
    prove(&expected, close(dtype), |gpu| {
        Ok(vec![
            cuda::conv2d::forward(gpu, &x, &w, Some(&b), geometry)?,
            cuda::conv2d::forward(gpu, &x, &w, None, geometry)?,
            cuda::conv2d::input_grad(gpu, &g, &w, &input, geometry)?,
            cuda::conv2d::weight_grad(gpu, &x, &g, &weight, geometry)?,
            cuda::conv2d::bias_grad(gpu, &g)?,
        ])
    })
    .unwrap_or_else(|error| panic!("{dtype:?} {input:?} {weight:?} {geometry:?}: {error}"));
}

#[test]
fn convolutions_of_every_geometry_are_those_of_the_cpu() {
    let geometry = Conv2dGeometry::default();
    convolution([1, 1, 1, 1], [1, 1, 1, 1], &geometry);
    convolution([3, 4, 7, 6], [5, 4, 1, 1], &geometry);
    convolution([2, 3, 9, 8], [4, 3, 3, 3], &Conv2dGeometry { padding: (1, 1), ..geometry });
    let strided = Conv2dGeometry { stride: (2, 2), padding: (3, 3), ..geometry };
    convolution([2, 3, 11, 12], [4, 3, 7, 7], &strided);
    // Nothing the same in both directions, and pixels that no tap reads.
    let odd = Conv2dGeometry { stride: (3, 2), padding: (0, 2), dilation: (2, 1), groups: 2 };
    convolution([3, 4, 12, 9], [6, 2, 3, 2], &odd);
    let depthwise = Conv2dGeometry { stride: (2, 2), padding: (2, 2), groups: 5, ..geometry };
    convolution([2, 5, 9, 10], [5, 1, 5, 5], &depthwise);
}

/// A device with convolutions of its own, those of the CPU.
struct OfItsOwn;

impl Gpu for OfItsOwn {
    fn run(&self, call: &Call) -> packlight_kernels::Result<Vec<Tensor>> {
        panic!("{} was called in the place of the device's convolution", call.name)
    }

    fn convolution(
        &self,
        pass: ConvolutionPass,
        [first, second]: [&Tensor; 2],
        shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> packlight_kernels::Result<Option<Tensor>> {
        Ok(Some(match pass {
            ConvolutionPass::Forward => conv2d::forward(first, second, None, geometry)?,
            ConvolutionPass::InputGrad => conv2d::input_grad(first, second, shape, geometry)?,
            ConvolutionPass::WeightGrad => conv2d::weight_grad(first, second, shape, geometry)?,
        }))
    }
}

#[test]
fn a_device_with_convolutions_of_its_own_computes_them() {
    let geometry = &Conv2dGeometry { stride: (2, 1), padding: (1, 0), ..Default::default() };
    let (x, w) = (sample((2, 3, 9, 8), "x", DType::F32), sample((4, 3, 3, 2), "w", DType::F32));
    let bias = sample(4, "b", DType::F32);
    let y = conv2d::forward(&x, &w, Some(&bias), geometry).unwrap();
    let g = sample(y.dims(), "g", DType::F32);
    let found = [
        cuda::conv2d::forward(&OfItsOwn, &x, &w, Some(&bias), geometry).unwrap(),
        cuda::conv2d::input_grad(&OfItsOwn, &g, &w, x.dims(), geometry).unwrap(),
        cuda::conv2d::weight_grad(&OfItsOwn, &x, &g, w.dims(), geometry).unwrap(),
    ];
    let expected = [
        y,
        conv2d::input_grad(&g, &w, x.dims(), geometry).unwrap(),
        conv2d::weight_grad(&x, &g, w.dims(), geometry).unwrap(),
    ];
    for (found, expected) in found.iter().zip(&expected) {
        let apart = (found - expected).unwrap().abs().unwrap().max_all().unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() < 1e-6);
        assert_eq!(found.dims(), expected.dims());
    }
}
