//! Links the system's OpenBLAS, which `ndarray-linalg` and `src/lapack.rs` call.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Where pkg-config knows nothing of it, the linker may still find it by itself.
    if pkg_config::probe_library("openblas").is_err() {
        println!("cargo:rustc-link-lib=openblas");
    }
}
