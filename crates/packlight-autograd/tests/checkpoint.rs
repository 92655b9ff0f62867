//! Checkpointing, stand-ins and frozen layers: what is kept, and what becomes of the gradients.

#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics};
use packlight_autograd::{Activation, Ledger, Pass, Result, SavePoint};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::LayerKind;

fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn var(shape: &[usize], name: &str) -> Var {
    Var::from_tensor(&sample(shape, name)).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    let values: Vec<f64> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// Convolution, batch norm, ReLU and dropout: all that a repeated forward pass could get wrong.
struct Block {
    weight: Var,
    scale: Var,
    shift: Var,
    running: RunningStatistics,
}

impl Block {
    fn new() -> Self {
        let zeros = || Var::zeros(4, DType::F64, &Device::Cpu).unwrap();
        Self {
            weight: var(&[4, 4, 3, 3], "weight"),
            scale: var(&[4], "scale"),
            shift: var(&[4], "shift"),
            running: RunningStatistics { mean: zeros(), variance: zeros(), momentum: 0.1 },
        }
    }

    fn parameters(&self) -> Vec<Var> {
        vec![self.weight.clone(), self.scale.clone(), self.shift.clone()]
    }

    fn part(&self) -> impl Fn(&Activation, [&Activation; 0]) -> Result<Activation> + Send + use<> {
        let (weight, scale, shift) = (self.weight.clone(), self.scale.clone(), self.shift.clone());
        let running = self.running.clone();
        let layer = |name: &str, kind| SavePoint::new(name, kind);
        let (conv, norm) = (layer("conv", LayerKind::Conv), layer("norm", LayerKind::Norm));
        let (relu, drop) = (layer("relu", LayerKind::Relu), layer("drop", LayerKind::Dropout));
        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        move |x, []| {
            let y = op::conv2d(x, &weight, None, geometry, &conv)?;
            let y = op::batch_norm(&y, &scale, &shift, &running, 1e-5, &norm)?;
            op::dropout(&op::relu(&y, &relu)?, 0.3, &drop)
        }
    }
}

/// Gradients of the input and the parameters, running statistics, and the most bytes kept.
fn step(checkpointed: bool) -> (Vec<Vec<u64>>, usize) {
    let (block, input, ledger) = (Block::new(), var(&[3, 4, 6, 6], "x"), Ledger::new());
    let pass = Pass::training().with_seed(5, 7).with_ledger(&ledger);
    let x = Activation::from_tensor(&input, &pass).unwrap();
    let y = match checkpointed {
        false => block.part()(&x, []).unwrap(),
        true => {
            let segment = SavePoint::new("segment", LayerKind::Segment);
            op::checkpoint((&x, &segment), [], &block.parameters(), block.part()).unwrap()
        }
    };
    let kept = ledger.kept();
    let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(ledger.kept(), 0);
    let vars = [vec![input], block.parameters()].concat();
    let mut found: Vec<_> = vars.iter().map(|var| bits(grads.get(var).unwrap())).collect();
    found.extend([bits(&block.running.mean), bits(&block.running.variance)]);
    (found, kept)
}

#[test]
fn checkpointing_changes_no_bit_and_keeps_the_input_alone() {
    let ((plain, kept_plain), (again, kept_again)) = (step(false), step(true));
    assert_eq!(plain, again);
    assert_eq!(kept_again, 3 * 4 * 6 * 6 * 8);
    assert!(kept_again < kept_plain);
}

/// Twice `x + relu(m a) + m b`, dropped out, where all read the same `m`.
#[test]
fn an_input_that_several_parts_read_is_kept_once_and_gets_its_gradient_to_the_bit() {
    let weights: Vec<[Var; 2]> =
        (0..2).map(|part| ["a", "b"].map(|name| var(&[5, 5], &format!("{name}{part}")))).collect();
    let (x, m) = (var(&[7, 5], "x"), var(&[7, 5], "m"));
    let step = |checkpointed: bool| {
        let ledger = Ledger::new();
        let pass = Pass::training().with_seed(5, 7).with_ledger(&ledger);
        let enter =
            |var: &Var| Activation::from_tensor(&var.affine(1.5, 0.0).unwrap(), &pass).unwrap();
        let (mut y, shared) = (enter(&x), enter(&m));
        for (number, weights) in weights.iter().enumerate() {
            let layer = |name: &str, kind| SavePoint::new(format!("{name}{number}"), kind);
            let linear = ["a", "b"].map(|name| layer(name, LayerKind::Linear));
            let (relu, drop) = (layer("relu", LayerKind::Relu), layer("drop", LayerKind::Dropout));
            let [a, b] = weights.clone();
            let part = move |x: &Activation, [m]: [&Activation; 1]| {
                let y = op::relu(&op::linear(m, &a, None, &linear[0])?, &relu)?;
                let y = op::add(x, &op::add(&y, &op::linear(m, &b, None, &linear[1])?)?)?;
                op::dropout(&y, 0.3, &drop)
            };
            let keep = |name| layer(name, LayerKind::Segment);
            y = match checkpointed {
                false => part(&y, [&shared]).unwrap(),
                true => {
                    let (own, other) = ((&y, &keep("x")), (&shared, &keep("m")));
                    op::checkpoint(own, [other], weights, part).unwrap()
                }
            };
        }
        let kept = ledger.kept();
        drop(shared);
        let grads = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(ledger.kept(), 0);
        let vars = [&x, &m].into_iter().chain(weights.iter().flatten());
        (vars.map(|var| bits(grads.get(var).unwrap())).collect::<Vec<_>>(), kept)
    };
    let ((plain, kept_plain), (again, kept_again)) = (step(false), step(true));
    assert_eq!(plain, again);
    // Plain: `m` and the masks of two ReLUs; checkpointed: `m` and what goes through, twice.
    assert_eq!((kept_plain, kept_again), (8 * 35 + 2 * 5, 3 * 8 * 35));
}

#[test]
fn what_codecs_remember_within_a_checkpointed_part_is_what_they_would_without() {
    let (x, weight) = (sample(&[6, 8], "x"), var(&[4, 8], "w"));
    let remembered = |checkpointed: bool| {
        let layer = SavePoint::new("fc", LayerKind::Linear);
        layer.set_codec(packlight_codec::parse("mesa").unwrap());
        let gradients: Vec<_> = (0..3)
            .map(|step| {
                let pass = Pass::training().with_seed(5, step);
                let x = (&x * (1.0 + step as f64)).unwrap();
                let x = Activation::from_tensor(&x, &pass).unwrap();
                let (by, w) = (layer.clone(), weight.clone());
                let part = move |x: &Activation, []: [&Activation; 0]| op::linear(x, &w, None, &by);
                let y = match checkpointed {
                    false => part(&x, []),
                    true => {
                        let segment = SavePoint::new("segment", LayerKind::Segment);
                        op::checkpoint((&x, &segment), [], std::slice::from_ref(&weight), part)
                    }
                };
                let loss = y.unwrap().into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
                bits(loss.backward().unwrap().get(&weight).unwrap())
            })
            .collect();
        let memory = layer.codec_state();
        assert!(memory.tensors().next().is_some());
        let of = |(name, tensor): (&str, &Tensor)| {
            (name.to_owned(), bits(&tensor.to_dtype(DType::F64).unwrap()))
        };
        (gradients, memory.tensors().map(of).collect::<Vec<_>>())
    };
    assert_eq!(remembered(false), remembered(true));
}

#[test]
fn a_checkpoint_in_evaluation_is_its_part() {
    let block = Block::new();
    let x = Activation::from_tensor(&sample(&[3, 4, 6, 6], "x"), &Pass::evaluation()).unwrap();
    let segment = SavePoint::new("segment", LayerKind::Segment);
    let y = op::checkpoint((&x, &segment), [], &block.parameters(), block.part()).unwrap();
    assert_eq!(bits(y.data()), bits(block.part()(&x, []).unwrap().data()));
}

#[test]
fn a_stand_in_changes_the_weight_gradient_alone() {
    let (w, x, other) = (var(&[2, 3], "w"), var(&[4, 3], "x"), sample(&[4, 3], "other"));
    let layer = SavePoint::new("fc", LayerKind::Linear);
    let run = |stand_in: Option<&Tensor>| {
        let pass = Pass::training();
        let mut h = Activation::from_tensor(&x, &pass).unwrap();
        if let Some(tensor) = stand_in {
            h = h.save_as(&Activation::from_tensor(tensor, &pass).unwrap());
        }
        let y = op::linear(&h, &w, None, &layer).unwrap().into_tensor().unwrap();
        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        (y.clone(), grads.get(&x).unwrap().clone(), grads.get(&w).unwrap().clone())
    };
    let (exact, auxiliary) = (run(None), run(Some(&other)));
    assert_eq!(bits(&exact.0), bits(&auxiliary.0));
    assert_eq!(bits(&exact.1), bits(&auxiliary.1));
    let expected = (exact.0 * 2.0).unwrap().t().unwrap().matmul(&other).unwrap();
    let gap = (auxiliary.2 - expected).unwrap().abs().unwrap().max_all().unwrap();
    assert!(gap.to_scalar::<f64>().unwrap() < 1e-12);
}

#[test]
fn frozen_layers_keep_no_input_and_pass_gradients_on() {
    let (w, scale, shift) = (var(&[4, 4, 3, 3], "w"), var(&[4], "scale"), var(&[4], "shift"));
    let running = RunningStatistics {
        mean: var(&[4], "mean"),
        variance: Var::ones(4, DType::F64, &Device::Cpu).unwrap(),
        momentum: 0.1,
    };
    let before = bits(&running.mean);
    let (conv, norm) =
        (SavePoint::new("conv", LayerKind::Conv), SavePoint::new("norm", LayerKind::Norm));
    conv.freeze(true);
    norm.freeze(true);
    let (input, ledger) = (var(&[2, 4, 5, 5], "x"), Ledger::new());
    let x = Activation::from_tensor(&input, &Pass::training().with_ledger(&ledger)).unwrap();
    let y = op::conv2d(&x, &w, None, Conv2dGeometry::default(), &conv).unwrap();
    let y = op::batch_norm(&y, &scale, &shift, &running, 1e-5, &norm).unwrap();
    assert_eq!(ledger.kept(), 4 * 8); // a factor for each channel
    let loss = y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    assert!(grads.get(&input).is_some());
    assert!([&w, &scale, &shift].iter().all(|var| grads.get(var).is_none()));
    assert_eq!(before, bits(&running.mean));
}
