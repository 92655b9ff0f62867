//! The three transformations, of several channels at a time, with the points 0, a, -a, b, -b and
//! infinity, where a = 3/4 and b = 3/2:
//!
//! ```text
//!      | 1/aabb                 |        | aabb   0    -aa-bb     0     1  0 |
//!      | 1/p    a/p   aa/p      |        |   0  -abb    -bb       a     1  0 |
//!  G = | 1/p   -a/p   aa/p      |   B' = |   0   abb    -bb      -a     1  0 |
//!      | 1/q    b/q   bb/q      |        |   0  -aab    -aa       b     1  0 |
//!      | 1/q   -b/q   bb/q      |        |   0   aab    -aa      -b     1  0 |
//!      |  0      0      1       |        |   0  aabb      0    -aa-bb   0  1 |
//!
//!      | 1    1    1    1    1   0 |
//! A' = | 0    a   -a    b   -b   0 |     p = 2aa (aa - bb)
//!      | 0   aa   aa   bb   bb   0 |     q = 2bb (bb - aa)
//!      | 0  aaa -aaa  bbb -bbb   1 |
//! ```

use super::super::simd::{CHANNELS, RUN};
use crate::dtype::Element;
use crate::simd_dispatch::on_widest_vectors;

/// Taps along each axis.
pub(super) const TAPS: usize = 3;
/// Targets of a tile along each axis.
pub(super) const TILE: usize = 4;
/// Pixels that a tile reads along each axis.
pub(super) const SIDE: usize = TILE + TAPS - 1;
/// Points of a transformed tile.
pub(super) const POINTS: usize = SIDE * SIDE;

const A: f64 = 3.0 / 4.0;
const B: f64 = 3.0 / 2.0;
const P: f64 = 2.0 * A * A * (A * A - B * B);
const Q: f64 = 2.0 * B * B * (B * B - A * A);

/// One element of each of some channels.
type Lanes<T> = [T; CHANNELS];

on_widest_vectors! {
    /// `G g G'` for each of the taps `g`: point p of the n-th goes to `points[p * stride + n]`.
    pub(super) fn filters<T: Element>(
        taps: &[[Lanes<T>; TAPS * TAPS]],
        points: &mut [Lanes<T>],
        stride: usize,
    ) {
        for (number, taps) in taps.iter().enumerate() {
            let mut down = [[[T::zero(); CHANNELS]; TAPS]; SIDE];
            for column in 0..TAPS {
                let taps = [&taps[column], &taps[TAPS + column], &taps[2 * TAPS + column]];
                let values = at_points(taps);
                for row in 0..SIDE {
                    down[row][column] = values[row];
                }
            }
            for row in 0..SIDE {
                let [a, b, c] = &down[row];
                let values = at_points([a, b, c]);
                for column in 0..SIDE {
                    points[(row * SIDE + column) * stride + number] = values[column];
                }
            }
        }
    }
}

/// `G g` for a column `g` of taps.
#[inline(always)]
fn at_points<T: Element>([g0, g1, g2]: [&Lanes<T>; TAPS]) -> [Lanes<T>; SIDE] {
    let at_zero = T::narrow(1.0 / (A * A * B * B));
    let (a0, a1, a2) = (T::narrow(1.0 / P), T::narrow(A / P), T::narrow(A * A / P));
    let (b0, b1, b2) = (T::narrow(1.0 / Q), T::narrow(B / Q), T::narrow(B * B / Q));
    let mut values = [[T::zero(); CHANNELS]; SIDE];
    for lane in 0..CHANNELS {
        let (g0, g1, g2) = (g0[lane], g1[lane], g2[lane]);
        let (even_a, odd_a) = (g0 * a0 + g2 * a2, g1 * a1);
        let (even_b, odd_b) = (g0 * b0 + g2 * b2, g1 * b1);
        values[0][lane] = g0 * at_zero;
        values[1][lane] = even_a + odd_a;
        values[2][lane] = even_a - odd_a;
        values[3][lane] = even_b + odd_b;
        values[4][lane] = even_b - odd_b;
        values[5][lane] = g2;
    }
    values
}

