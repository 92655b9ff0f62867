//! Calls carried out by the shim: a program of its own for each, so that a sanitizer's report, a
//! deadlock or a crash is an error of that call.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Shape, Tensor};
use packlight_kernels::Result;
use packlight_kernels::cuda::{Argument, Call, Gpu, THREADS};

/// Which of several threads goes on first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the first to the last, each warp as far as it gets.
    Forward,
    /// From the last to the first.
    Backward,
    /// At random, all warps in step.
    Shuffled,
}

/// A CPU that runs CUDA kernels.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The order of threads and blocks.
    pub order: Order,
    /// The most blocks of a launch; each takes more turns where there are fewer.
    pub most_blocks: u32,
    /// Whether the sanitizers look on.
    pub sanitized: bool,
    /// Whether only the last block of the launch runs.
    pub last_block_only: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            order: Order::Forward,
            most_blocks: u32::MAX,
            sanitized: false,
            last_block_only: false,
        }
    }
}

/// The programs that `build.rs` compiled; empty where it could not.
const PLAIN: &str = env!("HOST_PLAIN");
const SANITIZED: &str = env!("HOST_SANITIZED");

impl Host {
    /// Whether the kernels could be compiled for the CPU, on this machine.
    pub fn is_here() -> bool {
        Path::new(PLAIN).is_file()
    }

    /// Whether they could be compiled with the sanitizers.
    pub fn has_sanitizers() -> bool {
        Path::new(SANITIZED).is_file()
    }

    /// What the program reads: see `shim/main.cpp`.
    fn request(&self, call: &Call) -> Result<Vec<u8>> {
        let mut request = Request(Vec::new());
        request.text(&call.name);
        let kinds: Vec<String> = call.arguments.iter().map(kind).collect();
        request.text(&kinds.join(" "));
        let grid = call.launch.blocks.min(self.most_blocks);
        let first = if self.last_block_only { grid - 1 } else { 0 };
        for number in [first, grid - first, grid, THREADS, call.launch.shared, self.order as u32] {
            request.number(number.into());
        }
        request.number(call.arguments.len() as u64);
        for argument in &call.arguments {
            match argument {
                Argument::Input(tensor) => {
                    request.text("in");
                    request.bytes(&bytes(tensor)?);
                }
                Argument::InOut(tensor) => {
                    request.text("in and out");
                    request.bytes(&bytes(tensor)?);
                }
                Argument::Output(shape, dtype) => {
                    request.text("new");
                    request.number((shape.elem_count() * dtype.size_in_bytes()) as u64);
                }
                Argument::Missing(_) => request.slot(0),
                Argument::Size(size) => request.slot(*size as u64),
                Argument::U32(number) => request.slot((*number).into()),
                Argument::U64(number) => request.slot(*number),
                Argument::F32(number) => request.slot(number.to_bits().into()),
                Argument::F64(number) => request.slot(number.to_bits()),
            }
        }
        Ok(request.0)
    }
}

impl Gpu for Host {
    fn run(&self, call: &Call) -> Result<Vec<Tensor>> {
        let mut written = match call.launch.blocks {
            0 => Vec::new(),
            _ => run(if self.sanitized { SANITIZED } else { PLAIN }, &self.request(call)?)?,
        };
        let mut outputs = Vec::new();
        for argument in &call.arguments {
            match argument {
                Argument::Output(shape, dtype) => {
                    let size = shape.elem_count() * dtype.size_in_bytes();
                    outputs.push(tensor(&take(&mut written, size)?, shape, *dtype)?);
                }
                Argument::InOut(changed) if call.launch.blocks > 0 => {
                    let size = changed.elem_count() * changed.dtype().size_in_bytes();
                    let new = tensor(&take(&mut written, size)?, changed.shape(), changed.dtype())?;
                    changed.inplace_op1(&Replace(new))?;
                }
                _ => (),
            }
        }
        Ok(outputs)
    }

    fn product(&self, left: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
        product(left, right)
    }
}

