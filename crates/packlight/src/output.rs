//! The program's output: results on standard output, everything else on standard error.
//!
//! If the reader closes its pipe, as `head` does, nothing more is written and the exit code stays
//! the same. Any other failure to write to standard output, such as a full disk, is an error.
//! Failures to write to standard error are ignored.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use anyhow::Context;
use serde::Serialize;

/// Buffered standard output; [`Output::finish`] flushes it.
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

    /// Writes text; `writeln!` calls this.
    pub(crate) fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.writer.write_fmt(text);
        self.checked(written)
    }

    /// Writes a value as one JSON document.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        writeln!(self, "{}", serde_json::to_string_pretty(value)?)
    }

    /// Writes what is still in the buffer.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.writer.flush();
        self.checked(written)
    }

    /// Checks the result of a write to standard output: a closed pipe is not an error, but ends all
    /// writing.
    pub(crate) fn checked(&mut self, written: io::Result<()>) -> anyhow::Result<()> {
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.context("standard output"),
        }
    }
}

/// Prints a line on standard error.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}"); // a failure could not be reported anywhere
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
