//! The file that `packlight grads` reads: one batch, and the parameters of the model that it is for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use candle_core::{DType, Device, Tensor};
use packlight::nn::model::{Architecture, PADDING};
use packlight::nn::{Model, ModelSpec, Plan, weights};

/// What the names of parameters begin with.
const PARAMETER: &str = "param.";

/// A batch and parameters, by name: `input` and `labels` of images, or `src`, `tgt` and `labels` of
/// pairs of sequences, and `param.<name>`.
pub(crate) struct BatchFile {
    tensors: BTreeMap<String, Tensor>,
}

impl BatchFile {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { tensors: weights::read(path, &Device::Cpu)? })
    }

    /// The model that `spec` describes, in the sizes and with the parameters of this file.
    pub(crate) fn model(&self, spec: &ModelSpec, plan: &Plan) -> anyhow::Result<Model> {
        // A classifier is registered last, so that its bias tells the number of classes, and a
        // transformer's table of source tokens first.
        let smallest = Model::new(&self.sized(spec, 1, 1)?, 0, DType::F32, &Device::Cpu)?;
        let mut names = smallest.parameters().named().map(|(name, _)| name);
        let first = names.next().context("the model is empty")?;
        let size = |name| Ok::<_, anyhow::Error>(self.parameter(name)?.dims().first().copied());
        let tokens = size(first)?.unwrap_or(0);
        let classes = size(names.last().unwrap_or(first))?.unwrap_or(0);
        let spec = self.sized(spec, tokens, classes)?;
        let model = Model::planned(&spec, plan, 0, DType::F32, &Device::Cpu)?;
        self.set_parameters(&model)?;
        Ok(model)
    }

    /// What `model` reads, and its labels.
    pub(crate) fn batch(&self, model: &Model) -> anyhow::Result<(Tensor, Tensor)> {
        let spec = model.spec();
        let classes = spec.classes.unwrap_or(0);
        match spec.source_vocabulary {
            Some(vocabulary) => self.sequences(vocabulary, classes),
            None => {
                let images = self.images(spec.name)?;
                require_finite("input", &images)?;
                let samples = images.dim(0)?;
                Ok((images, self.integers("labels", "the classes", &[Some(samples)], classes)?))
            }
        }
    }

    fn sized(
        &self,
        spec: &ModelSpec,
        source_vocabulary: usize,
        classes: usize,
    ) -> anyhow::Result<ModelSpec> {
        if spec.name.takes_sequences() {
            return Ok(spec.for_sequences(source_vocabulary, classes)?);
        }
        let (_, channels, side, _) = self.images(spec.name)?.dims4()?;
        Ok(spec.for_images(channels, side, classes)?)
    }

    fn images(&self, model: Architecture) -> anyhow::Result<Tensor> {
        let images = self.tensor("input", "the images, f32 of (N,C,H,W)")?;
        ensure!(
            images.rank() == 4 && images.elem_count() > 0 && images.dtype().is_float(),
            "the tensor `input` is {:?} of {:?}, expected f32 of (N,C,H,W)",
            images.dtype(),
            images.dims()
        );
        let (_, _, height, width) = images.dims4()?;
        ensure!(
            height == width || matches!(model, Architecture::Resnet18 | Architecture::Resnet20),
            "the tensor `input` has images of {height} x {width}, {} takes square ones",
            model.name()
        );
        Ok(images.to_dtype(DType::F32)?)
    }

    /// Both sequences of each pair, (N,2,length), and the labels, (N,length), all filled up to the
    /// longest with padding, which changes nothing.
    fn sequences(&self, vocabulary: usize, classes: usize) -> anyhow::Result<(Tensor, Tensor)> {
        let source = self.integers("src", "the source tokens", &[None, None], vocabulary)?;
        let (samples, source_length) = source.dims2()?;
        let what = "the tokens that the decoder reads";
        let target = self.integers("tgt", what, &[Some(samples), None], classes)?;
        let length = target.dim(1)?;
        let what = "the tokens that it is to say";
        let labels = self.integers("labels", what, &[Some(samples), Some(length)], classes)?;
        for (name, tokens) in [("src", &source), ("tgt", &target)] {
            let within =
                |row: &Vec<u32>| row.windows(2).any(|w| w[0] == PADDING && w[1] != PADDING);
            if let Some(row) = tokens.to_vec2()?.iter().position(within) {
                bail!(
                    "the tensor `{name}` has padding ({PADDING}) before a token in row {row}; it \
                     stands at the end alone"
                );
            }
        }
        let longest = length.max(source_length);
        let filled = |tokens: &Tensor| tokens.pad_with_zeros(1, 0, longest - tokens.dim(1)?);
        let pairs = Tensor::stack(&[filled(&source)?, filled(&target)?], 1)?;
        Ok((pairs, filled(&labels)?))
    }

    /// A tensor of `dims`, of which some may be any, that holds integers below `bound`; as u32.
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
        Ok(tensor.to_dtype(DType::U32)?)
    }

    fn tensor(&self, name: &str, what: &str) -> anyhow::Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("the tensor `{name}` ({what}) is missing"))
    }

    fn parameter(&self, name: &str) -> anyhow::Result<&Tensor> {
        self.tensor(&format!("{PARAMETER}{name}"), "a parameter of the model")
    }

    fn set_parameters(&self, model: &Model) -> anyhow::Result<()> {
        let mut tensors = model.parameters().tensors()?;
        for (name, var) in model.parameters().named() {
            let given = self.parameter(name)?;
            ensure!(
                given.dims() == var.dims(),
                "the tensor `{PARAMETER}{name}` has shape {:?}, expected {:?}",
                given.dims(),
                var.dims()
            );
        }
        for (name, tensor) in &self.tensors {
            if let Some(parameter) = name.strip_prefix(PARAMETER) {
                require_finite(name, tensor)?;
                tensors.insert(parameter.to_owned(), tensor.clone());
            }
        }
        Ok(model.parameters().set(&tensors)?)
    }
}

/// Answers an error where `tensor`, taken as f32, has an infinite value or one that is not a number.
fn require_finite(name: &str, tensor: &Tensor) -> anyhow::Result<()> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let contiguous = tensor.contiguous()?;
        let position: Vec<usize> = tensor
            .dims()
            .iter()
            .zip(contiguous.stride())
            .map(|(size, stride)| at / stride % size)
            .collect();
        bail!("the tensor `{name}` holds {} at {position:?}, expected finite values", values[at]);
    }
    Ok(())
}
