//! A synthetic task: reverse a sequence of random tokens.

use packlight_kernels::rng::{Key, Purpose, Stream};

use super::DataSpec;
use super::dataset::DataSet;
use super::pairs::{self, Pairs};
use super::vocabulary::MARKS;

/// The number of different tokens, without marks.
const SYMBOLS: u32 = 16;
const SHORTEST: u32 = 4;
const LONGEST: u32 = 12;
/// The number of pairs if the study does not give one.
const TRAIN: usize = 4096;
const TEST: usize = 512;

/// Generates sequences of 4 to 12 of 16 tokens, always the same ones, and their reversals.
pub(super) fn set(spec: &DataSpec) -> DataSet {
    let part = |name: &str, count: usize| {
        let mut stream = Key::new(0, Purpose::Sample).layer(name).stream();
        Pairs::new((0..count).map(|_| pair(&mut stream)).collect())
    };
    let train = part("train", spec.train_limit.unwrap_or(TRAIN));
    let test = part("test", spec.test_limit.unwrap_or(TEST));
    let vocabulary = (MARKS + SYMBOLS) as usize;
    pairs::set(train, test, (vocabulary, vocabulary), spec)
}

fn pair(stream: &mut Stream) -> (Vec<u32>, Vec<u32>) {
    let length = SHORTEST + stream.below(LONGEST - SHORTEST + 1);
    let source: Vec<u32> = (0..length).map(|_| MARKS + stream.below(SYMBOLS)).collect();
    let target = source.iter().rev().copied().collect();
    (source, target)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use packlight_nn::model::Inputs;

    use super::super::SetName;
    use super::*;

    #[test]
    fn targets_are_their_sources_backwards() {
        let set = set(&DataSpec::new(SetName::Reverse));
        assert_eq!((set.train.len(), set.test.len()), (TRAIN, TEST));
        for index in 0..20 {
            let batch = set.train.batch(&[index], None, &Device::Cpu).unwrap();
            let Inputs::Pairs { source, .. } = batch.inputs else { panic!("no pairs") };
            let source = source.to_vec2::<u32>().unwrap()[0].clone();
            let target = batch.targets.to_vec2::<u32>().unwrap()[0].clone();
            assert!((4..=12).contains(&source.len()));
            assert!(source.iter().eq(target[..source.len()].iter().rev()));
        }
    }

    #[test]
    fn limits_say_how_many() {
        let spec = DataSpec { train_limit: Some(5000), ..DataSpec::new(SetName::Reverse) };
        let (more, usual) = (set(&spec), set(&DataSpec::new(SetName::Reverse)));
        assert_eq!(more.train.len(), 5000);
        assert_ne!(more.checksum, usual.checksum);
    }
}
