//! The signals that ask a study to stop: Ctrl-C, and what schedulers and closing terminals send.

use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::command::INTERRUPTED;

/// Makes each of these signals set `stop`. A second signal ends the process at once, which loses
/// nothing. A signal that the process inherited as ignored, such as SIGHUP under `nohup`, stays
/// ignored.
///
/// # Errors
/// Returns an error if a handler cannot be installed.
pub(crate) fn stop_on_signals(stop: &'static AtomicBool) -> std::io::Result<()> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored & (1 << (signal - 1)) == 0 {
            // In this order: the first signal finds `stop` unset.
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop)?;
            flag::register(signal, stop)?;
        }
    }
    Ok(())
}

/// The ignored signals according to Linux's `/proc/PID/status`, as a mask with signal 1 in the
/// lowest bit; 0 if the status does not say.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tpacklight\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), (1 << (SIGHUP - 1)) | (1 << 12));
        assert_eq!(ignored("Name:\tpacklight\n"), 0);
    }
}
