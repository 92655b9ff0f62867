//! Initial values of parameters.

use packlight_kernels::rng::Stream;

/// The initial values of a parameter.
///
/// Random values are drawn in f64 and rounded to the model's type, so that a model in f32 starts
/// from the same values as the model in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// PyTorch's default for the weight and the bias of convolutions and linear layers: uniform
    /// between plus and minus `1 / sqrt(fan_in)`.
    FanIn,
    /// The same value for every element.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal with standard deviation `sqrt(2 / fan)`, for layers before a ReLU (He et al.,
    /// "Delving deep into rectifiers", ICCV 2015, equation 10).
    KaimingNormal(Fan),
    /// Normal with this standard deviation.
    Normal {
        /// The standard deviation.
        deviation: f64,
    },
    /// Normal with variance `1 / fan_in` after truncation at two standard deviations of the
    /// untruncated distribution, as in JAX and timm (LeCun et al., "Efficient backprop", 1998).
    LecunNormal,
    /// Sines at even features and cosines at odd features of a table (positions, features), with
    /// wavelengths from 2 pi to 10000 * 2 pi (Vaswani et al., NeurIPS 2017, section 3.5).
    Sinusoid,
}

/// The side of a weight of shape (out, in, kernel...) on which the variance is preserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    /// `in x kernel`: the forward pass.
    In,
    /// `out x kernel`: the backward pass. As in PyTorch, groups are not divided out.
    Out,
}

/// The standard deviation of a standard normal variable truncated at -2 and 2.
const DEVIATION_WITHIN_TWO: f64 = 0.879_625_661_034_239_8;

impl Init {
    /// The same, for a parameter of a layer with this `fan_in`, which the shape of a bias does not
    /// determine.
    pub(crate) fn with_fan_in(self, fan_in: usize) -> Self {
        match self {
            Init::FanIn => Init::Uniform { bound: 1.0 / (fan_in as f64).sqrt() },
            other => other,
        }
    }

    /// Uniform with variance `2 / (fan_in + fan_out)` (Glorot and Bengio, AISTATS 2010, equation
    /// 16).
    pub fn xavier_uniform(fan_in: usize, fan_out: usize) -> Self {
        Init::Uniform { bound: (6.0 / (fan_in + fan_out) as f64).sqrt() }
    }

    /// The values of a tensor of `shape` in row-major order.
    pub(crate) fn values(self, shape: &[usize], mut stream: Stream) -> Vec<f64> {
        let count = shape.iter().product();
        match self {
            Init::FanIn => self.with_fan_in(Fan::In.of(shape)).values(shape, stream),
            Init::Constant(value) => vec![value; count],
            Init::Uniform { bound } => {
                (0..count).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect()
            }
            Init::KaimingNormal(fan) => {
                let deviation = (2.0 / fan.of(shape) as f64).sqrt();
                (0..count).map(|_| deviation * stream.normal()).collect()
            }
            Init::Normal { deviation } => (0..count).map(|_| deviation * stream.normal()).collect(),
            Init::LecunNormal => {
                let deviation = (1.0 / Fan::In.of(shape) as f64).sqrt() / DEVIATION_WITHIN_TWO;
                let mut draw = || loop {
                    let value = stream.normal();
                    if value.abs() <= 2.0 {
                        return deviation * value;
                    }
                };
                (0..count).map(|_| draw()).collect()
            }
            Init::Sinusoid => {
                let features = shape.last().copied().unwrap_or(1).max(1);
                let value = |at: usize| {
                    let (position, feature) = (at / features, at % features);
                    let exponent = (feature - feature % 2) as f64 / features as f64;
                    let angle = position as f64 / 10000f64.powf(exponent);
                    if feature.is_multiple_of(2) { angle.sin() } else { angle.cos() }
                };
                (0..count).map(value).collect()
            }
        }
    }
}

impl Fan {
    fn of(self, shape: &[usize]) -> usize {
        let kernel: usize = shape.iter().skip(2).product();
        let side = match self {
            Fan::In => shape.get(1),
            Fan::Out => shape.first(),
        };
        side.unwrap_or(&1) * kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packlight_kernels::rng::{Key, Purpose};

    fn deviation(init: Init, shape: &[usize]) -> f64 {
        let values = init.values(shape, Key::new(1, Purpose::Initialise).stream());
        (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn deviations_are_those_of_pytorch() {
        let shape = [64, 32, 3, 3];
        for (init, expected) in [
            (Init::KaimingNormal(Fan::In), (2.0f64 / 288.0).sqrt()),
            (Init::KaimingNormal(Fan::Out), (2.0f64 / 576.0).sqrt()),
            (Init::FanIn, (1.0f64 / 288.0 / 3.0).sqrt()),
            (Init::xavier_uniform(288, 64), (2.0f64 / 352.0).sqrt()),
            (Init::Normal { deviation: 0.02 }, 0.02),
            (Init::LecunNormal, (1.0f64 / 288.0).sqrt()),
        ] {
            let found = deviation(init, &shape);
            assert!((found / expected - 1.0).abs() < 0.03, "{init:?}: {found} {expected}");
        }
    }

    #[test]
    fn sinusoids_are_those_of_the_paper() {
        let table = Init::Sinusoid.values(&[3, 4], Key::new(1, Purpose::Initialise).stream());
        assert_eq!(table[..4], [0.0, 1.0, 0.0, 1.0]);
        let expected = [2f64.sin(), 2f64.cos(), 0.02f64.sin(), 0.02f64.cos()];
        assert!(table[8..].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn uniform_stays_within_its_bound() {
        let values = Init::FanIn.values(&[250, 4], Key::new(1, Purpose::Initialise).stream());
        assert!(values.iter().all(|v| (-0.5..0.5).contains(v)));
        assert!(values.iter().any(|&v| v > 0.45) && values.iter().any(|&v| v < -0.45));
    }
}
