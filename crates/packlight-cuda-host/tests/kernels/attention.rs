use candle_core::DType;
use packlight_cuda_host::{Tolerance, prove};
use packlight_kernels::dropout::Mask;
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::softmax::Visible;
use packlight_kernels::{attention, cuda};

use crate::{close, results, sample, wide};

#[test]
fn attention_and_its_gradients_are_those_of_the_cpu() {
    let mask = Mask::new(0.2, Key::new(1, Purpose::Dropout).layer("a").step(2)).unwrap();
    let seen = [
        (Visible::default(), None),
        (Visible { lengths: Some(vec![3, 7]), causal: true }, Some(mask)),
    ];
    for (queries, keys, width, features) in
        [(5, 7, 4, 3), (1, 1, 1, 1), (0, 2, 3, 3), (37, 9, 8, 8)]
    {
        let types = [DType::F32, DType::BF16];
        for ((visible, mask), dtype) in
            seen.iter().flat_map(|seen| types.map(|dtype| (seen, dtype)))
        {
            let q = sample((2, 3, queries, width), "q", dtype);
            let k = sample((2, 3, keys, width), "k", dtype);
            let v = sample((2, 3, keys, features), "v", dtype);
            let g = sample((2, 3, queries, features), "g", dtype);
            let [q32, k32, v32, g32] = [&q, &k, &v, &g].map(wide);
            let output = attention::forward(&q32, &k32, &v32, visible, *mask).unwrap();
            let grads = attention::backward(&q32, &k32, &v32, &g32, visible, *mask).unwrap();
            let expected = [vec![output], grads.to_vec()].concat();
            let expected = results(&expected.iter().collect::<Vec<_>>(), dtype);
            // In bf16, scores, probabilities and their gradients are rounded on the way.
            let tolerance = match dtype {
                DType::BF16 => Tolerance::OfLargest(1.0 / 32.0),
                dtype => close(dtype),
            };
            prove(&expected, tolerance, |gpu| {
                let output = cuda::attention::forward(gpu, [&q, &k, &v], visible, *mask)?;
                let grads = cuda::attention::backward(gpu, [&q, &k, &v], &g, visible, *mask)?;
                Ok([vec![output], grads.to_vec()].concat())
            })
            .unwrap();
        }
    }
}
