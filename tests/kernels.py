"""Run the numeric tests under every kernel that this processor can be told to use.

    python -m tests.kernels            (`make test-kernels`; two kernels at a time)

OpenBLAS (numpy, scipy), ATen and MKL (torch) choose their code by processor, and the last bits of a product
differ between those choices. A verdict must not. The suite itself runs as the processor comes; this runs the
tests marked ``numeric`` again as other processors would.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import torch

HERE = Path(__file__).parent

ALSO_AVX512 = {"OPENBLAS_CORETYPE=SkylakeX"}
"""Kernels that crash on a processor without AVX-512."""

KERNELS = (
    "ATEN_CPU_CAPABILITY=default",
    "ATEN_CPU_CAPABILITY=avx2",
    "OPENBLAS_CORETYPE=Haswell",
    "OPENBLAS_CORETYPE=SkylakeX",
    "MKL_CBWR=COMPATIBLE",
)


def kernels() -> list[str]:
    """The settings, ``NAME=VALUE``, that this processor can run."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ["ATEN_CPU_CAPABILITY=default"]
    capability = torch.backends.cpu.get_cpu_capability()
    known = [k for k in KERNELS if capability == "AVX512" or k not in ALSO_AVX512]
    return (
        known
        if capability.startswith("AVX")
        else [k for k in known if "avx2" not in k and "Haswell" not in k]
    )


def marked() -> list[str]:
    """The test files with a ``numeric`` mark; to collect all the others takes longer than to run these."""
    return [str(file) for file in sorted(HERE.glob("test_*.py")) if "mark.numeric" in file.read_text("utf-8")]


def run(kernel: str, arguments: list[str]) -> tuple[int, str, float]:
    """The exit status, the output and the seconds of the numeric tests under one kernel."""
    name, _, value = kernel.partition("=")
    began = monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "numeric and not long",
            "-p",
            "no:cacheprovider",
            *(arguments or marked()),
        ],
        env={**os.environ, name: value, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, monotonic() - began


def main() -> int:
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        asked = {kernel: pool.submit(run, kernel, sys.argv[1:]) for kernel in kernels()}
        for kernel, future in asked.items():
            status, output, seconds = future.result()
            summary = output.strip().splitlines()[-1] if output.strip() else "no output"
            if status:
                failed += 1
                print(output)
            print(f"{kernel:28} {'failed' if status else 'passed'} in {seconds:.0f} s: {summary}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
