//! What one convolution would multiply and keep as its maps grow.

use packlight_figure::{Caption, Figure, MethodCosts, costs_by_size, significant};
use serde::Serialize;

use crate::Result;
use crate::format::multiple;

/// The costs of methods at each size of a convolution's maps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Projection {
    /// The convolution, the ranks, and how multiplications are counted.
    pub about: String,
    /// Sides of the maps in pixels.
    pub sides: Vec<f64>,
    /// The methods; the first is exact.
    pub methods: Vec<ProjectedMethod>,
}

/// What one method costs at each size.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ProjectedMethod {
    /// Its name.
    pub name: String,
    /// Multiplications of a step.
    pub multiplications: Vec<f64>,
    /// Bytes kept for the backward pass; NaN where they are those of another method.
    pub bytes: Vec<f64>,
}

impl Projection {
    /// Multiplications and bytes against the side of the maps.
    ///
    /// # Errors
    /// Returns an error if there is no method or no size, or a method has not one value for each size.
    pub(super) fn figure(&self) -> Result<Figure> {
        let caption =
            Caption::new("projection", self.title()).subtitle("counted from shapes and ranks");
        let costs = self.methods.iter().map(|method| MethodCosts {
            method: &method.name,
            multiplications: &method.multiplications,
            bytes: &method.bytes,
        });
        let methods: Vec<MethodCosts<'_>> = costs.collect();
        Ok(costs_by_size(&caption, "side of the maps in pixels", &self.sides, &methods)?)
    }

    /// What the method that keeps least costs at the largest size.
    fn title(&self) -> String {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        let bytes = |method: &&ProjectedMethod| last(&method.bytes);
        let known = self.methods.iter().filter(|method| bytes(method).is_finite());
        let least = known.min_by(|a, b| bytes(a).total_cmp(&bytes(b)));
        let (Some(least), Some(exact)) = (least, self.methods.first()) else {
            return "What one convolution costs as its maps grow".to_owned();
        };
        let ratio = |of: fn(&ProjectedMethod) -> &[f64]| last(of(least)) / last(of(exact));
        format!(
            "At {0} x {0}, {1} keeps {2} the bytes for {3}× the multiplications",
            last(&self.sides),
            least.name,
            multiple(Some(ratio(|method| &method.bytes))),
            significant(ratio(|method| &method.multiplications)),
        )
    }
}
