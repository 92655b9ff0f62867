//! What NVIDIA's assembler says about the kernels, where there is an `nvcc`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the assembler says about an entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Bytes of registers that are stored to memory and loaded again.
    pub spilled: u64,
    /// Registers of a thread.
    pub registers: u64,
}

/// The compiler: `NVCC`, or the one of `CUDA_HOME`, or the one on the path. `None` if there is none, or one
/// that only stands in for it.
pub fn compiler() -> Option<PathBuf> {
    let named = env::var_os("NVCC").map(PathBuf::from);
    let of_home = env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
    [named, of_home, Some("nvcc".into())].into_iter().flatten().find(|nvcc| {
        let said = Command::new(nvcc).arg("--version").output();
        said.is_ok_and(|said| {
            String::from_utf8_lossy(&said.stdout).contains("Cuda compiler driver")
        })
    })
}

/// Compiles a file for sm_90 and says how each entry point came out.
///
/// # Errors
/// Returns what the compiler says if it fails.
pub fn entries(nvcc: &Path, source: &Path, include: &[&Path]) -> Result<Vec<Entry>, String> {
    let output = Command::new(nvcc)
        .args(["-std=c++17", "-O3", "--fmad=false", "-arch=sm_90", "-Xptxas", "-v", "-cubin"])
        .args(include.iter().map(|folder| format!("-I{}", folder.display())))
        .arg(source)
        .args(["-o", "/dev/null"])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(parse(&said)),
        false => Err(said.into_owned()),
    }
}

fn parse(said: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default().to_owned();
            entries.push(Entry { name, spilled: 0, registers: 0 });
        }
        let Some(entry) = entries.last_mut() else { continue };
        if line.contains("bytes stack frame") {
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            // Of the stack frame, and what is stored and loaded.
            entry.spilled = numbers.iter().sum();
        }
        if let Some((_, rest)) = line.split_once("Used ") {
            entry.registers =
                rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        }
    }
    entries
}
