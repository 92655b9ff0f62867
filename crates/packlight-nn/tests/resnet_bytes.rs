//! What the literature counts of ResNets on images of 224 x 224, found in the real ledger.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Ledger, Pass};
use packlight_nn::{Model, ModelSpec, Module, Plan};
use packlight_record::{KeptKind, LayerKind};

/// What is kept of one image of 224 x 224 at most, by the kind of the layer that keeps it; the statistics of norms
/// are left out.
struct Kept(Vec<(LayerKind, KeptKind, usize)>);

impl Kept {
    fn of(plan: &str) -> Self {
        Self::of_network("resnet18", 64, plan)
    }

    fn of_network(name: &str, width: usize, plan: &str) -> Self {
        let table = toml::toml! { stem = "imagenet" };
        let spec = ModelSpec::named(name, table).unwrap().with("width", width as i64).unwrap();
        let spec = spec.for_images(3, 224, 10).unwrap();
        let plan = Plan::parse(plan).unwrap();
        let model = Model::planned(&spec, &plan, 3, DType::F32, &Device::Cpu).unwrap();
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

/// As Nguyen et al. (NeurIPS 2024) count, which is 64 images in MiB, and what three blocks and their
/// projections read counted twice.
#[test]
fn resnet34s_convolutions_read_the_published_bytes() {
    let mib = |plan: &str, again: usize| {
        let inputs = Kept::of_network("resnet34", 64, plan).bytes(LayerKind::Conv, KeptKind::Input);
        (64 * (inputs + 4 * again)) as f64 / (1 << 20) as f64
    };
    assert_eq!(mib("last=2", 0), 12.25);
    assert_eq!(mib("last=4", 0), 24.5);
    assert_eq!(mib("none", 64 * 56 * 56 + 128 * 28 * 28 + 256 * 14 * 14), 839.125);
}

/// Woo and Jeon (ICLR 2023) report 44.6 GB of ResNet-50 and 90.2 GB of ResNet-152 at a batch of 512, and
/// ratios that these inputs of blocks account for. A GB is 10^9 bytes.
#[test]
fn auxiliary_residual_activation_saves_the_published_bytes() {
    const WIDTH: usize = 8; // an eighth of the channels, since all that is saved grows with them
    for (name, published, saved) in [
        ("resnet50", 44.6, [(4.727, 1.12), (7.193, 1.2), (7.604, 1.21), (8.015, 1.22)]),
        ("resnet152", 90.2, [(12.537, 1.16), (15.825, 1.21), (19.524, 1.27), (20.758, 1.29)]),
    ] {
        let inputs = |plan| {
            let kept = Kept::of_network(name, WIDTH, plan);
            kept.bytes(LayerKind::Conv, KeptKind::Input)
        };
        let whole = inputs("none");
        let groups = ["ara=2:2:2:2", "ara=3:4:2:2", "ara=3:4:4:2", "ara=3:4:6:2"];
        for (plan, (gigabytes, ratio)) in groups.into_iter().zip(saved) {
            let bytes = (whole - inputs(plan)) * (64 / WIDTH) * 512;
            let found = bytes as f64 / 1e9;
            assert!((found - gigabytes).abs() < 5e-4, "{name} {plan}: {found}");
            let found = published / (published - found);
            assert!((found - ratio).abs() < 0.01, "{name} {plan}: {found}");
        }
    }
}
