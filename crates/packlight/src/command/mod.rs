//! The subcommands, one file each.

pub(crate) mod allocate;
mod allocated;
pub(crate) mod codecs;
pub(crate) mod eval;
pub(crate) mod fit;
pub(crate) mod grads;
mod on_device;
pub(crate) mod plan;
mod planned;
pub(crate) mod plans;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sensitivity;
mod study_folder;
mod verify;

/// The exit code if some runs of a study failed.
pub(crate) const SOME_FAILED: u8 = 3;
/// The exit code if a study was interrupted, by the convention of shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// Sets the number of threads of all computations; must be called before any of them. The calling thread
/// is one of them: otherwise it would sleep, and be woken, at each of the thousands of small kernels of a step.
fn use_threads(threads: usize) -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global()?;
    Ok(())
}
