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
        let threshold = (0.3 * 2f64.powi(32)) as u32;
        prove(&results(&[&expected], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::dropout::apply(gpu, &x, threshold, (1.0 / 0.7) as f32, key)?])
        })
        .unwrap();
    }
}
