//! Projections: exact on what they project onto, with the error that the definition leaves.

use packlight_kernels::gaussian::gaussian;

use super::{Case, difference, dot, energy};

/// The restored tensor is an orthogonal projection: what is left out has nothing in common with it.
/// The share of energy that is left out, and what rounding allows.
fn left_out(case: &Case<'_>) -> (f64, f64) {
    let (x, r, rounding) = case.scaled();
    let whole = energy(&x).max(f64::MIN_POSITIVE);
    let left = difference(&x, &r);
    let common = dot(&left, &r).abs() / whole;
    assert!(common <= 10.0 * rounding, "{}: {common} in common", case.name);
    (energy(&left) / whole, 10.0 * rounding)
}

/// The squared singular values of the unfolding along an axis, as shares of their sum, most first.
fn spectrum(case: &Case<'_>, axis: usize) -> Vec<f64> {
    let (x, _, _) = case.scaled();
    let inner: usize = case.shape[axis + 1..].iter().product();
    let length = case.shape[axis];
    let row_of = |at: usize| at / inner % length;
    let column_of = |at: usize| at / inner / length * inner + at % inner;
    let columns = x.len() / length;
    let mut matrix = vec![vec![0.0; columns]; length];
    for (at, x) in x.iter().enumerate() {
        matrix[row_of(at)][column_of(at)] = *x;
    }
    if length > columns {
        matrix = (0..columns).map(|j| matrix.iter().map(|row| row[j]).collect()).collect();
    }
    let gram =
        matrix.iter().map(|a| matrix.iter().map(|b| dot(a, b)).collect()).collect::<Vec<Vec<_>>>();
    let mut values = eigenvalues(gram);
    values.sort_by(|a, b| b.total_cmp(a));
    let total = values.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    values.iter().map(|value| value.max(0.0) / total).collect()
}

/// By Jacobi's rotations, until what is off the diagonal is rounding.
fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    for _ in 0..60 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j].powi(2)).sum();
        if off <= 1e-30 * (0..n).map(|i| a[i][i].powi(2)).sum::<f64>() {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = (t * t + 1.0).sqrt().recip();
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
    }
    (0..n).map(|i| a[i][i]).collect()
}

/// Eckart and Young: the error is the energy that is discarded, and no fewer vectors carry what was
/// asked for.
pub(super) fn truncated(case: &Case<'_>) {
    let (left, rounding) = left_out(case);
    let energy = case.numbers()[0];
    let samples = case.shape[0];
    let rest = case.x.len() / samples;
    let kept = case.bytes.total() / case.dtype.size_in_bytes() / (samples + rest);
    let spectrum = spectrum(case, 0);
    let discarded: f64 = spectrum[kept.min(spectrum.len())..].iter().sum();
    let name = case.name;
    assert!((left - discarded).abs() <= rounding, "{name}: {left}, {discarded} discarded");
    assert!(case.largest() == 0.0 || 1.0 - discarded >= energy - rounding, "{name}");
    let without_last: f64 = spectrum[..kept - 1].iter().sum();
    assert!(energy >= 1.0 || without_last <= energy + rounding, "{name}: {kept} are too many");
}

/// Each axis discards at most what it may, and what is left out is at most their sum.
pub(super) fn core_of_energy(case: &Case<'_>) {
    let (left, rounding) = left_out(case);
    let may = (1.0 - case.numbers()[0]) * case.shape.len() as f64;
    assert!(left <= may + rounding, "{}: {left} of {may}", case.name);
    for axis in 0..case.shape.len() {
        // No axis keeps more vectors than it needs, so what it discards shows in the error.
        let energy = case.numbers()[0];
        let mut sum = 0.0;
        let spectrum = spectrum(case, axis);
        let needed = spectrum.iter().position(|share| {
            sum += share;
            sum >= energy + rounding
        });
        let discarded: f64 = needed.map_or(0.0, |last| spectrum[last + 1..].iter().sum());
        let whole = case.name.ends_with(":st") || energy >= 1.0;
        assert!(whole || left >= discarded - rounding, "{}: {left}, {discarded}", case.name);
    }
}

/// A Tucker decomposition at given ranks, or by the first batch's energy.
pub(super) fn core(case: &Case<'_>) {
    if !case.name.contains('x') {
        return core_of_energy(case);
    }
    let (left, rounding) = left_out(case);
    let ranks = case.numbers();
    let full = (0..case.shape.len()).all(|axis| {
        let length = case.shape[axis];
        ranks[axis] as usize >= length.min(case.x.len() / length)
    });
    assert!(left <= if full { rounding } else { 1.0 + rounding }, "{}: {left}", case.name);
}

