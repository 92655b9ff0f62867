//! New vectors whose pieces are computed in parallel.

#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::element::Element;

/// A vector of `len` elements of which `f` computes `piece` at a time, given the number of the
/// piece and the piece itself, which holds zeros.
///
/// Whoever computes a piece also zeroes it, so that it is in the cache by then; zeroing the whole
/// vector first would take it through memory once more.
pub(crate) fn build<T: Element>(
    len: usize,
    piece: usize,
    f: impl Fn(usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    build_with(len, piece, || (), |(), number, piece| f(number, piece))
}

/// Elements of the planes that one piece of [`build_planes`] reads or writes.
const PLANES: usize = 16 * 1024;

/// A vector of planes of `size` elements, each computed by `f` from the plane of `from_size`
/// elements of `from` that has its number, with a line of `line` elements to work in.
///
/// Where either has no elements, the vector is zero.
pub(crate) fn build_planes<T: Element>(
    (planes, size): (usize, usize),
    (from, from_size): (&[T], usize),
    line: usize,
    f: impl Fn(&[T], &mut [T], &mut [T]) + Sync + Send,
) -> Vec<T> {
    if size == 0 || from_size == 0 {
        return vec![T::zero(); planes * size];
    }
    let together = (PLANES / size.max(from_size)).max(1);
    let line = || vec![T::zero(); line];
    build_with(planes * size, together * size, line, |line, number, piece| {
        let from = from[number * together * from_size..].chunks_exact(from_size);
        for (from, plane) in from.zip(piece.chunks_exact_mut(size)) {
            f(from, plane, line);
        }
    })
}

/// [`build`] with a state that `init` makes for several pieces that are computed one by one.
pub(crate) fn build_with<T: Element, S>(
    len: usize,
    piece: usize,
    init: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    build_beside(len, piece, (0..len.div_ceil(piece.max(1))).into_par_iter(), init, f)
}

/// [`build_with`] of pieces that each go with an item of `beside`, instead of a number.
///
/// # Panics
/// If there are fewer items than pieces.
pub(crate) fn build_beside<T: Element, I: Send, S>(
    len: usize,
    piece: usize,
    beside: impl IndexedParallelIterator<Item = I>,
    init: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, I, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let piece = piece.max(1);
    assert!(beside.len() >= len.div_ceil(piece), "an item for each piece");
    let mut result = Vec::with_capacity(len);
    result.spare_capacity_mut()[..len].par_chunks_mut(piece).zip(beside).for_each_init(
        init,
        |state, (piece, item)| {
            piece.fill(std::mem::MaybeUninit::new(T::zero()));
            // SAFETY: the line above has initialised every element.
            f(state, item, unsafe { piece.assume_init_mut() });
        },
    );
    // SAFETY: the capacity is at least `len`, and the pieces, which are these `len` elements, have
    // all been initialised: `for_each_init` returns when every piece has been through the closure,
    // as none lacks an item.
    unsafe { result.set_len(len) };
    result
}
