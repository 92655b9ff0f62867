//! What SVD, HOSVD, ASI and QB promise of what they keep.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use asked::{LINEAR, bytes, gradient};
use candle_core::{DType, Device, Tensor};
use common::{distance, energy, indicator, pack, pack_at, sample, values};
use packlight_codec::AxisLayout::{Images, Tokens};
use packlight_codec::{AxisLayout, CodecState, Packed, Site, parse};
use packlight_kernels::conv2d::{self, Conv2dGeometry};
use packlight_kernels::gram::gram;
use packlight_kernels::linear;
use packlight_kernels::mode_product::mode_product;
use packlight_kernels::rng::{Key, Purpose};
use packlight_kernels::symmetric_eigen::symmetric_eigen;

/// A tensor of these lengths and ranks along each axis.
fn of_ranks(shape: &[usize], ranks: &[usize], seed: u64) -> Tensor {
    let mut tensor = sample(ranks, seed);
    for (axis, (&length, &rank)) in shape.iter().zip(ranks).enumerate() {
        tensor =
            mode_product(&tensor, &sample(&[length, rank], seed + 1 + axis as u64), axis).unwrap();
    }
    tensor
}

/// The shares of energy that the first 0, 1, 2, ... singular vectors along an axis carry.
fn shares(x: &Tensor, axis: usize) -> Vec<f64> {
    let eigen = symmetric_eigen(&gram(x, axis).unwrap(), |_| Ok(0)).unwrap();
    let total: f64 = eigen.values.iter().sum();
    let mut sum = 0.0;
    let mut shares = vec![0.0];
    shares.extend(eigen.values.iter().map(|value| {
        sum += value;
        sum / total
    }));
    shares
}

fn fewest(shares: &[f64], energy: f64) -> usize {
    shares.iter().position(|share| *share >= energy).unwrap()
}

#[test]
fn svd_keeps_the_fewest_vectors_that_carry_the_energy() {
    for (shape, axes) in [
        (&[12usize, 3, 5, 4][..], Images),
        (&[40, 2, 2, 3], Images),
        (&[50, 7], Tokens),
        (&[6, 4, 5], Tokens),
        (&[3, 2, 4, 5], Tokens),
    ] {
        let x = sample(shape, 1);
        let packed = pack("svd:0.8", &x, axes);
        let rest: usize = shape[1..].iter().product();
        let shares = shares(&x, 0);
        let k = fewest(&shares, 0.8);
        assert_eq!(packed.bytes().total(), k * (shape[0] + rest) * 8, "{shape:?}");
        let restored = packed.unpack().unwrap();
        assert!((indicator(&restored, &x) - shares[k]).abs() < 1e-12, "{shape:?}");
        assert!(shares[k] >= 0.8 && shares[k - 1] < 0.8);
        let exact = pack("svd:1", &x, axes).unpack().unwrap();
        assert!(distance(&exact, &x) < 1e-13, "{shape:?}");
    }
}

#[test]
fn svd_takes_the_published_bytes() {
    // Two inputs of (64,512,7,7): raw 12.25 MiB; 7.88 and 9.86 MiB, as published for shares of 0.8
    // and 0.9, where the mean K is 41 and 51.
    let mib = |bytes: usize| 2.0 * bytes as f64 / f64::from(1 << 20);
    for (k, published) in [(41, 7.88), (51, 9.86)] {
        let x = mode_product(&sample(&[k, 512, 7, 7], 2), &sample(&[64, k], 3), 0).unwrap();
        let x = x.to_dtype(DType::F32).unwrap();
        // So sharp a threshold leaves out nothing but rounding.
        let packed = pack("svd:0.9999", &x, Images);
        assert_eq!(mib(x.elem_count() * 4), 12.25);
        assert_eq!(packed.bytes().total(), k * (64 + 512 * 49) * 4);
        let found = mib(packed.bytes().total());
        let near = |k: usize| (mib(k * (64 + 512 * 49) * 4) - published).abs();
        assert!(near(k) < near(k - 1) && near(k) < near(k + 1), "{found} MiB, not {published}");
    }
}

