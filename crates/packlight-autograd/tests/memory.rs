//! The ledger's account against a counting allocator, for every codec. One test at a time, since the
//! allocator counts the whole process.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{DType, Device, Tensor, Var};
use packlight_autograd::allocator::{self, Counting};
use packlight_autograd::op::{self, Conv2dGeometry, RunningStatistics};
use packlight_autograd::{Activation, AxisLayout, Ledger, Pass, SavePoint};
use packlight_codec::registry::{CODECS, Entry};
use packlight_kernels::rng::{Key, Purpose};
use packlight_record::{KeptKind, LayerKind};

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting::new(mimalloc::MiMalloc);

/// Every activation has 4 MiB, as images and as tokens.
const IMAGES: [usize; 4] = [64, 16, 32, 32];
const TOKENS: [usize; 3] = [64, 256, 64];

fn sample(shape: &[usize], name: &str) -> Tensor {
    let mut stream = Key::new(2, Purpose::Sample).layer(name).stream();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// One layer of each kind that keeps something, with a codec where a plan's `default` has it.
struct Network {
    codec: &'static str,
    layers: Vec<Arc<SavePoint>>,
    weights: Vec<Var>,
}

impl Network {
    fn new(codec: &'static str) -> Self {
        use LayerKind::{Activation, Attention, Conv, Norm, Relu};
        let kinds = [Conv, Norm, Relu, Conv, Attention, Attention, Norm, Activation];
        let layers =
            kinds.into_iter().enumerate().map(|(i, kind)| SavePoint::new(i.to_string(), kind));
        let linear = ["first", "second"].map(|name| SavePoint::auxiliary(name, 1));
        let layers: Vec<_> = layers.chain(linear).collect();
        let codec_of = packlight_codec::parse(codec).unwrap();
        for layer in layers.iter().filter(|layer| layer.is_in(codec_of.scope())) {
            layer.set_codec(codec_of.clone());
        }
        let weights = [&[16, 16, 3, 3][..], &[16, 16, 3, 3], &[64, 64], &[64, 64]];
        let weights = weights.into_iter().enumerate();
        let var = |(i, shape)| Var::from_tensor(&sample(shape, &format!("weight{i}"))).unwrap();
        Self { codec, layers, weights: weights.map(var).collect() }
    }

    /// From images that nothing else holds to means over tokens.
    fn forward(&self, pass: &Pass) -> Activation {
        let [conv, norm, relu, conv2, left, right, token_norm, pointwise, linear, linear2] =
            &self.layers[..]
        else {
            panic!("ten layers")
        };
        let [kernel, kernel2, weight, weight2] = &self.weights[..] else { panic!("four weights") };
        let geometry = Conv2dGeometry { padding: (1, 1), ..Default::default() };
        let vector = |n: usize, value: f32| Tensor::full(value, n, &Device::Cpu).unwrap();
        let var = |value| Var::from_tensor(&vector(16, value)).unwrap();
        let running = RunningStatistics { mean: var(0.0), variance: var(1.0), momentum: 0.1 };

        let x = Activation::from_tensor(&sample(&IMAGES, "x"), pass).unwrap();
        let x = op::conv2d(&x, kernel, None, geometry, conv).unwrap();
        let x = op::batch_norm(&x, &vector(16, 1.0), &vector(16, 0.0), &running, 1e-5, norm);
        let x = op::relu(x.unwrap(), relu).unwrap();
        let x = op::conv2d(&x, kernel2, None, geometry, conv2).unwrap();
        let x = x.with_axes(AxisLayout::Heads);
        let x = op::matmul_transposed(&x, &x, left, right).unwrap();
        let x = op::reshape(&x, &TOKENS).unwrap();
        let x = op::linear(&x, weight, None, linear).unwrap();
        let x = op::layer_norm(&x, &vector(64, 1.0), &vector(64, 0.0), 1e-5, token_norm).unwrap();
        let x = match self.codec {
            "resilu2" => op::silu(&x, pointwise).unwrap(),
            _ => op::gelu(&x, pointwise).unwrap(),
        };
        op::mean_axis(&op::linear(&x, weight2, None, linear2).unwrap(), 1).unwrap()
    }
}

fn backward(y: Activation) {
    y.into_tensor().unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
}

/// The usual parameters, unless they leave so little that the tensors' own descriptions count.
fn spec(entry: &Entry) -> &'static str {
    match entry.name {
        "asi" => "asi:32x12x24x24",
        "basis" => "basis:4096",
        _ => entry.examples[0],
    }
}