/// [`Gpu::product`] on the CPU, where candle multiplies no bf16: in f32, rounded once, as cuBLAS does.
pub(crate) fn product(left: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
    match left.dtype() {
        DType::BF16 => {
            let wide = left.to_dtype(DType::F32)?.matmul(&right.to_dtype(DType::F32)?)?;
            wide.to_dtype(DType::BF16)
        }
        _ => left.matmul(right),
    }
}

/// The parameter that an argument is for, as `shim/cuda_host.h` calls it.
fn kind(argument: &Argument) -> String {
    let bits = |dtype: DType| 8 * dtype.size_in_bytes();
    match argument {
        Argument::Input(tensor) => format!("in{}", bits(tensor.dtype())),
        Argument::InOut(tensor) => format!("out{}", bits(tensor.dtype())),
        Argument::Output(_, dtype) => format!("out{}", bits(*dtype)),
        Argument::Missing(dtype) => format!("in{}", bits(*dtype)),
        Argument::Size(_) => "size".into(),
        Argument::U32(_) => "u32".into(),
        Argument::U64(_) => "u64".into(),
        Argument::F32(_) => "f32".into(),
        Argument::F64(_) => "f64".into(),
    }
}

/// What the program writes, given this request.
fn run(program: &str, request: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(program)
        // The fibers' stacks are not the thread's, which this option would look for.
        .env("ASAN_OPTIONS", "detect_stack_use_after_return=0:detect_leaks=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(candle_core::Error::wrap)?;
    // A program that ends early says why, so that the broken pipe tells nothing.
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(request));
    let output = child.wait_with_output().map_err(candle_core::Error::wrap)?;
    match (output.status.success(), sent) {
        (true, Some(Ok(()))) => Ok(output.stdout),
        _ => Err(error(String::from_utf8_lossy(&output.stderr))),
    }
}

fn error(message: impl Into<String>) -> packlight_kernels::Error {
    candle_core::Error::Msg(message.into()).into()
}

fn take(written: &mut Vec<u8>, size: usize) -> Result<Vec<u8>> {
    match written.len() {
        // Nothing ran, as nothing was to be done.
        0 => Ok(vec![0; size]),
        found if found < size => Err(error("the program wrote too little")),
        _ => {
            let rest = written.split_off(size);
            Ok(std::mem::replace(written, rest))
        }
    }
}

struct Request(Vec<u8>);

impl Request {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
    fn slot(&mut self, number: u64) {
        self.text("number");
        self.number(number);
    }
}

/// The elements of a contiguous tensor as bytes.
pub(crate) fn bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::U8 => flat.to_vec1::<u8>()?,
        DType::U32 => flat.to_vec1::<u32>()?.into_iter().flat_map(u32::to_le_bytes).collect(),
        DType::I64 => flat.to_vec1::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect(),
        DType::BF16 => {
            flat.to_vec1::<half::bf16>()?.into_iter().flat_map(half::bf16::to_le_bytes).collect()
        }
        DType::F64 => flat.to_vec1::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
        _ => flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
    })
}

fn tensor(bytes: &[u8], shape: &Shape, dtype: DType) -> candle_core::Result<Tensor> {
    Tensor::from_raw_buffer(bytes, dtype, shape.dims(), &Device::Cpu)
}

/// Replaces the elements of a tensor.
pub(crate) struct Replace(pub(crate) Tensor);

impl InplaceOp1 for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (new, _) = self.0.storage_and_layout();
        let range = layout.start_offset()..layout.start_offset() + layout.shape().elem_count();
        match (storage, &*new) {
            (CpuStorage::F32(old), candle_core::Storage::Cpu(CpuStorage::F32(new))) => {
                old[range].copy_from_slice(new);
            }
            (CpuStorage::BF16(old), candle_core::Storage::Cpu(CpuStorage::BF16(new))) => {
                old[range].copy_from_slice(new);
            }
            _ => candle_core::bail!("only f32 and bf16 are changed in place"),
        }
        Ok(())
    }
}
