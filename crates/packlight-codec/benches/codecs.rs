//! Nanoseconds a value that each codec of the registry takes to pack and to unpack, and the bits it
//! keeps.
//!
//! Rectified values of the size of a convolution's input at width 64 and batch 64, as images where
//! the codec packs images, otherwise as tokens of 64 features. Of a codec that keeps a derivative
//! alone, `unpack` is the gradient of the activation function. As many threads as
//! `RAYON_NUM_THREADS` says or the machine has.

use std::time::Instant;

use candle_core::{Device, Tensor};
use mimalloc::MiMalloc;
use packlight_codec::registry::CODECS;
use packlight_codec::{AxisLayout, Codec, CodecState, Op, Packed, Result, Site, parse};
use packlight_kernels::conv2d::Conv2dGeometry;
use packlight_kernels::rng::{Key, Purpose};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const IMAGES: [usize; 4] = [64, 64, 32, 32];
const TOKENS: [usize; 2] = [65_536, 64];
const TIMES: usize = 15;

/// What is packed, and as what.
struct Case {
    x: Tensor,
    axes: AxisLayout,
    op: Op<'static>,
}

fn main() -> Result<()> {
    let mut stream = Key::new(0, Purpose::Sample).stream();
    let count = IMAGES.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|_| stream.normal().max(0.0) as f32).collect();
    let images = Tensor::from_vec(values, &IMAGES, &Device::Cpu)?;
    let tokens = images.reshape(&TOKENS)?;
    let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
    let conv = Op::Conv2d { weight_shape: &[64, 64, 3, 3], geometry };
    let linear = Op::Linear { weight_shape: &[64, 64] };
    let cases = [
        Case { x: images, axes: AxisLayout::Images, op: conv },
        Case { x: tokens, axes: AxisLayout::Tokens, op: linear },
    ];
    println!("{:<14} {:>8} {:>8} {:>10}", "", "pack ns", "unpack", "bits/value");
    for name in CODECS.iter().flat_map(|entry| entry.examples) {
        let codec = parse(name)?;
        let fits = |case: &&Case| {
            let state = &mut CodecState::default();
            let site = Site::new(case.op, case.axes, Key::new(0, Purpose::Codec), state);
            codec.bytes(&site, case.x.dims(), case.x.dtype()).is_ok()
        };
        let Some(case) = cases.iter().find(fits) else {
            println!("{name:<14} packs neither");
            continue;
        };
        let (mut packing, mut unpacking, mut bits) = (Vec::new(), Vec::new(), 0.0);
        let mut state = CodecState::default();
        for step in 0..TIMES {
            let (pack, unpack, bytes) = once(&*codec, case, step, &mut state)?;
            packing.push(1e9 * pack / count as f64);
            unpacking.push(1e9 * unpack / count as f64);
            bits = 8.0 * bytes as f64 / count as f64;
        }
        let median = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[TIMES / 2]
        };
        let (packing, unpacking) = (median(packing), median(unpacking));
        println!("{name:<14} {packing:>8.2} {unpacking:>8.2} {bits:>10.3}");
    }
    Ok(())
}

/// Seconds to pack, seconds to unpack, bytes.
fn once(
    codec: &dyn Codec,
    case: &Case,
    step: usize,
    state: &mut CodecState,
) -> Result<(f64, f64, usize)> {
    let key = Key::new(0, Purpose::Codec).step(step as u64);
    let begun = Instant::now();
    let packed = codec.pack(&case.x, &mut Site::new(case.op, case.axes, key, state))?;
    let packing = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let restored = restore(&*packed, &case.x)?;
    let unpacking = begun.elapsed().as_secs_f64();
    drop(restored);
    Ok((packing, unpacking, packed.bytes().total()))
}

/// The tensor, or else the gradient of the activation function whose derivative is kept.
fn restore(packed: &dyn Packed, grad: &Tensor) -> Result<Tensor> {
    let derivative = || {
        let gradients = [Op::Gelu, Op::Silu].map(|op| packed.gradient(op, grad));
        gradients.into_iter().flatten().flatten().next()
    };
    packed.unpack().or_else(|error| derivative().ok_or(error))
}
