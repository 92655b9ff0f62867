//! What one convolution would multiply and keep as its maps grow, at given ranks (Nguyen et al., NeurIPS 2024).
//!
//! Bytes and multiplications of the exact convolution, and the bytes of gradient filtering, are the planner's; the
//! others follow from the papers' formulas. Multiplications are those of the forward pass and of both gradients.

use anyhow::{Context, ensure};
use packlight::nn::footprint::{Footprint, LayerFootprint};
use packlight::report;
use serde::Deserialize;

use super::counter::Counter;
use super::rank::{hosvd_numbers, svd_numbers};

/// The convolution, and the shares of its axes that are the ranks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Projection {
    network: String,
    layer: String,
    /// Sides of the network's images.
    images: Vec<u32>,
    /// The rank of an SVD, as a share of the batch.
    svd: f64,
    /// The ranks of a HOSVD, as a share of each axis.
    hosvd: f64,
    about: String,
}

impl Projection {
    /// The costs at each size.
    ///
    /// # Errors
    /// Returns an error if a share is none, or the network has no such layer with stride 1 and as many outputs as
    /// inputs.
    pub(super) fn count(&self, counter: &mut Counter) -> anyhow::Result<report::Projection> {
        for (name, share) in [("svd", self.svd), ("hosvd", self.hosvd)] {
            ensure!(
                share > 0.0 && share <= 1.0,
                "{name}: {share} given; a share from 0 to 1 expected"
            );
        }
        ensure!(!self.images.is_empty(), "images: is empty; at least one side expected");
        let mut sides = Vec::new();
        let mut methods: Vec<report::ProjectedMethod> = Vec::new();
        for &image in &self.images {
            let network = counter.with_images(&self.network, image)?;
            let (exact, filtered) =
                (counter.footprint(&network, "none")?, counter.footprint(&network, "gf2")?);
            let conv = Conv::of(layer(&exact, &self.layer)?).with_context(|| self.layer.clone())?;
            let filtered = layer(&filtered, &self.layer)?.kept().total() as f64;
            sides.push(conv.input[2]);
            let costs = conv.costs(filtered, self.svd, self.hosvd);
            methods.resize_with(costs.len(), report::ProjectedMethod::default);
            for (method, (name, multiplications, bytes)) in methods.iter_mut().zip(costs) {
                name.clone_into(&mut method.name);
                method.multiplications.push(multiplications);
                method.bytes.push(bytes);
            }
        }
        Ok(report::Projection { about: self.about.clone(), sides, methods })
    }
}

fn layer<'a>(footprint: &'a Footprint, name: &str) -> anyhow::Result<&'a LayerFootprint> {
    let layer = footprint.layers.iter().find(|layer| layer.layer.name() == name);
    layer.with_context(|| format!("the network has no layer `{name}`"))
}

/// A convolution with stride 1 and as many outputs as inputs.
struct Conv {
    /// Batch, channels, height and width.
    input: [f64; 4],
    /// Taps of a kernel.
    taps: f64,
    /// Bytes of what it keeps exactly.
    kept: f64,
    /// Multiplications of one pass: the output, or either gradient.
    pass: f64,
}

/// A method's name, multiplications and bytes.
type Costs = (&'static str, f64, f64);

impl Conv {
    fn of(layer: &LayerFootprint) -> anyhow::Result<Self> {
        let product = layer.products.first().context("it is no convolution")?;
        let input = <[usize; 4]>::try_from(&product.input[..]).context("it is no convolution")?;
        let conv = Self {
            input: input.map(|axis| axis as f64),
            taps: layer.parameters as f64 / (input[1] * input[1]) as f64,
            kept: layer.kept().total() as f64,
            pass: product.forward as f64,
        };
        let expected = conv.elements() * conv.input[1] * conv.taps;
        ensure!(
            conv.pass == expected && product.backward == 2 * product.forward,
            "a convolution within a network with stride 1 and as many outputs as inputs expected"
        );
        Ok(conv)
    }

    fn elements(&self) -> f64 {
        self.input.iter().product()
    }

    fn shape(&self) -> [usize; 4] {
        self.input.map(|axis| axis as usize)
    }

    /// What each method multiplies and keeps; `filtered` are the bytes of gradient filtering. Ranks are whole.
    fn costs(&self, filtered: f64, svd: f64, hosvd: f64) -> [Costs; 6] {
        const FLOAT: f64 = 4.0;
        let channels = self.input[1];
        let rank = (svd * self.input[0]).round().max(1.0);
        let ranks = self.input.map(|axis| (hosvd * axis).round().max(1.0));
        let (of_svd, of_hosvd) = (
            FLOAT * svd_numbers(&self.shape(), rank),
            FLOAT * hosvd_numbers(&self.shape(), &ranks),
        );
        // The output and the input's gradient are exact with both.
        let exact = 2.0 * self.pass;
        let tucker = exact + self.tucker_gradient(ranks);
        [
            ("vanilla", 3.0 * self.pass, self.kept),
            // Both gradients are products of patches.
            ("Gradient Filter", self.pass + 2.0 * channels * filtered / FLOAT, filtered),
            // Restores the input for an exact weight gradient.
            ("SVD", 3.0 * self.pass + self.decomposed(0) + rank * self.elements(), of_svd),
            (
                "HOSVD by SVDs",
                tucker + (0..4).map(|axis| self.decomposed(axis)).sum::<f64>(),
                of_hosvd,
            ),
            // Contracts the output's gradient over the batch; the weight gradient has fewer samples.
            (
                "SVD by Gram matrix",
                exact
                    + self.gram(0)
                    + 2.0 * rank * self.elements()
                    + self.pass * rank / self.input[0],
                f64::NAN,
            ),
            (
                "HOSVD by Gram matrices",
                tucker + (0..4).map(|axis| self.gram(axis)).sum::<f64>() + self.core(ranks),
                f64::NAN,
            ),
        ]
    }

    /// An SVD of the unfolding along an axis, d x N/d, as the authors count it: max(d, N/d)² min(d, N/d).
    fn decomposed(&self, axis: usize) -> f64 {
        let (side, other) = (self.input[axis], self.elements() / self.input[axis]);
        side.max(other).powi(2) * side.min(other)
    }

    /// The Gram matrix of the unfolding along an axis of length d, d N, and its eigenvectors, d³.
    fn gram(&self, axis: usize) -> f64 {
        self.input[axis] * self.elements() + self.input[axis].powi(3)
    }

    /// The projection on the factors, axis by axis.
    fn core(&self, ranks: [f64; 4]) -> f64 {
        let (mut elements, mut sum) = (self.elements(), 0.0);
        for (rank, axis) in ranks.iter().zip(self.input) {
            sum += elements * rank;
            elements *= rank / axis;
        }
        sum
    }

    /// The weight's gradient from core and factors, in the authors' five contractions.
    fn tucker_gradient(&self, [k0, k1, k2, k3]: [f64; 4]) -> f64 {
        let [batch, channels, height, width] = self.input;
        k0 * batch * channels * height * width
            + height * k0 * k1 * k2 * k3
            + height * width * k0 * k1 * k3
            + channels * k0 * k1 * self.taps * height * width
            + channels * channels * k1 * self.taps
    }
}
