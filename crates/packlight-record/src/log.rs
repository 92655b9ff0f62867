//! Append-only logs with one checksummed JSON value per line.
//!
//! A line is `{"crc":"1a2b3c4d","value":{...}}`, where `crc` is the CRC-32 of the value's bytes in
//! the line. A process that is killed while writing leaves at most an incomplete ("torn") last
//! line, which readers drop and report; a damaged line elsewhere is an error.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Result, atomic_file};

#[derive(Deserialize)]
struct Line<'a> {
    crc: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Appends values to a log.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Appender {
    /// Opens the log at `path`, creating it if it is missing, and truncates it to `length` bytes,
    /// so that everything after a checkpoint is written again.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, or is shorter than `length`.
    pub fn open(path: &Path, length: u64) -> Result<Self> {
        let io = |e| Error::io(path, e);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        if found < length {
            return Err(Error::TooShort { path: path.to_path_buf(), expected: length, found });
        }
        file.set_len(length).map_err(io)?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file), length })
    }

    /// Appends one value as a line.
    ///
    /// # Errors
    /// Returns an error if the value has no JSON form or the line cannot be written.
    pub fn append<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let line = line(value, &self.path)?;
        self.file.write_all(line.as_bytes()).map_err(|e| Error::io(&self.path, e))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Syncs all lines to disk and returns the log's length in bytes.
    ///
    /// # Errors
    /// Returns an error if they cannot be written, for example on a full disk.
    pub fn sync(&mut self) -> Result<u64> {
        let io = |e| Error::io(&self.path, e);
        self.file.flush().map_err(io)?;
        self.file.get_ref().sync_data().map_err(io)?;
        Ok(self.length)
    }
}

fn line<T: Serialize>(value: &T, path: &Path) -> Result<String> {
    let value = serde_json::to_string(value).map_err(|e| Error::json(path, e))?;
    let crc = crc32fast::hash(value.as_bytes());
    Ok(format!("{{\"crc\":\"{crc:08x}\",\"value\":{value}}}\n"))
}

/// Writes a log of these values to `path`, replacing an older one atomically.
///
/// # Errors
/// Returns an error if a value has no JSON form or the file cannot be written.
pub fn write_log<T: Serialize>(path: &Path, values: impl IntoIterator<Item = T>) -> Result<()> {
    let lines = values.into_iter().map(|value| line(&value, path)).collect::<Result<String>>()?;
    atomic_file::write(path, lines.as_bytes())
}

/// The contents of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents<T> {
    /// Its values in order.
    pub values: Vec<T>,
    /// Whether a torn last line was dropped.
    pub torn: bool,
}

/// What a line of a log can hold.
pub trait Logged: DeserializeOwned + Send {
    /// The value of a line of a frequent kind, in the form in which it is written, without the cost of
    /// a parser for any JSON; `None` for all others.
    fn scanned(_json: &str) -> Option<Self> {
        None
    }
}

/// Reads the log at `path`; one that does not exist is empty.
///
/// # Errors
/// Returns an error if the file cannot be read, or a line that is not the last is damaged.
pub fn read_log<T: Logged>(path: &Path) -> Result<Contents<T>> {
    let mut values = Vec::new();
    let torn = fold_log(path, |block| block.collect::<Vec<T>>(), |block| values.extend(block))?;
    Ok(Contents { values, torn })
}

/// The value in the last line of the log at `path`, without a look at the others; `None` if there is no such line,
/// or it is torn, or longer than any that ends a log.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn last_of_log<T: Logged>(path: &Path) -> Result<Option<T>> {
    let io = |e| Error::io(path, e);
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    let end = block_at(path, length.saturating_sub(BLOCK)).map_err(io)?;
    let mut values = Values::new(&end);
    let last = values.by_ref().last();
    Ok(last.filter(|_| values.bad.is_none()))
}

/// The lines that begin within so many bytes of a log are a block.
const BLOCK: u64 = 1 << 20;
/// So many blocks for each thread are read before the first of them is handed on.
const AT_ONCE: usize = 4;