on_widest_vectors! {
    /// `B' d B` for a line of tiles `d` that lie in `rows`, of `cells` pixels each: point p of the
    /// n-th goes to `points[p * stride + n]`.
    pub(super) fn tiles<T: Element>(
        rows: &[Lanes<T>],
        cells: usize,
        points: &mut [Lanes<T>],
        stride: usize,
    ) {
        for number in 0..(cells - TAPS + 1) / TILE {
            let mut down = [[[T::zero(); CHANNELS]; SIDE]; SIDE];
            for column in 0..SIDE {
                let tile = &rows[number * TILE + column..];
                let values = differences([
                    &tile[0],
                    &tile[cells],
                    &tile[2 * cells],
                    &tile[3 * cells],
                    &tile[4 * cells],
                    &tile[5 * cells],
                ]);
                for row in 0..SIDE {
                    down[row][column] = values[row];
                }
            }
            for row in 0..SIDE {
                let [a, b, c, d, e, f] = &down[row];
                let values = differences([a, b, c, d, e, f]);
                for column in 0..SIDE {
                    points[(row * SIDE + column) * stride + number] = values[column];
                }
            }
        }
    }
}

/// `B' d` for a column `d` of pixels.
#[inline(always)]
fn differences<T: Element>([d0, d1, d2, d3, d4, d5]: [&Lanes<T>; SIDE]) -> [Lanes<T>; SIDE] {
    let (a, b, aa, bb) = (T::narrow(A), T::narrow(B), T::narrow(A * A), T::narrow(B * B));
    let (sum, product) = (T::narrow(A * A + B * B), T::narrow(A * A * B * B));
    let mut values = [[T::zero(); CHANNELS]; SIDE];
    for lane in 0..CHANNELS {
        let (d1, d2, d3, d4) = (d1[lane], d2[lane], d3[lane], d4[lane]);
        let (even_a, odd_a) = (d4 - d2 * bb, (d3 - d1 * bb) * a);
        let (even_b, odd_b) = (d4 - d2 * aa, (d3 - d1 * aa) * b);
        values[0][lane] = d0[lane] * product - d2 * sum + d4;
        values[1][lane] = even_a + odd_a;
        values[2][lane] = even_a - odd_a;
        values[3][lane] = even_b + odd_b;
        values[4][lane] = even_b - odd_b;
        values[5][lane] = d1 * product - d3 * sum + d5[lane];
    }
    values
}

on_widest_vectors! {
    /// `A' m A` for the sums `m` of some channels, of which point p has those of tile t in
    /// `sums[p * stride + t]`, for lines of `columns` tiles. The targets are row by row.
    pub(super) fn restore<T: Element>(
        sums: &[Lanes<T>],
        stride: usize,
        columns: usize,
        targets: &mut [Lanes<T>],
    ) {
        for (line, targets) in targets.chunks_exact_mut(TILE * TILE * columns).enumerate() {
            for column in 0..columns {
                let sums = &sums[line * columns + column..];
                let mut down = [[[T::zero(); CHANNELS]; SIDE]; TILE];
                for column in 0..SIDE {
                    let at = |row: usize| &sums[(row * SIDE + column) * stride];
                    let values = weighted_sums([at(0), at(1), at(2), at(3), at(4), at(5)]);
                    for row in 0..TILE {
                        down[row][column] = values[row];
                    }
                }
                for row in 0..TILE {
                    let [a, b, c, d, e, f] = &down[row];
                    let values = weighted_sums([a, b, c, d, e, f]);
                    targets[(row * columns + column) * TILE..][..TILE].copy_from_slice(&values);
                }
            }
        }
    }
}

/// `A' m` for a column `m` of sums.
#[inline(always)]
fn weighted_sums<T: Element>([m0, m1, m2, m3, m4, m5]: [&Lanes<T>; SIDE]) -> [Lanes<T>; TILE] {
    let (a, aa, aaa) = (T::narrow(A), T::narrow(A * A), T::narrow(A * A * A));
    let (b, bb, bbb) = (T::narrow(B), T::narrow(B * B), T::narrow(B * B * B));
    let mut values = [[T::zero(); CHANNELS]; TILE];
    for lane in 0..CHANNELS {
        let (even_a, odd_a) = (m1[lane] + m2[lane], m1[lane] - m2[lane]);
        let (even_b, odd_b) = (m3[lane] + m4[lane], m3[lane] - m4[lane]);
        values[0][lane] = m0[lane] + even_a + even_b;
        values[1][lane] = odd_a * a + odd_b * b;
        values[2][lane] = even_a * aa + even_b * bb;
        values[3][lane] = odd_a * aaa + odd_b * bbb + m5[lane];
    }
    values
}

/// A tile's row of targets is a run.
const _: () = assert!(TILE == RUN);
