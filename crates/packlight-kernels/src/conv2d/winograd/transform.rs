//! The three transformations, of many tiles or channels side by side:
//!
//! ```text
//!      | 1    0    0   |        | 1  0 -1  0 |        | 1  1  1  0 |
//!  G = | 1/2  1/2  1/2 |   B' = | 0  1  1  0 |   A' = | 0  1 -1 -1 |
//!      | 1/2 -1/2  1/2 |        | 0 -1  1  0 |
//!      | 0    0    1   |        | 0  1  0 -1 |
//! ```

use std::array::from_fn;

use super::super::simd::{CHANNELS, RUN};
use crate::element::Element;
use crate::widest::on_widest_vectors;

/// Taps along each axis.
pub(super) const TAPS: usize = 3;
/// Targets of a tile along each axis.
pub(super) const TILE: usize = 2;
/// Pixels that a tile meets along each axis.
pub(super) const SIDE: usize = TILE + TAPS - 1;
/// Points of a transformed tile.
pub(super) const POINTS: usize = SIDE * SIDE;
/// Tiles that are transformed side by side.
pub(super) const TOGETHER: usize = 2 * RUN;

/// `G g G'` for the taps `g` of some channels side by side.
pub(super) fn filter<T: Element>(taps: &[[T; CHANNELS]; TAPS * TAPS]) -> [[T; CHANNELS]; POINTS] {
    let half = T::narrow(0.5);
    let along = |[a, b, c]: [[T; CHANNELS]; TAPS]| -> [[T; CHANNELS]; SIDE] {
        let outer: [T; CHANNELS] = from_fn(|lane| (a[lane] + c[lane]) * half);
        let inner: [T; CHANNELS] = from_fn(|lane| b[lane] * half);
        [a, plus(outer, inner), minus(outer, inner), c]
    };
    let down: [[[T; CHANNELS]; SIDE]; TAPS] =
        from_fn(|column| along(from_fn(|row| taps[row * TAPS + column])));
    let across: [[[T; CHANNELS]; SIDE]; SIDE] =
        from_fn(|row| along(from_fn(|column| down[column][row])));
    from_fn(|point| across[point / SIDE][point % SIDE])
}

on_widest_vectors! {
    /// Sorts a line into its even and its odd columns, of which there are as many or one fewer.
    pub(super) fn split<T: Element>(line: &[T], even: &mut [T], odd: &mut [T]) {
        let (pairs, rest) = line.as_chunks::<2>();
        for ((pair, even), odd) in pairs.iter().zip(even.iter_mut()).zip(odd) {
            (*even, *odd) = (pair[0], pair[1]);
        }
        if let (Some(even), Some(last)) = (even.get_mut(pairs.len()), rest.first()) {
            *even = *last;
        }
    }
}

on_widest_vectors! {
    /// `B' d B` for tiles `d` that have the even columns of each row at `corners` of `rows` and the
    /// odd ones `half` further on. Point p of the n-th [`TOGETHER`] tiles goes to
    /// `points[p * strides.0 + n * strides.1..]`.
    pub(super) fn tiles<T: Element>(
        rows: &[T],
        half: usize,
        corners: &[[usize; TOGETHER]],
        points: &mut [T],
        strides: (usize, usize),
    ) {
        let zeros = [[[T::zero(); TOGETHER]; SIDE]; SIDE];
        let columns = [0, half, 1, half + 1];
        for (number, corners) in corners.iter().enumerate() {
            let (mut tiles, mut down) = (zeros, zeros);
            if corners[TOGETHER - 1] == corners[0] + TOGETHER - 1 {
                for (row, tiles) in tiles.iter_mut().enumerate() {
                    for (pixels, column) in tiles.iter_mut().zip(columns) {
                        let first = corners[0] + row * 2 * half + column;
                        pixels.copy_from_slice(&rows[first..first + TOGETHER]);
                    }
                }
            } else {
                for (tile, corner) in corners.iter().enumerate() {
                    for (row, tiles) in tiles.iter_mut().enumerate() {
                        let line = &rows[corner + row * 2 * half..][..half + 2];
                        for (pixels, column) in tiles.iter_mut().zip(columns) {
                            pixels[tile] = line[column];
                        }
                    }
                }
            }
            for column in 0..SIDE {
                let [a, b, c, d] = &tiles;
                let points = differences([a[column], b[column], c[column], d[column]]);
                for (down, point) in down.iter_mut().zip(points) {
                    down[column] = point;
                }
            }
            for (row, down) in down.into_iter().enumerate() {
                for (column, point) in differences(down).into_iter().enumerate() {
                    let start = (row * SIDE + column) * strides.0 + number * strides.1;
                    points[start..start + TOGETHER].copy_from_slice(&point);
                }
            }
        }
    }
}

/// `B' d` for a column `d` of pixels.
#[inline(always)]
fn differences<T: Element>([a, b, c, d]: [[T; TOGETHER]; SIDE]) -> [[T; TOGETHER]; SIDE] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

on_widest_vectors! {
    /// `A' m A` for the sums `m` of a block of channels, of which point p has those of tile t in
    /// `sums[p * point + t / RUN][t % RUN]`, for lines of `columns` tiles. The targets are row by row
    /// in runs.
    pub(super) fn restore<T: Element>(
        sums: &[[[T; CHANNELS]; RUN]],
        point: usize,
        columns: usize,
        targets: &mut [[[T; CHANNELS]; RUN]],
    ) {
        let row_runs = (columns * TILE).div_ceil(RUN);
        for (line, targets) in targets.chunks_exact_mut(TILE * row_runs).enumerate() {
            for column in 0..columns {
                let tile = line * columns + column;
                let mut down = [[[T::zero(); CHANNELS]; SIDE]; TILE];
                for column in 0..SIDE {
                    let at = |row: usize| &sums[(row * SIDE + column) * point + tile / RUN][tile % RUN];
                    let [upper, lower] = partial_sums([at(0), at(1), at(2), at(3)]);
                    (down[0][column], down[1][column]) = (upper, lower);
                }
                for (down, targets) in down.iter().zip(targets.chunks_exact_mut(row_runs)) {
                    let [a, b, c, d] = down;
                    let pair = partial_sums([a, b, c, d]);
                    let first = column * TILE;
                    targets[first / RUN][first % RUN..][..TILE].copy_from_slice(&pair);
                }
            }
        }
    }
}

/// `A' m` for a column `m` of sums.
#[inline(always)]
fn partial_sums<T: Element>([a, b, c, d]: [&[T; CHANNELS]; SIDE]) -> [[T; CHANNELS]; TILE] {
    [plus(plus(*a, *b), *c), minus(minus(*b, *c), *d)]
}

#[inline(always)]
fn plus<T: Element, const N: usize>(mut a: [T; N], b: [T; N]) -> [T; N] {
    a.iter_mut().zip(&b).for_each(|(a, b)| *a += *b);
    a
}

#[inline(always)]
fn minus<T: Element, const N: usize>(mut a: [T; N], b: [T; N]) -> [T; N] {
    a.iter_mut().zip(&b).for_each(|(a, b)| *a -= *b);
    a
}
