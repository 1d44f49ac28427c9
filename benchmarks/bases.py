"""How many transfers land, per base: bases × transfers on the simple maze, as a table.

    python benchmarks/bases.py --out runs/bases --bases 0-5 --transfers 0-7 \
        --set train.updates=60000 --set transfer.updates=30000

Stopped, it goes on where it was. Takes about 20 minutes on two cores with the numbers above.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

import diag
from trainers.plan import read_plan
from trainers.processes import execute
from trainers.run import Run, prepare, seeds_from
from trainers.settings import preset


def train(run: Run, jobs: int) -> None:
    members = prepare(run, resume=True, overwrite=False)
    if members and not execute(run, members, jobs, lambda n: None):
        sys.exit(130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="simple-maze")
    parser.add_argument("--plan", default="freeze-dynamics")
    parser.add_argument("--bases", default="0-5")
    parser.add_argument("--transfers", default="0-7")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    began = time.monotonic()
    settings = preset(asked.preset).with_overrides(asked.settings)
    bases = Run(settings, seeds_from(asked.bases), str(asked.out / "base"))
    train(bases, asked.jobs)
    print("| base | landed | relations | states in place | L2 to the base |")
    print("|---|---|---|---|---|")
    for seed in bases.seeds:
        base = str(bases.path(seed))
        run = Run(
            settings,
            seeds_from(asked.transfers),
            str(asked.out / f"transfers-of-base{seed}"),
            read_plan(asked.plan),
            base,
        )
        train(run, asked.jobs)
        found = [diag.compare(base, run.path(s)) for s in run.seeds]
        names = Counter(f"{r.relation or 'undecided'}" for r in found)
        words = ", ".join(f"{count} {name}" for name, count in names.most_common())
        places = " ".join(str(r.own_states) for r in found)
        l2 = " ".join(f"{r.measures['l2'].value:.2f}" for r in found)
        landed = sum(bool(r.success) for r in found)
        print(f"| {seed} | {landed} of {len(found)} | {words} | {places} | {l2} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s in all, {asked.jobs} processes")


if __name__ == "__main__":
    main()