/// A projection onto so many directions, at most; exact where there are no more.
pub(super) fn projection_of_rank(case: &Case<'_>) {
    let (left, rounding) = left_out(case);
    let features = case.shape[case.shape.len() - 1];
    let rank = features.min(case.x.len() / features);
    let kept = case.numbers()[0] as usize;
    assert!(left <= if kept >= rank { rounding } else { 1.0 + rounding }, "{}: {left}", case.name);
}

/// Each part's projection onto the direction of the mean part, which is exact if all lie along it.
pub(super) fn parts_along_a_direction(case: &Case<'_>) {
    let (x, r, rounding) = case.scaled();
    let length = case.shape[case.shape.len() - 1] / case.numbers()[0] as usize;
    let mut mean = vec![0.0; length];
    for part in x.chunks(length) {
        mean.iter_mut().zip(part).for_each(|(mean, x)| *mean += x);
    }
    let norm = energy(&mean).sqrt();
    // A mean that is next to nothing has a direction of rounding.
    let sizes: f64 = x.iter().map(|x| x.abs()).sum();
    let rounding = rounding * (1.0 + sizes / norm.max(1e-300)) * length as f64;
    for (x, r) in x.chunks(length).zip(r.chunks(length)) {
        let along = if norm > 0.0 { dot(x, &mean) / norm } else { 0.0 };
        for (mean, r) in mean.iter().zip(r) {
            let expected = along * mean / norm.max(f64::MIN_POSITIVE);
            assert!((expected - r).abs() <= rounding, "{}: {r} for {expected}", case.name);
        }
    }
}

/// X P P^T, with the P of the key.
pub(super) fn random_projection(case: &Case<'_>) {
    let (x, r, rounding) = case.scaled();
    let rank = case.numbers()[0] as usize;
    let features = case.shape[case.shape.len() - 1];
    let deviation = (rank as f64).sqrt().recip();
    let p = gaussian(case.key, &[rank, features], case.dtype, deviation).unwrap();
    let p = crate::common::values(&p);
    let p: Vec<&[f64]> = p.chunks(features).collect();
    for (x, r) in x.chunks(features).zip(r.chunks(features)) {
        let z: Vec<f64> = p.iter().map(|p| dot(x, p)).collect();
        for (at, r) in r.iter().enumerate() {
            let expected: f64 = z.iter().zip(&p).map(|(z, p)| z * p[at]).sum();
            let size: f64 = x.iter().map(|x| x.abs()).sum::<f64>() * 10.0;
            assert!((expected - r).abs() <= rounding * size, "{}: {r}", case.name);
        }
    }
}

/// Each row's projection onto a line through one of the rows, the nearest of those that are kept.
pub(super) fn rows_along_rows(case: &Case<'_>) {
    let (x, r, rounding) = case.scaled();
    let features = case.shape[case.shape.len() - 1];
    let mut exact = 0;
    for (x, r) in x.chunks(features).zip(r.chunks(features)) {
        let left = difference(x, r);
        let allowed = 10.0 * rounding * energy(x).max(1e-30);
        assert!(
            dot(&left, r).abs() <= allowed.max(rounding * 1e-6),
            "{}: {r:?} for {x:?}",
            case.name
        );
        exact += usize::from(energy(&left) <= 1e-6 * energy(x).max(rounding));
    }
    let rows = x.len() / features;
    assert!(exact >= rows.min(case.numbers()[0] as usize), "{}: {exact} rows", case.name);
}

/// Each row is plus or minus the sum of its bin, and the sums have the norm of the tensor; exact where
/// each row has a bin of its own.
pub(super) fn sums_in_bins(case: &Case<'_>) {
    let (x, r, rounding) = case.scaled();
    let features = case.shape[case.shape.len() - 1];
    let (rows, count) = (x.len() / features, case.numbers()[0] as usize);
    if count >= rows {
        let left = energy(&difference(&x, &r));
        return assert!(left <= 10.0 * rounding * energy(&x), "{}: {left}", case.name);
    }
    // Bins have as many rows as any other, but for one: the smaller number, then the larger.
    let same = |a: &[f64], b: &[f64]| a == b || a.iter().zip(b).all(|(a, b)| *a == -b);
    let mut bins: Vec<(&[f64], usize)> = Vec::new();
    for row in r.chunks(features) {
        match bins.iter_mut().find(|(sum, _)| same(sum, row)) {
            Some((_, rows)) => *rows += 1,
            None => bins.push((row, 1)),
        }
    }
    assert!(bins.len() <= count, "{}: {} bins", case.name, bins.len());
    // Sums that are equal or 0 look like one bin.
    if bins.len() == count {
        let sizes = rows / count..=rows.div_ceil(count);
        assert!(bins.iter().all(|(_, rows)| sizes.contains(rows)), "{}: {bins:?}", case.name);
        let sums: f64 = bins.iter().map(|(sum, _)| energy(sum)).sum();
        let gap = (sums - energy(&x)).abs();
        assert!(gap <= 100.0 * rounding * energy(&x), "{}: {sums}", case.name);
    }
}
