//! Nanoseconds a value that each codec takes to pack and to unpack images, and the bits it keeps.
//!
//! Inputs of the size of a convolution's at width 64 and batch 64, rectified; as many threads as
//! `RAYON_NUM_THREADS` says or the machine has.

use std::time::Instant;

use candle_core::{Device, Tensor};
use mimalloc::MiMalloc;
use packlight_codec::registry::CODECS;
use packlight_codec::{AxisLayout, Codec, CodecState, Context, Result, parse};
use packlight_kernels::rng::{Key, Purpose};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SHAPE: [usize; 4] = [64, 64, 32, 32];
const TIMES: usize = 15;

fn main() -> Result<()> {
    let mut stream = Key::new(0, Purpose::Sample).stream();
    let count = SHAPE.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|_| stream.normal().max(0.0) as f32).collect();
    let x = Tensor::from_vec(values, &SHAPE, &Device::Cpu)?;
    println!("{:<14} {:>8} {:>8} {:>10}", "", "pack ns", "unpack", "bits/value");
    for name in CODECS.iter().flat_map(|entry| entry.examples) {
        let codec = parse(name)?;
        let (mut packing, mut unpacking, mut bits) = (Vec::new(), Vec::new(), 0.0);
        let mut memory = CodecState::default();
        for step in 0..TIMES {
            let (pack, unpack, bytes) = once(&*codec, &x, step, &mut memory)?;
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
    x: &Tensor,
    step: usize,
    memory: &mut CodecState,
) -> Result<(f64, f64, usize)> {
    let key = Key::new(0, Purpose::Codec).step(step as u64);
    let begun = Instant::now();
    let packed = codec.pack(x, &mut Context { axes: AxisLayout::Images, key, state: memory })?;
    let packing = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let restored = packed.unpack()?;
    let unpacking = begun.elapsed().as_secs_f64();
    drop(restored);
    Ok((packing, unpacking, packed.bytes().total()))
}
