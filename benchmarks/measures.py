"""The measures beside public packages and beside the leanest code one could write instead, as ratios.

    python benchmarks/measures.py [--repeats 7] [--quick] [--only cca] [--all-threads]

The peers live in a virtual environment of their own (peers.txt says how); one that is missing is named
under the table. All contenders of a task take turns, round by round; times are medians, a ratio is the
median over rounds of peer ÷ ours with its range beside it, and a peer that finds another value than we do
is void. One BLAS thread unless --all-threads. Loops that would take minutes run fewer draws and are scaled
up, which the table says.
"""

from __future__ import annotations

import os
import sys

if "--all-threads" not in sys.argv:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import importlib.metadata
import math
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
from contenders import MISSING, Found, Task, cca_task, cka_task, null_task, torch, value_task
from threadpoolctl import threadpool_info

SHORTEST = 0.02
"""Seconds that a reading lasts at least: what is quicker is called several times."""
LONG, LONG_ROUNDS = 5.0, 3
"""Seconds beyond which a contender sits out all but the first rounds, and how many it plays."""
SAME_NULL = 4.0
"""Standard errors that the means of two null distributions may lie apart."""


def tasks(quick: bool) -> dict[str, list[Callable[[], Task]]]:
    """What is measured, by the word that --only takes; made when its turn comes, to keep memory free."""
    cca = [lambda: cca_task(1000, 16, np.float64, nipals=True)]
    large = (2000, 64) if quick else (10_000, 256)
    cca += [lambda t=t: cca_task(*large, t) for t in (np.float64, np.float32)]
    shapes = [(500, 32), (300, 1000)] if quick else [(1000, 64), (10_000, 256), (500, 4096)]
    cka = [lambda s=s, t=t: cka_task(*s, t) for s in shapes for t in (np.float64, np.float32)]
    sizes = [(1000, 32, 1000)] if quick else [(1000, 32, 1000), (2000, 64, 1000), (10_000, 256, 100)]
    null = [lambda s=s: null_task("cka", s[0], s[1], s[2]) for s in sizes]
    shapes = [(300, 3), (1000, 8)] if quick else [(300, 3), (1000, 2), (1000, 3), (1000, 8)]
    procrustes = [lambda s=s: null_task("procrustes", *s) for s in shapes]
    shapes = [(100, 8), (1000, 64)] + ([] if quick else [(300, 1000), (10_000, 256), (2000, 1024)])
    value = [lambda m=m, s=s: value_task(m, *s) for m in ("cka", "procrustes") for s in shapes]
    return {"cca": cca, "cka": cka, "value": value, "permutation": null, "procrustes": procrustes}


def measured(task: Task, repeats: int) -> tuple[dict[str, Found], dict[str, list[float]]]:
    """What each contender found, and its milliseconds, round by round, all taking turns."""
    found: dict[str, Found] = {}
    calls: dict[str, int] = {}
    times: dict[str, list[float]] = {c.name: [] for c in (*task.ours, *task.peers)}
    for contender in (*task.ours, *task.peers):  # warms up, and counts how many calls make a reading
        began = time.perf_counter()
        found[contender.name] = contender.run()
        calls[contender.name] = math.ceil(SHORTEST / (time.perf_counter() - began))
    for number in range(repeats):
        for contender in (*task.ours, *task.peers):
            taken = times[contender.name]
            if number >= LONG_ROUNDS and taken[0] / contender.scale > 1000 * LONG:
                continue
            began = time.perf_counter()
            for _ in range(calls[contender.name]):
                contender.run()
            each = (time.perf_counter() - began) / calls[contender.name]
            taken.append(1000 * each * contender.scale)
    return found, times


def agreement(ours: Found, theirs: Found, tolerance: float) -> tuple[bool, str]:
    apart = abs(ours.value - theirs.value)
    same, words = apart <= tolerance, f"{apart:.0e}"
    if ours.mean is not None and theirs.mean is not None:
        error = math.hypot(ours.error, theirs.error)
        away = abs(ours.mean - theirs.mean) / error
        same, words = same and away <= SAME_NULL, f"{words}; null mean to {away:.1f} s.e."
    return same, words


def row(task: Task, ours: str, peer: str, found: dict[str, Found], times: dict[str, list[float]]) -> str:
    same, words = agreement(found[ours], found[peer], task.tolerance)
    rounds = [theirs / own for own, theirs in zip(times[ours], times[peer], strict=False)]
    ratio = f"**{statistics.median(rounds):.3g}** ({min(rounds):.3g}–{max(rounds):.3g})"
    result = ratio if same else f"void: they find {found[peer].value:.6f}"
    own, theirs = statistics.median(times[ours]), statistics.median(times[peer])
    return (
        f"| {task.name} | {ours} = {found[ours].value:.4f} | {own:.4g} | {peer} | {theirs:.4g} "
        f"| {result} | {words} |"
    )


def version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} missing"


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small arrays: does everything run and agree?")
    parser.add_argument("--only", choices=tuple(tasks(True)), action="append", help="can be given repeatedly")
    parser.add_argument("--all-threads", action="store_true", help="leave BLAS its threads")
    given = parser.parse_args()
    if torch is not None and not given.all_threads:
        torch.set_num_threads(1)
    named = ("numpy", "scipy", "scikit-learn", "torch", "cca-zoo", "calibrated-similarity", "pytorch-cka")
    load = os.getloadavg()[0]
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
    print(", ".join(map(version, named)))
    pools = {f"{p['internal_api']} {p['version']}: {p['num_threads']} threads" for p in threadpool_info()}
    print(f"{'; '.join(sorted(pools))}; median of {given.repeats} rounds\n")
    print("| task | ours = value | ms | peer | ms | peer ÷ ours (range) | values agree to |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for word, makers in tasks(given.quick).items():
        if given.only is not None and word not in given.only:
            continue
        for make in makers:
            task = make()
            found, times = measured(task, given.repeats)
            for ours in task.ours:
                for peer in task.peers:
                    print(row(task, ours.name, peer.name, found, times), flush=True)
    print("\n¹ calibrated-similarity ships `calibrate` and `calibrate_layers`, and no CKA: the form is its")
    print("authors' published one, written anew. pytorch-cka is what PyPI has besides.")
    for line in MISSING:
        print(line)


if __name__ == "__main__":
    main()