/// Keeps other tests waiting, and all work on one thread, since the first step allocates the buffers of
/// those alone that it finds idle.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global(); // once
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Parameters of a wider type are cast where they are used, in both passes, and nothing stays between these.
#[test]
fn weights_in_the_type_of_activations_do_not_stay() {
    let _alone = alone();
    let layer = |kind| SavePoint::new("layer", kind);
    let (linear, conv) = (layer(LayerKind::Linear), layer(LayerKind::Conv));
    let wide = |shape: &[usize]| {
        Var::from_tensor(&sample(shape, "weight").to_dtype(DType::F64).unwrap()).unwrap()
    };
    let (weight, kernel) = (wide(&[256, 256]), wide(&[64, 64, 3, 3]));
    let forward = |pass: &Pass| {
        let pass = pass.clone().with_activations(DType::F32);
        let images = Activation::from_tensor(&sample(&[1, 64, 2, 2], "x"), &pass).unwrap();
        let x = op::conv2d(
            &images,
            &kernel,
            None,
            Conv2dGeometry { padding: (1, 1), ..Default::default() },
            &conv,
        );
        let x = op::reshape(&x.unwrap(), &[1, 256]).unwrap();
        let x = op::linear(&x, &weight, None, &linear).unwrap();
        op::linear_transposed(&x, &weight, None, &linear).unwrap()
    };
    backward(forward(&Pass::training())); // allocates buffers that stay
    let ledger = Ledger::with_counter(allocator::live);
    let before = allocator::live();
    let y = forward(&Pass::training().with_ledger(&ledger));
    let beside = (allocator::live() - before).abs_diff(ledger.kept());
    // A copy of the kernel would have 147,456 bytes, one of the weight 262,144.
    assert!(beside < 20_000, "{beside} bytes beside the {} of the ledger", ledger.kept());
    backward(y);
}

#[test]
fn the_ledger_and_the_allocator_agree_within_one_percent() {
    let _alone = alone();
    let mut wrong = Vec::new();
    // Links, what operations know and the ledger itself: as much with every codec.
    let mut graph = None;
    for codec in CODECS.iter().map(spec).chain(["topk:0.1:mask", "hosvd:0.8:st", "q8"]) {
        let network = Network::new(codec);
        // The first step allocates buffers that stay with their threads, and what codecs remember.
        backward(network.forward(&Pass::training()));

        let ledger = Ledger::with_counter(allocator::live);
        let before = allocator::live();
        let y = network.forward(&Pass::training().with_ledger(&ledger));
        let (counted, kept) = (allocator::live() - before, ledger.kept());
        let graph = *graph.get_or_insert(counted - kept);
        if counted.abs_diff(kept + graph) > kept / 100 || graph > 40_000 {
            wrong.push(format!("{codec}: {counted} counted, {kept} kept, {graph} beside them"));
        }
        backward(y);
        assert_eq!(ledger.kept(), 0, "{codec}");
        let raw = IMAGES.iter().product::<usize>() * DType::F32.size_in_bytes();
        let mut packed = 0;
        for entry in ledger.entries() {
            let (bytes, counted) = (entry.bytes.total(), entry.counted.unwrap());
            // A view of what another layer keeps, or a number for each of a few channels.
            let small = bytes == 0 || entry.kind == KeptKind::Statistics && bytes < 1000;
            let allowed = if small { 1000 } else { bytes / 100 };
            if counted.abs_diff(bytes as i64) > allowed as u64 {
                wrong.push(format!("{codec}: {entry:?}"));
            }
            packed += usize::from(entry.kind == KeptKind::Input && bytes != raw && bytes > 0);
        }
        let whole = ["none", "msnorm", "surgeon", "dither:2", "resprop:0.1"].contains(&codec);
        if (packed == 0) != whole {
            wrong.push(format!("{codec}: {packed} packed"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
