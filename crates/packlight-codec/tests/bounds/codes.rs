//! Codes of few bits and narrow floats: within half a step, or one where rounding is random.

use super::Case;

/// A relative half of the last of 8 bits.
pub(super) fn bf16(case: &Case<'_>) {
    // Below 2^-126 steps of 2^-133 are left.
    case.within(&case.x, |at| (case.x[at].abs() * 2f64.powi(-8) * 1.0001).max(5e-41));
}

/// A relative half of the last of 4 or 3 bits, or half a subnormal step, each by its scale.
pub(super) fn fp8(case: &Case<'_>) {
    let (relative, greatest, subnormal) = match case.name.contains("e5m2") {
        false => (2f64.powi(-4), 448.0, 2f64.powi(-10)),
        true => (2f64.powi(-3), 57344.0, 2f64.powi(-17)),
    };
    let by_row = case.name.contains("row");
    let row = if by_row { case.shape[case.shape.len() - 1] } else { case.x.len() };
    let half_step = |values: &[f64]| {
        let largest = values.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
        (largest / greatest).max(f64::from(f32::MIN_POSITIVE)) * subnormal
    };
    let half_steps: Vec<f64> = case.x.chunks(row).map(half_step).collect();
    // A value is divided in f32, whose steps are 1.4e-45 at the least.
    let allowed = |at: usize| (case.x[at].abs() * relative).max(half_steps[at / row]) * 1.0001;
    case.within(&case.x, |at| allowed(at) + 1e-45);
}

/// What a code's step is at most over these values: their range, rounded outwards to bf16.
fn step(values: &[f64], bits: u8) -> f64 {
    let low = values.iter().fold(f64::INFINITY, |a, &b| a.min(b));
    let high = values.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let levels = f64::from((1u16 << bits) - 1);
    // bf16 has steps of 2^-7, and of 2^-133 at the least.
    let range = high - low + low.abs() / 128.0 + 1e-40;
    (range / levels) * (1.0 + 1.0 / 128.0) + 1e-40
}

/// The step of each element's group, where groups are cut from each of these samples.
fn steps(values: &[f64], sample: usize, group: usize, bits: u8) -> Vec<f64> {
    let samples = values.chunks(sample.max(1));
    let groups = samples.flat_map(|sample| sample.chunks(group));
    groups.flat_map(|group| vec![step(group, bits); group.len()]).collect()
}

/// The share of a step by which a value may be off.
fn share(name: &str) -> f64 {
    if name.contains("nearest") || name.starts_with("blpa") { 0.5001 } else { 1.0001 }
}

fn bits(case: &Case<'_>) -> u8 {
    match case.name {
        "actnn:1" | "actnn:2" => 4,
        "actnn:3" => 8, // until there are gradients
        _ => case.numbers()[0] as u8,
    }
}

fn groups(case: &Case<'_>, group: usize) {
    let steps = steps(&case.x, case.sample(), group, bits(case));
    let rounding = case.single_rounding(case.largest());
    case.within(&case.x, |at| share(case.name) * steps[at] + rounding);
}

pub(super) fn groups_of_256(case: &Case<'_>) {
    groups(case, 256);
}

pub(super) fn groups_of_128(case: &Case<'_>) {
    groups(case, 128);
}

/// The largest share exactly, of equal magnitudes the first; the others in codes of 2 bits of groups in
/// which 0 takes the place of the largest.
pub(super) fn outliers_apart(case: &Case<'_>) {
    let count = case.x.len();
    let outliers = ((case.numbers()[0] * count as f64).round() as usize).clamp(1, count);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| case.x[b].abs().total_cmp(&case.x[a].abs()).then(a.cmp(&b)));
    let mut others = case.x.clone();
    for &at in &order[..outliers] {
        assert_eq!(case.r[at], case.x[at], "{}: an outlier", case.name);
        others[at] = 0.0;
    }
    let steps = steps(&others, case.sample(), 256, 2);
    let largest = others.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
    let rounding = case.single_rounding(largest);
    let inlier = |at: usize| 1.0001 * steps[at] + rounding;
    case.within(&case.x, inlier);
}

/// Means of four neighbours of a sample, in groups of 128 codes of 2 bits.
pub(super) fn means_of_four(case: &Case<'_>) {
    let sample = case.sample();
    let mean = |four: &[f64]| four.iter().sum::<f64>() / four.len() as f64;
    let means: Vec<f64> =
        case.x.chunks(sample).flat_map(|sample| sample.chunks(4).map(mean)).collect();
    let per_sample = sample.div_ceil(4);
    let steps = steps(&means, per_sample, 128, 2);
    let of = |at: usize| at / sample * per_sample + at % sample / 4;
    let expected: Vec<f64> = (0..case.x.len()).map(|at| means[of(at)]).collect();
    let rounding = case.single_rounding(case.largest());
    case.within(&expected, |at| 1.0001 * steps[of(at)] + rounding);
}

/// The first step's own range of each 64 channels or features, of all samples together, in f32.
pub(super) fn over_all_samples(case: &Case<'_>) {
    let (rows, columns) = case.plane();
    let (channels, plane) = match case.axes {
        packlight_codec::AxisLayout::Images => (case.shape[1], rows * columns),
        _ => (columns, 1),
    };
    let group = |at: usize| at / plane % channels / 64;
    let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; channels.div_ceil(64)];
    for (at, x) in case.x.iter().enumerate() {
        let [low, high] = &mut ranges[group(at)];
        (*low, *high) = (low.min(*x), high.max(*x));
    }
    let rounding = 10.0 * case.single_rounding(case.largest());
    case.within(&case.x, |at| {
        let [low, high] = ranges[group(at)];
        (high - low) / 255.0 * 1.0001 + rounding
    });
}

/// Means of blocks in bf16, and codes of what is left over the range of each map.
pub(super) fn means_and_rest(case: &Case<'_>) {
    if case.bytes.total() == case.x.len() * case.dtype.size_in_bytes() {
        return super::exact(case);
    }
    let numbers = case.numbers();
    let (block, bits) = match numbers[..] {
        [block, bits] => (block as usize, bits as u8),
        _ => (8, 2),
    };
    let (rows, columns) = case.plane();
    let block = if case.axes == packlight_codec::AxisLayout::Images {
        (block, block)
    } else {
        (1, block * block)
    };
    let mut allowed = Vec::with_capacity(case.x.len());
    for map in case.x.chunks(rows * columns) {
        let means = super::blocks::means(map, (rows, columns), block, (0, 0));
        let left: Vec<f64> = map.iter().zip(&means).map(|(x, mean)| x - mean.0).collect();
        // Means are off by 2^-8, which shifts what is left by as much.
        let off = means.iter().fold(0.0, |off: f64, mean| off.max(mean.0.abs() / 256.0));
        let low = left.iter().fold(0.0, |low: f64, x| low.max(x.abs()));
        let levels = f64::from((1u16 << bits) - 1);
        let wider = (2.0 * off + (low + off) / 128.0) / levels * 1.01;
        allowed.extend(vec![1.0001 * step(&left, bits) + wider; map.len()]);
    }
    let rounding = 10.0 * case.single_rounding(case.largest());
    case.within(&case.x, |at| allowed[at] + rounding);
}

/// The sign, at 1/100 or as the name says.
pub(super) fn signs(case: &Case<'_>) {
    let epsilon = case.name.split(':').nth(1).map_or(0.01, |text| text.parse().unwrap());
    let expected: Vec<f64> =
        case.x.iter().map(|&x| if x > 0.0 { epsilon } else { -epsilon }).collect();
    case.within(&expected, |_| 1e-7 * epsilon);
}
