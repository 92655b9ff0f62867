//! A model from outside the crate is known by name once it is registered.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass, op};
use packlight_nn::layer::{Gelu, Linear};
use packlight_nn::model::{
    Architecture, DataFacts, Inputs, Model, ModelSpec, Network, Takes, find, register,
};
use packlight_nn::{Builder, Fault, MemoryStrategy, Module, Plan, Result, options};
use toml::Table;

options! {
    /// Two linear layers with a GELU between them.
    struct Narrow {
        /// Features between the two layers
        width: usize = 32,
    }
}

struct Layers {
    fc1: Linear,
    gelu: Gelu,
    fc2: Linear,
}

impl Architecture for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn takes(&self) -> Takes {
        Takes::SquareImages { multiple_of: 1 }
    }

    fn check(&self) -> Result<(), Fault> {
        Fault::unless_within("width", self.width, 1..=4096)
    }

    fn classifier(&self) -> String {
        "fc2".to_owned()
    }

    fn network(&self, data: &DataFacts, builder: &Builder, _: &MemoryStrategy) -> Result<Network> {
        let linear = |name: &str, features, out| Linear::new(&builder.pp(name), features, out);
        Ok(Network::Images(Box::new(Layers {
            fc1: linear("fc1", data.in_channels()? * data.image_size()?.pow(2), self.width)?,
            gelu: Gelu::new(&builder.pp("gelu"))?,
            fc2: linear("fc2", self.width, data.classes()?)?,
        })))
    }
}

impl Module for Layers {
    fn forward(&self, x: &Activation) -> Result<Activation> {
        self.fc2.forward(&self.gelu.forward(&self.fc1.forward(&op::flatten(x)?)?)?)
    }
}

/// The registry is one for the process, so this is one test.
#[test]
fn a_registered_model_is_known_by_name() {
    let unknown = find("narrow").map(|entry| entry.name()).unwrap_err().to_string();
    assert!(unknown.contains("`narrow` is none of resnet18"), "{unknown}");
    register::<Narrow>().unwrap();
    let taken = register::<Narrow>().unwrap_err().to_string();
    assert!(taken.contains("`narrow` is the name of another model"), "{taken}");

    let spec: ModelSpec = toml::from_str("name = 'narrow'\nwidth = 5").unwrap();
    let spec = spec.for_images(1, 4, 3).unwrap();
    let plan = |plan| Plan::parse(plan).unwrap();
    let model = Model::planned(&spec, &plan("linear=q4"), 0, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(model.parameters().count(), 16 * 5 + 5 + 5 * 3 + 3);
    let codecs: Vec<String> = model.save_points().iter().map(|l| l.codec().spec()).collect();
    assert_eq!(codecs, ["q4", "none", "q4", "none"]);
    let images = Tensor::ones((2, 1, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let logits = model.logits(&Inputs::Images(images), &Pass::training()).unwrap();
    let labels = Tensor::new(&[0u32, 2], &Device::Cpu).unwrap();
    let loss = model.loss(&logits, &labels).unwrap();
    assert!(loss.backward().unwrap().get(&model.parameters().vars()[0]).is_some());

    for (plan, expected) in [
        ("checkpoint=block", "narrow has none"),
        ("recompute=*", "`recompute` is for networks of blocks"),
        ("ara=2", "residual"),
    ] {
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&spec, &plan, 0, DType::F32, &Device::Cpu);
        let error = model.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = ModelSpec::named("narrow", Table::from_iter([("width".into(), 0.into())]));
    assert!(error.unwrap_err().to_string().contains("width: 0 given, expected 1 to 4096"));
}
