//! What it costs to try a codec at all convolutions and linear layers of a ResNet-18 (width 16, batch 64) in one
//! pass, in multiples of an exact pass forward and back. Both take turns, so that what else the machine does
//! slows both; the median over the rounds counts. Norms take a pass each for every codec and draw.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use packlight_autograd::{Activation, Pass};
use packlight_codec::{Codec, CodecState};
use packlight_kernels::rng::{Key, Purpose};
use packlight_nn::model::Resnet18;
use packlight_nn::{Model, ModelSpec, Module};
use packlight_probe::one_on::{OneOn, Trial};
use packlight_probe::survey;

const BATCH: usize = 64;
const SIZE: usize = 32;
const ROUNDS: usize = 7;
const CODECS: [&str; 6] = ["q8", "q4", "q2", "pool2", "hosvd:0.8", "topk:0.1"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ModelSpec::new(Resnet18 { width: 16, ..Resnet18::default() });
    let model = Model::new(&spec.for_images(3, SIZE, 10)?, 3, DType::F32, &Device::Cpu)?;
    let mut stream = Key::new(1, Purpose::Sample).stream();
    let pixels = (0..BATCH * 3 * SIZE * SIZE).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(pixels, (BATCH, 3, SIZE, SIZE), &Device::Cpu)?;
    let labels: Vec<u32> = (0..BATCH as u32).map(|sample| sample % 10).collect();
    let labels = Tensor::new(labels, &Device::Cpu)?;
    let loss = |pass: &Pass| {
        model.loss(&model.forward(&Activation::from_tensor(&images, pass)?)?, &labels)
    };
    let pass = Pass::training().with_seed(5, 1);
    let codecs = CODECS.map(packlight_codec::parse).into_iter().collect::<Result<Vec<_>, _>>()?;
    let survey = survey(model.parameters(), &pass, loss, &codecs)?;
    let trials = |codec: usize| -> Vec<Trial> {
        let layers = survey.layers.iter().filter(|layer| layer.changes_own_alone);
        let packs = layers.filter(|layer| layer.codecs[codec].is_ok());
        let trial = |layer: Arc<str>, codec: Arc<dyn Codec>| Trial {
            layer,
            codec,
            draws: 1,
            state: CodecState::default(),
        };
        packs.map(|layer| trial(layer.layer.name().into(), codecs[codec].clone())).collect()
    };
    let timed = |trials: &[Trial]| -> Result<f64, packlight_probe::Error> {
        let begun = Instant::now();
        OneOn::new(model.parameters(), &pass, loss, trials)?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let exact = || -> Result<f64, Box<dyn std::error::Error>> {
        let begun = Instant::now();
        loss(&pass.clone().freeze_statistics())?.backward()?;
        Ok(begun.elapsed().as_secs_f64())
    };
    exact()?; // the first touches new memory
    for (number, name) in CODECS.iter().enumerate() {
        let trials = trials(number);
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let step = exact()?;
            ratios.push((timed(&trials)? - timed(&[])?) / step);
        }
        ratios.sort_by(f64::total_cmp);
        let (low, middle, high) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
        println!(
            "{name:>10} at {} layers: {middle:.2} exact passes ({low:.2} to {high:.2})",
            trials.len()
        );
    }
    Ok(())
}