/// Reads the log at `path` in blocks of lines, several at a time, so that no more than these are held: `each`
/// makes something of a block's values, and `then` takes that in the log's order. A log that does not exist has
/// no block. Returns whether a torn last line was dropped.
///
/// # Errors
/// Returns an error if the file cannot be read, or a line that is not the last is damaged.
pub fn fold_log<T: Logged, B: Send>(
    path: &Path,
    each: impl Fn(&mut Values<'_, T>) -> B + Sync,
    mut then: impl FnMut(B),
) -> Result<bool> {
    let io = |e| Error::io(path, e);
    let damaged = |BadLine { line, reason, .. }| {
        let path = path.to_path_buf();
        Error::Damaged { path, line, reason }
    };
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io(e)),
    };
    let made = |start: &u64| -> std::io::Result<_> {
        let text = block_at(path, *start)?;
        let mut values = Values::new(&text);
        let made = each(&mut values);
        values.by_ref().for_each(drop); // whatever `each` has left
        Ok((made, values.lines, values.bad))
    };
    let starts: Vec<u64> = (0..length).step_by(BLOCK as usize).collect();
    let (mut lines, mut bad) = (0, None::<BadLine>);
    for starts in starts.chunks(AT_ONCE * rayon::current_num_threads()) {
        for block in starts.par_iter().map(made).collect::<Vec<_>>() {
            let (made, number, bad_here) = block.map_err(io)?;
            if let Some(before) = bad.take_if(|_| number > 0) {
                return Err(damaged(before)); // other lines follow
            }
            if let Some(here) = bad_here {
                let here = BadLine { line: lines + here.line, ..here };
                if !here.is_last {
                    return Err(damaged(here));
                }
                bad = Some(here);
            }
            then(made);
            lines += number;
        }
    }
    Ok(bad.is_some())
}

/// The lines of the log at `path` that begin in the block at `start`.
fn block_at(path: &Path, start: u64) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut skipped = Vec::new();
    let mut begin = start;
    if start > 0 {
        // A line that begins here follows a line break.
        reader.seek(SeekFrom::Start(start - 1))?;
        begin += reader.read_until(b'\n', &mut skipped)? as u64 - 1;
    }
    let mut block = Vec::with_capacity(BLOCK as usize);
    reader.by_ref().take((start + BLOCK).saturating_sub(begin)).read_to_end(&mut block)?;
    if block.last().is_some_and(|&byte| byte != b'\n') {
        reader.read_until(b'\n', &mut block)?;
    }
    Ok(block)
}

/// The values of the lines of a block, up to one that is damaged.
#[derive(Debug)]
pub struct Values<'a, T> {
    rest: &'a [u8],
    lines: usize,
    bad: Option<BadLine>,
    of: PhantomData<T>,
}

/// A damaged line.
#[derive(Debug)]
struct BadLine {
    /// Its number from 1.
    line: usize,
    reason: String,
    is_last: bool,
}

impl<'a, T> Values<'a, T> {
    fn new(block: &'a [u8]) -> Self {
        Self { rest: block, lines: 0, bad: None, of: PhantomData }
    }
}

impl<T: Logged> Iterator for Values<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.rest.is_empty() || self.bad.is_some() {
            return None;
        }
        let before = self.rest;
        let length = self.rest.skip_until(b'\n').ok()?;
        self.lines += 1;
        match parse_line(&before[..length]) {
            Ok(value) => Some(value),
            Err(reason) => {
                let is_last = self.rest.is_empty();
                self.bad = Some(BadLine { line: self.lines, reason, is_last });
                None
            }
        }
    }
}

fn parse_line<T: Logged>(line: &[u8]) -> std::result::Result<T, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let text = text.strip_suffix('\n').ok_or("the line has no line break")?;
    if let Some(value) = checked(text).and_then(T::scanned) {
        return Ok(value);
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let crc = format!("{:08x}", crc32fast::hash(line.value.get().as_bytes()));
    if crc != line.crc {
        return Err(format!("checksum: expected {}, found {crc}", line.crc));
    }
    serde_json::from_str(line.value.get()).map_err(|e| e.to_string())
}

