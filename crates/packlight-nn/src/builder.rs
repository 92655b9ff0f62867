//! Builds a network's parameters.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::SavePoint;
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::LayerKind;

use crate::{Block, Error, Init, Parameters, Result};

/// The largest number of scalars in the parameters and buffers of a network, or in one of them where it is
/// blank.
const LARGEST: usize = 1 << 29;

/// Makes the parameters, buffers and save points of a network, each under the name of its part.
///
/// The initial values of a parameter depend only on the seed and on its own name, so neither the
/// order of creation nor other parts of the network change them. Clones build the same network.
#[derive(Clone)]
pub struct Builder {
    made: Arc<Mutex<Parameters>>,
    prefix: String,
    auxiliary: Option<u8>,
    recomputes_scores: bool,
    initial: Key,
    dtype: DType,
    device: Device,
    blank: bool,
}

impl Builder {
    /// Starts a network in `dtype` (f32 or f64) on `device`.
    ///
    /// # Errors
    /// Returns an error if `dtype` is another type.
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::F64) {
            return Err(Error::ModelType { found: dtype });
        }
        Ok(Self {
            made: Arc::default(),
            prefix: String::new(),
            auxiliary: None,
            recomputes_scores: false,
            initial: Key::new(seed, Purpose::Initialise),
            dtype,
            device: device.clone(),
            blank: false,
        })
    }

    /// Starts a network for passes over blanks ([`packlight_kernels::blank`]): its parameters and buffers
    /// are zeros, and all of one shape are one variable.
    ///
    /// # Errors
    /// Returns an error if `dtype` is another type than f32 or f64.
    pub fn blank(dtype: DType) -> Result<Self> {
        Ok(Self { blank: true, ..Self::new(0, dtype, &Device::Cpu)? })
    }

    /// The builder of the part called `name` (named after `VarBuilder::pp` of candle-nn, "push
    /// prefix").
    pub fn pp(&self, name: impl Display) -> Self {
        Self { prefix: self.full_name(&name.to_string()), auxiliary: None, ..self.clone() }
    }

    /// The builders of `count` parts, which are called `0`, `1`, `2`, ... within this one.
    pub(crate) fn numbered(&self, count: usize) -> Vec<Self> {
        (0..count).map(|number| self.pp(number)).collect()
    }

    /// Makes a trainable parameter of this part. It belongs to `owner`, and does not change while
    /// that is frozen, unless it is called `bias` and biases train; see [`SavePoint::trains`]. With an
    /// empty `name`, it has the name of the part itself.
    ///
    /// # Errors
    /// Returns an error if the name is taken or the network becomes too large.
    pub fn parameter(
        &self,
        owner: &Arc<SavePoint>,
        name: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<Var> {
        let (name, var) = self.variable(name, shape, init)?;
        let mut made = self.made();
        made.trainable.push((name, var.clone()));
        made.owners.push(owner.clone());
        Ok(var)
    }

    /// Makes a buffer of this part, which is saved with the parameters but not trained.
    ///
    /// # Errors
    /// Returns an error if the name is taken or the network becomes too large.
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<Var> {
        let (name, var) = self.variable(name, shape, init)?;
        self.made().buffers.push((name, var.clone()));
        Ok(var)
    }

    /// Says that files of weights may hold `parameter` under the name `stored`, both in full; it may stand
    /// there under both, with the same values. With `None`, a tensor of that name is not used.
    pub fn also_called(&self, stored: &str, parameter: Option<&str>) {
        self.made().also_called.insert(stored.to_owned(), parameter.map(str::to_owned));
    }

    /// The builder of a part whose linear layer is covered by auxiliary sign activation from
    /// `level` on; see [`packlight_codec::Scope::Auxiliary`].
    pub fn auxiliary(&self, level: u8) -> Self {
        Self { auxiliary: Some(level), ..self.clone() }
    }

    /// The builder of a network whose attention recomputes its scores if `recomputes` says so; see
    /// [`packlight_spec::MemoryStrategy::recompute_scores`].
    pub(crate) fn recomputing_scores(self, recomputes: bool) -> Self {
        Self { recomputes_scores: recomputes, ..self }
    }

    pub(crate) fn recomputes_scores(&self) -> bool {
        self.recomputes_scores
    }

    /// Makes this part a save point, next in the forward order.
    ///
    /// # Errors
    /// Returns an error if it already is one.
    pub fn save_point(&self, kind: LayerKind) -> Result<Arc<SavePoint>> {
        let mut made = self.made();
        if made.save_points.iter().any(|taken| taken.name() == self.prefix) {
            return Err(Error::DuplicateName { name: self.prefix.clone() });
        }
        let point = match (kind, self.auxiliary) {
            (LayerKind::Linear, Some(level)) => SavePoint::auxiliary(self.prefix.as_str(), level),
            _ => SavePoint::new(self.prefix.as_str(), kind),
        };
        made.save_points.push(point.clone());
        Ok(point)
    }

    /// The name of this part.
    pub(crate) fn name(&self) -> &str {
        &self.prefix
    }

    /// Makes the network's next block, which has the name of this part.
    pub(crate) fn block<B>(&self, make: impl FnOnce() -> Result<B>) -> Result<B> {
        let count = || self.made().save_points.len();
        let before = count();
        let block = make()?;
        let layers = before..count();
        self.made().blocks.push(Block { name: self.prefix.clone(), layers });
        Ok(block)
    }

    /// The parameters, buffers and save points made so far.
    pub fn finish(&self) -> Parameters {
        self.made().clone()
    }

    fn made(&self) -> MutexGuard<'_, Parameters> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn variable(&self, name: &str, shape: &[usize], init: Init) -> Result<(String, Var)> {
        let name = self.full_name(name);
        let mut made = self.made();
        if !made.names.insert(name.clone()) {
            return Err(Error::DuplicateName { name });
        }
        let present = made.trainable.iter().chain(&made.buffers).map(|(_, var)| var.elem_count());
        let before: usize = if self.blank { 0 } else { present.sum() };
        let all = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        if all.and_then(|count| count.checked_add(before)).is_none_or(|all| all > LARGEST) {
            return Err(Error::TooLarge { name, shape: shape.to_vec(), largest: LARGEST });
        }
        if self.blank {
            let alike = made.trainable.iter().chain(&made.buffers).find(|(_, v)| v.dims() == shape);
            let var = match alike {
                Some((_, var)) => var.clone(),
                None => Var::zeros(shape, self.dtype, &self.device)?,
            };
            return Ok((name, var));
        }
        let values = init.values(shape, self.initial.layer(&name).stream());
        let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
        let var = Var::from_tensor(&values.to_dtype(self.dtype)?.to_device(&self.device)?)?;
        Ok((name, var))
    }

    fn full_name(&self, name: &str) -> String {
        let parts = [self.prefix.as_str(), name];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: Init = Init::Uniform { bound: 1.0 };

    fn values(builder: &Builder, name: &str) -> Vec<f64> {
        let layer = SavePoint::new("layer", LayerKind::Linear);
        builder.parameter(&layer, name, &[5], INIT).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn initial_values_depend_on_seed_and_name_alone() {
        let builder = |seed| Builder::new(seed, DType::F64, &Device::Cpu).unwrap();
        let (first, second, other) = (builder(1), builder(1), builder(2));
        let (a, b) = (values(&first, "a"), values(&first, "b"));
        let (b_first, a_second) = (values(&second, "b"), values(&second, "a"));
        assert_eq!((&a, &b), (&a_second, &b_first));
        assert_ne!(a, b);
        assert_ne!(a, values(&other, "a"));
    }

    #[test]
    fn names_are_joined_and_refused_twice() {
        let builder = Builder::new(1, DType::F32, &Device::Cpu).unwrap();
        let part = builder.pp("layer1").pp(0);
        let layer = part.save_point(LayerKind::Conv).unwrap();
        part.parameter(&layer, "weight", &[1], INIT).unwrap();
        builder.parameter(&layer, "bias", &[1], INIT).unwrap();
        builder.pp("token").parameter(&layer, "", &[1], INIT).unwrap();
        let error = part.buffer("weight", &[1], INIT).unwrap_err().to_string();
        assert!(error.contains("`layer1.0.weight`"), "{error}");
        assert!(part.save_point(LayerKind::Norm).is_err());
        let made = builder.finish();
        let names: Vec<&str> = made.named().map(|(name, _)| name).collect();
        assert_eq!(names, ["layer1.0.weight", "bias", "token"]);
        assert_eq!(made.save_points()[0].name(), "layer1.0");
    }

    #[test]
    fn a_builder_goes_to_another_thread() {
        let builder = Builder::new(1, DType::F64, &Device::Cpu).unwrap();
        let part = builder.pp("part");
        let there = std::thread::spawn(move || values(&part, "a")).join().unwrap();
        let here = values(&Builder::new(1, DType::F64, &Device::Cpu).unwrap().pp("part"), "a");
        assert_eq!(there, here);
        let made = builder.finish();
        assert_eq!(made.named().map(|(name, _)| name).collect::<Vec<_>>(), ["part.a"]);
    }

    #[test]
    fn a_blank_network_may_be_larger_than_one_that_trains() {
        let billion = |builder: Builder| {
            let layer = builder.save_point(LayerKind::Linear).unwrap();
            let weight =
                |at: usize| builder.pp(at).parameter(&layer, "weight", &[1 << 14, 1 << 14], INIT);
            (0..4).try_for_each(|at| weight(at).map(drop))
        };
        billion(Builder::blank(DType::F32).unwrap()).unwrap();
        let layer = SavePoint::new("layer", LayerKind::Linear);
        let builder = Builder::new(1, DType::F32, &Device::Cpu).unwrap();
        assert!(builder.parameter(&layer, "weight", &[1 << 15, 1 << 15], INIT).is_err());
    }

    #[test]
    fn half_precision_is_refused() {
        assert!(Builder::new(1, DType::F16, &Device::Cpu).is_err());
    }
}
