//! One part of a set, training or test, and its batches.

use candle_core::{Device, Tensor};
use packlight_kernels::rng::Key;

use super::augment::{Augment, Window};
use super::raw::Raw;
use super::resize::Resize;
use super::{Error, Normalise, Result};

/// One part of a set, training or test. It keeps bytes at the set's own size and makes batches of
/// normalised numbers from them.
#[derive(Debug, Clone)]
pub struct Split {
    raw: Raw,
    resize: Resize,
    size: (usize, usize),
    normalise: Normalise,
    augment: Augment,
}

impl Split {
    /// Images of `size` (height, width) and as many channels as `normalise` has, a multiple of
    /// those of `raw`.
    pub(super) fn new(
        raw: Raw,
        size: (usize, usize),
        normalise: Normalise,
        augment: Augment,
    ) -> Self {
        let resize = Resize::new((raw.shape[1], raw.shape[2]), size);
        Self { raw, resize, size, normalise, augment }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.raw.labels.len()
    }

    /// Whether there are none; no set that [`load`](super::load()) returns has an empty part.
    pub fn is_empty(&self) -> bool {
        self.raw.labels.is_empty()
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        &self.raw.labels
    }

    /// The images at `indices`, f32 of (N, channels, height, width), resized and normalised, and
    /// their labels, u32 of (N).
    ///
    /// With a key the images are varied as the set's [`Augment`] says (test images never are): a
    /// pure function of the key and of the places in the batch. Without one they are as they
    /// stand.
    ///
    /// # Errors
    /// If `indices` is empty or points past the end, or the device has no room.
    pub fn batch(
        &self,
        indices: &[usize],
        augment: Option<Key>,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        if let Some(&index) = indices.iter().find(|&&index| index >= self.len()) {
            return Err(Error::NoSuchSample { len: self.len(), found: index.to_string() });
        }
        if indices.is_empty() {
            return Err(Error::NoSuchSample { len: self.len(), found: "an empty one".into() });
        }
        let (height, width) = self.size;
        let channels = self.normalise.mean.len();
        let plane = height * width;
        let mut stream = augment.map(Key::stream);
        let mut data = vec![0f32; indices.len() * channels * plane];
        for (&index, image) in indices.iter().zip(data.chunks_exact_mut(channels * plane)) {
            let resized = self.resize.image(&self.raw.values(index));
            let window = match &mut stream {
                Some(stream) => self.augment.draw(stream),
                None => Window::WHOLE,
            };
            for (channel, target) in image.chunks_exact_mut(plane).enumerate() {
                let source = channel % self.raw.shape[0]; // grey is repeated
                window.show(&resized[source * plane..][..plane], width, target);
                let (mean, std) = (self.normalise.mean[channel], self.normalise.std[channel]);
                target.iter_mut().for_each(|value| *value = (*value - mean) / std);
            }
        }
        let labels: Vec<u32> = indices.iter().map(|&index| self.raw.labels[index]).collect();
        Ok((
            Tensor::from_vec(data, (indices.len(), channels, height, width), device)?,
            Tensor::from_vec(labels, indices.len(), device)?,
        ))
    }
}
