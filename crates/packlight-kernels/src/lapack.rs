//! The LAPACK routines that `ndarray-linalg` does not wrap (`dsytrd`, `dstedc`, `dormtr`), and the
//! set-up of OpenBLAS.
//!
//! `ndarray-linalg` computes eigenvalues with `dsyev`, which is several times slower than the
//! divide-and-conquer method here and cannot skip eigenvectors that are not needed.

use std::ffi::{c_char, c_int};
use std::sync::Once;

use lapack_sys::{dormtr_, dstedc_, dsytrd_};
use ndarray_linalg as _; // links OpenBLAS

use crate::{Error, Result};

const LEFT: c_char = b'L' as c_char;
const LOWER: c_char = b'L' as c_char;
const NOT_TRANSPOSED: c_char = b'N' as c_char;
const FROM_TRIDIAGONAL: c_char = b'I' as c_char;
/// As the length of a work array: asks LAPACK for the best length instead of computing.
const ASK: c_int = -1;

#[allow(unsafe_code)]
unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
}

/// Makes OpenBLAS compute on the calling thread only, in the whole process. Call this before any
/// other of its functions.
///
/// The kernels already run in parallel on rayon's threads, with which OpenBLAS's own would compete.
/// OpenBLAS also splits sums by its number of threads, so results would depend on the machine.
#[allow(unsafe_code)]
pub(crate) fn on_this_thread() {
    static ONCE: Once = Once::new();
    // SAFETY: every build of OpenBLAS has this function; it takes any positive number, and `Once`
    // makes all callers wait until it has returned.
    ONCE.call_once(|| unsafe { openblas_set_num_threads(1) });
}

/// A symmetric matrix as `Q T Q^T`, with `T` tridiagonal.
pub(crate) struct Tridiagonal {
    size: c_int,
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    /// `Q` as Householder reflections, without their factors.
    reflections: Vec<f64>,
    factors: Vec<f64>,
}

impl Tridiagonal {
    /// Reduces the symmetric `matrix` of `size` rows, in row-major or column-major order.
    #[allow(unsafe_code)]
    pub(crate) fn new(matrix: Vec<f64>, size: usize) -> Result<Self> {
        assert_eq!(matrix.len(), size * size, "elements of a square matrix");
        on_this_thread();
        let n = length(size)?;
        let mut result = Self {
            size: n,
            diagonal: vec![0.0; size],
            beside: vec![0.0; size.saturating_sub(1)],
            reflections: matrix,
            factors: vec![0.0; size.saturating_sub(1)],
        };
        // SAFETY: the matrix holds n x n elements, the diagonal n and the others n - 1, and
        // `with_work` gives as many elements as it says.
        with_work("dsytrd", |work, length, _, _, info| unsafe {
            dsytrd_(
                &LOWER,
                &n,
                result.reflections.as_mut_ptr(),
                &n.max(1),
                result.diagonal.as_mut_ptr(),
                result.beside.as_mut_ptr(),
                result.factors.as_mut_ptr(),
                work,
                length,
                info,
            );
        })?;
        Ok(result)
    }

    /// Eigenvalues in ascending order, and the eigenvectors of `T` one after the other. Afterwards
    /// only
    /// `Q` can be used.
    #[allow(unsafe_code)]
    pub(crate) fn eigen(&mut self) -> Result<(Vec<f64>, Vec<f64>)> {
        let n = self.size;
        let mut values = std::mem::take(&mut self.diagonal);
        let mut vectors = vec![0.0; values.len() * values.len()];
        // SAFETY: n values, n - 1 beside them and n x n elements of the vectors, and `with_work`
        // gives as many elements as it says.
        with_work("dstedc", |work, length, integers, integer_length, info| unsafe {
            dstedc_(
                &FROM_TRIDIAGONAL,
                &n,
                values.as_mut_ptr(),
                self.beside.as_mut_ptr(),
                vectors.as_mut_ptr(),
                &n.max(1),
                work,
                length,
                integers,
                integer_length,
                info,
            );
        })?;
        Ok((values, vectors))
    }

    /// Turns eigenvectors of `T`, one after the other, into those of the matrix.
    #[allow(unsafe_code)]
    pub(crate) fn turn_back(&self, vectors: &mut [f64]) -> Result<()> {
        let n = self.size;
        let count = length(vectors.len() / (self.factors.len() + 1))?;
        // SAFETY: the reflections are n x n elements with n - 1 factors, the vectors `count` times
        // n elements, and `with_work` gives as many elements as it says.
        with_work("dormtr", |work, length, _, _, info| unsafe {
            dormtr_(
                &LEFT,
                &LOWER,
                &NOT_TRANSPOSED,
                &n,
                &count,
                self.reflections.as_ptr(),
                &n.max(1),
                self.factors.as_ptr(),
                vectors.as_mut_ptr(),
                &n.max(1),
                work,
                length,
                info,
            );
        })
    }
}

/// Calls a routine of LAPACK twice: to ask for the lengths of its work arrays, then with them.
fn with_work(
    routine: &'static str,
    mut call: impl FnMut(*mut f64, &c_int, *mut c_int, &c_int, &mut c_int),
) -> Result<()> {
    let failed =
        |info| Err(Error::Lapack { routine, reason: format!("it returned the error code {info}") });
    let (mut length, mut integers, mut info) = (0.0, 0, 0);
    call(&mut length, &ASK, &mut integers, &ASK, &mut info);
    if info != 0 {
        return failed(info);
    }
    let mut work = vec![0.0; (length as usize).max(1)];
    let mut integer_work = vec![0; usize::try_from(integers).unwrap_or(0).max(1)];
    let lengths = (self::length(work.len())?, self::length(integer_work.len())?);
    call(work.as_mut_ptr(), &lengths.0, integer_work.as_mut_ptr(), &lengths.1, &mut info);
    if info == 0 { Ok(()) } else { failed(info) }
}

fn length(length: usize) -> Result<c_int> {
    c_int::try_from(length).map_err(|_| Error::Lapack {
        routine: "any",
        reason: format!("the length {length} does not fit into 32 bits"),
    })
}
