//! Figures of cards, as NVIDIA's datasheets print them: without sparsity, at the boost clock.

use super::Machine;

/// A card. Its GB are of 10⁹ bytes, a little less than what it has.
pub(crate) struct Card {
    pub(crate) name: &'static str,
    gigabytes: u64,
    gigabytes_per_second: f64,
    /// 10¹² operations a second on f32, outside the tensor cores.
    f32_tera: f64,
    /// Those of the tensor cores on bf16, summed in f32.
    bf16_tera: Option<f64>,
    source: &'static str,
}

const AMPERE: &str = "NVIDIA A100 datasheet, 2021, SXM";
const ADA: &str = "NVIDIA Ada GPU architecture whitepaper, 2022";

/// All cards that `--on` knows.
pub(crate) const CARDS: [Card; 9] = [
    card("a100-40", 40, 1555.0, 19.5, Some(312.0), AMPERE),
    card("a100-80", 80, 2039.0, 19.5, Some(312.0), AMPERE),
    // Printed with sparsity: 1979.
    card("h100", 80, 3350.0, 67.0, Some(989.5), "NVIDIA H100 datasheet, 2023, SXM"),
    card("h200", 141, 4800.0, 67.0, Some(989.5), "NVIDIA H200 datasheet, 2024, SXM"),
    card("rtx4090", 24, 1008.0, 82.6, Some(165.2), ADA),
    card("rtx3090", 24, 936.0, 35.6, Some(71.0), "NVIDIA GA102 whitepaper, 2021"),
    // Printed with sparsity: 242.
    card("l4", 24, 300.0, 30.3, Some(121.0), "NVIDIA L4 datasheet, 2023"),
    card("t4", 16, 300.0, 8.1, None, "NVIDIA T4 datasheet, 2019"),
    card("v100", 32, 900.0, 15.7, None, "NVIDIA V100 datasheet, 2020, SXM2"),
];

const fn card(
    name: &'static str,
    gigabytes: u64,
    gigabytes_per_second: f64,
    f32_tera: f64,
    bf16_tera: Option<f64>,
    source: &'static str,
) -> Card {
    Card { name, gigabytes, gigabytes_per_second, f32_tera, bf16_tera, source }
}

impl Card {
    pub(super) fn machine(&self) -> Machine {
        Machine {
            name: self.name.to_owned(),
            source: self.source.to_owned(),
            memory_bytes: Some(self.gigabytes * 1_000_000_000),
            bytes_per_second: 1e9 * self.gigabytes_per_second,
            f32_per_second: 1e12 * self.f32_tera,
            bf16_per_second: self.bf16_tera.map(|tera| 1e12 * tera),
        }
    }
}
