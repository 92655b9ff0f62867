//! Compiles the CUDA kernels for the CPU with the machine's C++ compiler, once plain and once with
//! sanitizers: two programs that run a kernel each time. Where it cannot, the tests say so and pass.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rerun-if-changed=../packlight-kernels/src/cuda");
    println!("cargo:rerun-if-env-changed=CXX");
    let sanitizers =
        ["-g", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"];
    for (variable, flags) in [("HOST_PLAIN", &[][..]), ("HOST_SANITIZED", &sanitizers)] {
        let program = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join(variable);
        let found = match compile(&program, flags) {
            Ok(()) => program.display().to_string(),
            Err(message) => {
                println!("cargo:warning=the CUDA kernels are not tested on the CPU: {message}");
                let _ = fs::remove_file(&program);
                String::new()
            }
        };
        println!("cargo:rustc-env={variable}={found}");
    }
}

fn compile(program: &Path, flags: &[&str]) -> Result<(), String> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(&compiler)
        // Without fused multiply-add, as on the device.
        .args([
            "-std=c++17",
            "-O1",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Wno-unknown-pragmas",
        ])
        .args(["-Ishim", "-I../packlight-kernels/src/cuda"])
        .args(flags)
        .args(["shim/main.cpp", "-o"])
        .arg(program)
        .output()
        .map_err(|error| format!("{compiler} does not start ({error}); CXX names another"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true if said.is_empty() => Ok(()),
        true => {
            said.lines().for_each(|line| println!("cargo:warning={line}"));
            Ok(())
        }
        // A compiler that is there must be able to compile the kernels; one may lack the sanitizers.
        false if flags.is_empty() => {
            println!("cargo:error={compiler} does not compile the CUDA kernels:\n{said}");
            Err(format!("{compiler} failed"))
        }
        false => Err(format!("{compiler} failed: {}", said.lines().next().unwrap_or_default())),
    }
}
