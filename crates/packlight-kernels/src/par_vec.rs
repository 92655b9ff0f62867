//! New vectors computed in parallel, chunk by chunk.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::dtype::Element;
use crate::sum::shortest;

/// The most elements per task of an elementwise kernel; a larger tensor is divided into several.
pub const LARGEST_PIECE: usize = 64 * 1024;

/// Elements that [`Blank::write_from`] and [`Blank::write_from_both`] write at a time.
const LINE: usize = 64;

/// An uninitialised chunk of a new vector, to be written from the first element to the last.
pub(crate) struct Blank<'a, T> {
    elements: &'a mut [MaybeUninit<T>],
    written: usize,
}

impl<T: Copy + Default> Blank<'_, T> {
    /// Writes the next elements: `f` of the elements of `slices` with the same index.
    ///
    /// Plain loops, so that `on_widest_vectors` compiles all of it.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(&mut self, slices: [&[T]; N], f: impl Fn([T; N]) -> T) {
        let len = shortest(slices);
        let elements = &mut self.elements[self.written..][..len];
        for index in 0..len {
            let mut values = [T::default(); N];
            for (value, slice) in values.iter_mut().zip(&slices) {
                *value = slice[index];
            }
            elements[index].write(f(values));
        }
        self.written += len;
    }

    /// Writes the next elements: `f` of each of `from`.
    #[inline(always)]
    pub(crate) fn write_from<U: Copy>(&mut self, from: &[U], f: impl Fn(U) -> T) {
        let elements = &mut self.elements[self.written..][..from.len()];
        let (lines, last) = elements.as_chunks_mut::<LINE>();
        let (lines_from, last_from) = from.as_chunks::<LINE>();
        for (line, from) in lines.iter_mut().zip(lines_from) {
            // By value: changed in place, lines that may overlap would be checked for that each time.
            let mut values = [T::default(); LINE];
            for (value, &from) in values.iter_mut().zip(from) {
                *value = f(from);
            }
            *line = values.map(MaybeUninit::new);
        }
        for (element, &from) in last.iter_mut().zip(last_from) {
            element.write(f(from));
        }
        self.written += from.len();
    }

    /// Writes the next elements: `f` of those of two slices with the same index.
    #[inline(always)]
    pub(crate) fn write_from_both<U: Copy, V: Copy>(
        &mut self,
        first: &[U],
        second: &[V],
        f: impl Fn(U, V) -> T,
    ) {
        let (elements, second) =
            (&mut self.elements[self.written..][..first.len()], &second[..first.len()]);
        let (lines, last) = elements.as_chunks_mut::<LINE>();
        let (first_lines, last_first) = first.as_chunks::<LINE>();
        let (second_lines, last_second) = second.as_chunks::<LINE>();
        for ((line, first), second) in lines.iter_mut().zip(first_lines).zip(second_lines) {
            let mut values = [T::default(); LINE];
            for ((value, &first), &second) in values.iter_mut().zip(first).zip(second) {
                *value = f(first, second);
            }
            *line = values.map(MaybeUninit::new);
        }
        for ((element, &first), &second) in last.iter_mut().zip(last_first).zip(last_second) {
            element.write(f(first, second));
        }
        self.written += first.len();
    }

    /// The next `len` elements, as zeros. Those of few elements are still in the nearest cache when they are
    /// overwritten.
    #[inline(always)]
    pub(crate) fn zeros(&mut self, len: usize) -> &mut [T] {
        let elements = &mut self.elements[self.written..][..len];
        elements.fill(MaybeUninit::new(T::default()));
        self.written += len;
        // SAFETY: `fill` has initialised every element.
        unsafe { elements.assume_init_mut() }
    }

    /// The next elements, as a copy of `from`.
    #[inline(always)]
    pub(crate) fn copy_of(&mut self, from: &[T]) -> &mut [T] {
        self.copies_of(from, 1)
    }

    /// The next elements, as so many copies of `from`, one after the other.
    #[inline(always)]
    pub(crate) fn copies_of(&mut self, from: &[T], copies: usize) -> &mut [T] {
        let elements = &mut self.elements[self.written..][..from.len() * copies];
        for elements in elements.chunks_exact_mut(from.len().max(1)) {
            for (element, &value) in elements.iter_mut().zip(from) {
                element.write(value);
            }
        }
        self.written += from.len() * copies;
        // SAFETY: the loops have initialised every element.
        unsafe { elements.assume_init_mut() }
    }

    /// All elements that are left, which `f` initialises.
    ///
    /// # Safety
    /// `f` must initialise every element of the slice.
    pub(crate) unsafe fn rest(&mut self, f: impl FnOnce(&mut [MaybeUninit<T>])) {
        f(&mut self.elements[self.written..]);
        self.written = self.elements.len();
    }

    /// All elements, from several threads: `f` writes the part up to each of `ends`, of which the last is the end of
    /// all, given the item of `beside` for that part.
    pub(crate) fn parts<I: Send>(
        &mut self,
        ends: Vec<usize>,
        beside: impl IndexedParallelIterator<Item = I>,
        f: impl Fn(I, &mut Blank<'_, T>) + Sync + Send,
    ) where
        T: Send,
    {
        assert!(beside.len() >= ends.len(), "an item for each part");
        let written = ends.last().copied().unwrap_or(0);
        let parts = split(self.elements, ends.into_iter());
        parts.into_par_iter().zip(beside).for_each(|(elements, item)| {
            let mut blank = Blank { elements, written: 0 };
            f(item, &mut blank);
            blank.check();
        });
        // `for_each` returns when every part has been through the closure, as none lacks an item, and each is whole.
        self.written = written;
    }

    /// Panics if elements are unwritten.
    fn check(&self) {
        assert_eq!(self.written, self.elements.len(), "elements written of a part");
    }

    /// All elements, as zeros.
    fn all_zeros(&mut self) -> &mut [T] {
        self.zeros(self.elements.len() - self.written)
    }
}