#[test]
fn hosvd_keeps_the_fewest_vectors_along_each_axis() {
    for (shape, axes) in [
        (&[9usize, 4, 6, 5][..], Images),
        (&[30, 2, 3, 2], Images),
        (&[20, 7], Tokens),
        (&[6, 4, 5], Tokens),
        (&[3, 2, 4, 5], Tokens),
    ] {
        let x = sample(shape, 3);
        for share in [0.8, 0.9] {
            let packed = pack(&format!("hosvd:{share}"), &x, axes);
            let ranks: Vec<usize> =
                (0..shape.len()).map(|axis| fewest(&shares(&x, axis), share)).collect();
            let factors: usize = shape.iter().zip(&ranks).map(|(d, k)| d * k).sum();
            let elements = ranks.iter().product::<usize>() + factors;
            assert_eq!(packed.bytes().total(), elements * 8, "{shape:?}: {ranks:?}");
            let restored = packed.unpack().unwrap();
            let kept = energy(&restored) / energy(&x);
            assert!((indicator(&restored, &x) - kept).abs() < 1e-12);
            assert!(kept >= 1.0 - shape.len() as f64 * (1.0 - share));
        }
        // One after the other, each axis keeps its share of what is left.
        let restored = pack("hosvd:0.8:st", &x, axes).unpack().unwrap();
        assert!(indicator(&restored, &x) >= 0.8f64.powi(shape.len() as i32));
        for name in ["hosvd:1", "hosvd:1:st"] {
            assert!(distance(&pack(name, &x, axes).unpack().unwrap(), &x) < 1e-13, "{shape:?}");
        }
    }
}

/// Geometries with stride, padding and dilation of their own along each axis, and groups.
fn geometries() -> Vec<(Conv2dGeometry, usize, (usize, usize))> {
    let plain = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let strided = Conv2dGeometry { stride: (2, 2), ..plain };
    let uneven = Conv2dGeometry { stride: (2, 1), padding: (0, 2), dilation: (1, 2), groups: 1 };
    vec![
        (plain, 5, (3, 3)),
        (strided, 5, (3, 3)),
        (uneven, 3, (3, 2)),
        (Conv2dGeometry { stride: (2, 2), ..Default::default() }, 4, (1, 1)),
        (Conv2dGeometry { groups: 6, ..strided }, 6, (3, 3)),
        (Conv2dGeometry { groups: 6, ..plain }, 12, (3, 3)),
        (Conv2dGeometry { groups: 2, ..uneven }, 4, (3, 2)),
    ]
}

const DECOMPOSITIONS: [&str; 5] =
    ["svd:0.8", "hosvd:0.8", "hosvd:0.7:st", "asi:3x4x2x3", "asi:0.8"];

#[test]
fn weight_gradients_are_those_of_the_restored_input() {
    let x = sample(&[5, 6, 9, 8], 4);
    for name in DECOMPOSITIONS {
        let packed = pack(name, &x, Images);
        let restored = packed.unpack().unwrap();
        assert!(distance(&restored, &x) > 0.1, "{name} loses nothing");
        for (geometry, outputs, (kh, kw)) in geometries() {
            let weight = [outputs, 6 / geometry.groups, kh, kw];
            let shape = conv2d::forward(&x, &sample(&weight, 5), None, &geometry).unwrap();
            let grad = sample(shape.dims(), 6);
            let expected = conv2d::weight_grad(&restored, &grad, &weight, &geometry).unwrap();
            let found = gradient(&*packed, asked::conv2d(&weight, &geometry), &grad).unwrap();
            assert!(distance(&found, &expected) < 1e-13, "{name}: {geometry:?}");
        }
    }
    for shape in [&[30usize, 8][..], &[5, 6, 8], &[3, 4, 5, 8]] {
        let ranks = ["2x3", "2x3x4", "2x3x2x4"][shape.len() - 2];
        for name in ["svd:0.8", "hosvd:0.8", "asi:0.8", &format!("asi:{ranks}"), "qb:3"] {
            let x = sample(shape, 7);
            let packed = pack(name, &x, Tokens);
            let grad = sample(&[&shape[..shape.len() - 1], &[3]].concat(), 8);
            let expected = linear::weight_grad(&packed.unpack().unwrap(), &grad).unwrap();
            let found = gradient(&*packed, LINEAR, &grad).unwrap();
            assert!(distance(&found, &expected) < 1e-13, "{name}: {shape:?}");
        }
    }
}

