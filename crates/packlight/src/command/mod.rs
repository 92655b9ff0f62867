//! The subcommands, one file each.

pub(crate) mod codecs;
pub(crate) mod eval;
pub(crate) mod grads;
pub(crate) mod plans;
pub(crate) mod report;
pub(crate) mod run;

/// The exit code of a study some of whose runs failed.
pub(crate) const SOME_FAILED: u8 = 3;
/// The exit code of a study that was interrupted, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Has all that computes use this many threads; to be called before anything does.
fn use_threads(threads: usize) -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok(())
}
