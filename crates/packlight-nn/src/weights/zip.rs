//! The places of the files in a zip archive that are stored as they are, as `torch.save` stores them.

use std::collections::HashMap;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const WIDE_END: u32 = 0x0606_4b50;
const WIDE_LOCATOR: u32 = 0x0706_4b50;
/// The size of the record at the archive's end, without its comment, and of the locator before it.
const END_SIZE: usize = 22;
const LOCATOR_SIZE: usize = 20;
/// The type of the extra field with sizes of 64 bits.
const WIDE: u16 = 1;

/// Whether `bytes` begin as an archive does. A safetensors file of that size has a brace behind it.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&LOCAL.to_le_bytes()) && bytes.get(8) != Some(&b'{')
}

/// The place of each file by name. Each is checked against its checksum.
///
/// # Errors
/// Returns what is wrong with the archive, in words.
pub(super) fn entries(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let (count, mut at) = directory(bytes).ok_or("the archive's end is not there")?;
    let (mut entries, mut all) = (HashMap::new(), 0);
    for _ in 0..count {
        let entry = Entry::read(bytes, at).ok_or("the archive's directory is damaged")?;
        if entry.compressed {
            return Err(format!("`{}` is compressed, which `torch.save` does not do", entry.name));
        }
        all += entry.place.len();
        if all > bytes.len() {
            return Err("its files lie over one another".into());
        }
        if crc32fast::hash(&bytes[entry.place.clone()]) != entry.checksum {
            return Err(format!("the checksum of `{}` does not fit", entry.name));
        }
        at = entry.next;
        entries.insert(entry.name, entry.place);
    }
    Ok(entries)
}

/// The number of entries, and the offset of the first.
fn directory(bytes: &[u8]) -> Option<(u64, usize)> {
    let last = bytes.len().checked_sub(END_SIZE)?;
    let end =
        (last.saturating_sub(1 << 16)..=last).rev().find(|&at| u32_at(bytes, at) == Some(END))?;
    let (count, offset) = (u16_at(bytes, end + 10)?, u32_at(bytes, end + 16)?);
    let locator =
        end.checked_sub(LOCATOR_SIZE).filter(|&at| u32_at(bytes, at) == Some(WIDE_LOCATOR));
    let Some(locator) = locator else {
        return Some((count.into(), usize::try_from(offset).ok()?));
    };
    let wide = usize::try_from(u64_at(bytes, locator + 8)?).ok()?;
    if u32_at(bytes, wide) != Some(WIDE_END) {
        return None;
    }
    let (count, offset) = (u64_at(bytes, wide.checked_add(32)?)?, u64_at(bytes, wide + 48)?);
    Some((count, usize::try_from(offset).ok()?))
}

/// A file of the archive.
struct Entry {
    name: String,
    place: Range<usize>,
    checksum: u32,
    compressed: bool,
    /// The offset of the next entry of the directory.
    next: usize,
}

impl Entry {
    /// Reads the entry of the directory at `at`, and where its file begins.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        if u32_at(bytes, at)? != CENTRAL {
            return None;
        }
        let length = |of: usize| Some(usize::from(u16_at(bytes, at + of)?));
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let begin = at + 46;
        let text = bytes.get(begin..begin + name)?;
        let extra = bytes.get(begin + name..begin + name + extra)?;
        let sizes = [u32_at(bytes, at + 24)?, u32_at(bytes, at + 20)?, u32_at(bytes, at + 42)?];
        let [size, packed, local] = widened(sizes, extra)?;
        let local = usize::try_from(local).ok()?;
        if u32_at(bytes, local)? != LOCAL {
            return None;
        }
        let before =
            usize::from(u16_at(bytes, local + 26)?) + usize::from(u16_at(bytes, local + 28)?);
        let from = local + 30 + before;
        let to = from.checked_add(usize::try_from(size).ok()?)?;
        bytes.get(from..to)?;
        Some(Self {
            name: String::from_utf8_lossy(text).into_owned(),
            place: from..to,
            checksum: u32_at(bytes, at + 16)?,
            compressed: u16_at(bytes, at + 10)? != 0 || size != packed,
            next: begin + name + extra.len() + comment,
        })
    }
}

/// The size, the packed size and the offset of a file: those that are all ones stand in `extra`, in 64
/// bits, in this order.
fn widened(sizes: [u32; 3], extra: &[u8]) -> Option<[u64; 3]> {
    let mut at = 0;
    let mut wide: &[u8] = &[];
    while let (Some(kind), Some(size)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
        let end = at + 4 + usize::from(size);
        if kind == WIDE {
            wide = extra.get(at + 4..end)?;
        }
        at = end;
    }
    let mut whole = sizes.map(u64::from);
    for (size, whole) in sizes.iter().zip(&mut whole) {
        if *size == u32::MAX {
            *whole = u64_at(wide, 0)?;
            wide = &wide[8..];
        }
    }
    Some(whole)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}
