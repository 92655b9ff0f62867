//! Running ranges: what they are, what lies within them and what does not.

#![allow(clippy::unwrap_used)]

mod quantising;

use candle_core::{Device, Tensor};
use packlight_codec::{AxisLayout, CodecState, Op, Site, parse};
use packlight_kernels::rng::{Key, Purpose};
use quantising::{pack_with, sample, values};

fn ranges(memory: &CodecState) -> Vec<f64> {
    values(memory.get("ranges").unwrap())
}

#[test]
fn the_first_step_takes_the_batchs_own_range_and_later_ones_a_tenth() {
    // Two groups of channels, the second of one channel.
    let x = sample(&[4, 65, 3, 3]);
    let memory = &mut CodecState::default();
    let restored = values(&pack_with("mesa", &x, 0, memory).unpack().unwrap());
    let first = ranges(memory);
    assert_eq!(first.len(), 4);
    for (i, (x, restored)) in values(&x).into_iter().zip(restored).enumerate() {
        let [offset, range] =
            if i / 9 % 65 < 64 { [first[0], first[1]] } else { [first[2], first[3]] };
        assert!(offset <= x && x <= offset + range * (1.0 + 1e-6));
        assert!((x - restored).abs() <= range / 255.0 * 1.001);
    }
    pack_with("mesa", &(&x * 3.0).unwrap(), 1, memory);
    for (now, before) in ranges(memory).into_iter().zip(first) {
        assert!((now - (0.9 * before + 0.1 * 3.0 * before)).abs() < 1e-5);
    }
}

#[test]
fn each_head_has_a_range_of_its_own_whatever_the_number_of_tokens() {
    let scales = Tensor::new(&[1f32, 100.0, 1e4], &Device::Cpu).unwrap();
    let scales = scales.reshape((1, 3, 1, 1)).unwrap();
    let memory = &mut CodecState::default();
    for (step, tokens) in [5, 4].into_iter().enumerate() {
        let x = sample(&[2, 3, tokens, 7]).broadcast_mul(&scales).unwrap();
        let key = Key::new(1, Purpose::Codec).step(step as u64);
        let site = &mut Site::new(Op::Matmul, AxisLayout::Heads, key, memory);
        let packed = parse("mesa").unwrap().pack(&x, site).unwrap();
        assert_eq!((packed.bytes().payload, packed.bytes().metadata), (2 * 3 * tokens * 7, 3 * 8));
        let restored = values(&packed.unpack().unwrap());
        let ranges = ranges(memory);
        assert_eq!(ranges.len(), 2 * 3);
        for (i, (x, restored)) in values(&x).into_iter().zip(restored).enumerate() {
            let head = i / (tokens * 7) % 3;
            let [offset, range] = [ranges[2 * head], ranges[2 * head + 1]];
            assert!(range < 10.0 * 100f64.powi(head as i32));
            let inside = x.clamp(offset, offset + range);
            assert!((inside - restored).abs() <= range / 255.0 * 1.001);
        }
    }
}

#[test]
fn beyond_the_running_range_lies_the_nearest_code() {
    let wide = Tensor::new(&[[-10f32, 10.0, 0.0]], &Device::Cpu).unwrap();
    let memory = &mut CodecState::default();
    pack_with("mesa", &wide, 0, memory);
    let x = Tensor::new(&[[0.3f32, -5.21, 50.0], [7.77, 1.0, -50.0]], &Device::Cpu).unwrap();
    let restored = values(&pack_with("mesa", &x, 1, memory).unpack().unwrap());
    let range = ranges(memory);
    assert!((range[0] + 14.0).abs() < 1e-5 && (range[1] - 28.0).abs() < 1e-5);
    for (exact, restored) in values(&x).into_iter().zip(restored) {
        let inside = exact.clamp(range[0], range[0] + range[1]);
        let steps = (restored - inside).abs() / (range[1] / 255.0);
        assert!(steps < if inside == exact { 1.0 } else { 1e-4 }, "{exact}: {restored}");
    }
}

#[test]
fn a_batch_that_is_not_finite_leaves_the_running_range() {
    let memory = &mut CodecState::default();
    pack_with("mesa", &sample(&[4, 8]), 0, memory);
    let before = ranges(memory);
    let bad = Tensor::new(&[[f32::NAN, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    let restored = values(&pack_with("mesa", &bad, 1, memory).unpack().unwrap());
    assert!(restored.iter().all(|x| x.is_nan()));
    assert_eq!(ranges(memory), before);
    // Other sizes at the same layer start anew, and nothing at all is packed too.
    pack_with("mesa", &sample(&[4, 80]), 2, memory);
    assert_eq!(ranges(memory).len(), 4);
    let empty = sample(&[0, 80]);
    assert_eq!(pack_with("mesa", &empty, 3, memory).unpack().unwrap().dims(), [0, 80]);
}
