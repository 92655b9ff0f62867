//! An operation of your own, which saves its input with whatever codec a plan gives it.
//!
//! ```sh
//! cargo run --release --example own_op
//! ```

use std::sync::Arc;

use packlight::autograd::operation::{self, Gradients, Needs};
use packlight::autograd::{self, Op, SavePoint, gradcheck};
use packlight::nn;
use packlight::prelude::*;
use packlight::spec::LayerKind;

/// `x + sin(x)^2`, the snake of Ziyin et al. (NeurIPS 2020), whose derivative is `1 + sin(2 x)`.
fn snake(x: &Activation, save_point: &Arc<SavePoint>) -> autograd::Result<Activation> {
    const OP: Op<'_> = Op::Custom("snake");
    let data = (x.data() + x.data().sin()?.sqr()?)?;
    if !Needs::of(&[x], &[]).any() {
        return Ok(operation::constant(data, x)); // in evaluation nothing is saved
    }
    let input = x.save(save_point, OP)?;
    operation::output("snake", data, &[x], &[], move |grad| {
        let gradient = |x: &Tensor| ((x * 2.0)?.sin()? + 1.0)?.mul(&grad);
        Ok(Gradients::input(input.gradient(OP, &grad, gradient)?))
    })
}

/// The operation as a layer, with a name for plans.
struct Snake {
    save_point: Arc<SavePoint>,
}

impl Snake {
    fn new(builder: &Builder) -> nn::Result<Self> {
        Ok(Self { save_point: builder.save_point(LayerKind::Activation)? })
    }
}

impl Module for Snake {
    fn forward(&self, x: &Activation) -> nn::Result<Activation> {
        Ok(snake(x, &self.save_point)?)
    }
}

fn main() -> packlight::Result<()> {
    // Its gradient is that of central differences.
    let save_point = SavePoint::new("snake", LayerKind::Activation);
    let x = Tensor::new(&[[-2.0f64, -0.3, 0.0], [0.4, 1.1, 3.0]], &Device::Cpu)?;
    gradcheck::check(&[x], |vars| {
        let y = snake(&Activation::from_tensor(&vars[0], &Pass::training())?, &save_point)?;
        Ok(y.into_tensor()?.sum_all()?)
    })?;

    // In a network, with four bits for each of its inputs.
    let builder = Builder::new(0, DType::F32, &Device::Cpu)?;
    let net = Sequential::new()
        .add(Linear::new(&builder.pp("fc1"), 2, 32)?)
        .add(Snake::new(&builder.pp("snake"))?)
        .add(Linear::new(&builder.pp("fc2"), 32, 1)?);
    let parameters = builder.finish();
    Plan::parse("snake=q4")?.apply(parameters.save_points())?;

    let x = Tensor::arange(0f32, 64.0, &Device::Cpu)?.sin()?.reshape((32, 2))?;
    let target = x.sqr()?.sum_keepdim(1)?;
    let config = SgdConfig { lr: 0.02, ..SgdConfig::default() };
    let sgd = Sgd::for_parameters(&parameters, config)?;
    let mut trainer = Trainer::new(&parameters, sgd, 0, 50);
    let mut losses = Vec::new();
    for _ in 0..50 {
        losses.push(trainer.step(|pass| {
            let y = net.forward_in(pass, &x)?.into_tensor()?;
            Ok((y - &target)?.sqr()?.mean_all()?) // candle's own operations do for a loss
        })?);
    }
    println!("the loss falls from {:.3} to {:.3}", losses[0], losses[49]);
    assert!(losses[49] < 0.5 * losses[0]);
    Ok(())
}

#[cfg(test)]
#[test]
fn it_runs() {
    main().unwrap();
}
