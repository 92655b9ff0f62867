use std::io::Write;
use std::path::Path;

use packlight_cuda_host::ptxas::{compiler, entries};

/// Registers of a thread with which eight blocks of 256 threads run at a time on a multiprocessor would be
/// 32; with this many, three do.
const MOST_REGISTERS: u64 = 80;

#[test]
#[allow(clippy::explicit_write)] // what `eprintln` writes is captured
fn no_kernel_spills_and_the_gate_sees_one_that_does() {
    let Some(nvcc) = compiler() else {
        writeln!(std::io::stderr(), "skipped: there is no nvcc (NVCC or CUDA_HOME names one)")
            .unwrap();
        return;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = here.join("../packlight-kernels/src/cuda");
    let found = entries(&nvcc, &sources.join("kernels.cu"), &[]).unwrap();
    assert!(found.iter().any(|entry| entry.name == "relu_forward_f32"), "{found:?}");
    for entry in found {
        assert!(entry.spilled == 0 && entry.registers <= MOST_REGISTERS, "{entry:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let planted = folder.path().join("planted.cu");
    std::fs::write(&planted, "#include \"common.cuh\"\n#include \"faults.cu\"\n").unwrap();
    let found = entries(&nvcc, &planted, &[&sources, &here.join("shim")]).unwrap();
    let of = |name: &str| found.iter().find(|entry| entry.name == name).unwrap();
    assert!(of("fault_spills_kernel").spilled > 0, "{:?}", of("fault_spills_kernel"));
    assert_eq!(of("sound_halves_kernel").spilled, 0);
}
