"""CKA, Procrustes and CCA of two arrays, without intervals: beside nngeom's bare numpy and repsim's C++.

    pip install nngeom repsim
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.similarities --rounds 5

Calls alternate, medians of processor time. nngeom has linear CKA and Procrustes, repsim CKA and CCA. Above 1
ours is the faster. Peers that are not installed are left out; repsim is given no more than 2,000 rows, since
its kernels are (n, n).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import probes

SIZES = ((100, 8), (300, 1000), (1000, 64), (2000, 1024), (10_000, 256), (10_000, 1024))
MOST_ROWS = 2000


def peers() -> dict[str, dict[str, Callable[..., object]]]:
    found: dict[str, dict[str, Callable[..., object]]] = {"cka": {}, "procrustes": {}, "cca": {}}
    try:
        from nngeom import representations

        found["cka"]["nngeom"] = representations.linear_cka
        found["procrustes"]["nngeom"] = representations.procrustes_distance
    except ImportError:
        pass
    try:
        import repsim

        found["cka"]["repsim"] = lambda x, y: repsim.cka([x, y])
        found["cca"]["repsim"] = lambda x, y: repsim.cca([x, y])
    except ImportError:
        pass
    return found


OURS: dict[str, Callable[..., object]] = {
    "cka": lambda x, y: probes.cka(x, y, interval=False),
    "procrustes": lambda x, y: probes.procrustes(x, y, interval=False),
    "cca": lambda x, y: probes.cca(x, y, interval=False),
}


def seconds(call: Callable[..., object], x: object, y: object) -> float:
    """Processor time of one call, the mean of as many as fill a fiftieth of a second."""
    begun, calls = time.process_time(), 0
    while not calls or time.process_time() - begun < 0.02:
        call(x, y)
        calls += 1
    return (time.process_time() - begun) / calls


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for rows, width in SIZES:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(rows, width))
        y = x @ rng.normal(size=(width, width)) / width**0.5 + rng.normal(size=(rows, width))
        for measure, others in peers().items():
            calls = {"ours": OURS[measure], **others}
            if rows > MOST_ROWS:
                calls.pop("repsim", None)
            if rows <= 2 * width and measure == "cca":
                continue  # undefined
            try:
                taken = {name: [] for name in calls}
                for _ in range(asked.rounds if rows * width < 2_000_000 else 1):
                    for name, call in calls.items():
                        taken[name].append(seconds(call, x, y))
            except Exception as error:  # noqa: BLE001
                print(f"{rows} × {width} {measure}: {error}")
                continue
            mine = median(taken["ours"])
            told = [f"{name} ÷ ours {median(t) / mine:.2f}" for name, t in taken.items() if name != "ours"]
            print(
                f"{rows:6} × {width:4}  {measure:10} ours {mine * 1e3:9.3f} ms  {', '.join(told)}", flush=True
            )


if __name__ == "__main__":
    main()
