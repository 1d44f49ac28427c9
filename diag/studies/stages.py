"""The embeddings that a study shows: a base, a success and a failure as they come to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from diag.studies.paper import FIGURE_STEPS
from diag.studies.result import Cell, EmbeddingPicture, Group


def labelled(pictures: Sequence[EmbeddingPicture], last: pd.DataFrame) -> list[EmbeddingPicture]:
    """The pictures with what became of each transfer; a step's own relation stays where it has one."""
    keys = zip(last["variant"], last["plan"], last["base_seed"], last["seed"], strict=True)
    ended = dict(zip(keys, zip(last["success"], last["name"], strict=True), strict=True))
    labels = []
    for picture in pictures:
        known = ended.get((picture.variant, picture.plan, picture.base_seed, picture.seed))
        if known is None:
            labels.append(picture)
        else:
            relation = str(known[1]) if picture.final else picture.relation
            labels.append(replace(picture, succeeded=bool(known[0]), relation=relation))
    return labels


def stages(
    pictures: Sequence[EmbeddingPicture], groups: Sequence[Group]
) -> tuple[tuple[EmbeddingPicture, ...], ...]:
    """A base, a successful and a failed transfer of it at growing steps, as in the paper's figures 5 to 7.

    Of the reference group; of the bases that have both the one whose outcomes are most even, and of its
    failures a flipped one where there is any. Steps are those nearest to the paper's shares of the updates.
    """
    if not groups:
        return ()
    mine = [p for p in pictures if (p.variant, p.plan) == (groups[0].variant, groups[0].plan)]
    drawn = {p.base_seed for p in mine}
    cells = [c for c in groups[0].cells if c.base_seed in drawn]
    if not cells:
        return ()
    seed = max(cells, key=_evenness).base_seed
    bases = [p for p in pictures if not p.plan and p.base_seed == seed]
    bases.sort(key=lambda p: p.variant != groups[0].variant)  # a variant may share another's bases
    rows = [_steps(bases, "base")]
    of_base = [p for p in mine if p.base_seed == seed]
    followed = {p.seed for p in of_base if not p.final}
    for wanted in (True, False):
        kept = [p for p in of_base if p.final and p.succeeded is wanted]
        kept.sort(key=lambda p: (not p.succeeded and p.relation != "flipped", p.seed not in followed, p.seed))
        if kept:
            rows.append(_steps([p for p in of_base if p.seed == kept[0].seed], "transfer"))
    return tuple(row for row in rows if row)


def _evenness(cell: Cell) -> tuple[int, int, int]:
    """Greatest where both outcomes are there, then where more failures are flipped; earlier bases first."""
    failed = cell.succeeded.n - cell.succeeded.count
    return min(cell.succeeded.count, failed), cell.relations.get("flipped", 0), -cell.base_seed


def _steps(pictures: Sequence[EmbeddingPicture], phase: str) -> tuple[EmbeddingPicture, ...]:
    """One picture near each of the paper's shares of the updates, the last one always."""
    last = [p for p in pictures if p.final]
    if not last:
        return ()
    early = [
        p for p in pictures if not p.final and 0 < p.step < last[0].step and p.variant == last[0].variant
    ]
    *wanted, end = FIGURE_STEPS[phase]
    chosen: dict[int, EmbeddingPicture] = {}
    for step in wanted:
        if early:
            target = math.log(last[0].step * step / end)
            near = min(early, key=lambda p: abs(math.log(p.step) - target))
            chosen[near.step] = near
    return (*(chosen[step] for step in sorted(chosen)), last[0])
