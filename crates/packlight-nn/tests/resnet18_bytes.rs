//! What the literature counts of ResNet-18 on images of 224 x 224, found in the real ledger.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Ledger, Pass};
use packlight_nn::model::{Resnet18, Stem};
use packlight_nn::{Model, ModelSpec, Module, Plan};
use packlight_record::{KeptKind, LayerKind};

/// What is kept of one image of 224 x 224 at most, by the kind of the layer that keeps it; the
/// statistics of norms are left out.
struct Kept(Vec<(LayerKind, KeptKind, usize)>);

impl Kept {
    fn of(plan: &str) -> Self {
        let spec = ModelSpec::new(Resnet18 { stem: Stem::Imagenet, ..Resnet18::default() });
        let spec = spec.for_images(3, 224, 10).unwrap();
        let model = Model::new(&spec, 3, DType::F32, &Device::Cpu).unwrap();
        Plan::parse(plan).unwrap().apply(model.save_points()).unwrap();
        let ledger = Ledger::new();
        let image = Tensor::ones((1, 3, 224, 224), DType::F32, &Device::Cpu).unwrap();
        let pass = Pass::training().with_ledger(&ledger);
        let logits = model.forward(&Activation::from_tensor(&image, &pass).unwrap()).unwrap();
        drop(logits);
        let kind =
            |name: &str| model.save_points().iter().find(|l| l.name() == name).unwrap().kind();
        let entries = ledger.entries();
        let kept = entries.iter().filter(|entry| entry.kind != KeptKind::Statistics);
        Self(kept.map(|e| (kind(&e.layer), e.kind, e.bytes.total())).collect())
    }

    fn bytes(&self, of: LayerKind, kept: KeptKind) -> usize {
        let wanted = self.0.iter().filter(|entry| entry.0 == of && entry.1 == kept);
        wanted.map(|entry| entry.2).sum()
    }

    fn total(&self) -> usize {
        self.0.iter().map(|entry| entry.2).sum()
    }
}

#[test]
fn its_inputs_and_masks_have_the_known_sizes() {
    let kept = Kept::of("none");
    assert_eq!(kept.bytes(LayerKind::Conv, KeptKind::Input), 4 * 1_831_424);
    assert_eq!(kept.bytes(LayerKind::Norm, KeptKind::Input), 4 * 2_483_712);
    assert_eq!(kept.bytes(LayerKind::Relu, KeptKind::Mask), 2_308_096 / 8);
}

/// Barley and Fröning report a peak lower by 29 % and 36 %. What the inputs of convolutions can save
/// is between 25 and 32 % and between 31 and 40 %, depending on what else is kept.
#[test]
fn pooling_the_inputs_of_its_convolutions_saves_about_what_is_published() {
    let whole = Kept::of("none").total() as f64;
    for (plan, elements, low, high) in
        [("pool2", 463_616, 0.25, 0.32), ("pool4", 119_744, 0.31, 0.40)]
    {
        let kept = Kept::of(plan);
        assert_eq!(kept.bytes(LayerKind::Conv, KeptKind::Input), 4 * elements, "{plan}");
        let saved = 1.0 - kept.total() as f64 / whole;
        assert!((low..=high).contains(&saved), "{plan} saves {saved}");
    }
}
