//! The gates themselves: each finds the fault that is planted for it (`shim/faults.cu`), and lets pass what
//! is right.

use candle_core::{DType, Device, Tensor};
use packlight_cuda_host::{Host, Order, Tolerance, here, prove};
use packlight_kernels::Result;
use packlight_kernels::cuda::{Call, Gpu, Launch, THREADS};
use packlight_kernels::rng::{Key, Purpose};

use crate::sample;

const BLOCK: usize = THREADS as usize;

/// A call with these arguments for a number of elements.
fn call(name: &'static str, count: usize) -> Call {
    Call::plain(name, Launch::elements(count))
}

/// What a gate says about a kernel that should not pass; the message holds this.
fn assert_found(says: &str, expected: &Tensor, kernel: impl Fn(&dyn Gpu) -> Result<Vec<Tensor>>) {
    if here() {
        let error = prove(std::slice::from_ref(expected), Tolerance::Bytes, kernel).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

fn ones(count: usize, dtype: DType) -> Tensor {
    Tensor::ones(count, dtype, &Device::Cpu).unwrap()
}

fn reversed(x: &Tensor) -> Tensor {
    let at: Vec<u32> = (0..x.elem_count() as u32).map(|i| i ^ 255).collect();
    x.index_select(&Tensor::new(at, &Device::Cpu).unwrap(), 0).unwrap()
}

#[test]
fn results_that_are_not_the_cpus_are_found() {
    let x = sample(5, "x", DType::F32);
    let other = (&x * 1.001).unwrap();
    let halves = |gpu: &dyn Gpu| {
        let [_, wide] =
            call("sound_bf16", 5).input(&x).output_of(DType::BF16, 5).output(5).size(5).run(gpu)?;
        Ok(vec![wide])
    };
    if here() {
        prove(std::slice::from_ref(&other), Tolerance::Relative(0.01), halves).unwrap();
        prove(std::slice::from_ref(&other), Tolerance::OfLargest(0.01), halves).unwrap();
        for tolerance in [Tolerance::Bytes, Tolerance::Relative(1e-5), Tolerance::OfLargest(1e-5)] {
            let error = prove(std::slice::from_ref(&other), tolerance, halves).unwrap_err();
            assert!(error.contains("elements differ"), "{error}");
        }
    }
}

#[test]
fn a_missing_barrier_is_found() {
    let x = sample(2 * BLOCK, "x", DType::F32);
    let run = |gpu: &dyn Gpu| -> Result<Vec<Tensor>> {
        Ok(Call::plain("fault_barrier", Launch::blocks(2))
            .input(&x)
            .output(2 * BLOCK)
            .run::<1>(gpu)?
            .into())
    };
    assert_found("differ", &reversed(&x), run);
    if here() {
        // No order alone is right, and no two agree.
        let of =
            |order| run(&Host { order, ..Host::default() }).unwrap()[0].to_vec1::<f32>().unwrap();
        let all = [Order::Forward, Order::Backward, Order::Shuffled].map(of);
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    }
}

#[test]
fn a_missing_barrier_before_shared_memory_is_used_again_is_found() {
    let x = sample(BLOCK, "x", DType::F32);
    let values = x.to_vec1::<f32>().unwrap();
    let most = values.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
    let least = values.iter().fold(f32::INFINITY, |low, &x| low.min(x));
    let expected = Tensor::full(most + 1000.0 * -least, BLOCK, &Device::Cpu).unwrap();
    assert_found("differ", &expected, |gpu| {
        Ok(call("fault_barrier_between", BLOCK).input(&x).output(BLOCK).run::<1>(gpu)?.into())
    });
}

#[test]
fn a_step_past_either_kind_of_memory_is_found() {
    let bytes = ones(100, DType::U8);
    assert_found("heap-buffer-overflow", &ones(100, DType::F32), |gpu| {
        Ok(call("fault_write", 100).output(100).size(100).run::<1>(gpu)?.into())
    });
    if here() && Host::has_sanitizers() {
        let host = Host { sanitized: true, ..Host::default() };
        let read = call("fault_read", 100).input_of(DType::U8, &bytes).output_of(DType::U8, 100);
        let error = read.size(100).run::<1>(&host).unwrap_err().to_string();
        assert!(error.contains("heap-buffer-overflow") && error.contains("faults.cu"), "{error}");
    }
    assert_found("heap-buffer-overflow", &ones(BLOCK, DType::F32), |gpu| {
        let launch = Launch::blocks(1).shared(8 * 4);
        Ok(Call::plain("fault_shared", launch).output(BLOCK).run::<1>(gpu)?.into())
    });
}

#[test]
fn undefined_arithmetic_is_found() {
    let expected: Vec<u32> = (0..32).map(|i| if i < 31 { 2 << i } else { 1 }).collect();
    assert_found("shift exponent 32", &Tensor::new(expected, &Device::Cpu).unwrap(), |gpu| {
        Ok(call("fault_shift", 32).output_of(DType::U32, 32).size(32).run::<1>(gpu)?.into())
    });
}

#[test]
fn elements_that_are_not_written_are_found() {
    assert_found("elements differ", &ones(10, DType::F32), |gpu| {
        Ok(call("fault_unwritten", 10).output(10).size(10).run::<1>(gpu)?.into())
    });
}

#[test]
fn results_that_depend_on_the_number_of_blocks_are_found() {
    let count = 5 * BLOCK;
    let fives = Tensor::full(5f32, count, &Device::Cpu).unwrap();
    assert_found("or the blocks matter", &fives, |gpu| {
        Ok(call("fault_grid", count).output(count).size(count).run::<1>(gpu)?.into())
    });
}

#[test]
fn what_would_wait_forever_is_said() {
    for (name, dtype, says) in [
        ("fault_diverged", DType::F32, "216 threads (the first is 40) have ended; 40 threads"),
        ("fault_lanes", DType::U32, "wait for the lanes ffffffff at faults.cu:"),
        ("fault_lane", DType::U32, "a lane reads from lane 20, which takes no part, at faults.cu:"),
    ] {
        assert_found(says, &ones(BLOCK, dtype), |gpu| {
            Ok(call(name, BLOCK).output_of(dtype, BLOCK).run::<1>(gpu)?.into())
        });
    }
}

#[test]
fn arguments_that_are_not_the_kernels_are_found() {
    if !here() {
        return;
    }
    let host = Host::default();
    let says = |call: Call| call.run::<1>(&host).unwrap_err().to_string();
    let error = says(call("fault_write", 3).output(3).u32(3));
    assert!(error.contains("takes (out32 size), not (out32 u32)"), "{error}");
    let error = says(call("fault_write", 3).output_of(DType::BF16, 3).size(3));
    assert!(error.contains("not (out16 size)"), "{error}");
    assert!(says(call("nothing", 3).output(3)).contains("there is no kernel `nothing_kernel`"));
}

#[test]
fn diverged_warps_votes_reductions_and_shared_memory_work() {
    let half = |first: u32| (first..first + 16).sum::<u32>();
    let expected: Vec<u32> = (0..THREADS).map(|t| half(t / 16 * 16)).collect();
    prove(&[Tensor::new(expected, &Device::Cpu).unwrap()], Tolerance::Bytes, |gpu| {
        Ok(call("sound_halves", BLOCK).output_of(DType::U32, BLOCK).run::<1>(gpu)?.into())
    })
    .unwrap();

    let x = sample((5, BLOCK), "x", DType::F32);
    let (mut expected, mut positive) = (Vec::new(), Vec::new());
    for row in x.to_vec2::<f32>().unwrap() {
        let sum = row.iter().map(|&x| f64::from(x)).sum::<f64>() as f32;
        let least = row.iter().fold(f32::INFINITY, |low, &x| low.min(x));
        let greatest = row.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
        expected.extend(row.iter().rev().map(|x| x + sum + least + greatest));
        positive.push(row.iter().filter(|x| **x > 0.0).count() as u32);
    }
    let expected = [
        Tensor::from_vec(expected, (5, BLOCK), &Device::Cpu).unwrap(),
        Tensor::new(positive, &Device::Cpu).unwrap(),
    ];
    prove(&expected, Tolerance::OfLargest(1e-6), |gpu| {
        let launch = Launch::blocks(5).shared(4 * THREADS);
        let call = Call::plain("sound_block", launch).input(&x).output((5, BLOCK));
        Ok(call.output_of(DType::U32, 5).run::<2>(gpu)?.into())
    })
    .unwrap();
}

#[test]
fn indices_are_right_beyond_32_bits() {
    // Only the last block runs, and only on indices: no memory is as large as the tensor.
    let host = Host { last_block_only: true, ..Host::default() };
    for count in [1, 255, 257, (1usize << 24) + 3, (1 << 31) - 1, (1 << 31) + 1, (1 << 33) + 12_345]
    {
        if !here() {
            return;
        }
        let launch = Launch::elements(count);
        let call = Call::plain("sound_indices", launch).output_of(DType::I64, BLOCK).size(count);
        let [sums] = call.run(&host).unwrap();
        let sums = sums.to_vec1::<i64>().unwrap();
        let step = u64::from(launch.blocks) * u64::from(THREADS);
        for (thread, sum) in sums.into_iter().enumerate() {
            let first = u64::from(launch.blocks - 1) * u64::from(THREADS) + thread as u64;
            let turns = (count as u64).saturating_sub(first).div_ceil(step);
            let expected = turns * first + step * (turns * turns.saturating_sub(1) / 2);
            assert_eq!(sum as u64, expected, "{count} {thread}");
        }
    }
}

#[test]
fn random_numbers_and_halves_have_the_bits_of_the_cpu() {
    let key = Key::new(7, Purpose::Codec).layer("a").step(u64::MAX - 3);
    for first in [0, u64::from(u32::MAX) - 2] {
        let mut stream = key.stream_at(first);
        let expected: Vec<u32> = (0..4 * 37).map(|_| stream.next_u32()).collect();
        let [secret, step] = key.words();
        prove(&[Tensor::new(expected, &Device::Cpu).unwrap()], Tolerance::Bytes, |gpu| {
            let call = call("sound_philox", 37).output_of(DType::U32, 4 * 37);
            Ok(call.u64(secret).u64(step).u64(first).size(37).run::<1>(gpu)?.into())
        })
        .unwrap();
    }
    let mut values = sample(1000, "x", DType::F32).to_vec1::<f32>().unwrap();
    values.extend([
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::MAX,
        1e-40,
        f32::from_bits(0x3f80_8000),
    ]);
    values.extend([f32::from_bits(0x3f81_8000), f32::from_bits(0xff80_0001)]);
    let count = values.len();
    let x = Tensor::new(values, &Device::Cpu).unwrap();
    let halves = x.to_dtype(DType::BF16).unwrap();
    let wide = halves.to_dtype(DType::F32).unwrap();
    prove(&[halves, wide], Tolerance::Bytes, |gpu| {
        let call = call("sound_bf16", count).input(&x).output_of(DType::BF16, count);
        Ok(call.output(count).size(count).run::<2>(gpu)?.into())
    })
    .unwrap();
}
