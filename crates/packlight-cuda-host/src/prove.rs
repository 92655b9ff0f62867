//! The gates that a kernel passes.

use std::fmt::Write as _;
use std::io::Write as _;

use candle_core::{DType, Tensor};
use packlight_kernels::Result;
use packlight_kernels::cuda::Gpu;

use crate::host::{Host, Order, bytes};

/// How far results may be from the CPU's.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// The same bytes.
    Bytes,
    /// Each number at most this far off, as a share of its own magnitude.
    Relative(f64),
    /// Each number at most this far off, as a share of the largest magnitude of its tensor.
    OfLargest(f64),
}

/// Whether the kernels run here; a word on standard error if they do not.
#[allow(clippy::explicit_write)] // what `eprintln` writes is captured
pub fn here() -> bool {
    let mut missing = Vec::new();
    if !Host::is_here() {
        missing.push("no C++ compiler to run CUDA kernels with");
    } else if !Host::has_sanitizers() {
        missing.push("no sanitizers");
    }
    for what in missing {
        let _ = writeln!(std::io::stderr(), "skipped: there is {what}");
    }
    Host::is_here()
}

/// Runs `kernel`, a twin in `packlight_kernels::cuda`, through the gates; `expected` are the results of the
/// CPU's kernel.
///
/// # Errors
/// Returns an error that says which gate it does not pass, and why.
pub fn prove(
    expected: &[Tensor],
    tolerance: Tolerance,
    kernel: impl Fn(&dyn Gpu) -> Result<Vec<Tensor>>,
) -> std::result::Result<(), String> {
    #[cfg(feature = "cuda")]
    if let Some(card) = crate::card::Card::here() {
        let found = kernel(&card).map_err(|error| format!("on the card: {error}"))?;
        compare(&found, expected, tolerance).map_err(|error| format!("on the card: {error}"))?;
    }
    if !here() {
        return Ok(());
    }
    let run = |host: Host| -> std::result::Result<Vec<Tensor>, String> {
        kernel(&host).map_err(|error| format!("{host:?}: {error}"))
    };
    let forward = run(Host::default())?;
    compare(&forward, expected, tolerance)?;
    let mut others = vec![
        Host { order: Order::Backward, ..Host::default() },
        Host { order: Order::Shuffled, most_blocks: 2, ..Host::default() },
    ];
    if Host::has_sanitizers() {
        others.push(Host { order: Order::Shuffled, sanitized: true, ..Host::default() });
    }
    for host in others {
        let found = run(host)?;
        compare(&found, &forward, Tolerance::Bytes)
            .map_err(|error| format!("the order of threads or the blocks matter: {error}"))?;
    }
    Ok(())
}

/// Says where tensors differ by more than the tolerance.
fn compare(
    found: &[Tensor],
    expected: &[Tensor],
    tolerance: Tolerance,
) -> std::result::Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{} results, {} expected", found.len(), expected.len()));
    }
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        differing(found, expected, tolerance)
            .map_err(|error| error.to_string())?
            .map_or(Ok(()), |message| Err(format!("result {number}: {message}")))?;
    }
    Ok(())
}

fn differing(
    found: &Tensor,
    expected: &Tensor,
    tolerance: Tolerance,
) -> candle_core::Result<Option<String>> {
    if found.dims() != expected.dims() || found.dtype() != expected.dtype() {
        let of = |t: &Tensor| format!("{:?} {:?}", t.dtype(), t.dims());
        return Ok(Some(format!("{}, {} expected", of(found), of(expected))));
    }
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (theirs, ours) = (values(found)?, values(expected)?);
    let largest = ours.iter().filter(|x| x.is_finite()).fold(0.0, |top: f64, x| top.max(x.abs()));
    let wrong: Vec<usize> = match tolerance {
        Tolerance::Bytes => {
            let (theirs, ours) = (bytes(found)?, bytes(&expected.contiguous()?)?);
            let size = expected.dtype().size_in_bytes();
            let pairs = theirs.chunks(size).zip(ours.chunks(size)).enumerate();
            pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
        }
        Tolerance::Relative(_) | Tolerance::OfLargest(_) => {
            let allowed = |x: f64| match tolerance {
                Tolerance::Relative(share) => share * x.abs(),
                Tolerance::OfLargest(share) => share * largest,
                Tolerance::Bytes => 0.0,
            };
            let same =
                |a: f64, b: f64| a == b || (a - b).abs() <= allowed(b) || a.is_nan() && b.is_nan();
            let pairs = theirs.iter().zip(&ours).enumerate();
            pairs.filter(|(_, (a, b))| !same(**a, **b)).map(|(at, _)| at).collect()
        }
    };
    if wrong.is_empty() {
        return Ok(None);
    }
    let mut message = format!("{} of {} elements differ:", wrong.len(), ours.len());
    for &at in wrong.iter().take(4) {
        let _ = write!(message, " element {at} is {:e}, not {:e};", theirs[at], ours[at]);
    }
    Ok(Some(message))
}