#[test]
fn tensors_of_low_rank_are_exact() {
    let cases: [(&str, &[usize], &[usize], AxisLayout); 6] = [
        ("asi:1x1x1x1", &[4, 5, 6, 7], &[1, 1, 1, 1], Images),
        ("asi:2x3x2x4", &[6, 5, 6, 7], &[2, 3, 2, 4], Images),
        ("asi:9x9x2x9", &[6, 5, 6, 7], &[6, 5, 2, 7], Images),
        ("asi:3x3", &[90, 5], &[3, 3], Tokens),
        ("qb:3", &[40, 9], &[3, 3], Tokens),
        ("qb:4", &[7, 30], &[3, 3], Tokens),
    ];
    for (name, shape, ranks, axes) in cases {
        let x = of_ranks(shape, ranks, 9);
        let packed = pack(name, &x, axes);
        assert!(distance(&packed.unpack().unwrap(), &x) < 1e-12, "{name}");
        let bytes =
            bytes(&*parse(name).unwrap(), LINEAR, axes, shape, DType::F64).unwrap().unwrap();
        assert_eq!(bytes, packed.bytes(), "{name}");
    }
    let x = of_ranks(&[40, 9], &[4, 4], 10);
    assert!(distance(&pack("qb:3", &x, Tokens).unpack().unwrap(), &x) > 1e-3);
    assert_eq!(pack("qb:3", &x, Tokens).bytes().total(), 3 * (40 + 9) * 8);
}

/// The share of energy along each axis that what is remembered carries.
fn captured(x: &Tensor, memory: &CodecState) -> Vec<f64> {
    let along = |axis: usize| {
        let u = memory.get(&format!("factor{axis}")).unwrap();
        energy(&mode_product(x, &u.t().unwrap(), axis).unwrap()) / energy(x)
    };
    (0..x.rank()).map(along).collect()
}

#[test]
fn asi_converges_to_hosvd_and_never_loses_energy() {
    let x = sample(&[8, 6, 7, 5], 11);
    let ranks = [3, 2, 4, 2];
    let mut memory = CodecState::default();
    let mut last = vec![0.0; 4];
    for step in 0..400 {
        pack_at("asi:3x2x4x2", &x, Images, step, &mut memory).unwrap();
        let now = captured(&x, &memory);
        assert!(now.iter().zip(&last).all(|(now, last)| *now > last - 1e-12), "{last:?} {now:?}");
        last = now;
    }
    for axis in 0..4 {
        let best = shares(&x, axis)[ranks[axis]];
        assert!((last[axis] - best).abs() < 1e-6, "axis {axis}: {} for {best}", last[axis]);
    }
}

#[test]
fn asi_chooses_its_ranks_by_the_first_batch() {
    let first = sample(&[8, 6, 7, 5], 12);
    let mut memory = CodecState::default();
    let by_asi = pack_at("asi:0.8", &first, Images, 0, &mut memory).unwrap();
    let by_hosvd = pack("hosvd:0.8", &first, Images);
    assert_eq!(by_asi.bytes(), by_hosvd.bytes());
    assert_eq!(values(&by_asi.unpack().unwrap()), values(&by_hosvd.unpack().unwrap()));
    // Another batch, for which HOSVD would take other ranks, is packed at those of the first.
    let second = (of_ranks(&[8, 6, 7, 5], &[2, 2, 2, 2], 13)
        + (sample(&[8, 6, 7, 5], 14) * 0.01).unwrap())
    .unwrap();
    let packed = pack_at("asi:0.8", &second, Images, 1, &mut memory).unwrap();
    assert_eq!(packed.bytes(), by_asi.bytes());
    assert!(pack("hosvd:0.8", &second, Images).bytes().total() < packed.bytes().total());
}

/// What a layer's input takes at each level that a budget chooses from, and its perplexity.
fn tried(x: &Tensor, seed: u64) -> Vec<(usize, f64)> {
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let (n, c, h, w) = x.dims4().unwrap();
    let grad = sample(&[n, 3, h, w], seed);
    let at = |level: u8| {
        let (key, state) = (Key::new(1, Purpose::Codec), &mut CodecState::default());
        let weight = [3, c, 3, 3];
        let op = asked::conv2d(&weight, &geometry);
        let mut site = Site::new(op, Images, key, state);
        site.level = Some(level);
        let packed = parse("asi:1MiB").unwrap().pack(x, &mut site).unwrap();
        let gradient = gradient(&*packed, op, &grad).unwrap();
        (packed.bytes(), gradient)
    };
    let (raw, exact) = at(0);
    assert_eq!(raw.total(), x.elem_count() * 8);
    let level = |level: u8| {
        let (bytes, gradient) = at(level);
        let by_hosvd = pack(&format!("hosvd:0.{}", level / 10), x, Images);
        assert_eq!(bytes, by_hosvd.bytes());
        (bytes.total(), energy(&(gradient - &exact).unwrap()).sqrt())
    };
    [40, 50, 60, 70, 80, 90].map(level).to_vec()
}

