//! What appears below a cell.

mod figure;
mod frame;
pub mod table;

use std::io::{self, Write};

/// A value that a notebook shows as HTML.
///
/// The kernel calls [`Show::evcxr_display`] on the value of a cell's last expression. It keeps only
/// the last piece of HTML of a cell, so show one thing per cell.
pub trait Show {
    /// The HTML that appears below the cell.
    fn html(&self) -> String;

    /// Sends the HTML to the kernel.
    ///
    /// It is written in one call, since output of other threads in between would become part of it.
    /// If standard output is closed, nothing is shown.
    fn evcxr_display(&self) {
        let message = message(&self.html());
        let mut stdout = io::stdout().lock();
        // The kernel calls this by name and ignores a result.
        let _ = stdout.write_all(message.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// The kernel's protocol: everything between the two markers, each on its own line, is content.
fn message(html: &str) -> String {
    format!("EVCXR_BEGIN_CONTENT text/html\n{html}\nEVCXR_END_CONTENT\n")
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ends_its_last_line() {
        // With an unfinished line, the kernel would wait forever.
        assert_eq!(
            message("<b>x</b>"),
            "EVCXR_BEGIN_CONTENT text/html\n<b>x</b>\nEVCXR_END_CONTENT\n"
        );
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
    }
}
