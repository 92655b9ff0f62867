//! A codec from outside the crate, which plans know by its name once it is registered.

#![allow(clippy::unwrap_used)]

mod asked;
mod common;

use std::sync::Arc;

use asked::{LINEAR, gradient};
use candle_core::{DType, Tensor};
use common::{gap, sample, values};
use packlight_codec::registry::{self, CODECS, Entry, Kind, Parameter, Presence, word};
use packlight_codec::{AxisLayout, Bytes, Codec, Packed, Result, Scope, Site, parse};
use packlight_kernels::linear;
use packlight_record::LayerKind;

const ENTRY: Entry = Entry {
    name: "first",
    parameters: &[
        Parameter::new("n", Kind::Whole(1, 64), "number of features saved")
            .with(Presence::Attached),
        Parameter::new("factor", Kind::Positive(10.0), "scale of what is restored")
            .with(Presence::Default("1")),
        Parameter::words(&["loud"], "does nothing"),
    ],
    summary: "the first n features of a token; the others are zero",
    examples: &["first2", "first3:0.5", "first2:loud"],
    build: |values| {
        let (n, factor, loud) = (values.get("n")?, values.get("factor")?, values.has("loud"));
        Ok(Arc::new(First { n, factor, loud }))
    },
};

#[derive(Debug, Clone, Copy)]
struct First {
    n: usize,
    factor: f64,
    loud: bool,
}

impl Codec for First {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.n, &self.factor, &word(self.loud, "loud")])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> Result<Option<Bytes>> {
        let features = shape.last().copied().unwrap_or(1);
        let elements = shape.iter().product::<usize>() / features.max(1) * self.n.min(features);
        Ok(Some(Bytes { payload: elements * dtype.size_in_bytes(), metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> Result<Box<dyn Packed>> {
        let features = input.dims().last().copied().unwrap_or(1);
        let axis = input.rank() - 1;
        let saved = input.narrow(axis, 0, self.n.min(features))?.contiguous()?;
        Ok(Box::new(Saved { saved: (saved * self.factor)?, features }))
    }
}

struct Saved {
    saved: Tensor,
    features: usize,
}

impl Packed for Saved {
    fn bytes(&self) -> Bytes {
        let size = self.saved.dtype().size_in_bytes();
        Bytes { payload: self.saved.elem_count() * size, metadata: 0 }
    }

    fn unpack(&self) -> Result<Tensor> {
        let axis = self.saved.rank() - 1;
        let missing = self.features - self.saved.dim(axis)?;
        Ok(self.saved.pad_with_zeros(axis, 0, missing)?)
    }
}

#[test]
fn a_registered_codec_is_known_by_its_name_and_others_keep_theirs() {
    assert!(parse("first2").is_err());
    registry::register(ENTRY).unwrap();
    assert_eq!(registry::entries().len(), CODECS.len() + 1);
    assert_eq!(ENTRY.pattern(), "first<n>[:<factor>][:loud]");
    assert_eq!(parse("first2:1:loud").unwrap().spec(), "first2:loud");
    let unknown = parse("second").unwrap_err().to_string();
    assert!(unknown.contains("first<n>") && unknown.contains("pool<k>"), "{unknown}");

    let (x, grad) = (sample(&[5, 4], 1), sample(&[5, 3], 2));
    let packed = common::pack("first2", &x, AxisLayout::Tokens);
    let restored = packed.unpack().unwrap();
    assert_eq!(values(&restored)[..4], [values(&x)[0], values(&x)[1], 0.0, 0.0]);
    let exact = linear::weight_grad(&restored, &grad).unwrap();
    assert_eq!(gap(&gradient(&*packed, LINEAR, &grad).unwrap(), &exact), 0.0);

    let refused = |entry: Entry| registry::register(entry).unwrap_err().to_string();
    let named = |name, examples| Entry { name, examples, ..ENTRY };
    assert!(refused(ENTRY).contains("the name is taken by `first<n>[:<factor>][:loud]`"));
    let pool = Entry { build: |_| parse("pool2"), ..named("pool", &["pool2"]) };
    assert!(refused(pool).contains("the name is taken by `pool<k>"));
    assert!(refused(named("a:b", &["a:b2"])).contains("a name of ASCII letters"));
    assert!(refused(named("", &["2"])).contains("a name of ASCII letters"));
    assert!(refused(named("other", &[])).contains("an example"));
    assert!(refused(named("other", &["other0"])).contains("a whole number from 1 to 64"));
    assert!(refused(named("other", &["other2"])).contains("`other2` is read as `first2`"));
    assert_eq!(registry::entries().len(), CODECS.len() + 1, "what is refused is not added");
}
