use candle_core::DType;
use packlight_cuda_host::prove;
use packlight_kernels::dropout::Mask;
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::softmax::Visible;
use packlight_kernels::{attention, cuda};

use crate::{close, sample};

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
        for (visible, mask) in &seen {
            let q = sample((2, 3, queries, width), "q", DType::F32);
            let k = sample((2, 3, keys, width), "k", DType::F32);
            let v = sample((2, 3, keys, features), "v", DType::F32);
            let g = sample((2, 3, queries, features), "g", DType::F32);
            let output = attention::forward(&q, &k, &v, visible, *mask).unwrap();
            let grads = attention::backward(&q, &k, &v, &g, visible, *mask).unwrap();
            let expected = [vec![output], grads.to_vec()].concat();
            prove(&expected, close(DType::F32), |gpu| {
                let output = cuda::attention::forward(gpu, [&q, &k, &v], visible, *mask)?;
                let grads = cuda::attention::backward(gpu, [&q, &k, &v], &g, visible, *mask)?;
                Ok([vec![output], grads.to_vec()].concat())
            })
            .unwrap();
        }
    }
}
