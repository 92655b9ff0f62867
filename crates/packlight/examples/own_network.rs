//! A network of your own: its training loop, and a study of it with records and a report.
//!
//! ```sh
//! cargo run --release --example own_network
//! ```

use packlight::nn::model::{Architecture, DataFacts, Network, Takes, register};
use packlight::nn::{self, MemoryStrategy, options};
use packlight::prelude::*;
use packlight::study::data::{self, Batch, DataSpec, SetName};
use packlight::study::{Options, Silent, run_study};

/// Two convolutions, the second with a shortcut around it, and a classifier.
struct ShortcutNet {
    conv1: Conv2d,
    relu1: Relu,
    conv2: Conv2d,
    norm: BatchNorm2d,
    relu2: Relu,
    fc: Linear,
}

impl ShortcutNet {
    /// The network for images of `channels` channels and `side` x `side` pixels.
    fn new(
        builder: &Builder,
        (channels, side): (usize, usize),
        width: usize,
        classes: usize,
    ) -> nn::Result<Self> {
        let same_size = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Self {
            conv1: Conv2d::with(&builder.pp("conv1"), channels, width, 3, same_size)?,
            relu1: Relu::new(&builder.pp("relu1"))?,
            conv2: Conv2d::with(&builder.pp("conv2"), width, width, 3, same_size)?,
            norm: BatchNorm2d::new(&builder.pp("norm"), width)?,
            relu2: Relu::new(&builder.pp("relu2"))?,
            fc: Linear::new(&builder.pp("fc"), width * side * side, classes)?,
        })
    }
}

impl Module for ShortcutNet {
    fn forward(&self, x: &Activation) -> nn::Result<Activation> {
        let x = self.relu1.forward(&self.conv1.forward(x)?)?;
        let y = self.norm.forward(&self.conv2.forward(&x)?)?;
        let y = self.relu2.forward(&op::add(&x, &y)?)?;
        self.fc.forward(&op::flatten(&y)?)
    }
}

/// Trains the network with compressed activations; returns the losses of the first and last step.
fn train() -> packlight::Result<(f64, f64)> {
    const SEED: u64 = 0;
    const STEPS: u64 = 40;
    let digits = data::load(&DataSpec { size: Some(8), ..DataSpec::new(SetName::Digits) }, None)?;

    let builder = Builder::new(SEED, DType::F32, &Device::Cpu)?;
    let net = ShortcutNet::new(&builder, (1, 8), 16, 10)?;
    let criterion = CrossEntropy::new(&builder.pp("loss"))?;
    let parameters = builder.finish();
    Plan::parse("conv=pool2,norm=q4")?.apply(parameters.save_points())?;

    let config = SgdConfig { lr: 0.02, ..SgdConfig::default() };
    let sgd = Sgd::for_parameters(&parameters, config)?;
    let schedule = Schedule::Cosine { warmup: 0.1 };
    let mut trainer = Trainer::new(&parameters, sgd, SEED, STEPS).with_schedule(schedule);
    let mut losses = Vec::new();
    for step in 0..STEPS as usize {
        let samples: Vec<usize> = (32 * step..32 * (step + 1)).collect();
        let Batch { inputs, targets, .. } = digits.train.batch(&samples, None, &Device::Cpu)?;
        let Inputs::Images(images) = inputs else { continue };
        let loss =
            trainer.step(|pass| criterion.loss(&net.forward_in(pass, &images)?, &targets))?;
        losses.push(loss);
    }
    Ok((losses[0], losses[losses.len() - 1]))
}

options! {
    /// The options of a [`ShortcutNet`] in a study.
    struct Shortcut {
        /// Channels of both convolutions
        width: usize = 16,
    }
}

impl Architecture for Shortcut {
    fn name(&self) -> &'static str {
        "shortcut"
    }

    fn takes(&self) -> Takes {
        Takes::SquareImages { multiple_of: 1 }
    }

    fn classifier(&self) -> String {
        "fc".into()
    }

    fn network(
        &self,
        data: &DataFacts,
        builder: &Builder,
        _: &MemoryStrategy,
    ) -> nn::Result<Network> {
        let image = (data.in_channels()?, data.image_size()?);
        let net = ShortcutNet::new(builder, image, self.width, data.classes()?)?;
        Ok(Network::Images(Box::new(net)))
    }
}

const STUDY: &str = r#"
name = "own"
title = "A network of one's own on digits"
seeds = [0, 1]
epochs = 2
batch = 32

[model]
name = "shortcut"
width = 8

[data]
name = "digits"
size = 8
train_limit = 128
test_limit = 64

[plans]
none = "none"
mixed = "conv=pool2,norm=q4"

[optimizer]
name = "sgd"
learning_rate = 0.02
momentum = 0.9

[probe]
every = 4
"#;

fn main() -> packlight::Result<()> {
    let (first, last) = train()?;
    println!("the loss falls from {first:.2} to {last:.2}");
    assert!(last < 0.7 * first);

    register::<Shortcut>()?; // studies now know the model by its name
    let folder = std::env::temp_dir().join(format!("packlight-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("study.toml"), STUDY)?;
    let study = run_study(&folder, &Options::default(), &mut Silent)?;
    assert!(!study.any_failed(), "{study:?}");
    let report = packlight::report::write(&folder)?;
    println!("the report of {} runs: {}", study.runs.len(), report.page.display());
    assert!(std::fs::read_to_string(&report.page)?.contains("shortcut"));
    std::fs::remove_dir_all(&folder)?; // keep it to read the report
    Ok(())
}

#[cfg(test)]
#[test]
fn it_runs() {
    main().unwrap();
}
