//! The only source of randomness: Philox4x32-10, a counter-based generator.
//!
//! A stream's numbers are a pure function of its key (seed, purpose, layer, step). Resuming a run
//! therefore needs no saved state, threads can draw in any order, and runs with the same seed see
//! the same numbers. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

/// The purpose of random numbers; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Initial parameters.
    Initialise = 1,
    /// The order of the samples.
    Shuffle = 2,
    /// Crops and flips.
    Augment = 3,
    /// Dropout masks.
    Dropout = 4,
    /// Stochastic codecs.
    Codec = 5,
    /// Inputs of tests and benchmarks.
    Sample = 6,
}

/// The key of a stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    key: u64,
    step: u64,
}

impl Key {
    /// The key for `purpose` under `seed`, at step 0 of no particular layer.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { key: mix(mix(seed) ^ purpose as u64), step: 0 }
    }

    /// The key of one layer, parameter or other named thing.
    pub fn layer(self, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3) // FNV-1a
        });
        Self { key: mix(self.key ^ hash), ..self }
    }

    /// The key of one step.
    pub fn step(self, step: u64) -> Self {
        Self { step, ..self }
    }

    /// The key and the step as two words, from which the device's generator starts.
    pub fn words(self) -> [u64; 2] {
        [self.key, self.step]
    }

    /// The stream from its beginning.
    pub fn stream(self) -> Stream {
        self.stream_at(0)
    }

    /// The stream from its `block`-th group of four numbers on, so that threads can share one.
    pub fn stream_at(self, block: u64) -> Stream {
        Stream { key: self, block, buffer: [0; 4], used: 4 }
    }

    /// The four numbers of each of `N` blocks from the `first` on, as `[number][block]`: those of a
    /// stream, computed side by side in vectors.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // four arrays in step
    pub(crate) fn blocks<const N: usize>(self, first: u64) -> [[u32; N]; 4] {
        // Each word sits in the lower half of a lane; what its upper half holds does not matter.
        let mut words = [[0; N], [0; N], [self.step; N], [self.step >> 32; N]];
        for lane in 0..N {
            words[0][lane] = first.wrapping_add(lane as u64);
            words[1][lane] = first.wrapping_add(lane as u64) >> 32;
        }
        let mut key = [self.key as u32, (self.key >> 32) as u32];
        for _ in 0..ROUNDS {
            for lane in 0..N {
                let first = (words[0][lane] & LOW) * MULTIPLIERS[0];
                let second = (words[2][lane] & LOW) * MULTIPLIERS[1];
                words[0][lane] = (second >> 32) ^ words[1][lane] ^ u64::from(key[0]);
                words[1][lane] = second;
                words[2][lane] = (first >> 32) ^ words[3][lane] ^ u64::from(key[1]);
                words[3][lane] = first;
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let mut numbers = [[0; N]; 4];
        for (numbers, words) in numbers.iter_mut().zip(&words) {
            for (number, word) in numbers.iter_mut().zip(words) {
                *number = *word as u32;
            }
        }
        numbers
    }
}

/// SplitMix64's finaliser, which mixes all bits of `value`.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    key: Key,
    block: u64,
    buffer: [u32; 4],
    used: usize,
}

impl Stream {
    /// A uniform 32-bit number.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let counter = [
                self.block as u32,
                (self.block >> 32) as u32,
                self.key.step as u32,
                (self.key.step >> 32) as u32,
            ];
            self.buffer = philox(counter, [self.key.key as u32, (self.key.key >> 32) as u32]);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// A uniform number in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        let high = u64::from(self.next_u32());
        let low = u64::from(self.next_u32());
        ((high << 32 | low) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A uniform number below `bound`, which must not be 0 (Lemire's multiplication, unbiased).
    pub fn below(&mut self, bound: u32) -> u32 {
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= bound.wrapping_neg() % bound.max(1) {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

pub(crate) const ROUNDS: usize = 10;
pub(crate) const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
pub(crate) const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
/// The lower half of a 64-bit lane.
const LOW: u64 = 0xffff_ffff;

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(counter[0]) * MULTIPLIERS[0];
        let second = u64::from(counter[2]) * MULTIPLIERS[1];
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 ships for philox4x32-10.
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn streams_differ_by_each_part_of_their_key() {
        let key = Key::new(7, Purpose::Dropout);
        let keys = [
            key,
            key.step(1),
            key.layer("a"),
            key.layer("b"),
            Key::new(8, Purpose::Dropout),
            Key::new(7, Purpose::Shuffle),
        ];
        let mut firsts: Vec<u32> = keys.iter().map(|key| key.stream().next_u32()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), keys.len());
    }

    #[test]
    fn a_stream_can_be_entered_anywhere() {
        let key = Key::new(1, Purpose::Sample);
        let mut whole = key.stream();
        let all: Vec<u32> = (0..12).map(|_| whole.next_u32()).collect();
        assert_eq!(key.stream_at(2).next_u32(), all[8]);
    }

    #[test]
    fn blocks_side_by_side_are_the_streams() {
        let key = Key::new(5, Purpose::Codec).layer("a").step(u64::MAX - 3);
        for first in [0, 7, u64::from(u32::MAX) - 2] {
            let blocks = key.blocks::<8>(first);
            let mut stream = key.stream_at(first);
            for block in 0..8 {
                for numbers in &blocks {
                    assert_eq!(numbers[block], stream.next_u32());
                }
            }
        }
    }

    #[test]
    fn moments_and_bounds() {
        let mut stream = Key::new(3, Purpose::Sample).stream();
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 4.0 / f64::from(n).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / f64::from(n)).sqrt(), "{variance}");
        let mut counts = [0u32; 5];
        for _ in 0..n {
            counts[stream.below(5) as usize] += 1;
        }
        let expected = f64::from(n) / 5.0;
        assert!(counts.iter().all(|&c| (f64::from(c) - expected).abs() < 4.5 * expected.sqrt()));
        let mut items: Vec<u32> = (0..50).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
