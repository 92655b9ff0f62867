//! Convolutions by cuDNN. Not run on a GPU so far.
//!
//! For each shape, the algorithm is chosen once, by cuDNN's own estimate. Those that add up in no fixed order are
//! replaced, so that the same seed gives the same bytes, and f32 is computed in f32, not in TF32. One workspace
//! serves all convolutions, which a device computes one after the other.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionMode_t as Mode,
    cudnnMathType_t as Math, cudnnTensorFormat_t as Format,
};
use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType,
    CudnnError, FilterDescriptor, TensorDescriptor,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::cuda_backend::{CudaDType, DeviceId};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, DType, Device, InplaceOp1, Layout, Storage, Tensor,
    WithDType,
};

use super::ConvolutionPass;
use crate::conv2d::Conv2dGeometry;
use crate::{Error, Result};

/// What [`Gpu::convolution`](super::Gpu::convolution) returns: `None` for types and sizes that cuDNN does not take.
pub(super) fn convolution(
    device: &CudaDevice,
    pass: ConvolutionPass,
    operands: [&Tensor; 2],
    shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Option<Tensor>> {
    match operands[0].dtype() {
        DType::F32 => of::<f32>(device, pass, operands, shape, geometry),
        DType::BF16 => of::<half::bf16>(device, pass, operands, shape, geometry),
        _ => Ok(None),
    }
}

fn of<T: Element>(
    device: &CudaDevice,
    pass: ConvolutionPass,
    operands: [&Tensor; 2],
    shape: &[usize],
    geometry: &Conv2dGeometry,
) -> Result<Option<Tensor>> {
    let [first, second] = operands.map(Tensor::dims);
    let [x, w, y] = match pass {
        ConvolutionPass::Forward => [first, second, shape],
        ConvolutionPass::InputGrad => [shape, second, first],
        ConvolutionPass::WeightGrad => [first, shape, second],
    };
    let Some([x, w, y]) = sizes(x).zip(sizes(w)).zip(sizes(y)).map(|((x, w), y)| [x, w, y]) else {
        return Ok(None);
    };
    let problem = Problem { pass, dtype: T::DTYPE, x, w, y, geometry: *geometry };
    let Some(algorithm) = with_kept(device, |kept| kept.algorithm::<T>(problem))? else {
        return Ok(None);
    };
    let bytes = shape.iter().product::<usize>() * T::DTYPE.size_in_bytes();
    // SAFETY: cuDNN writes every element, since what was there counts for nothing.
    let result = unsafe { Tensor::empty(shape, T::DTYPE, &Device::Cuda(device.clone())) }
        .map_err(|error| Error::from(error).asking("conv2d", bytes))?;
    let [first, second] = operands;
    let operands = [first.contiguous()?, second.contiguous()?];
    result.inplace_op1(&Run::<T> { problem, algorithm, operands, element: PhantomData })?;
    Ok(Some(result))
}

/// The numbers that cuDNN's convolutions take.
trait Element: WithDType + CudaDType + CudnnDataType + DeviceRepr {}

impl Element for f32 {}
impl Element for half::bf16 {}

/// Four sizes as cuDNN takes them, of a tensor whose elements 32 bits count.
fn sizes(dims: &[usize]) -> Option<[i32; 4]> {
    let count = dims.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
    let fits = count > 0 && i32::try_from(count).is_ok();
    let dims: [usize; 4] = dims.try_into().ok()?;
    fits.then(|| dims.map(|size| size as i32))
}

/// A pass of a convolution with all its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Problem {
    pass: ConvolutionPass,
    dtype: DType,
    /// Of the input, the weight and the output.
    x: [i32; 4],
    w: [i32; 4],
    y: [i32; 4],
    geometry: Conv2dGeometry,
}

/// An algorithm, and the bytes of its workspace.
#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Forward(ForwardAlgorithm, usize),
    InputGrad(DataAlgorithm, usize),
    WeightGrad(FilterAlgorithm, usize),
}

/// A problem as cuDNN sees it.
struct Descriptors<T> {
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<T>,
    w: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
}

impl Problem {
    fn descriptors<T: Element>(
        &self,
        cudnn: &Arc<Cudnn>,
    ) -> std::result::Result<Descriptors<T>, CudnnError> {
        let Conv2dGeometry { stride, padding, dilation, groups } = self.geometry;
        let pair = |(y, x): (usize, usize)| [y as i32, x as i32];
        let (padding, stride, dilation) = (pair(padding), pair(stride), pair(dilation));
        let mut conv =
            cudnn.create_conv2d(padding, stride, dilation, Mode::CUDNN_CROSS_CORRELATION)?;
        conv.set_group_count(groups as i32)?;
        conv.set_math_type(match self.dtype {
            DType::F32 => Math::CUDNN_FMA_MATH,
            _ => Math::CUDNN_DEFAULT_MATH,
        })?;
        let planes = Format::CUDNN_TENSOR_NCHW;
        Ok(Descriptors {
            conv,
            x: cudnn.create_4d_tensor(planes, self.x)?,
            w: cudnn.create_4d_filter(planes, self.w)?,
            y: cudnn.create_4d_tensor(planes, self.y)?,
        })
    }
}

