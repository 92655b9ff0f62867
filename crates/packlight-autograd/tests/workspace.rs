//! The workspace of a convolution or a linear layer is what the allocator counts while it runs. One test, since all threads
//! of a process share the counter.

#![allow(clippy::unwrap_used)]

use std::alloc::System;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::allocator::{self, Counting};
use packlight_kernels::conv2d::{
    Conv2dGeometry, Workspace, forward, input_grad, weight_grad, workspace,
};
use packlight_kernels::linear;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting::new(System);

/// Lists of indices, which are left out.
const INDICES: usize = 96 << 10;

/// The most bytes that `run` allocates at once beside the tensor that it returns.
fn beside(run: impl Fn() -> Tensor) -> usize {
    run(); // what is allocated once
    let before = allocator::live();
    allocator::reset_peak();
    let result = run();
    allocator::peak() - before - result.elem_count() * result.dtype().size_in_bytes()
}

#[test]
fn kernels_allocate_the_workspace_that_they_say() {
    // One thread, so that as many tasks run as are counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let plain = |stride: usize, padding: usize, groups: usize| Conv2dGeometry {
        stride: (stride, stride),
        padding: (padding, padding),
        groups,
        ..Conv2dGeometry::default()
    };
    let cases: [([usize; 4], [usize; 4], Conv2dGeometry); 9] = [
        ([16, 3, 32, 32], [64, 3, 7, 7], plain(2, 3, 1)),
        ([16, 32, 16, 16], [32, 32, 3, 3], plain(1, 1, 1)), // direct
        ([16, 256, 8, 8], [64, 256, 1, 1], plain(1, 0, 1)),
        ([16, 64, 16, 16], [64, 64, 3, 3], plain(1, 1, 1)), // Winograd by samples
        ([2, 256, 8, 8], [256, 256, 3, 3], plain(1, 1, 1)), // Winograd by pairs of blocks
        ([16, 128, 16, 16], [256, 128, 3, 3], plain(2, 1, 1)), // many weights: the input is laid out
        ([16, 64, 16, 16], [64, 16, 3, 3], plain(1, 1, 4)),    // groups
        ([8, 96, 32, 32], [96, 1, 5, 5], plain(2, 2, 96)),     // depthwise
        ([24, 256, 2, 2], [208, 256, 3, 3], plain(1, 1, 1)),   // small planes
    ];
    for (dtype, (input, weight, geometry)) in
        cases.iter().flat_map(|case| [DType::F32, DType::F64].map(|dtype| (dtype, case)))
    {
        let ones = |shape: &[usize]| Tensor::ones(shape, dtype, &Device::Cpu).unwrap();
        let (x, w) = (ones(input), ones(weight));
        let y = pool.install(|| forward(&x, &w, None, geometry)).unwrap();
        let counted = pool.install(|| Workspace {
            forward: beside(|| forward(&x, &w, None, geometry).unwrap()),
            weight_grad: beside(|| weight_grad(&x, &y, weight, geometry).unwrap()),
            input_grad: beside(|| input_grad(&y, &w, input, geometry).unwrap()),
        });
        let said = pool.install(|| workspace(input, weight, geometry, dtype)).unwrap();
        for (pass, said, counted) in [
            ("forward", said.forward, counted.forward),
            ("weight's gradient", said.weight_grad, counted.weight_grad),
            ("input's gradient", said.input_grad, counted.input_grad),
        ] {
            let of = format!("{pass} of {weight:?} on {input:?} in {dtype:?}");
            println!("{of}: said {said}, counted {counted}");
            let within = said..=said + said / 50 + INDICES;
            assert!(within.contains(&counted), "{of}: {said} said, {counted} counted");
        }
    }
    // A linear layer's weight is copied where it lies in the other order.
    let one = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, y) = (one(&[64, 512]), one(&[64, 384]));
    for (w, transposed) in [(one(&[384, 512]), false), (one(&[512, 384]).t().unwrap(), true)] {
        let said = linear::workspace(w.elem_count(), transposed, DType::F32);
        let (output, by_input) = pool.install(|| {
            (
                beside(|| linear::forward(&x, &w, None).unwrap()),
                beside(|| linear::input_grad(&y, &w).unwrap()),
            )
        });
        for (said, counted) in [(said.forward, output), (said.input_grad, by_input)] {
            assert!((said..=said + INDICES).contains(&counted), "{said} said, {counted} counted");
        }
    }
}
