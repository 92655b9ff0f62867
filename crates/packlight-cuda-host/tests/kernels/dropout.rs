use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::{cuda, dropout};

use crate::{cases, results, sample, wide};

#[test]
fn the_mask_is_that_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 3, 1026, 20_001]) {
        let x = sample(n, "x", dtype);
        let key = Key::new(1, Purpose::Dropout).layer("a").step(3);
        let expected = dropout::apply(&wide(&x), 0.3, key).unwrap();
        let mask = dropout::Mask::new(0.3, key).unwrap();
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::dropout::apply(gpu, &x, &mask, 0)?])
        })
        .unwrap();
        // A part of the tensor has its part of the mask.
        let first = n / 3;
        let (part, expected) =
            (x.narrow(0, first, n - first), expected.narrow(0, first, n - first));
        prove(&results(&[&expected.unwrap()], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::dropout::apply(gpu, part.as_ref().unwrap(), &mask, first)?])
        })
        .unwrap();
    }
}
