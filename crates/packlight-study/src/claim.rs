//! A file that says which process writes a study, for file systems without locks.
//!
//! Only one process can create a file that must not exist yet. Unlike a lock, the file remains if
//! its process is killed. So it names the process, and the claim of a process that has ended is
//! void.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The number of attempts to take over the claim of a process that has ended, while others try the
/// same.
const ATTEMPTS: usize = 10;

/// The claim, held while a study's runs are written; dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    owner: Owner,
}

/// A process, as its claim names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    pid: u32,
    /// The machine's name, with the process namespace, because each container numbers its own
    /// processes.
    host: String,
    /// When the process started, in ticks since the machine did, because process numbers are
    /// reused.
    started: Option<u64>,
}

impl Claim {
    /// Claims the study in `folder` with the file at `path`.
    ///
    /// # Errors
    /// Returns an error if another process holds the claim and may still be running, or if the file
    /// cannot be created.
    pub(crate) fn take(folder: &Path, path: PathBuf) -> Result<Self> {
        let owner = Owner::this();
        for _ in 0..ATTEMPTS {
            match create(&path, &owner) {
                Ok(()) => return Ok(Self { path, owner }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(&path, e)),
            }
            match read(&path)? {
                Some(other) if other.ended() => remove_if_of(&other, &path)?,
                Some(other) => {
                    let (folder, file) = (folder.to_path_buf(), path.clone());
                    return Err(Error::Claimed { folder, file, by: other.in_words() });
                }
                None => {} // it was removed just now
            }
        }
        Err(Error::Locked { folder: folder.to_path_buf() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Ok(Some(owner)) = read(&self.path)
            && owner == self.owner
        {
            let _ = std::fs::remove_file(&self.path); // the file is void once we have ended
        }
    }
}

impl Owner {
    fn this() -> Self {
        let pid = std::process::id();
        Self { pid, host: host(), started: started(pid) }
    }

    /// Whether the process has certainly ended, which only its own machine can know.
    fn ended(&self) -> bool {
        let told = started(std::process::id()).is_some() && self.host == host();
        told && (self.started.is_some() && started(self.pid) != self.started)
    }

    fn in_words(&self) -> String {
        format!("process {} on {}", self.pid, self.host)
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", name.trim(), namespace.display())
}

/// When a process started; `None` if no process has this number, or the system does not report it.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started) // a zombie has ended
}

/// Creates the file, which must not exist.
fn create(path: &Path, owner: &Owner) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(&serde_json::to_vec(owner)?).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path); // the first error is the one to report
    }
    written
}

/// The process that holds the claim; `None` if there is no file.
fn read(path: &Path) -> Result<Option<Owner>> {
    match std::fs::read(path) {
        // A file that cannot be parsed may be in the middle of being written.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| Owner {
            pid: 0,
            host: "a machine that is not known".to_owned(),
            started: None,
        }))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Removes the claim of a process that has ended. Moves the file aside first; if another process
/// has taken over in the meantime, moves its file back.
fn remove_if_of(ended: &Owner, path: &Path) -> Result<()> {
    let aside = path.with_added_extension(std::process::id().to_string());
    match std::fs::rename(path, &aside) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        moved => moved.map_err(|e| Error::io(path, e))?,
    }
    match read(&aside)?.as_ref() == Some(ended) {
        true => std::fs::remove_file(&aside).map_err(|e| Error::io(&aside, e)),
        false => std::fs::rename(&aside, path).map_err(|e| Error::io(&aside, e)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Makes a folder in which `owner` holds the claim.
    fn claimed(owner: &Owner) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim");
        create(&path, owner).unwrap();
        (dir, path)
    }

    #[test]
    fn a_claim_is_one_process_s_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim");
        let first = Claim::take(dir.path(), path.clone()).unwrap();
        let error = Claim::take(dir.path(), path.clone()).unwrap_err().to_string();
        for word in ["claim", &format!("process {}", std::process::id()), "remove"] {
            assert!(error.contains(word), "{error}");
        }
        drop(first);
        assert!(!path.exists());
        Claim::take(dir.path(), path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_claim_of_a_process_that_has_ended_is_taken_over() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        let owner = Owner { pid, host: host(), started: started(pid) };
        let (dir, path) = claimed(&owner);
        assert!(Claim::take(dir.path(), path.clone()).is_err(), "it is still running");
        child.kill().unwrap();
        child.wait().unwrap();
        let claim = Claim::take(dir.path(), path.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Owner::this()));
        drop(claim);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_what_is_known_to_have_ended_is_taken_over() {
        let this = Owner::this();
        let again = Owner { started: this.started.map(|ticks| ticks + 1), ..this.clone() };
        let (dir, path) = claimed(&again);
        Claim::take(dir.path(), path).unwrap(); // its number was reused
        let (dir, path) = claimed(&Owner { host: "elsewhere".to_owned(), ..again });
        let error = Claim::take(dir.path(), path).unwrap_err().to_string();
        assert!(error.contains("elsewhere"), "{error}");
        let (dir, path) = claimed(&this);
        std::fs::write(&path, "").unwrap();
        assert!(Claim::take(dir.path(), path).is_err(), "it may be just being written");
    }

    #[test]
    fn a_claim_that_others_took_over_meanwhile_stays() {
        let this = Owner::this();
        let (dir, path) = claimed(&this);
        remove_if_of(&Owner { pid: 1, ..this.clone() }, &path).unwrap();
        assert_eq!(read(&path).unwrap(), Some(this.clone()));
        remove_if_of(&this, &path).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
