//! What the program says: results on standard output, all else on standard error.
//!
//! A reader that has closed its pipe, as `head` does, has all that it wanted: nothing more is written,
//! and the exit code is what it would have been. Where output cannot be written otherwise, as on a
//! full disk, that is an error. What nobody can hear on standard error is no fault.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use anyhow::Context;
use serde::Serialize;

/// Standard output. What is written is held back until [`Output::finish`] or until it is much.
pub(crate) struct Output<W: Write = Stdout> {
    writer: BufWriter<W>,
    closed: bool,
}

impl Output {
    pub(crate) fn standard() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write> Output<W> {
    fn new(writer: W) -> Self {
        Self { writer: BufWriter::new(writer), closed: false }
    }

    /// Writes a text; what `writeln!` calls.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.writer.write_fmt(text);
        self.heard(written)
    }

    /// Writes a value as one JSON document.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        writeln!(self, "{}", serde_json::to_string_pretty(value)?)
    }

    /// Brings to the reader what was held back.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.writer.flush();
        self.heard(written)
    }

    /// What came of writing to standard output: a closed pipe is no error, and ends the writing.
    pub(crate) fn heard(&mut self, written: io::Result<()>) -> anyhow::Result<()> {
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.context("standard output"),
        }
    }
}

/// Says a line on standard error.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}"); // there is nowhere else to say that it failed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes and then fails.
    struct Takes(usize, ErrorKind);

    impl Write for Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.min(bytes.len()) {
                0 => Err(self.1.into()),
                some => {
                    self.0 -= some;
                    Ok(some)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes lines of 100 kB in all.
    fn long(output: &mut Output<Takes>) -> anyhow::Result<()> {
        (0..1000).try_for_each(|_| writeln!(output, "{:99}", ""))?;
        output.finish()
    }

    #[test]
    fn a_closed_pipe_is_no_error_wherever_it_closes() {
        for bytes in [0, 1, 50_000, 99_999, 100_000] {
            long(&mut Output::new(Takes(bytes, ErrorKind::BrokenPipe))).unwrap();
        }
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_where() {
        for bytes in [0, 1, 50_000, 99_999] {
            let error = long(&mut Output::new(Takes(bytes, ErrorKind::StorageFull))).unwrap_err();
            assert!(format!("{error:#}").starts_with("standard output: "), "{error:#}");
        }
        long(&mut Output::new(Takes(100_000, ErrorKind::StorageFull))).unwrap();
    }
}
