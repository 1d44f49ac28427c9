"""How long a gate over ten small pairs takes, beside ten runs of the command that compares one pair.

    python benchmarks/gate.py [--repeats 5]

Ten copies of the example transfers, whole processes, interleaved; medians. What is saved is the import of the
libraries, paid once instead of ten times, and the base's numbers.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIAG = str(Path(sys.executable).parent / "diag")
PAIRS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    examples = Path(__file__).parent.parent / "examples"
    with tempfile.TemporaryDirectory() as folder:
        transfers = []
        for number in range(PAIRS):
            name = ("matched", "mirrored")[number % 2]
            transfers.append(str(Path(folder) / f"{number}.safetensors"))
            shutil.copy(examples / f"{name}.safetensors", transfers[-1])
        base = str(examples / "base.safetensors")
        one_by_one = [[DIAG, "compare-embeddings", base, t] for t in transfers]
        ways = {
            f"diag check, {PAIRS} pairs": [[DIAG, "check", base, *transfers, "--exit-zero"]],
            "diag check, 1 pair": [[DIAG, "check", base, transfers[0]]],
            f"diag compare-embeddings, {PAIRS} times": one_by_one,
            "python -c 'import torch'": [[sys.executable, "-c", "import torch"]],
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, commands in ways.items():
                began = time.perf_counter()
                for command in commands:
                    subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - began)
    print(f"| | median of {repeats}, s | slowest, s |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {statistics.median(taken):.2f} | {max(taken):.2f} |")


if __name__ == "__main__":
    main()