impl<T: Element> Descriptors<T> {
    fn forward(&self) -> ConvForward<'_, T, f32, T> {
        ConvForward { conv: &self.conv, x: &self.x, w: &self.w, y: &self.y }
    }

    fn input_grad(&self) -> ConvBackwardData<'_, T, f32, T> {
        ConvBackwardData { conv: &self.conv, dx: &self.x, w: &self.w, dy: &self.y }
    }

    fn weight_grad(&self) -> ConvBackwardFilter<'_, T, f32, T> {
        ConvBackwardFilter { conv: &self.conv, x: &self.x, dw: &self.w, dy: &self.y }
    }

    fn choose(&self, pass: ConvolutionPass) -> std::result::Result<Algorithm, CudnnError> {
        Ok(match pass {
            ConvolutionPass::Forward => {
                let pass = self.forward();
                let chosen = pass.pick_algorithm()?;
                Algorithm::Forward(chosen, pass.get_workspace_size(chosen)?)
            }
            ConvolutionPass::InputGrad => {
                let pass = self.input_grad();
                let chosen = match pass.pick_algorithm()? {
                    DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 => {
                        DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1
                    }
                    other => other,
                };
                Algorithm::InputGrad(chosen, pass.get_workspace_size(chosen)?)
            }
            ConvolutionPass::WeightGrad => {
                let pass = self.weight_grad();
                let chosen = match pass.pick_algorithm()? {
                    FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0
                    | FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 => {
                        FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1
                    }
                    other => other,
                };
                Algorithm::WeightGrad(chosen, pass.get_workspace_size(chosen)?)
            }
        })
    }
}

/// What a device keeps from one convolution to the next.
struct Kept {
    cudnn: Arc<Cudnn>,
    /// `None` where cuDNN has no algorithm.
    algorithms: HashMap<Problem, Option<Algorithm>>,
    workspace: Option<CudaSlice<u8>>,
}

// A handle of cuDNN's belongs to one thread.
thread_local! {
    static KEPT: RefCell<HashMap<DeviceId, Kept>> = RefCell::default();
}

/// What `act` makes of what the device keeps.
fn with_kept<R>(
    device: &CudaDevice,
    act: impl FnOnce(&mut Kept) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    KEPT.with_borrow_mut(|all| {
        act(match all.entry(device.id()) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) => {
                let cudnn = Cudnn::new(device.cuda_stream())?;
                place.insert(Kept { cudnn, algorithms: HashMap::new(), workspace: None })
            }
        })
    })
}

impl Kept {
    fn algorithm<T: Element>(
        &mut self,
        problem: Problem,
    ) -> candle_core::Result<Option<Algorithm>> {
        if let Some(known) = self.algorithms.get(&problem) {
            return Ok(*known);
        }
        let descriptors = problem.descriptors::<T>(&self.cudnn)?;
        let chosen = descriptors.choose(problem.pass).ok();
        self.algorithms.insert(problem, chosen);
        Ok(chosen)
    }

    /// A workspace of at least so many bytes.
    fn workspace(
        &mut self,
        device: &CudaDevice,
        bytes: usize,
    ) -> candle_core::Result<Option<&mut CudaSlice<u8>>> {
        if bytes > self.workspace.as_ref().map_or(0, CudaSlice::len) {
            self.workspace = None; // first give back, then ask
            // SAFETY: cuDNN reads nothing from it that it has not written.
            self.workspace = Some(unsafe { device.alloc::<u8>(bytes)? });
        }
        Ok(self.workspace.as_mut().filter(|_| bytes > 0))
    }
}

/// A convolution that writes its result.
struct Run<T> {
    problem: Problem,
    algorithm: Algorithm,
    operands: [Tensor; 2],
    element: PhantomData<T>,
}

impl<T: Element> InplaceOp1 for Run<T> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        candle_core::bail!("conv2d: the result is not on the device")
    }

    fn cuda_fwd(&self, result: &mut CudaStorage, _: &Layout) -> candle_core::Result<()> {
        let device = &result.device().clone();
        let [first, second] = &self.operands;
        let (first, layout) = first.storage_and_layout();
        let first = view::<T>(&first, layout)?;
        let (second, layout) = second.storage_and_layout();
        let second = view::<T>(&second, layout)?;
        let result = result.as_cuda_slice_mut::<T>()?;
        let scale = (T::one(), T::zero());
        with_kept(device, |kept| {
            let descriptors = self.problem.descriptors::<T>(&kept.cudnn)?;
            // SAFETY: operands and result are contiguous, and of the sizes and the type that the descriptors
            // say; the work of a device is in the order of one stream, which is cuDNN's, too.
            match self.algorithm {
                Algorithm::Forward(algorithm, bytes) => unsafe {
                    let (pass, workspace) = (descriptors.forward(), kept.workspace(device, bytes)?);
                    pass.launch(algorithm, workspace, scale, &first, &second, result)?;
                },
                Algorithm::InputGrad(algorithm, bytes) => unsafe {
                    let (pass, workspace) =
                        (descriptors.input_grad(), kept.workspace(device, bytes)?);
                    pass.launch(algorithm, workspace, scale, result, &second, &first)?;
                },
                Algorithm::WeightGrad(algorithm, bytes) => unsafe {
                    let (pass, workspace) =
                        (descriptors.weight_grad(), kept.workspace(device, bytes)?);
                    pass.launch(algorithm, workspace, scale, &first, result, &second)?;
                },
            }
            Ok(())
        })
    }
}

/// The elements of a contiguous tensor.
fn view<'a, T: Element>(
    storage: &'a Storage,
    layout: &Layout,
) -> candle_core::Result<CudaView<'a, T>> {
    match storage {
        Storage::Cuda(storage) => {
            let start = layout.start_offset();
            Ok(storage.as_cuda_slice::<T>()?.slice(start..start + layout.shape().elem_count()))
        }
        _ => candle_core::bail!("conv2d: input, weight and gradient are on different devices"),
    }
}
