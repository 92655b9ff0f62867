//! One part of a set as its loader reads it.

use std::path::Path;

use super::{Error, Result};

/// Images and their labels as they are stored: bytes, at their own size, not normalised.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    /// Image after image, each channel after channel, row after row.
    pub(super) pixels: Vec<u8>,
    /// One class index for each image.
    pub(super) labels: Vec<u32>,
    /// Channels, height and width of each image.
    pub(super) shape: [usize; 3],
    /// The largest value that a pixel can have; it becomes 1.
    pub(super) white: u8,
}

impl Raw {
    /// The number of bytes of one image.
    pub(super) fn stride(&self) -> usize {
        self.shape.iter().product()
    }

    /// The pixels of one image, from 0 to 1.
    pub(super) fn values(&self, index: usize) -> Vec<f32> {
        let white = f32::from(self.white);
        let pixels = &self.pixels[index * self.stride()..][..self.stride()];
        pixels.iter().map(|&pixel| f32::from(pixel) / white).collect()
    }

    /// Drops all images after the first `limit`.
    pub(super) fn truncate(&mut self, limit: Option<usize>) {
        if let Some(limit) = limit.filter(|&limit| limit < self.labels.len()) {
            self.pixels.truncate(limit * self.stride());
            self.labels.truncate(limit);
        }
    }
}

/// A set as its loader reads it.
#[derive(Debug, Clone)]
pub(super) struct RawSet {
    pub(super) train: Raw,
    pub(super) test: Raw,
    pub(super) class_names: Vec<String>,
}

/// Converts labels to class indices and checks that each is below `classes`; `path` is their file.
pub(super) fn checked_labels(
    labels: impl Iterator<Item = u8>,
    classes: usize,
    path: &Path,
) -> Result<Vec<u32>> {
    labels
        .enumerate()
        .map(|(index, label)| match usize::from(label) < classes {
            true => Ok(u32::from(label)),
            false => Err(Error::damaged(
                path,
                format!("labels from 0 to {}", classes - 1),
                format!("label {label} at sample {index}"),
            )),
        })
        .collect()
}
