"""Which difference from the first paper's authors decides how often transfers of the simple maze land?

Reads a folder of ``diag study run simple-maze-settled`` (finished or not) and counts the transfers that
succeeded after 50,000, 80,000 and 110,000 updates and at the mean of the weights kept over the last 2,000, by
three rules side by side:

- ``states``: at least 29 of the 31 states lie nearest to their own base state (this project's rule);
- ``r2``: the base's embedding is explained by the transfer's as it stands, R² > 0.8;
- ``rooms``: each room's mean lies nearer to the same room's mean in the base than to the other room's.

    diag study run simple-maze-settled --out runs/maze-settled       # hours on two cores; can be stopped
    python -m benchmarks.maze_settled runs/maze-settled
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import diag
from diag.studies.folder import Folder
from diag.studies.measure import embedding
from diag.studies.statistics import wilson

Floats = NDArray[np.float64]

SHARES = (5 / 11, 8 / 11, 1.0)
"""Fractions of the updates at which transfers are judged: 50,000, 80,000 and 110,000 of the study's own."""

LATE = 10.8 / 11
"""Fraction of the updates after which checkpoints are averaged."""

ENOUGH_STATES, ENOUGH_R2 = 29, 0.8


def in_place(base: Floats, transfer: Floats) -> int:
    """States (K, d) whose nearest base state is their own."""
    distances = np.linalg.norm(transfer[:, None] - base[None], axis=2)
    return int((distances.argmin(1) == np.arange(len(base))).sum())


def r2(base: Floats, transfer: Floats) -> float:
    """Share of the base embedding's variance (K, d) that the transfer's explains without any map."""
    return float(1 - np.square(transfer - base).sum() / np.square(base - base.mean(0)).sum())


def rooms_agree(base: Floats, transfer: Floats, rooms: NDArray[np.str_]) -> bool:
    """Whether each room's mean stands nearer to its own than to the other's in the base."""
    names = ("left", "right")
    at = {name: base[rooms == name].mean(0) for name in names}
    for name, other in (names, names[::-1]):
        mine = transfer[rooms == name].mean(0)
        if np.linalg.norm(mine - at[name]) >= np.linalg.norm(mine - at[other]):
            return False
    return True


RULES: Mapping[str, Callable[[Floats, Floats, NDArray[np.str_]], bool]] = {
    "states": lambda base, transfer, rooms: in_place(base, transfer) >= ENOUGH_STATES,
    "r2": lambda base, transfer, rooms: r2(base, transfer) > ENOUGH_R2,
    "rooms": rooms_agree,
}


def averaged(paths: Sequence[Path]) -> Floats:
    """The embedding of the mean of these checkpoints' weights."""
    subjects = [diag.open_subject(path) for path in paths]
    parameters = [s.parameters for s in subjects if s.parameters is not None]
    mean = {name: torch.stack([p[name] for p in parameters]).mean(0) for name in parameters[0]}
    return np.asarray(embedding(replace(subjects[-1], parameters=mean)))


def judged(root: Path) -> pd.DataFrame:
    """A row for each transfer and moment: variant, base, seed, moment, each rule's word, L2."""
    folder, told = Folder(root), []
    table = folder.results()
    if table.empty:
        return table
    kept = table[(table["path"] != "") & table["finite"]]
    kept = kept[[(root / path).exists() for path in kept["path"]]]
    bases: dict[str, Floats] = {}
    origin = kept[(kept["phase"] == "base") & kept["final"]].set_index(["variant", "base_seed"])["path"]
    study = folder.study()
    owner = {v.name: study.base_of(v).name for v in study.variants}
    transfers = kept[kept["phase"] == "transfer"]
    finished = transfers.groupby(["variant", "base_seed", "seed"])["final"].transform("any")
    transfers = transfers[finished]
    for (variant, number, _), rows in transfers.groupby(["variant", "base_seed", "seed"]):
        path = origin.get((owner[variant], number))
        if path is None:
            continue
        if path not in bases:
            bases[path] = np.asarray(embedding(diag.open_subject(root / path)))
        base, at, updates = bases[path], rows.set_index("step")["path"], int(rows["updates"].iloc[0])
        steps = [min(at.index, key=lambda s, share=share: abs(s - share * updates)) for share in SHARES]
        moments = {f"{step:,}": [root / at[step]] for step in steps}
        late = [root / path for step, path in at.items() if step > LATE * updates]
        moments[f"mean of {len(late)}"] = late
        rooms = np.asarray(diag.open_subject(root / path).tasks.variables()["room"])  # type: ignore[union-attr]
        for moment, paths in moments.items():
            x = averaged(paths)
            words = {name: rule(base, x, rooms) for name, rule in RULES.items()}
            distance = float(np.linalg.norm(x - base, axis=1).mean())
            told.append({"variant": variant, "base": number, "moment": moment, **words, "l2": distance})
    return pd.DataFrame(told)


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the transfers of simple-maze-settled that landed.")
    parser.add_argument("folder", type=Path)
    rows = judged(parser.parse_args().folder)
    if rows.empty:
        print("no transfer is done yet", file=sys.stderr)
        return 2
    print("| variant | base | updates | transfers | 29 of 31 states | R² > 0.8 | rooms | median L2 |")
    print("|---|---|---|---|---|---|---|---|")
    for (variant, base, moment), group in rows.groupby(["variant", "base", "moment"], sort=False):
        counts = []
        for rule in RULES:
            rate = wilson(int(group[rule].sum()), len(group))
            counts.append(f"{rate.count} [{rate.low:.0%}, {rate.high:.0%}]")
        cells = [
            str(variant),
            str(base),
            str(moment),
            str(len(group)),
            *counts,
            f"{group['l2'].median():.2f}",
        ]
        print(f"| {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
