//! Means of blocks: exact where a block is constant, and within its range elsewhere.

use packlight_codec::AxisLayout;

use super::Case;

/// For each pixel the mean of its block and how many pixels that has, where the first block begins
/// `before` the map.
pub(super) fn means(
    map: &[f64],
    (rows, columns): (usize, usize),
    block: (usize, usize),
    before: (usize, usize),
) -> Vec<(f64, usize)> {
    assert_eq!(map.len(), rows * columns);
    let of = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        ((row + before.0) / block.0, (column + before.1) / block.1)
    };
    let mut sums = std::collections::HashMap::new();
    for (at, x) in map.iter().enumerate() {
        let sum = sums.entry(of(at)).or_insert((0.0, 0));
        *sum = (sum.0 + x, sum.1 + 1);
    }
    let mean = |at| {
        let (sum, count) = sums[&of(at)];
        (sum / count as f64, count)
    };
    (0..map.len()).map(mean).collect()
}

pub(super) fn pooled(case: &Case<'_>) {
    let k = case.numbers()[0] as usize;
    let (rows, columns) = case.plane();
    let block = if case.axes == AxisLayout::Images { (k, k) } else { (1, k) };
    let (zero, drop) = (case.name.contains("zero"), case.name.contains("drop"));
    let mut expected = Vec::with_capacity(case.x.len());
    for map in case.x.chunks(rows * columns) {
        let whole = block.0 * block.1;
        let kept =
            means(map, (rows, columns), block, (0, 0)).into_iter().map(|(mean, count)| {
                match (zero, drop && count < whole) {
                    (true, _) => mean * count as f64 / whole as f64,
                    (_, true) => 0.0,
                    _ => mean,
                }
            });
        expected.extend(kept);
    }
    let rounding = case.rounding(case.largest());
    if !case.name.contains("bilinear") {
        return case.within(&expected, |_| rounding);
    }
    // Between the least and the greatest mean of the map.
    for (means, r) in expected.chunks(rows * columns).zip(case.r.chunks(rows * columns)) {
        let low = means.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let high = means.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let inside = |r: &f64| (low - rounding..=high + rounding).contains(r);
        assert!(r.iter().all(inside), "{}: {low} to {high}, {r:?}", case.name);
    }
}

/// Blocks that lie centrally over the image, as those of its output, which has its size.
pub(super) fn filtered(case: &Case<'_>) {
    let k = case.numbers()[0] as usize;
    let (rows, columns) = case.plane();
    let before = |length: usize| (length.div_ceil(k) * k - length).div_ceil(2);
    let maps = case
        .x
        .chunks(rows * columns)
        .flat_map(|map| means(map, (rows, columns), (k, k), (before(rows), before(columns))));
    let expected: Vec<f64> = maps.map(|(mean, _)| mean).collect();
    let rounding = case.rounding(case.largest());
    case.within(&expected, |_| rounding);
}