/// A vector of `len` elements. `f` writes chunks of `piece` elements, given the chunk's range and
/// the chunk.
///
/// # Panics
/// Panics if `f` leaves elements unwritten.
pub(crate) fn write<T: Copy + Default + Send>(
    len: usize,
    piece: usize,
    f: impl Fn(Range<usize>, &mut Blank<'_, T>) + Sync + Send,
) -> Vec<T> {
    let piece = piece.max(1);
    let numbers = (0..len.div_ceil(piece)).into_par_iter();
    write_beside(len, piece, numbers, |number, blank| {
        f(number * piece..len.min((number + 1) * piece), blank);
    })
}

/// Like [`write`], with an item of `beside` for each chunk.
///
/// # Panics
/// Panics if there are fewer items than pieces, or `f` leaves elements unwritten.
pub(crate) fn write_beside<T: Copy + Default + Send, I: Send>(
    len: usize,
    piece: usize,
    beside: impl IndexedParallelIterator<Item = I>,
    f: impl Fn(I, &mut Blank<'_, T>) + Sync + Send,
) -> Vec<T> {
    let ends = (0..len).step_by(piece.max(1)).map(|start| len.min(start + piece));
    write_parts(ends, beside, f)
}

/// A vector as long as the last of `ends`. `f` writes the part up to each of them, given the item
/// of `beside` for that part.
///
/// # Panics
/// Panics if the ends descend, there are fewer items than ends, or `f` leaves elements unwritten.
pub(crate) fn write_parts<T: Copy + Default + Send, I: Send>(
    ends: impl Iterator<Item = usize>,
    beside: impl IndexedParallelIterator<Item = I>,
    f: impl Fn(I, &mut Blank<'_, T>) + Sync + Send,
) -> Vec<T> {
    let ends: Vec<usize> = ends.collect();
    let mut result = Vec::new();
    refill(&mut result, ends.last().copied().unwrap_or(0), |blank| blank.parts(ends, beside, f));
    result
}

/// Fills a vector anew with `len` elements, which `f` writes.
///
/// # Panics
/// Panics if `f` leaves elements unwritten.
#[inline]
pub(crate) fn refill<T: Copy + Default>(
    vector: &mut Vec<T>,
    len: usize,
    f: impl FnOnce(&mut Blank<'_, T>),
) {
    vector.clear();
    vector.reserve_exact(len);
    let mut blank = Blank { elements: &mut vector.spare_capacity_mut()[..len], written: 0 };
    f(&mut blank);
    blank.check();
    // SAFETY: the capacity is at least `len`. A `Blank` counts an element when it has been initialised, from the first
    // on, and all are counted.
    unsafe { vector.set_len(len) };
}

/// Splits a slice into parts with these `ends`.
pub(crate) fn split<T>(mut data: &mut [T], ends: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut start = 0;
    ends.map(|end| {
        let (part, rest) = std::mem::take(&mut data).split_at_mut(end - start);
        (data, start) = (rest, end);
        part
    })
    .collect()
}

/// A vector as long as the last of `ends`. `f` computes the zeroed part up to each of them, given
/// the item of `beside` for that part.
///
/// # Panics
/// Panics if the ends descend, or there are fewer items than ends.
pub(crate) fn build_parts<T: Copy + Default + Send, I: Send>(
    ends: impl Iterator<Item = usize>,
    beside: impl IndexedParallelIterator<Item = I>,
    f: impl Fn(I, &mut [T]) + Sync + Send,
) -> Vec<T> {
    write_parts(ends, beside, |item, blank| f(item, blank.all_zeros()))
}

/// A vector of `len` elements. `f` computes chunks of `piece` elements, given the chunk's number
/// and the zeroed chunk.
///
/// The thread that computes a chunk also zeroes it, so the chunk is then in its cache; zeroing the
/// whole vector first would be another pass through memory.
pub(crate) fn build<T: Copy + Default + Send>(
    len: usize,
    piece: usize,
    f: impl Fn(usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let numbers = (0..len.div_ceil(piece.max(1))).into_par_iter();
    write_beside(len, piece, numbers, |number, blank| f(number, blank.all_zeros()))
}

/// Like [`build`], with a state from `init` for each chunk that is computed at the same time.
pub(crate) fn build_with<T: Copy + Default + Send, S: Send>(
    len: usize,
    piece: usize,
    init: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
) -> Vec<T> {
    // Rayon's `for_each_init` makes a state for each of its splits, which are many more.
    let free = Mutex::new(Vec::new());
    let states = || free.lock().unwrap_or_else(PoisonError::into_inner);
    build(len, piece, |number, elements| {
        let state = states().pop();
        let mut state = state.unwrap_or_else(&init);
        f(&mut state, number, elements);
        states().push(state);
    })
}

/// How many of so many pieces are computed at a time, at most.
pub(crate) fn at_a_time(pieces: usize) -> usize {
    pieces.min(rayon::current_num_threads())
}

/// Elements of the planes that one piece of [`build_planes`] reads or writes.
const PLANES: usize = 16 * 1024;

/// A vector of planes of `size` elements. `f` computes each from the plane of `from` (`from_size`
/// elements) with the same number, and has a buffer of `line` elements.
///
/// If either has no elements, the vector is zero.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_parts_are_in_order_and_whole() {
        let from: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let twice = write(1000, 64, |elements, blank| {
            let values = &from[elements];
            let (first, rest) = values.split_at(values.len() / 3);
            blank.write([first], |[x]| 2.0 * x);
            blank.write([rest, rest], |[x, y]| x + y);
        });
        assert!(twice.iter().zip(&from).all(|(twice, x)| *twice == 2.0 * x));
        let ends = [3usize, 3, 10];
        let parts = build_parts(ends.into_iter(), ends.par_iter(), |end, part: &mut [u8]| {
            assert!(part.iter().all(|x| *x == 0));
            part.fill(*end as u8);
        });
        assert_eq!(parts, [3, 3, 3, 10, 10, 10, 10, 10, 10, 10]);
        assert!(write(0, 0, |_, _: &mut Blank<'_, f32>| ()).is_empty());
    }

    #[test]
    #[should_panic(expected = "elements written of a part")]
    fn what_is_left_unwritten_is_no_element() {
        write(10, 5, |_, blank| blank.write([&[1.0f32; 4]], |[x]| x));
    }

    #[test]
    #[should_panic(expected = "an item for each part")]
    fn a_part_without_an_item_is_no_element() {
        build_parts([1, 2].into_iter(), [0].par_iter(), |_, part: &mut [u8]| part.fill(1));
    }

    #[test]
    fn states_are_made_for_no_more_pieces_than_run_at_a_time() {
        let made = std::sync::atomic::AtomicUsize::new(0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let init = || made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let numbers = || build_with(500, 1, init, |_, number, piece| piece[0] = number as f64);
        let numbers = pool.map(|pool| pool.install(numbers)).unwrap_or_default();
        assert_eq!(numbers, (0..500).map(f64::from).collect::<Vec<_>>());
        assert!(made.into_inner() <= 2);
    }
}
