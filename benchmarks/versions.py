"""Is this tree slower than another revision of the project? Both in one run, in turns.

    git worktree add /tmp/old 6012e37
    python -m benchmarks.versions /tmp/old [--rounds 7] [--only NAME …]

Each workload runs in a fresh process of either tree, one after the other, in an order that alternates from
round to round. Times are of the processor (one thread), without the imports; a ratio is the median over
rounds of the other tree's time ÷ this tree's: above 1 this tree is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent

PREPARED = """
import time, tempfile, numpy as np, torch, diag, probes
torch.set_num_threads(1)
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 32))
y = x @ np.linalg.qr(rng.normal(size=(32, 32)))[0] + 0.1 * rng.normal(size=x.shape)
base, matched, mirrored = (f"examples/{n}.safetensors" for n in ("base", "matched", "mirrored"))
"""

TRAIN = """
try:
    from diag.commands.app import run
except ImportError:  # before commands had a folder
    from diag.cli import run

def train(*options):
    run(["train", "crar", "-q", "--jobs", "1", *options, "--out", tempfile.mkdtemp()])
"""

WORKLOADS = {
    "training, summed, 8 seeds": (
        TRAIN,
        "train('--preset', 'simple-maze-summed', '--seeds', '0-7', '--set', 'train.updates=800')",
    ),
    "training, separate, 4 seeds": (TRAIN, "train('--seeds', '0-3', '--set', 'train.updates=400')"),
    "compare, checkpoints": ("", "diag.compare(base, mirrored)"),
    "compare, arrays 2000 × 32": ("", "diag.compare(x, y)"),
    "cka, arrays 2000 × 32": ("", "[probes.cka(x, y) for _ in range(5)]"),
    "cca, arrays 2000 × 32": ("", "[probes.cca(x, y) for _ in range(5)]"),
    "probe, checkpoints": ("", "diag.probe(base, mirrored, projection='none')"),
    "landscape, quick": ("", "diag.landscape(base, mirrored, quick=True)"),
    "landscape, 11 points": ("", "diag.landscape(base, mirrored, points=11, curve_steps=50)"),
}
"""Names -> what is prepared, and what is timed after one untimed call of it."""


def seconds(tree: Path, prepare: str, timed: str) -> float:
    """Processor seconds of a workload in a tree."""
    watched = f"began = time.process_time()\n{timed}\nprint(time.process_time() - began)"
    code = f"{PREPARED}\n{prepare}\n{timed}\n{watched}"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare this tree's speed with another revision's.")
    parser.add_argument("other", type=Path, help="a checkout of the other revision")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), help="workloads, by their names")
    asked = parser.parse_args()
    print("| workload | other, s | here, s | other ÷ here | rounds from, to |")
    print("|---|---|---|---|---|")
    for name in asked.only:
        took: dict[Path, list[float]] = {asked.other.resolve(): [], HERE: []}
        for number in range(asked.rounds):
            for tree in list(took)[:: 1 if number % 2 else -1]:
                took[tree].append(seconds(tree, *WORKLOADS[name]))
        other, here = took.values()
        ratios = sorted(a / b for a, b in zip(other, here, strict=True))
        times = " | ".join(f"{statistics.median(values):.2f}" for values in (other, here, ratios))
        print(f"| {name} | {times} | {ratios[0]:.2f}, {ratios[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
