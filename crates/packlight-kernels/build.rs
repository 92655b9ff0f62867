//! Links the system's OpenBLAS, which `ndarray-linalg` and `src/lapack.rs` call. With the `cuda`
//! feature, compiles the CUDA kernels to PTX, which the driver compiles for its card.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Where pkg-config knows nothing of it, the linker may still find it by itself.
    if pkg_config::probe_library("openblas").is_err() {
        println!("cargo:rustc-link-lib=openblas");
    }
    #[cfg(feature = "cuda")]
    if let Err(error) = compile_kernels() {
        println!("cargo::error=the CUDA kernels do not compile: {error}");
    }
}

#[cfg(feature = "cuda")]
fn compile_kernels() -> cudaforge::Result<()> {
    println!("cargo:rerun-if-changed=src/cuda");
    cudaforge::KernelBuilder::new()
        .source_files(["src/cuda/kernels.cu"])
        .watch(["src/cuda"])
        // Without fused multiply-add, results have the bits of the CPU's.
        .args(["-std=c++17", "-O3", "--fmad=false"])
        .build_ptx()
        .map(drop)
}
