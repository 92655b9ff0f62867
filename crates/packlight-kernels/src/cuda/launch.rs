//! How many blocks and threads a kernel runs on: the only place that decides it, for the device and
//! the tests alike.

/// Threads of a block, as in `common.cuh`.
pub const THREADS: u32 = 256;
/// Threads of a warp.
const LANES: u32 = 32;
/// Blocks of a launch: enough to fill any device, few enough for every index of a block and its
/// threads to fit 32 bits. What is left over is taken in further turns.
const MOST_BLOCKS: u64 = 1 << 16;

/// Blocks of [`THREADS`] threads, which run through a number of things by turns (`each_...` in
/// `common.cuh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// The number of blocks.
    pub blocks: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
}

impl Launch {
    /// A thread for each of `count` elements (`each_element`).
    pub fn elements(count: usize) -> Self {
        Self::of(count.div_ceil(THREADS as usize))
    }

    /// A warp for each of `count` rows (`each_of_warp`).
    pub fn warps(count: usize) -> Self {
        Self::of(count.div_ceil((THREADS / LANES) as usize))
    }

    /// A block for each of `count` rows (`each_of_block`).
    pub fn blocks(count: usize) -> Self {
        Self::of(count)
    }

    /// The same with this many bytes of dynamic shared memory.
    pub fn shared(self, bytes: u32) -> Self {
        Self { shared: bytes, ..self }
    }

    fn of(blocks: usize) -> Self {
        Self { blocks: (blocks as u64).min(MOST_BLOCKS) as u32, shared: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last of `count` things, and how often each is reached, by arithmetic alone:
    /// `workers` take `worker, worker + workers, ...`.
    fn covers(count: u64, workers: u64) -> bool {
        // Each number below `count` is reached once, by the worker of its remainder.
        let last = count - 1;
        workers > 0 && last % workers < workers && last / workers < 1 << 47
    }

    #[test]
    fn every_element_has_a_thread_and_no_block_is_idle() {
        for count in [1, 31, 255, 256, 257, 65_537, 1 << 24, (1 << 31) - 1, (1 << 31) + 1, 1 << 48]
        {
            for (launch, at_once) in [
                (Launch::elements(count), u64::from(THREADS)),
                (Launch::warps(count), u64::from(THREADS / LANES)),
                (Launch::blocks(count), 1),
            ] {
                let (count, blocks) = (count as u64, u64::from(launch.blocks));
                assert!(covers(count, blocks * at_once), "{count}: {launch:?}");
                // The last block has something to do, and the grid is within the device's limit.
                assert!((blocks - 1) * at_once < count, "{count}: {launch:?}");
                assert!(blocks < 1 << 31 && blocks * u64::from(THREADS) <= u64::from(u32::MAX));
                // One turn suffices until the grid is full.
                assert!(blocks == MOST_BLOCKS || blocks * at_once >= count, "{count}: {launch:?}");
            }
        }
        assert_eq!(Launch::elements(0).blocks, 0);
        assert_eq!(Launch::elements(257), Launch { blocks: 2, shared: 0 });
        assert_eq!(Launch::blocks(3).shared(64), Launch { blocks: 3, shared: 64 });
    }
}