#[test]
fn asi_under_a_budget_has_the_ranks_of_least_perplexity() {
    let noisy = |shape: &[usize], noise: f64, seed| {
        (of_ranks(shape, &[2, 2, 2, 2], seed) + (sample(shape, seed + 1) * noise).unwrap()).unwrap()
    };
    let inputs = [
        noisy(&[8, 6, 7, 5], 0.3, 21),
        noisy(&[8, 4, 9, 9], 2.0, 23),
        noisy(&[8, 9, 5, 5], 9.0, 25),
    ];
    let tried: Vec<_> = inputs.iter().zip(27..).map(|(x, seed)| tried(x, seed)).collect();
    let all = (0..6 * 6 * 6).map(|code| {
        let [a, b, c] = [tried[0][code / 36], tried[1][code / 6 % 6], tried[2][code % 6]];
        ((a.0 + b.0 + c.0) as f64, a.1 + b.1 + c.1)
    });
    let best = |budget: f64| {
        let fitting = all.clone().filter(|(bytes, _)| *bytes <= budget);
        fitting.map(|(_, perplexity)| perplexity).fold(f64::INFINITY, f64::min)
    };
    let sum = |level: usize| tried.iter().map(|levels| levels[level].0).sum::<usize>() as f64;
    let (least, most) = (sum(0), sum(5));
    let mut found = Vec::new();
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        // A part of the budget more for each layer, to which each one's bytes are rounded up.
        let budget = (least + share * (most - least)) * 1.0003;
        let name = format!("asi:{}MiB", budget / f64::from(1 << 20));
        let codec = parse(&name).unwrap();
        let mut memories = vec![CodecState::default(); 3];
        for ((x, tried), memory) in inputs.iter().zip(&tried).zip(&mut memories) {
            let perplexities: Vec<f64> = tried.iter().map(|(_, perplexity)| *perplexity).collect();
            codec.adaptive().unwrap().measured(&perplexities, memory).unwrap();
            let packed = pack_at(&name, x, Images, 0, memory).unwrap();
            assert_eq!(packed.bytes().total(), x.elem_count() * 8, "whole until ranks are chosen");
        }
        codec.adaptive().unwrap().allocate(&mut memories.iter_mut().collect::<Vec<_>>()).unwrap();
        let (mut bytes, mut perplexity) = (0, 0.0);
        for ((x, tried), memory) in inputs.iter().zip(&tried).zip(&mut memories) {
            let taken =
                [1, 2].map(|step| pack_at(&name, x, Images, step, memory).unwrap().bytes().total());
            assert_eq!(taken[0], taken[1]);
            bytes += taken[0];
            perplexity += tried.iter().find(|(bytes, _)| *bytes == taken[0]).unwrap().1;
        }
        assert!(bytes as f64 <= budget, "{bytes} of {budget}");
        assert!(best(budget) <= perplexity && perplexity <= best(budget / 1.0003), "{share}");
        found.push(perplexity);
    }
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");

    let name = format!("asi:{}MiB", 0.5 * least / f64::from(1 << 20));
    let mut memory = CodecState::default();
    let codec = parse(&name).unwrap();
    let adaptive = codec.adaptive().unwrap();
    adaptive.measured(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0], &mut memory).unwrap();
    let mut memories = vec![memory; 3];
    for (x, memory) in inputs.iter().zip(&mut memories) {
        pack_at(&name, x, Images, 0, memory).unwrap();
    }
    // What some of the layers are said to take suffices, and is hardly more than what they take.
    for layers in 1usize..8 {
        let some = || (0..3).filter(|layer| layers >> layer & 1 == 1);
        let mut memories: Vec<_> = some().map(|layer| memories[layer].clone()).collect();
        let mut allocate = |mib: f64| {
            let codec = parse(&format!("asi:{mib}MiB")).unwrap();
            codec.adaptive().unwrap().allocate(&mut memories.iter_mut().collect::<Vec<_>>())
        };
        let refused = allocate(1e-6).unwrap_err().to_string();
        let words = format!("{} layers take ", layers.count_ones());
        let said = refused
            .split(&words)
            .nth(1)
            .and_then(|rest| rest.strip_suffix(" MiB at least; allow more"));
        let said: f64 = said.unwrap_or_else(|| panic!("{refused}")).parse().unwrap();
        let taken =
            some().map(|layer| tried[layer][0].0).sum::<usize>() as f64 / f64::from(1 << 20);
        assert!(taken <= said && said < 1.001 * taken + 1e-4, "{taken}: {refused}");
        allocate(said).unwrap();
    }
}

