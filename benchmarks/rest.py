"""How far transfers move between the looks of diag.watch: what `at rest` has to stay below.

    diag study run simple-maze-bases --set bases=2 --out runs/two
    python benchmarks/rest.py runs/two

A line for each transfer: its R² to the base at each share of the budget, and how far it has moved since the
share before (mean L2 distance over the base's spread); then the least of all.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

from diag import open_subject
from diag.embed import embedding
from diag.forecasts.rest import AT_REST, moved
from diag.repairs.asked import r2_as_it_is
from diag.studies.folder import Folder


def main(folder: Path) -> None:
    table = Folder(folder).results()
    rows = table[table["finite"]].sort_values("step")
    finished = rows[rows["final"] & (rows["phase"] == "base")]
    bases = dict(
        zip(finished["variant"] + "/" + finished["base_seed"].astype(str), finished["path"], strict=True)
    )
    of_transfers = rows[rows["phase"] == "transfer"]
    least = float("inf")
    for key, run in of_transfers.groupby(["variant", "plan", "base_seed", "seed"], sort=True):
        variant, plan, base_seed, seed = map(str, key)
        base = embedding(open_subject(folder / bases[f"{variant}/{base_seed}"]))
        seen = [embedding(open_subject(folder / path)) for path in run["path"]]
        steps = [moved(after, before, base) for before, after in pairwise(seen)]
        least = min([least, *steps])
        r2 = " ".join(f"{r2_as_it_is(x, base) or 0.0:6.2f}" for x in seen)
        print(f"{plan} base {base_seed} seed {seed}: R² {r2} | moved {' '.join(f'{m:.3f}' for m in steps)}")
    print(f"least {least:.4f}; at rest is up to {AT_REST}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
