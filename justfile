# Everything builds in the release profile, so that the dependencies are compiled once for tests,
# benchmarks and reports alike. `./justw RECIPE` runs a recipe after installing what is missing.

set shell := ["bash", "-euo", "pipefail", "-c"]
set ignore-comments

everything := "--release --workspace"
just := quote(just_executable()) + " --justfile " + quote(justfile())

# List what can be done.
[private]
default:
    @{{ just }} --list --unsorted

# Run a study, or several, and turn the records into a report; a run that fails is in it, too.
# Published tables (tables.toml) are only counted.
report study="reports/quickstart":
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release -p packlight
    failed=0
    if [ ! -f {{ quote(study) }}/tables.toml ]; then
        cargo run --release --quiet -p packlight -- run {{ quote(study) }} || failed=$?
    fi
    cargo run --release --quiet -p packlight -- report {{ quote(study) }}
    echo "The report: "{{ quote(study) }}/index.html
    exit $failed

# Remove what the runs and the report of a study, or of several, have left.
clean-report study="reports/quickstart":
    #!/usr/bin/env bash
    set -euo pipefail
    study={{ quote(study) }}
    if [ -n "$study" ] && [ -f "$study/tables.toml" ]; then
        rm -rf -- "$study"/{figures,tables,index.html}
        exit 0
    fi
    if [ -z "$study" ] || [ ! -f "$study/study.toml" ]; then
        echo "clean-report: there is no study.toml in '$study', so nothing is removed" >&2
        exit 1
    fi
    for folder in "$study" "$study"/*; do
        if [ -f "$folder/study.toml" ]; then
            rm -rf -- "$folder"/{runs,timings.json,figures,tables,index.html,sensitivity.html,beside-*.html,verify-*}
            rm -rf -- "$folder"/sensitivity/{scores.jsonl,manifest.json,times.json,*.safetensors}
        fi
    done

# Run every test, documentation examples included.
test *args:
    cargo test {{ everything }} {{ args }}

# Check formatting and clippy's lints.
lint: format clippy

# Check formatting.
[private]
format:
    cargo fmt --all --check

# Check clippy's lints; a warning is an error.
[private]
clippy:
    cargo clippy {{ everything }} --all-targets -- -D warnings

# Build the documentation; a warning is an error.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# Time a training step beside candle's own (step), or with each codec beside none (codecs).
bench name="step" *args:
    # The allocator keeps all pages, so that none pays for pages that went back while others ran.
    MIMALLOC_PURGE_DELAY=-1 cargo bench -p packlight --bench {{ name }} -- {{ args }}

# Run the notebooks headless and write them as pages to notebooks/html.
notebooks *names:
    notebooks/setup.sh
    notebooks/.cache/venv/bin/python notebooks/run.py {{ names }}

# Type-check the `cuda` feature, where there is a CUDA compiler (on the PATH, or named by NVCC).
cuda-check:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -z "${NVCC:-}" ] && ! command -v nvcc >/dev/null; then
        echo "cuda-check: skipped, there is no nvcc on the PATH and NVCC is not set"
        exit 0
    fi
    # Build scripts ask for both where no card and no nvcc on the PATH can tell them.
    export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}"
    command -v nvcc >/dev/null || export CUDARC_CUDA_VERSION="${CUDARC_CUDA_VERSION:-13000}"
    # A target folder of its own: CUDA's build caches do not notice a change of compiler.
    cargo check --release --workspace --features cuda,cudnn --target-dir target/cuda-check

# `target/gpu/run` then also runs on another machine with a card and no network. `just gpu-build cudnn` builds
# convolutions by cuDNN.
# Build what `gpu` runs, with the libraries that it needs beside CUDA's, into target/gpu.
gpu-build features="cuda":
    #!/usr/bin/env bash
    set -euo pipefail
    # A target folder of its own: CUDA's build caches do not notice a change of compiler.
    export CARGO_TARGET_DIR="$PWD/target/cuda"
    built=$(mktemp)
    trap 'rm -f "$built"' EXIT
    features=$(printf 'cuda,%s' {{ quote(features) }})
    cargo test --release --workspace --features "$features" --test kernels --test cuda --no-run 2>&1 | tee "$built"
    cargo bench --workspace --features "$features" --bench gpu --no-run 2>&1 | tee -a "$built"
    rm -rf target/gpu
    mkdir -p target/gpu/lib
    # Cargo names each as "Executable tests/cuda.rs (target/cuda/release/deps/cuda-0123abcd)".
    grep -o '([^()]*/deps/[^()]*)' "$built" | tr -d '()' | while read -r program; do
        name=$(basename "$program")
        cp "$program" "target/gpu/${name%-*}"
    done
    ldd target/gpu/gpu | awk '/openblas|gfortran|quadmath/ { print $3 }' | xargs -r -I{} cp -L {} target/gpu/lib/
    cp crates/packlight/benches/gpu/run target/gpu/run

# Prints a table and writes target/gpu/gpu.json, in five minutes; PACKLIGHT_TORCH may name a command that times PyTorch
# (crates/packlight/benches/gpu/torch.rs).
# On a machine with a CUDA device: every kernel against the CPU's, packers, steps and peaks, training.
gpu features="cuda": (gpu-build features)
    target/gpu/run

# Check licences, advisories and sources of the dependencies, where cargo-deny is installed.
deny:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v cargo-deny >/dev/null; then
        echo "deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)"
        exit 0
    fi
    cargo deny --all-features check

# Everything that a change must pass, each stage timed.
ci:
    #!/usr/bin/env bash
    set -euo pipefail
    times=()
    stage() {
        local start=$SECONDS
        echo "=== $1"
        {{ just }} "$@"
        times+=("$(printf '%6d s  %s' $((SECONDS - start)) "$1")")
    }
    stage format
    stage clippy
    stage test
    stage doc
    stage report
    if command -v evcxr_jupyter >/dev/null; then
        stage notebooks
    else
        echo "=== notebooks: skipped, evcxr_jupyter is not installed (\`just notebooks\` installs it)"
    fi
    stage deny
    echo "=== all passed"
    printf '%s\n' "${times[@]}"