#[test]
fn asi_uses_a_smaller_batch_without_remembering_it() {
    let batch = |n, seed| of_ranks(&[n, 5, 6, 7], &[2, 2, 2, 2], seed);
    let remembered = |memory: &CodecState| {
        memory.tensors().map(|(_, tensor)| values(tensor)).collect::<Vec<_>>()
    };
    let mut memory = CodecState::default();
    pack_at("asi:3x2x2x2", &batch(8, 15), Images, 0, &mut memory).unwrap();
    let before = remembered(&memory);
    for n in [5, 2, 1] {
        let last = batch(n, 16);
        let packed = pack_at("asi:3x2x2x2", &last, Images, 1, &mut memory).unwrap();
        assert!(distance(&packed.unpack().unwrap(), &last) < 1e-12, "{n}");
        assert_eq!(remembered(&memory), before);
    }
    pack_at("asi:3x2x2x2", &batch(9, 17), Images, 2, &mut memory).unwrap();
    assert_eq!(memory.get("factor0").unwrap().dims(), [9, 3]);
    // What is packed and what is remembered do not share data: each has its own account.
    assert_eq!(memory.bytes(), (9 * 3 + 5 * 2 + 6 * 2 + 7 * 2) * 8);
}

#[test]
fn degenerate_tensors_work_or_are_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let check = |packed: Box<dyn Packed>, x: &Tensor, name: &str| {
        let restored = packed.unpack().unwrap();
        assert_eq!((restored.dtype(), restored.dims()), (x.dtype(), x.dims()));
        assert!(distance(&restored, x) < 1e-5, "{name}");
    };
    for name in ["svd:0.8", "hosvd:0.8", "hosvd:0.8:st", "asi:2x2x2x2", "asi:0.8"] {
        for x in [zeros(&[2, 3, 4, 5]), (zeros(&[3, 2, 4, 4]) + 2.5).unwrap(), zeros(&[1, 1, 1, 1])]
        {
            check(pack(name, &x, Images), &x, name);
        }
        let refused = |x: &Tensor| {
            pack_at(name, x, Images, 0, &mut CodecState::default()).err().unwrap().to_string()
        };
        assert!(refused(&zeros(&[0, 3, 4, 4])).contains("holds nothing"));
        assert!(refused(&zeros(&[3, 4])).contains("(N,C,H,W)"));
        let bad = (zeros(&[2, 2, 2, 2]) + f64::NAN).unwrap();
        assert!(refused(&bad).contains("not finite"), "{}", refused(&bad));
    }
    for name in ["qb:2", "svd:0.8", "hosvd:0.8", "asi:2x2", "asi:0.8"] {
        for x in [zeros(&[3, 4]), (zeros(&[5, 2]) + 1.0).unwrap(), zeros(&[1, 1])] {
            check(pack(name, &x, Tokens), &x, name);
        }
        let bad = (zeros(&[5, 3]) + f64::INFINITY).unwrap();
        assert!(pack_at(name, &bad, Tokens, 0, &mut CodecState::default()).is_err());
    }
    let ranks =
        bytes(&*parse("asi:2x2").unwrap(), LINEAR, Tokens, &[2, 3, 4], DType::F32).unwrap_err();
    assert!(ranks.to_string().contains("2 ranks for 3 axes"), "{ranks}");
    for wrong in [
        "svd",
        "svd:0",
        "svd:1.1",
        "svd:NaN",
        "hosvd:0.8:sq",
        "asi",
        "asi:0x2",
        "asi:4",
        "asi:0MiB",
        "asi:infMiB",
        "qb:0",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
