//! Some elements as they are and 0 for the others: the error is the energy of those.

use packlight_codec::AxisLayout;

use super::{Case, difference, energy};

/// What is not 0 is what it was, and the error is the least energy that so many can have.
fn kept_or_zero(case: &Case<'_>, dropped: f64, scale: f64) {
    for (x, r) in case.x.iter().zip(&case.r) {
        assert!(r == x || *r == 0.0, "{}: {r} for {x}", case.name);
    }
    let scaled = |values: &[f64]| values.iter().map(|x| x / scale).collect::<Vec<_>>();
    let error = energy(&difference(&scaled(&case.x), &scaled(&case.r)));
    assert!((error - dropped).abs() <= 1e-9 * (dropped + 1e-9), "{}: {error}", case.name);
}

fn share_of(share: f64, count: usize) -> usize {
    ((share * count as f64).round() as usize).clamp(1, count)
}

fn scale(case: &Case<'_>) -> f64 {
    if case.largest() > 0.0 { case.largest() } else { 1.0 }
}

/// The largest of the batch, or of each sample with a mask.
pub(super) fn largest(case: &Case<'_>) {
    let by_sample = case.name.ends_with(":mask") && case.shape.len() > 1;
    let part = if by_sample { case.sample() } else { case.x.len() };
    let scale = scale(case);
    let dropped = case.x.chunks(part).map(|part| {
        let mut sizes: Vec<f64> = part.iter().map(|x| (x / scale).abs()).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        energy(&sizes[share_of(case.numbers()[0], sizes.len())..])
    });
    kept_or_zero(case, dropped.sum(), scale);
}

/// Of the blocks those with the largest sums of magnitudes.
pub(super) fn strongest_blocks(case: &Case<'_>) {
    let [block, density] = case.numbers()[..] else { panic!("block and density") };
    let block = block as usize;
    let width = match (case.axes, case.shape) {
        (AxisLayout::Images, &[_, _, h, w]) => h * w,
        (_, &[.., features]) => features,
        _ => 1,
    };
    let scale = scale(case);
    let wide = width.div_ceil(block);
    let high = (case.x.len() / width).div_ceil(block);
    // The sum of magnitudes and the energy of each block.
    let mut blocks = vec![(0.0, 0.0); high * wide];
    for (at, x) in case.x.iter().enumerate() {
        let own = &mut blocks[at / width / block * wide + at % width / block];
        let size = (x / scale).abs();
        *own = (own.0 + size, own.1 + size * size);
    }
    blocks.sort_by(|a: &(f64, f64), b| b.0.total_cmp(&a.0));
    let kept = share_of(density, blocks.len());
    // Blocks whose sums are equal but for rounding may change places.
    let tie = blocks.get(kept).is_some_and(|next| blocks[kept - 1].0 - next.0 <= 1e-6);
    if tie {
        let least = case.x.iter().zip(&case.r).all(|(x, r)| r == x || *r == 0.0);
        return assert!(least, "{}", case.name);
    }
    kept_or_zero(case, blocks[kept..].iter().map(|(_, energy)| energy).sum(), scale);
}
