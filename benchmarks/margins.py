"""What the thresholds of a verdict rest on: R² against states in place, over finished runs of bases.py.

python benchmarks/margins.py runs/bases runs/summed …
"""

from __future__ import annotations

import sys
from pathlib import Path

import diag
from diag.comparisons.result import Comparison

FLAT = 0.9
"""diag.comparisons.verdict.DEFORMED, under test here."""


def r2(found: Comparison) -> list[float]:
    return [s.r2.value for s in (*found.ladder, *found.shifted) if s.r2.value is not None]


def main() -> None:
    found = [
        diag.compare(folder / "base" / f"seed{transfers.name.rpartition('base')[2]}.safetensors", path)
        for folder in map(Path, sys.argv[1:])
        for transfers in sorted(folder.glob("transfers-of-base*"))
        for path in sorted(transfers.glob("seed*.safetensors"))
    ]
    print(f"{len(found)} transfers")
    for least in (31, 29):
        inside = [f for f in found if (f.own_states or 0) >= least]
        print(
            f"{len(inside)} with {least} or more of 31 states in place: identity R² at least "
            f"{min(r2(f)[0] for f in inside):.3f}, best map at most "
            f"{max(max(r2(f)) - r2(f)[0] for f in inside):.3f} above it"
        )
    bent = [f.own_states or 0 for f in found if r2(f)[0] < FLAT]
    print(f"{len(bent)} with identity R² below {FLAT}: at most {max(bent)} states in place")
    flips = [(1 - max(r2(f))) / (1 - r2(f)[1]) for f in found if f.relation == "flipped"]
    most = sum(share > 2 / 3 for share in flips)
    print(f"{len(flips)} flipped: in {most} the best map leaves over two thirds of what the flip leaves")


if __name__ == "__main__":
    main()
