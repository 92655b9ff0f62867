//! Bit masks, the largest elements, the strongest blocks.

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Host, Tolerance, here, prove};
use packlight_kernels::block_sparse::BlockSparse;
use packlight_kernels::{bit_mask, cuda, largest, top_k};

use crate::{cases, close, results, sample, wide};

/// Numbers of which many are 0 and many have the same magnitude.
fn few_levels(n: usize, dtype: DType) -> Tensor {
    (sample(n, "x", DType::F32) * 1.5).unwrap().round().unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn what_a_mask_keeps_has_the_bytes_of_the_cpu() {
    for (dtype, n) in cases(&[0, 1, 33, 5000]) {
        let x = few_levels(n, dtype);
        let mask = bit_mask::non_zero(&wide(&x)).unwrap();
        let values = bit_mask::compress(&wide(&x), &mask).unwrap();
        let back = bit_mask::expand(&values, &mask, &[n]).unwrap();
        prove(&results(&[&mask, &values, &back], dtype), Tolerance::Bytes, |gpu| {
            let mask = cuda::bit_mask::non_zero(gpu, &x)?;
            let values = cuda::bit_mask::compress(gpu, &x, &mask)?;
            let back = cuda::bit_mask::expand(gpu, &values, &mask, &[n])?;
            Ok(vec![mask, values, back])
        })
        .unwrap();
    }
    if here() {
        let (x, mask) = (sample(9, "x", DType::F32), Tensor::new(&[7u8, 0], &Device::Cpu).unwrap());
        assert!(cuda::bit_mask::expand(&Host::default(), &x, &mask, &[9]).is_err());
    }
}

#[test]
fn the_largest_elements_are_those_of_the_cpu() {
    // Of many pieces, and of equal parts.
    for (x, parts, count) in [
        (few_levels(70_002, DType::F32), 3, 7_000),
        (sample(999, "x", DType::F32), 3, 99),
        (sample(999, "x", DType::BF16), 1, 333),
        (few_levels(999, DType::F32), 1, 999),
        (few_levels(999, DType::F32), 1, 0),
    ] {
        let mask = top_k::mask(&wide(&x), parts, count).unwrap();
        prove(&[mask], Tolerance::Bytes, |gpu| Ok(vec![cuda::top_k::mask(gpu, &x, parts, count)?]))
            .unwrap();
    }
    for (dtype, n) in [(DType::F32, 1), (DType::BF16, 999), (DType::F32, 70_002)] {
        let (x, count) = (few_levels(n, dtype), n / 2);
        let indices = top_k::indices(&wide(&x), count).unwrap();
        let values = top_k::gather(&wide(&x), &indices).unwrap();
        let whole = top_k::largest(&wide(&x), count).unwrap();
        let other = sample(n, "y", dtype);
        let put = top_k::put(&wide(&other), &values, &indices).unwrap();
        let expected = results(&[&indices, &values, &whole, &whole, &put], dtype);
        prove(&expected, Tolerance::Bytes, |gpu| {
            let indices = cuda::top_k::indices(gpu, &x, count)?;
            let values = cuda::top_k::gather(gpu, &x, &indices)?;
            let whole = cuda::top_k::largest(gpu, &x, count)?;
            let scattered = cuda::top_k::scatter(gpu, &values, &indices, &[n])?;
            let put = cuda::top_k::put(gpu, &other, &values, &indices)?;
            Ok(vec![indices, values, whole, scattered, put])
        })
        .unwrap();
    }
    let odd = [1.0, f32::INFINITY, -0.0, f32::NAN, f32::NEG_INFINITY, 1e-45];
    let odd = Tensor::new(&odd, &Device::Cpu).unwrap();
    for count in [1, 3, 5] {
        let indices = top_k::indices(&odd, count).unwrap();
        prove(&[indices], Tolerance::Bytes, |gpu| {
            Ok(vec![cuda::top_k::indices(gpu, &odd, count)?])
        })
        .unwrap();
    }
    if here() {
        let beyond = Tensor::new(&[6u32], &Device::Cpu).unwrap();
        assert!(cuda::top_k::gather(&Host::default(), &odd, &beyond).is_err());
    }
}

#[test]
fn the_largest_magnitude_is_that_of_the_cpu() {
    if !here() {
        return;
    }
    let of = |x: &Tensor| cuda::largest::largest(&Host::default(), x).unwrap();
    for (dtype, n) in cases(&[0, 1, 33, 70_001]) {
        let x = sample(n, "x", dtype);
        assert_eq!(of(&x), largest::largest(&wide(&x)).unwrap());
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for count in [1, 70_001] {
            let mut values = vec![1.0; count];
            values[count / 2] = bad;
            assert!(!of(&Tensor::new(values, &Device::Cpu).unwrap()).is_finite());
        }
    }
}

#[test]
fn the_strongest_blocks_are_those_of_the_cpu() {
    for (rows, columns, block, count, dtype) in [
        (10, 13, 4, 5, DType::F32),
        (8, 8, 4, 4, DType::BF16),
        (3, 3, 8, 1, DType::F32),
        (1, 1, 1, 0, DType::F32),
    ] {
        let (x, g) = (sample((rows, columns), "x", dtype), sample((rows, 3), "g", dtype));
        let packed = BlockSparse::pack(&wide(&x), rows, block, count).unwrap();
        let back = packed.unpack(&[rows, columns]).unwrap();
        let across = columns.div_ceil(block);
        let grid = (rows.div_ceil(block), across);
        let pointers = packed.pointers.to_vec1::<u32>().unwrap();
        let own = pointers.windows(2).enumerate();
        let rows_of = own.flat_map(|(row, ends)| (ends[0]..ends[1]).map(move |_| row));
        let columns_of = packed.columns.to_vec1::<u32>().unwrap();
        let places: Vec<usize> =
            rows_of.zip(columns_of).map(|(row, column)| row * across + column as usize).collect();
        let narrow = |t: &Tensor| t.to_dtype(dtype).unwrap();
        let theirs = BlockSparse { blocks: narrow(&packed.blocks), ..packed.clone() };
        prove(&results(&[&packed.blocks, &back], dtype), Tolerance::Bytes, |gpu| {
            Ok(vec![
                cuda::block_sparse::blocks(gpu, &x, (rows, columns), block, &places)?,
                cuda::block_sparse::unpack(gpu, &theirs, &[rows, columns])?,
            ])
        })
        .unwrap();
        let gradient = packed.linear_weight_grad(&wide(&g)).unwrap();
        prove(&results(&[&gradient], dtype), close(dtype), |gpu| {
            Ok(vec![cuda::block_sparse::linear_weight_grad(gpu, &theirs, &g)?])
        })
        .unwrap();
        // The scores say the same: whoever is kept is no weaker than whoever is not.
        if here() {
            let host = Host::default();
            let scores =
                cuda::block_sparse::scores(&host, &x, (rows, columns), block, grid).unwrap();
            let of = |at: usize| if places.contains(&at) { scores[at] } else { f64::INFINITY };
            let weakest = (0..scores.len()).map(of).fold(f64::INFINITY, f64::min);
            let others = (0..scores.len()).filter(|at| !places.contains(at));
            assert!(others.map(|at| scores[at]).all(|score| score <= weakest));
        }
    }
}
