//! Lets only one process at a time write to a study.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::claim::Claim;
use crate::{Error, Result};

/// A study's lock, held while its runs are written.
#[derive(Debug)]
pub(crate) enum Lock {
    /// A lock of the file system, which the system releases when the process ends in any way.
    System { _file: File },
    /// A file that names this process, for file systems without locks.
    Claim { _claim: Claim, reason: io::Error },
}

impl Lock {
    /// Takes the lock of the study in `folder`.
    ///
    /// # Errors
    /// Returns an error if another process holds it, or its file cannot be made.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        Self::take_by(folder, File::try_lock)
    }

    /// Takes the lock with the given function for locking a file.
    fn take_by(
        folder: &Path,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self> {
        let path = folder.join(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        match try_lock(&file) {
            Ok(()) => Ok(Self::System { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { folder: folder.to_path_buf() }),
            Err(TryLockError::Error(reason)) if knows_no_locks(&reason) => {
                let _claim = Claim::take(folder, folder.join(".lock.claim"))?;
                Ok(Self::Claim { _claim, reason })
            }
            Err(TryLockError::Error(e)) => Err(Error::io(&path, e)),
        }
    }

    /// A warning about this kind of lock for the user, if there is one.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::System { .. } => None,
            Self::Claim { reason, .. } => Some(format!(
                "the file system does not lock files ({reason}); the file .lock.claim keeps other \
                 processes from this study"
            )),
        }
    }
}

/// Whether this is the error of a file system without locks: ENOSYS, ENOTSUP or ENOLCK.
fn knows_no_locks(error: &io::Error) -> bool {
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        assert_eq!(first.warning(), None);
        assert!(matches!(Lock::take(dir.path()), Err(Error::Locked { .. })));
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_locks_a_claim_keeps_others_away() {
        for code in [38, 37, 95] {
            // ENOSYS, ENOLCK and EOPNOTSUPP
            let dir = tempfile::tempdir().unwrap();
            let take = || {
                let refuse =
                    |_: &File| Err(TryLockError::Error(io::Error::from_raw_os_error(code)));
                Lock::take_by(dir.path(), refuse)
            };
            let first = take().unwrap();
            let warning = first.warning().unwrap();
            assert!(warning.contains("does not lock files"), "{warning}");
            assert!(matches!(take(), Err(Error::Claimed { .. })));
            drop(first);
            drop(take().unwrap());
            assert!(!dir.path().join(".lock.claim").exists());
        }
    }

    #[test]
    fn other_errors_of_the_lock_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let refuse = |_: &File| Err(TryLockError::Error(ErrorKind::PermissionDenied.into()));
        let error = Lock::take_by(dir.path(), refuse).unwrap_err().to_string();
        assert!(error.contains(".lock: permission denied"), "{error}");
    }
}
