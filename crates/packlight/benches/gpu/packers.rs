//! Packers in bytes a second, beside a copy on the device in the same run.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use packlight::codec::{self, AxisLayout, CodecState, Op, Site};
use packlight::kernels::relu;
use packlight::kernels::rng::{Key, Purpose};

use crate::figures::{Packers, Rate};

/// Those that pack in one pass over memory.
const CODECS: [&str; 6] = ["q2", "q4", "q8", "pool2", "bf16", "fp8:e5m2"];
/// The activation behind the first stage of a ResNet-50, of 64 images.
const SHAPE: (usize, usize, usize, usize) = (64, 256, 56, 56);
const SMALL: (usize, usize, usize, usize) = (2, 8, 16, 16);
const ROUNDS: usize = 10;

/// Measures all packers.
pub(crate) fn measure(device: &Device, small: bool) -> anyhow::Result<Packers> {
    let shape = if small { SMALL } else { SHAPE };
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    let input = &normal(count, device)?.reshape(shape)?;
    let raw = count * DType::F32.size_in_bytes();
    let copy = rate(device, 2 * raw, || Ok(input.copy().map(drop)?))?;
    println!("\nPackers beside a copy of {:.1} GB/s", copy / 1e9);
    println!("{:<18} {:>14} {:>8}", "", "bytes", "/ copy");
    let mut rates = Vec::new();
    let mut push = |packer: String, bytes_per_s: f64| {
        println!("{packer:<18} {:>9.1} GB/s {:>8.2}", bytes_per_s / 1e9, bytes_per_s / copy);
        rates.push(Rate { packer, bytes_per_s });
    };
    for spec in CODECS {
        let codec = codec::parse(spec)?;
        let mut state = CodecState::default();
        let key = Key::new(0, Purpose::Codec);
        let mut pack = || {
            let site = &mut Site::new(Op::Relu, AxisLayout::Images, key, &mut state);
            codec.pack(input, site)
        };
        let packed = pack()?;
        let bytes = raw + packed.bytes().total();
        push(format!("{spec}, pack"), rate(device, bytes, || Ok(pack().map(drop)?))?);
        push(format!("{spec}, unpack"), rate(device, bytes, || Ok(packed.unpack().map(drop)?))?);
    }
    let masked = 2 * raw + count.div_ceil(8);
    push("relu and mask".into(), rate(device, masked, || Ok(relu::forward(input).map(drop)?))?);
    let (_, mask) = relu::forward(input)?;
    let unmask = || Ok(relu::backward(input, &mask).map(drop)?);
    push("relu's gradient".into(), rate(device, masked, unmask)?);
    Ok(Packers { copy, rates })
}

/// So many numbers from a normal distribution: some, over and over.
fn normal(count: usize, device: &Device) -> candle_core::Result<Tensor> {
    let mut random = Key::new(0, Purpose::Sample).stream();
    let some: Vec<f32> = (0..1 << 16).map(|_| random.normal() as f32).collect();
    let all: Vec<f32> = some.iter().copied().cycle().take(count).collect();
    Tensor::from_vec(all, count, device)
}

/// The bytes a second of what moves so many of them, after a round that obtains memory and loads code.
fn rate(
    device: &Device,
    bytes: usize,
    mut run: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    run()?;
    device.synchronize()?;
    let begun = Instant::now();
    (0..ROUNDS).try_for_each(|_| run())?;
    device.synchronize()?;
    Ok((ROUNDS * bytes) as f64 / begun.elapsed().as_secs_f64())
}
