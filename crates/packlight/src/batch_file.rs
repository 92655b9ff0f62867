//! The file that `packlight grads` reads: one batch, and the parameters of its model.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use candle_core::{DType, Device, Tensor};
use packlight::nn::model::{Inputs, PADDING, Takes};
use packlight::nn::{Model, ModelSpec, Plan, weights};

/// The prefix of the names of parameters.
const PARAMETER: &str = "param.";

/// A batch and parameters, by name: `input` and `labels` of images, `src`, `tgt` and `labels` of
/// pairs of sequences, or `tokens` and `labels` of text or of texts of one class each; and
/// `param.<name>`.
pub(crate) struct BatchFile {
    file: weights::File,
    /// Where its tensors are computed with.
    device: Device,
}

impl BatchFile {
    pub(crate) fn read(path: &Path, device: Device) -> anyhow::Result<Self> {
        Ok(Self { file: weights::File::open(path)?, device })
    }

    /// Makes the model that `spec` describes, with the sizes and parameters of this file.
    pub(crate) fn model(&self, spec: &ModelSpec, plan: &Plan) -> anyhow::Result<Model> {
        let classes = self.rows(&spec.classifier(), "the classes")?;
        let spec = match spec.takes() {
            Takes::Pairs { source_table } => {
                spec.for_sequences(self.rows(source_table, "the source tokens")?, classes)?
            }
            Takes::Text => spec.for_text(classes)?,
            Takes::LabelledText { table } => {
                spec.for_labelled_text(self.rows(table, "the tokens")?, classes)?
            }
            Takes::Images | Takes::SquareImages { .. } => {
                let (_, channels, side, _) = self.images(spec)?.dims4()?;
                spec.for_images(channels, side, classes)?
            }
        };
        let model = Model::planned(&spec, plan, 0, DType::F32, &self.device)?;
        self.set_parameters(&model)?;
        Ok(model)
    }

    /// The model's inputs and labels.
    pub(crate) fn batch(&self, model: &Model) -> anyhow::Result<(Inputs, Tensor)> {
        let spec = model.spec();
        let classes = spec.facts().classes()?;
        match spec.takes() {
            Takes::Pairs { .. } => self.pairs(spec.facts().source_vocabulary()?, classes),
            Takes::Text => {
                let tokens = self.integers("tokens", "the text", &[None, None], classes)?;
                let dims: Vec<_> = tokens.dims().iter().copied().map(Some).collect();
                let labels = self.integers("labels", "what comes next", &dims, classes)?;
                Ok((Inputs::Text(tokens), labels))
            }
            Takes::LabelledText { .. } => {
                let vocabulary = spec.facts().source_vocabulary()?;
                let tokens = self.integers("tokens", "the texts", &[None, None], vocabulary)?;
                padded_at_the_end("tokens", &tokens)?;
                let samples = tokens.dim(0)?;
                let labels = self.integers("labels", "the classes", &[Some(samples)], classes)?;
                Ok((Inputs::Text(tokens), labels))
            }
            Takes::Images | Takes::SquareImages { .. } => {
                let images = self.images(spec)?;
                weights::require_finite(&images, "input", self.file.name())?;
                let samples = images.dim(0)?;
                let labels = self.integers("labels", "the classes", &[Some(samples)], classes)?;
                Ok((Inputs::Images(images), labels))
            }
        }
    }

    /// The number of rows of a layer's weight; `what` says in errors what the rows are.
    fn rows(&self, layer: &str, what: &str) -> anyhow::Result<usize> {
        let weight = format!("{PARAMETER}{layer}.weight");
        let stored =
            self.file.tensors().into_iter().find(|name| weights::unwrapped(name) == weight);
        let what = format!("a weight whose rows are {what}");
        Ok(self.tensor(&stored.unwrap_or(weight), &what)?.dims().first().copied().unwrap_or(0))
    }

