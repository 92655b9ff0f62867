//! How a tensor is divided into groups, and where the codes of each group are.

use std::ops::Range;

use candle_core::Tensor;

use super::KERNEL;
use crate::bit_pack;
use crate::{Error, Result};

/// Elements per parallel task, or one group where that is more.
const PIECE: usize = 64 * 1024;

/// How a tensor is divided into groups: rows of the flattened tensor, and groups within each row,
/// the last of which may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Grouping<'a> {
    /// Elements of a row.
    pub row: usize,
    /// Elements of a group.
    pub group: usize,
    /// Bits of a code.
    pub bits: Bits<'a>,
}

/// Bits of a code, 1 to 8.
#[derive(Debug, Clone, Copy)]
pub enum Bits<'a> {
    /// The same in all rows.
    All(u8),
    /// One number for each row.
    PerRow(&'a [u8]),
}

impl Grouping<'_> {
    /// Groups of each row.
    pub fn groups_per_row(&self) -> usize {
        self.row.div_ceil(self.group.max(1))
    }

    /// Bytes of the codes of `rows` rows.
    pub fn bytes(&self, rows: usize) -> usize {
        match self.bits {
            Bits::All(bits) => rows * self.row_bytes(bits),
            Bits::PerRow(bits) => bits.iter().map(|&bits| self.row_bytes(bits)).sum(),
        }
    }

    fn row_bytes(&self, bits: u8) -> usize {
        let group = self.group.clamp(1, self.row.max(1));
        self.row / group * bit_pack::bytes(group, bits) + bit_pack::bytes(self.row % group, bits)
    }
}

/// A grouping of a tensor of known size.
pub(crate) struct Layout<'a> {
    pub(crate) bits: Bits<'a>,
    pub(crate) row: usize,
    pub(crate) group: usize,
    pub(crate) groups_per_row: usize,
    rows: usize,
    /// Bytes of all codes.
    pub(crate) bytes: usize,
    /// For each row where its codes begin; empty where all rows take `row_bytes`.
    pub(crate) starts: Vec<usize>,
    pub(crate) row_bytes: usize,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(elements: usize, grouping: &Grouping<'a>) -> Result<Self> {
        let &Grouping { row, group, bits } = grouping;
        let rows = elements.checked_div(row).unwrap_or(0);
        if rows * row != elements || group == 0 {
            return Err(Error::shape(
                KERNEL,
                format!("{elements} elements do not make rows of {row} in groups of {group}"),
            ));
        }
        let all = match &bits {
            Bits::All(bits) => std::slice::from_ref(bits),
            Bits::PerRow(bits) if bits.len() == rows => bits,
            Bits::PerRow(bits) => {
                return Err(Error::shape(
                    KERNEL,
                    format!("expected bits of {rows} rows, found of {}", bits.len()),
                ));
            }
        };
        if let Some(wrong) = all.iter().find(|bits| !(1..=8).contains(*bits)) {
            return Err(Error::shape(KERNEL, format!("expected 1 to 8 bits, found {wrong}")));
        }
        let (starts, row_bytes) = match bits {
            Bits::All(bits) => (Vec::new(), grouping.row_bytes(bits)),
            Bits::PerRow(bits) => {
                let starts = bits.iter().scan(0, |start, &bits| {
                    let own = *start;
                    *start += grouping.row_bytes(bits);
                    Some(own)
                });
                (starts.collect(), 0)
            }
        };
        Ok(Self {
            bits,
            row,
            group: group.min(row.max(1)),
            groups_per_row: grouping.groups_per_row(),
            rows,
            bytes: grouping.bytes(rows),
            starts,
            row_bytes,
        })
    }

    pub(crate) fn check_ranges(&self, ranges: &Tensor, groups: usize) -> Result<()> {
        if ranges.dims() != [groups, 2] {
            return Err(Error::shape(
                KERNEL,
                format!("expected ranges ({groups}, 2), found {:?}", ranges.dims()),
            ));
        }
        Ok(())
    }

    pub(crate) fn groups(&self) -> usize {
        self.rows * self.groups_per_row
    }

    /// How many groups a task has.
    pub(crate) fn groups_per_piece(&self) -> usize {
        (PIECE / self.group).max(1)
    }

    /// How many rows a task has that goes through whole rows.
    pub(crate) fn rows_per_piece(&self) -> usize {
        (PIECE / self.row.max(1)).max(1)
    }

    /// The groups of each task.
    pub(crate) fn pieces(&self) -> Vec<Range<usize>> {
        let size = self.groups_per_piece();
        let starts = (0..self.groups()).step_by(size);
        starts.map(|start| start..(start + size).min(self.groups())).collect()
    }

    /// The group of an element.
    pub(crate) fn group_of(&self, element: usize) -> usize {
        let (row, within) = (element / self.row, element % self.row);
        row * self.groups_per_row + within / self.group
    }

    /// Some groups in order.
    #[inline(always)]
    pub(crate) fn walk(&self, groups: Range<usize>) -> Walk<'_> {
        let row = groups.start.checked_div(self.groups_per_row).unwrap_or(0);
        let within = groups.start - row * self.groups_per_row;
        let start = row * self.row + within * self.group;
        Walk { layout: self, row, within, start, row_end: (row + 1) * self.row, left: groups.len() }
    }

    #[inline(always)]
    fn bits_of_row(&self, row: usize) -> u8 {
        match self.bits {
            Bits::All(bits) => bits,
            Bits::PerRow(bits) => bits[row],
        }
    }

    /// The position where the codes of a group begin, and those of the previous group end.
    pub(crate) fn byte(&self, group: usize) -> usize {
        if group >= self.groups() {
            return self.bytes;
        }
        let row = group / self.groups_per_row;
        let start = self.starts.get(row).copied().unwrap_or(row * self.row_bytes);
        let within = group % self.groups_per_row;
        start + within * bit_pack::bytes(self.group, self.bits_of_row(row))
    }
}

/// A group of a layout.
pub(crate) struct Group {
    pub(crate) elements: Range<usize>,
    pub(crate) bits: u8,
    /// Its number within its row.
    pub(crate) within: usize,
}

/// Groups of a layout in order, found without the divisions that finding each by its number takes.
pub(crate) struct Walk<'a> {
    layout: &'a Layout<'a>,
    row: usize,
    within: usize,
    /// The group's first element.
    start: usize,
    /// The end of its row.
    row_end: usize,
    left: usize,
}

impl Iterator for Walk<'_> {
    type Item = Group;

    #[inline(always)]
    fn next(&mut self) -> Option<Group> {
        self.left = self.left.checked_sub(1)?;
        let end = (self.start + self.layout.group).min(self.row_end);
        let bits = self.layout.bits_of_row(self.row);
        let group = Group { elements: self.start..end, bits, within: self.within };
        self.start = end;
        self.within += 1;
        if end == self.row_end {
            (self.row, self.within, self.row_end) = (self.row + 1, 0, end + self.layout.row);
        }
        Some(group)
    }
}
