//! Atomic writes: a file is there completely or not at all.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Prefix and suffix of a temporary file's name, with random letters in between.
const TEMPORARY: (&str, &str) = (".packlight-", ".tmp");
/// The longest chain of symbolic links to follow, as in Linux.
const MOST_LINKS: usize = 40;

/// Replaces the file at `path` by one with these `bytes`. A crash at any moment leaves either the
/// old or the new file: the bytes are written to a temporary file beside it, synced and renamed
/// over it, and then the folder is synced. The new file gets the permissions of the old one.
///
/// If `path` is a symbolic link, the link stays and its target is replaced. If it is a device or a
/// pipe, the bytes are written to it.
///
/// # Errors
/// Returns an error if any of these steps fails, for example on a full disk. The old file is then
/// untouched, and no temporary file is left.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts(path, |write| write(bytes))
}

/// The same with bytes that `fill` hands over part by part, so that they need not be in memory all at once.
///
/// # Errors
/// Returns an error as [`write()`] does, or the one of `fill`.
pub fn write_parts<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let io = |e| Error::io(path, e);
    let found = std::fs::metadata(path).ok();
    if found.as_ref().is_some_and(|found| !found.is_file() && !found.is_dir()) {
        let mut device = OpenOptions::new().write(true).open(path).map_err(io)?;
        return fill(&mut |bytes| device.write_all(bytes).map_err(io));
    }
    let target = followed(path).map_err(io)?;
    let mut file = temporary(&target, found).map_err(io)?;
    fill(&mut |bytes| file.write_all(bytes).map_err(io))?;
    Ok(persist(file, &target).map_err(io)?)
}

/// Removes the temporary files that killed processes have left in `folder`. No process may be
/// writing there at the same time.
///
/// # Errors
/// Returns an error if the folder cannot be listed or such a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        }
    }
    Ok(())
}

/// The file that is to replace the one at `path`, whose metadata are `old`.
fn temporary(path: &Path, old: Option<Metadata>) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    if let Some(usual) = usual_permissions() {
        builder.permissions(usual);
    }
    // Removed when it is dropped before its renaming.
    let file = builder.tempfile_in(folder_of(path)).map_err(without_path)?;
    if let Some(old) = old.filter(Metadata::is_file) {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(file)
}

/// Renames a temporary file, which is complete, to `path`.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync(folder_of(path))
}

/// An error of `tempfile` without the temporary file's path, for which nobody asked.
fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// The permissions of a new file before the umask.
#[cfg(unix)]
fn usual_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<Permissions> {
    None
}

/// `path` with its symbolic links followed; the target need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path), // no link, or nothing
        }
    }
    Err(io::Error::other("its symbolic links form a loop"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder, so that the renaming is on disk, if the system can sync folders.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(e) if !cannot_be_synced(e.kind()) => Err(e),
        _ => Ok(()),
    }
}

/// Whether this file system cannot sync folders, or the folder may not be opened.
fn cannot_be_synced(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in `folder`, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let entries = std::fs::read_dir(folder).unwrap().map(name);
        let mut names: Vec<_> = entries.map(|n| n.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.json");
        write(&path, b"first, longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(names(dir.path()), ["file.json"]);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = write(Path::new("/no/such/folder/file"), b"").unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/file: "), "{error}");
        assert!(!error.contains(TEMPORARY.0), "{error}");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        std::fs::create_dir(&path).unwrap();
        let error = write(&path, b"bytes").unwrap_err().to_string();
        assert!(error.contains("folder: "), "{error}");
        assert_eq!(names(dir.path()), ["folder"]);
    }

    #[test]
    fn several_at_once_each_write_a_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let contents = |writer: u8| vec![writer; 100_000];
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write(path, &contents(writer)).unwrap();
                    }
                });
            }
        });
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found, contents(found[0]));
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn leftovers_go_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".packlight-a8Fk2x.tmp", "mine.tmp", ".hidden"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(names(dir.path()), [".hidden", "mine.tmp"]);
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn a_file_has_the_usual_permissions_or_keeps_its_own() {
            let dir = tempfile::tempdir().unwrap();
            let (ours, usual) = (dir.path().join("ours"), dir.path().join("usual"));
            write(&ours, b"").unwrap();
            std::fs::write(&usual, b"").unwrap();
            assert_eq!(mode(&ours), mode(&usual));
            std::fs::set_permissions(&ours, Permissions::from_mode(0o640)).unwrap();
            write(&ours, b"new").unwrap();
            assert_eq!(mode(&ours), 0o640);
        }

        #[test]
        fn links_stay_and_what_they_lead_to_is_replaced() {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            std::fs::create_dir(at("elsewhere")).unwrap();
            symlink("second", at("first")).unwrap();
            symlink("elsewhere/file", at("second")).unwrap();
            for bytes in [&b"made"[..], b"replaced"] {
                write(&at("first"), bytes).unwrap();
                assert_eq!(std::fs::read(at("elsewhere/file")).unwrap(), bytes);
                assert!(at("first").is_symlink() && at("second").is_symlink());
            }
            assert_eq!(names(&at("elsewhere")), ["file"]);
            symlink("round", at("round")).unwrap();
            assert!(write(&at("round"), b"").unwrap_err().to_string().contains("round: "));
        }

        #[test]
        fn devices_and_pipes_are_written_to() {
            let dir = tempfile::tempdir().unwrap();
            let link = dir.path().join("null");
            symlink("/dev/null", &link).unwrap();
            for path in [Path::new("/dev/null"), &link] {
                write(path, b"bytes").unwrap();
                assert!(std::fs::metadata(path).unwrap().file_type().is_char_device());
            }
            if Path::new("/dev/full").exists() {
                let error = write(Path::new("/dev/full"), b"bytes").unwrap_err().to_string();
                assert!(error.starts_with("/dev/full: No space left"), "{error}");
            }
            let pipe = dir.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || std::fs::read(pipe).unwrap()
            });
            write(&pipe, b"bytes").unwrap();
            assert_eq!(reader.join().unwrap(), b"bytes");
            assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        }
    }
}
