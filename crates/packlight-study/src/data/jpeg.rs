//! Checks that a JPEG file is complete.
//!
//! The decoder fills the missing part of a truncated image with grey, as viewers do; a training set
//! must reject such an image.

/// Whether the markers of a JPEG file lead from its start to its end-of-image marker (ITU-T T.81,
/// annex B). Ignores what follows, because cameras append previews.
pub(super) fn reaches_end(file: &[u8]) -> bool {
    end(file).is_some()
}

fn end(file: &[u8]) -> Option<()> {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    let mut rest = file.strip_prefix(&[0xff, START])?;
    loop {
        rest = rest.strip_prefix(&[0xff])?;
        while let Some(after) = rest.strip_prefix(&[0xff]) {
            rest = after; // any number of fill bytes may precede a marker
        }
        let (&marker, after) = rest.split_first()?;
        if marker == END {
            return Some(());
        }
        let length = after.first_chunk().map(|&bytes| usize::from(u16::from_be_bytes(bytes)))?;
        rest = after.get(length.max(2)..)?;
        if marker == SCAN {
            rest = &rest[rest.windows(2).position(ends_scan)?..];
        }
    }
}

/// Within a scan, 0xff occurs only before 0 (a stuffed byte), a restart marker or a fill byte.
fn ends_scan(pair: &[u8]) -> bool {
    pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff)
}
