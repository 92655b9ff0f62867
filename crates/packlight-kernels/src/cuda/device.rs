//! Calls on a CUDA device, through candle's. Not run on a GPU so far.

#![allow(unsafe_code)]

use std::sync::Arc;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, Device, Storage, Tensor};

#[cfg(feature = "cudnn")]
use super::ConvolutionPass;
use super::{Argument, Call, Gpu, THREADS};
#[cfg(feature = "cudnn")]
use crate::conv2d::Conv2dGeometry;
use crate::{Error, Result};

/// All kernels, compiled from `kernels.cu`.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The most arguments of a kernel.
const MOST_ARGUMENTS: usize = 32;

impl Gpu for CudaDevice {
    fn run(&self, call: &Call) -> Result<Vec<Tensor>> {
        let outputs = call.arguments.iter().filter_map(|argument| match argument {
            // SAFETY: the kernel writes every element before anyone reads it.
            Argument::Output(shape, dtype) => {
                let new = unsafe { Tensor::empty(shape, *dtype, &Device::Cuda(self.clone())) };
                let bytes = shape.elem_count() * dtype.size_in_bytes();
                Some(new.map_err(|error| Error::from(error).asking(call.kernel, bytes)))
            }
            _ => None,
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        if call.launch.blocks == 0 {
            return Ok(outputs);
        }
        let mut slots = [0; MOST_ARGUMENTS];
        if call.arguments.len() > slots.len() {
            return Err(Error::shape(call.kernel, "too many arguments for a kernel"));
        }
        let mut new = outputs.iter();
        for (slot, argument) in slots.iter_mut().zip(&call.arguments) {
            *slot = match argument {
                Argument::Input(tensor) | Argument::InOut(tensor) => address(self, call, tensor)?,
                Argument::Output(..) => new.next().map_or(Ok(0), |t| address(self, call, t))?,
                Argument::Missing(_) => 0,
                Argument::Size(size) => *size as u64,
                Argument::U32(number) => u64::from(*number),
                Argument::U64(number) => *number,
                Argument::F32(number) => u64::from(number.to_bits()),
                Argument::F64(number) => number.to_bits(),
            };
        }
        let function = self.get_or_load_custom_func(&call.name, "packlight", PTX)?;
        let mut builder = function.builder();
        builder.arg(&slots);
        let config = LaunchConfig {
            grid_dim: (call.launch.blocks, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: call.launch.shared,
        };
        // SAFETY: the addresses are those of contiguous tensors of the types that the kernel takes,
        // which `call` and `outputs` keep alive; all work of a device is in the order of one stream.
        unsafe { builder.launch(config) }.w()?;
        Ok(outputs)
    }

    #[cfg(feature = "cudnn")]
    fn convolution(
        &self,
        pass: ConvolutionPass,
        operands: [&Tensor; 2],
        shape: &[usize],
        geometry: &Conv2dGeometry,
    ) -> Result<Option<Tensor>> {
        super::cudnn::convolution(self, pass, operands, shape, geometry)
    }
}

/// Where the elements of a contiguous tensor begin in the device's memory.
fn address(device: &CudaDevice, call: &Call, tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let storage = match &*storage {
        Storage::Cuda(storage) if storage.device().same_device(device) => storage,
        _ => {
            let (here, there) = (tensor.device().location(), device.location());
            let reason = format!("one tensor is on {here:?}, another on {there:?}");
            return Err(Error::shape(call.kernel, reason));
        }
    };
    let stream = device.cuda_stream();
    let start = match &storage.slice {
        CudaStorageSlice::U8(slice) => start(slice, &stream),
        CudaStorageSlice::U32(slice) => start(slice, &stream),
        CudaStorageSlice::I64(slice) => start(slice, &stream),
        CudaStorageSlice::BF16(slice) => start(slice, &stream),
        CudaStorageSlice::F32(slice) => start(slice, &stream),
        CudaStorageSlice::F64(slice) => start(slice, &stream),
        _ => return Err(Error::DType { kernel: call.kernel, found: tensor.dtype() }),
    };
    Ok(start + (layout.start_offset() * tensor.dtype().size_in_bytes()) as u64)
}

fn start<T>(slice: &CudaSlice<T>, stream: &Arc<CudaStream>) -> u64 {
    slice.device_ptr(stream).0
}
