//! A codec of your own, which plans, studies and reports know by its name.
//!
//! ```sh
//! cargo run --release --example own_codec
//! ```

use std::sync::Arc;

use packlight::codec::registry::{Entry, Kind, Parameter, register};
use packlight::codec::{self, Bytes, Codec, Packed, Scope, Site};
use packlight::prelude::*;
use packlight::spec::LayerKind;

/// `every:2` in a plan.
const ENTRY: Entry = Entry {
    name: "every",
    parameters: &[Parameter::new("n", Kind::Whole(2, 64), "distance of the features it saves")],
    summary: "every n-th feature; the others are restored as the one before them",
    examples: &["every:2"],
    build: |values| Ok(Arc::new(Every { n: values.get("n")? })),
};

/// Saves every `n`-th feature of the last axis.
#[derive(Debug)]
struct Every {
    n: usize,
}

impl Every {
    /// The tokens of a tensor and the features of each.
    fn tokens_and_features(shape: &[usize]) -> (usize, usize) {
        let features = shape.last().copied().unwrap_or(1).max(1);
        (shape.iter().product::<usize>() / features, features)
    }
}

impl Codec for Every {
    fn spec(&self) -> String {
        ENTRY.spec(&[&self.n])
    }

    fn scope(&self) -> Scope {
        Scope::Kinds(&[LayerKind::Linear])
    }

    fn bytes(&self, _: &Site<'_>, shape: &[usize], dtype: DType) -> codec::Result<Option<Bytes>> {
        let (tokens, features) = Self::tokens_and_features(shape);
        let payload = tokens * features.div_ceil(self.n) * dtype.size_in_bytes();
        Ok(Some(Bytes { payload, metadata: 0 }))
    }

    fn pack(&self, input: &Tensor, _: &mut Site<'_>) -> codec::Result<Box<dyn Packed>> {
        let (tokens, features) = Self::tokens_and_features(input.dims());
        let saved: Vec<u32> = (0..features as u32).step_by(self.n).collect();
        let saved = Tensor::from_vec(saved, features.div_ceil(self.n), input.device())?;
        let values = input.reshape((tokens, features))?.index_select(&saved, 1)?;
        Ok(Box::new(EveryPacked { values, shape: input.dims().to_vec(), n: self.n }))
    }
}

struct EveryPacked {
    /// (tokens, saved features)
    values: Tensor,
    shape: Vec<usize>,
    n: usize,
}

impl Packed for EveryPacked {
    fn bytes(&self) -> Bytes {
        let payload = self.values.elem_count() * self.values.dtype().size_in_bytes();
        Bytes { payload, metadata: 0 }
    }

    fn unpack(&self) -> codec::Result<Tensor> {
        let (tokens, saved) = self.values.dims2()?;
        let repeated = self.values.unsqueeze(2)?.broadcast_as((tokens, saved, self.n))?;
        let features = self.shape.last().copied().unwrap_or(1);
        let all = repeated.reshape((tokens, saved * self.n))?.narrow(1, 0, features)?;
        Ok(all.reshape(self.shape.as_slice())?)
    }
}

/// Trains two linear layers with a plan; returns the losses and the bytes saved at most in a step.
fn train(plan: &str) -> packlight::Result<(Vec<f64>, usize)> {
    let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
    let net = Sequential::new()
        .add(Linear::new(&builder.pp("fc1"), 64, 32)?)
        .add(Relu::new(&builder.pp("relu"))?)
        .add(Linear::new(&builder.pp("fc2"), 32, 4)?);
    let criterion = CrossEntropy::new(&builder.pp("loss"))?;
    let parameters = builder.finish();
    Plan::parse(plan)?.apply(parameters.save_points())?;

    let x = Tensor::arange(0f32, 16.0 * 64.0, &Device::Cpu)?.sqr()?.sin()?.reshape((16, 64))?;
    let labels = Tensor::from_iter((0..16u32).map(|at| at % 4), &Device::Cpu)?;
    let loss = |pass: &Pass| criterion.loss(&net.forward_in(pass, &x)?, &labels);
    let sgd = Sgd::for_parameters(&parameters, SgdConfig::default())?;
    let mut trainer = Trainer::new(&parameters, sgd, 0, 30);
    let losses = (0..30).map(|_| trainer.step(loss)).collect::<Result<_, _>>()?;

    let ledger = Ledger::new();
    let pass = trainer.steps.begin(loss)?.with_ledger(&ledger);
    loss(&pass)?.backward()?;
    Ok((losses, ledger.peak()))
}

fn main() -> packlight::Result<()> {
    register(ENTRY)?;
    let (exact, all) = train("none")?;
    let (losses, saved) = train("every:2")?;
    println!("bytes saved: {all} exact, {saved} with every:2");
    println!("loss after 30 steps: {:.3} exact, {:.3} with every:2", exact[29], losses[29]);
    assert_eq!(losses[0], exact[0], "what is saved has no part in the loss");
    assert!(losses[29] < 0.7 * losses[0]);
    let inputs = (16 * 64 + 16 * 32) * 4; // of both linear layers
    assert_eq!(all - saved, inputs / 2);
    Ok(())
}

#[cfg(test)]
#[test]
fn it_runs() {
    main().unwrap();
}