    fn images(&self, model: &ModelSpec) -> anyhow::Result<Tensor> {
        let images = self.tensor("input", "the images, f32 of (N,C,H,W)")?;
        ensure!(
            images.rank() == 4 && images.elem_count() > 0 && images.dtype().is_float(),
            "the tensor `input` is {:?} of {:?}, expected f32 of (N,C,H,W)",
            images.dtype(),
            images.dims()
        );
        let (_, _, height, width) = images.dims4()?;
        ensure!(
            height == width || model.takes() == Takes::Images,
            "the tensor `input` has images of {height} x {width}, {} takes square ones",
            model.name()
        );
        Ok(images.to_dtype(DType::F32)?.to_device(&self.device)?)
    }

    /// The pairs, each side as long as in the file, and their labels (N, target length).
    fn pairs(&self, vocabulary: usize, classes: usize) -> anyhow::Result<(Inputs, Tensor)> {
        let source = self.integers("src", "the source tokens", &[None, None], vocabulary)?;
        let samples = source.dim(0)?;
        let what = "the tokens that the decoder reads";
        let target = self.integers("tgt", what, &[Some(samples), None], classes)?;
        let length = target.dim(1)?;
        let what = "the tokens that it is to say";
        let labels = self.integers("labels", what, &[Some(samples), Some(length)], classes)?;
        for (name, tokens) in [("src", &source), ("tgt", &target)] {
            padded_at_the_end(name, tokens)?;
        }
        Ok((Inputs::Pairs { source, target }, labels))
    }

    /// Reads a tensor of integers below `bound` as u32; a dimension of `None` may have any size.
    fn integers(
        &self,
        name: &str,
        what: &str,
        dims: &[Option<usize>],
        bound: usize,
    ) -> anyhow::Result<Tensor> {
        let size = |(at, size): (usize, &Option<usize>)| match size {
            Some(size) => size.to_string(),
            None => if at == 0 { "N" } else { "length" }.to_owned(),
        };
        let sizes: Vec<String> = dims.iter().enumerate().map(size).collect();
        let expected = format!("integers of [{}]", sizes.join(", "));
        let tensor = self.tensor(name, &format!("{what}, {expected}"))?;
        let found = tensor.dims();
        let fits = found.len() == dims.len()
            && dims.iter().zip(found).all(|(size, &found)| size.is_none_or(|size| size == found));
        ensure!(
            fits && !tensor.dtype().is_float() && tensor.elem_count() > 0,
            "the tensor `{name}` is {:?} of {found:?}, expected {expected}",
            tensor.dtype()
        );
        let values = tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
        if let Some(wrong) = values.iter().find(|&&value| !(0..bound as i64).contains(&value)) {
            bail!("the tensor `{name}` holds {wrong}, expected 0 to {}", bound.saturating_sub(1));
        }
        Ok(tensor.to_dtype(DType::U32)?.to_device(&self.device)?)
    }

    fn tensor(&self, name: &str, what: &str) -> anyhow::Result<Tensor> {
        let tensor = self.file.get(name)?;
        tensor.with_context(|| format!("the tensor `{name}` ({what}) is missing"))
    }

    fn set_parameters(&self, model: &Model) -> anyhow::Result<()> {
        let parameters = model.parameters();
        let stored = parameters.read(&self.file, PARAMETER)?;
        for (name, var) in parameters.named() {
            let given = stored.get(name).with_context(|| {
                format!("the tensor `{PARAMETER}{name}` (a parameter of the model) is missing")
            })?;
            ensure!(
                given.dims() == var.dims(),
                "the tensor `{PARAMETER}{name}` has shape {:?}, expected {:?}",
                given.dims(),
                var.dims()
            );
        }
        let mut tensors = parameters.tensors()?; // buffers that are not in the file do not change
        tensors.extend(stored);
        Ok(parameters.set(&tensors)?)
    }
}

/// Checks that padding stands only at the ends of sequences.
fn padded_at_the_end(name: &str, tokens: &Tensor) -> anyhow::Result<()> {
    let within = |row: &Vec<u32>| row.windows(2).any(|w| w[0] == PADDING && w[1] != PADDING);
    if let Some(row) = tokens.to_vec2()?.iter().position(within) {
        bail!(
            "the tensor `{name}` has padding ({PADDING}) before a token in row {row}; it stands at \
             the end alone"
        );
    }
    Ok(())
}
