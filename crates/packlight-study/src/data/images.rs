//! One part of a set of images, and its batches.

use candle_core::{Device, Tensor};
use packlight_kernels::rng::Key;
use packlight_nn::model::Inputs;

use super::augment::{Augment, Window};
use super::raw::Raw;
use super::resize::Resize;
use super::{Batch, Normalise, Result};

/// One part of a set of images. It stores bytes at the set's own size and makes batches of
/// normalised numbers from them.
#[derive(Debug, Clone)]
pub struct Images {
    raw: Raw,
    resize: Resize,
    size: (usize, usize),
    normalise: Normalise,
    augment: Augment,
}

impl Images {
    /// Makes images of `size` (height, width); `normalise` has as many channels as they have, a
    /// multiple of the channels of `raw`.
    pub(super) fn new(
        raw: Raw,
        size: (usize, usize),
        normalise: Normalise,
        augment: Augment,
    ) -> Self {
        let resize = Resize::new((raw.shape[1], raw.shape[2]), size);
        Self { raw, resize, size, normalise, augment }
    }

    /// The class of each image.
    pub(super) fn labels(&self) -> &[u32] {
        &self.raw.labels
    }

    /// The images at `indices`, resized and normalised, and with a key also augmented.
    pub(super) fn batch(
        &self,
        indices: &[usize],
        augment: Option<Key>,
        device: &Device,
    ) -> Result<Batch> {
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
                let source = channel % self.raw.shape[0]; // repeats grey
                window.show(&resized[source * plane..][..plane], width, target);
                let (mean, std) = (self.normalise.mean[channel], self.normalise.std[channel]);
                target.iter_mut().for_each(|value| *value = (*value - mean) / std);
            }
        }
        let labels: Vec<u32> = indices.iter().map(|&index| self.raw.labels[index]).collect();
        Ok(Batch {
            inputs: Inputs::Images(Tensor::from_vec(
                data,
                (indices.len(), channels, height, width),
                device,
            )?),
            targets: Tensor::from_vec(labels, indices.len(), device)?,
            units: indices.len() as u64,
        })
    }
}
