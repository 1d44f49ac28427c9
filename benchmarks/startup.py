"""How long a person waits for the shortest commands: medians of repeated runs of whole processes.

    python benchmarks/startup.py [--repeats 9]

The runs of the commands are interleaved, and `python -c pass` stands beside them as the floor.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIAG = str(Path(sys.executable).parent / "diag")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        y = rng.normal(size=(1000, 32))
        a, b, page = (str(Path(folder) / name) for name in ("a.npy", "b.npy", "page.html"))
        np.save(a, y)
        np.save(b, -y + 0.1 * rng.normal(size=y.shape))
        examples = Path(__file__).parent.parent / "examples"
        base, mirrored, matched = (
            str(examples / f"{n}.safetensors") for n in ("base", "mirrored", "matched")
        )
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "diag --help": [DIAG, "--help"],
            "diag compare-embeddings a.npy b.npy (1000 × 32)": [DIAG, "compare-embeddings", a, b],
            "… --html": [DIAG, "compare-embeddings", a, b, "--html", page],
            "diag compare-embeddings (checkpoints)": [DIAG, "compare-embeddings", base, mirrored],
            "diag landscape (checkpoints)": [DIAG, "landscape", mirrored, matched],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - began)
    print(f"| command | median of {repeats}, s | slowest, s |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| `{name}` | {statistics.median(taken):.2f} | {max(taken):.2f} |")


if __name__ == "__main__":
    main()