/// The value of a line as [`line`] writes it, if its checksum is right.
fn checked(text: &str) -> Option<&str> {
    let (crc, value) = text.strip_prefix("{\"crc\":\"")?.split_at_checked(8)?;
    let value = value.strip_prefix("\",\"value\":")?.strip_suffix('}')?;
    let found = crc32fast::hash(value.as_bytes());
    // Lower-case digits, and no others.
    let written = crc.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (written && u32::from_str_radix(crc, 16) == Ok(found)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    fn finished(step: u64) -> Record {
        Record::Finished { step }
    }

    #[test]
    fn values_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Appender::open(&path, 0).unwrap();
        for step in 0..3 {
            log.append(&finished(step)).unwrap();
        }
        assert_eq!(log.sync().unwrap(), std::fs::metadata(&path).unwrap().len());
        let contents = read_log::<Record>(&path).unwrap();
        assert_eq!(contents.values, (0..3).map(finished).collect::<Vec<_>>());
        assert!(!contents.torn);
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Appender::open(&path, 0).unwrap();
        log.append(&finished(1)).unwrap();
        let first = log.sync().unwrap() as usize;
        log.append(&finished(2)).unwrap();
        log.sync().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in first + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let contents = read_log::<Record>(&path).unwrap();
            assert_eq!((contents.values, contents.torn), (vec![finished(1)], true), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Appender::open(&path, 0).unwrap();
        log.append(&finished(17)).unwrap();
        log.append(&finished(2)).unwrap();
        log.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replacen("17", "18", 1);
        std::fs::write(&path, text).unwrap();
        let error = read_log::<Record>(&path).unwrap_err().to_string();
        assert!(error.contains("line 1: checksum"), "{error}");
    }

    #[test]
    fn blocks_have_each_line_once_wherever_they_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // Lines of up to three blocks, and many within one.
        let layer = |length: usize| {
            let (kind, codec) = (crate::LayerKind::Conv, String::new());
            Record::Layer { layer: "x".repeat(length), kind, codec }
        };
        let lengths = (0..3000).map(|n| 400 + n % 700).chain([3 << 20, 1 << 20, (1 << 20) - 70, 5]);
        let values: Vec<Record> = lengths.map(layer).collect();
        write_log(&path, &values).unwrap();
        assert!(read_log::<Record>(&path).unwrap().values == values);
        // A line damaged in the second block, then the last one.
        let mut bytes = std::fs::read(&path).unwrap();
        let undamaged = std::mem::replace(&mut bytes[(1 << 20) + 300_000], b'~');
        std::fs::write(&path, &bytes).unwrap();
        let line = bytes[..(1 << 20) + 300_000].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let error = read_log::<Record>(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}: checksum")), "{error}");
        bytes.truncate(bytes.len() - 3);
        bytes[(1 << 20) + 300_000] = undamaged;
        std::fs::write(&path, &bytes).unwrap();
        let read = read_log::<Record>(&path).unwrap();
        assert!(read.torn && read.values == values[..values.len() - 1]);
    }

    #[test]
    fn the_last_value_is_that_of_a_whole_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(last_of_log::<Record>(&path).unwrap(), None, "no log");
        let (kind, codec) = (crate::LayerKind::Conv, String::new());
        let long = Record::Layer { layer: "x".repeat(3 << 20), kind, codec };
        write_log(&path, [finished(1), long, finished(2), finished(3)]).unwrap();
        assert_eq!(last_of_log::<Record>(&path).unwrap(), Some(finished(3)));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(last_of_log::<Record>(&path).unwrap(), None, "torn");
        let line =
            whole.len() - whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() - 1;
        std::fs::write(&path, &whole[..whole.len() - line]).unwrap();
        assert_eq!(last_of_log::<Record>(&path).unwrap(), Some(finished(2)), "a line less");
        std::fs::write(&path, "").unwrap();
        assert_eq!(last_of_log::<Record>(&path).unwrap(), None, "empty");
    }

    #[test]
    fn opening_at_a_length_drops_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Appender::open(&path, 0).unwrap();
        log.append(&finished(1)).unwrap();
        let kept = log.sync().unwrap();
        log.append(&finished(2)).unwrap();
        log.sync().unwrap();
        let mut log = Appender::open(&path, kept).unwrap();
        log.append(&finished(3)).unwrap();
        log.sync().unwrap();
        assert_eq!(read_log::<Record>(&path).unwrap().values, vec![finished(1), finished(3)]);
        assert!(Appender::open(&path, 1 << 20).is_err());
    }
}
