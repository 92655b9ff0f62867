"""Runs notebooks headless and writes each as a page to html/.

    run.py            every notebook of this folder
    run.py 01 02      those whose names start so

The kernel calls a cell good that panicked or returned an error: it only says so on the standard
error. So whatever a cell writes there fails the run, as does one that does not compile.

The kernel compiles each cell by itself and loads it into one process, where a library that is
linked twice has two copies of its state: candle's tensor numbers would collide and gradients go
wrong without a word. So each notebook is also built and run as one ordinary program, and both must
print the same.
"""

import os
import queue
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import start_new_kernel

from page import page

HERE = Path(__file__).resolve().parent
KERNEL = HERE / ".cache" / "evcxr"
PROGRAM = HERE / ".cache" / "program.rs"
STARTUP_SECONDS = 600
CELL_SECONDS = 600
LATE_SECONDS = 0.2  # the standard error may arrive after the cell has ended


VERSIONS = re.compile(r'^name = "(.*)"\nversion = "(.*)"$', flags=re.M)


class Failed(Exception):
    """A notebook's run went wrong; the text says where and how."""


def outputs_of(manager, client, source):
    """The outputs of one cell, as the notebook format has them."""
    request = client.execute(source)
    deadline = time.monotonic() + CELL_SECONDS
    outputs, idle = [], False
    while True:
        try:
            message = client.get_iopub_msg(timeout=LATE_SECONDS)
        except queue.Empty:
            if idle:
                return outputs
            if not manager.is_alive():
                raise Failed("the kernel died") from None
            if time.monotonic() > deadline:
                raise Failed(f"no end after {CELL_SECONDS} s") from None
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            idle = idle or message["parent_header"].get("msg_id") == request
        elif kind in ("stream", "display_data", "execute_result", "error"):
            output = nbformat.v4.output_from_msg(message)
            last = outputs[-1] if outputs else None
            if last and kind == "stream" and last.get("name") == output.name:
                last.text += output.text
            else:
                outputs.append(output)


def complaints(outputs):
    """What in a cell's outputs says that it failed."""
    for output in outputs:
        if output.output_type == "error":
            yield "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
        elif output.get("name") == "stderr":
            yield output.text


def printed(cells):
    """What the cells wrote to the standard output, figures and tables aside."""
    return "".join(o.text for c in cells for o in c.outputs if o.get("name") == "stdout")


def run_cells(cells):
    """Runs the cells in one kernel, keeping their outputs; stops at the first that fails."""
    manager, client = start_new_kernel(
        startup_timeout=STARTUP_SECONDS, kernel_name="rust", cwd=str(HERE)
    )
    try:
        for number, cell in enumerate(cells, 1):
            start = time.monotonic()
            cell.execution_count = number
            cell.outputs = outputs_of(manager, client, cell.source)
            print(f"  cell {number:2}: {time.monotonic() - start:6.1f} s", flush=True)
            if text := "\n".join(complaints(cell.outputs)):
                raise Failed(f"cell {number} failed:\n\n{cell.source}\n\n{text}")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def write_program(body):
    """Writes the program that consists of these lines."""
    PROGRAM.write_text(
        "#![allow(warnings)]\n"
        "fn main() -> Result<(), Box<dyn std::error::Error>> {\n" + body + "\n;Ok(())\n}\n"
    )


def cargo(*arguments, **how):
    """Runs cargo on the program as the kernel runs it on cells, in the same folder."""
    version = subprocess.run(["rustc", "-vV"], cwd=HERE, capture_output=True, text=True, check=True)
    host = re.search(r"^host: (.*)$", version.stdout, flags=re.M)[1]
    return subprocess.run(
        ["cargo", *arguments, "--target", host], cwd=HERE, **how,
        env={**os.environ, "CARGO_TARGET_DIR": str(KERNEL / "target"),
             "RUSTFLAGS": "-Cprefer-dynamic"},
    )


def build_dependencies():
    """Builds what cells depend on, so that the first one does not wait minutes without a word."""
    if not (KERNEL / "Cargo.toml").exists():  # a member of the workspace, which the kernel writes anew
        (KERNEL / "src").mkdir(parents=True, exist_ok=True)
        (KERNEL / "src" / "lib.rs").touch()
        (KERNEL / "Cargo.toml").write_text('[package]\nname = "ctx"\nversion = "1.0.0"\n')
    write_program("")
    print("building what the cells depend on", flush=True)
    start = time.monotonic()
    if cargo("build").returncode != 0:
        sys.exit("notebooks: what the cells depend on does not build; the lines above say why")
    print(f"  built in {time.monotonic() - start:.0f} s", flush=True)


def run_as_program(cells):
    """Runs the cells as one program; returns what it printed.

    It is built as the kernel builds, into the same folder, so that only the cells are compiled.
    """
    body = "\n;\n".join(
        "\n".join(line for line in cell.source.splitlines() if not line.startswith(":"))
        for cell in cells
    )
    write_program(body)
    ran = cargo("run", "--quiet", capture_output=True, text=True)
    if ran.returncode != 0:
        raise Failed(f"as one program it fails:\n\n{ran.stdout}\n{ran.stderr}")
    # Between the kernel's markers stand figures and tables.
    return re.sub(r"^EVCXR_BEGIN_CONTENT.*?^EVCXR_END_CONTENT\n", "", ran.stdout, flags=re.M | re.S)


def run(path):
    """Runs one notebook both ways and writes its page, also when a cell failed."""
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    try:
        run_cells(cells)
    finally:
        (HERE / "html").mkdir(exist_ok=True)
        (HERE / "html" / f"{path.stem}.html").write_text(page(notebook), encoding="utf-8")
    in_cells, in_program = printed(cells), run_as_program(cells)
    if in_cells != in_program:
        raise Failed(
            f"its cells print\n\n{in_cells}\nbut the same code as one program prints\n\n{in_program}"
        )


def drifted():
    """The packages of which the notebooks use other versions than the workspace."""
    locks = (HERE / "Cargo.lock", HERE.parent / "Cargo.lock")
    ours, theirs = (set(VERSIONS.findall(lock.read_text())) for lock in locks)
    return sorted(ours - theirs - {("ctx", "1.0.0"), ("program", "0.0.0")})


def main(names):
    paths = sorted(p for p in HERE.glob("*.ipynb") if not names or p.name.startswith(tuple(names)))
    if not paths:
        sys.exit(f"notebooks: none matches {' '.join(names)}" if names else "notebooks: there are none")
    build_dependencies()
    failed = 0
    for path in paths:
        print(f"{path.name}", flush=True)
        start = time.monotonic()
        try:
            run(path)
            print(f"  passed in {time.monotonic() - start:.0f} s: notebooks/html/{path.stem}.html")
        except Failed as error:
            failed += 1
            print(f"{path.name}: {error}", file=sys.stderr)
    if others := drifted():
        sys.exit(f"notebooks: Cargo.lock has other versions than the workspace's: {others}")
    print(f"notebooks: {len(paths) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
