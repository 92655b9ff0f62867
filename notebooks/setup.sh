#!/usr/bin/env bash
# Installs what the notebooks need and this machine lacks: the Rust kernel, the sources of the
# standard library, and a Python environment of their own to run them headless.
set -euo pipefail
cd "$(dirname "$0")"

say() { echo "notebooks: $*" >&2; }
fail() { say "$@"; exit 1; }

if ! command -v evcxr_jupyter >/dev/null; then
    if command -v cargo-binstall >/dev/null; then
        say "installing the Rust kernel, evcxr_jupyter"
        cargo binstall --no-confirm evcxr_jupyter
    else
        say "building the Rust kernel, evcxr_jupyter: about ten minutes on two cores (cargo-binstall," \
            "where it is installed, fetches a ready one)"
        cargo install evcxr_jupyter --locked
    fi
fi

# Without these the kernel cannot infer the type of a variable as plain as `vec![1, 2, 3]`.
if [ ! -d "${RUST_SRC_PATH:-$(rustc --print sysroot)/lib/rustlib/src/rust/library}" ]; then
    say "adding the standard library's sources"
    rustup component add rust-src ||
        fail "could not add rust-src: set RUST_SRC_PATH to the 'library' folder of Rust's sources"
fi

venv=.cache/venv
if ! cmp -s requirements.txt "$venv/installed"; then
    say "installing the Python packages of requirements.txt into notebooks/$venv"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "needs Python 3.9 or newer with its venv module (Debian: python3-venv)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt "$venv/installed"
fi

# The kernel's description, where this environment finds it and no other is disturbed.
JUPYTER_PATH=$venv/share/jupyter evcxr_jupyter --install >/dev/null

# The versions of the dependencies are the workspace's. Cargo drops from this copy what no notebook needs.
cp ../Cargo.lock Cargo.lock
