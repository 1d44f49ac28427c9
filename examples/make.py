"""Make the three checkpoints in examples/ anew: one base, one matched and one mirrored transfer of it.

    python examples/make.py            (about ten minutes on two cores)

The base is trained as in the paper but for 60,000 updates, its transfers for 30,000. The first base with
both a transfer that landed and one that is mirrored (flip metric's interval above 0.3) gives all three.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import diag
from trainers.checkpoint import read, save
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import preset

HERE = Path(__file__).parent
BASES = (1, 4, 0, 2, 3, 5)
TRANSFERS = tuple(range(8))
SETTINGS = preset("simple-maze").with_overrides(
    # As they were first made, at a constant rate: what the documentation quotes of them stays true.
    ["train.updates=60000", "transfer.updates=30000", "transfer.learning_rate=1e-4", "transfer.decay=1"]
)


def train(run: Run) -> None:
    members = prepare(run, resume=True, overwrite=False)
    if members and not execute(run, members, os.cpu_count() or 1, lambda n: None):
        sys.exit(130)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="examples-"))
    print(f"working in {folder} (give it as an argument to go on there)")
    for seed in BASES:
        bases = Run(SETTINGS, (seed,), str(folder / "base"))
        train(bases)
        base = bases.path(seed)
        transfers = folder / f"transfers-of-base{seed}"
        run = Run(SETTINGS, TRANSFERS, str(transfers), named_plan("freeze-dynamics"), str(base))
        train(run)
        found = {run.path(s): diag.compare(base, run.path(s)) for s in TRANSFERS}
        matched = [p for p, r in found.items() if r.relation == "matched" and r.success]
        mirrored = [
            p
            for p, r in found.items()
            if r.relation == "flipped" and (r.measures["flip"].low or 0) > 0.3 and r.own_states == 0
        ]
        print(f"base {seed}: {len(matched)} landed, {len(mirrored)} mirrored")
        if matched and mirrored:
            shutil.copy(base, HERE / "base.safetensors")
            for source, name in ((matched[0], "matched"), (mirrored[0], "mirrored")):
                made = read(source)
                # The parent is named as it lies here, not where it was trained.
                origin = {**(made.header.base or {}), "path": "examples/base.safetensors"}
                save(HERE / f"{name}.safetensors", replace(made.header, bases=(origin,)), made.tensors)
            print(f"from base {seed}: {matched[0].name} and {mirrored[0].name}")
            return
    sys.exit("no base has both")


if __name__ == "__main__":
    main()
