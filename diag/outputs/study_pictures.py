"""The embeddings of a study on its page: at growing steps, and all the last ones as small multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from diag.studies.result import EmbeddingPicture, Group, StudyReport
from diag.studies.sentence import of, short_name
from reports import Figure, Section, studies
from trainers.safe_text import plain

MOST_PANELS, MOST_OF_A_BASE, FEWEST_OF_A_BASE = 168, 24, 3
"""Most small multiples in all and of one base, and the fewest that are drawn of a base: 100 points take some
13 kB."""

TINY, GAP, LABEL, INSET, ACROSS = 96, 10, 24, 5, 11
"""Pixels of a panel's side, of the gap beside it, of its label and of its margin; panels in a row."""


def stages_section(report: StudyReport) -> list[Section]:
    """Embeddings of a base, a success and a failure at growing steps, as in the paper's figures 5 to 7."""
    if not report.stages:
        return []
    points, lines = [], []
    for row in report.stages:
        title = _row_title(row[-1])
        for picture in row:
            place = {"row": title, "panel": f"{picture.step:,} updates"}
            points.append(_points(picture).assign(**place))
            if picture.arrows is not None:
                lines.append(_arrows(picture).assign(**place))
    joined = (
        pd.concat(lines, ignore_index=True)
        if lines
        else pd.DataFrame(columns=["row", "panel", "x", "y", "x2", "y2"])
    )
    colour = report.stages[0][0].colour
    chart = studies.stages(pd.concat(points, ignore_index=True), joined, colour)
    coloured = "" if colour is None else f", coloured by its {plain(colour)}"
    notes = [
        f"The panels are like those of the paper's figures 5 to 7. Each point is a state{coloured}, and each "
        "line leads to the place where the transition model expects an action to lead. All panels have the "
        "same axes."
    ]
    return [
        Section(
            "How embeddings come to be",
            [],
            Figure(chart, "Scatter plots of the embedding at growing steps, of a base and of its transfers."),
            notes=notes,
            short="On the way",
        )
    ]


def _row_title(picture: EmbeddingPicture) -> str:
    if not picture.plan:
        return f"Base {picture.base_seed}, training"
    outcome = "which succeeds" if picture.succeeded else "which fails"
    relation = f" ({picture.relation})" if picture.relation else ""
    return f"Transfer {picture.seed} of base {picture.base_seed}, {outcome}{relation}"


def multiples_sections(report: StudyReport) -> list[Section]:
    """All last embeddings, a section a group; many are thinned, both outcomes alike."""
    drawn = {(p.variant, p.plan) for p in report.pictures}
    groups = [g for g in report.groups if (g.variant, g.plan) in drawn]
    if not groups:
        return []
    cells = sum(len(g.cells) for g in groups)
    if cells * FEWEST_OF_A_BASE > MOST_PANELS:
        groups = groups[:1]
        cells = len(groups[0].cells)
    quota = min(MOST_OF_A_BASE, max(FEWEST_OF_A_BASE, MOST_PANELS // cells))
    return [_multiples(report, group, quota) for group in groups]


def _multiples(report: StudyReport, group: Group, quota: int) -> Section:
    sheet = _Sheet()
    shown = there = 0
    for cell in group.cells:
        mine = [
            p
            for p in report.pictures
            if (p.variant, p.plan, p.base_seed) == (group.variant, group.plan, cell.base_seed)
        ]
        if mine:
            kept = _thinned(mine, quota)
            shown, there = shown + len(kept), there + len(mine)
            sheet.block(f"Base {cell.base_seed}: {of(cell.succeeded)} succeed", kept)
    name = "" if len(report.groups) == 1 else f": {short_name(group, report.groups)}"
    words = []
    notes = [
        "Each row begins with a base's own embedding, and those of its transfers follow with their seed and "
        "relation. A ✓ marks a transfer that succeeds, a ✗ one that fails. In a flipped embedding the "
        "colours have changed sides. The panels of a base share their axes."
    ]
    if shown < there:
        words.append(
            f"Only {shown:,} of the {there:,} transfers are drawn, with successes and failures in proportion."
        )
    figure = Figure(
        sheet.chart(report.pictures[0].colour),
        "Small scatter plots: the embedding of every base and of its transfers.",
    )
    return Section(f"All embeddings{name}", words, figure, notes=notes, short="All embeddings")


class _Sheet:
    """Small multiples placed in pixels, block under block."""

    def __init__(self) -> None:
        self.points: list[pd.DataFrame] = []
        self.frames: list[dict[str, object]] = []
        self.titles: list[dict[str, object]] = []
        self.bottom = 0

    def block(self, title: str, pictures: Sequence[EmbeddingPicture]) -> None:
        """Add a base's own embedding and its transfers', on axes that reach over all, outliers too."""
        panels = [("base", _points(pictures[0], of_base=True))]
        for p in pictures:
            label = f"{'✓' if p.succeeded else '✗'} {p.seed} {p.relation or ''}".rstrip()
            panels.append((label, _points(p)))
        places = np.concatenate([frame[["x", "y"]].to_numpy(float) for _, frame in panels])
        low, span = places.min(0), np.maximum(np.ptp(places, axis=0), np.finfo(float).tiny)
        self.titles.append({"x": 0, "y": self.bottom + 8, "words": title})
        top = self.bottom + 34
        for at, (label, frame) in enumerate(panels):
            left, above = at % ACROSS * (TINY + GAP), top + at // ACROSS * (TINY + LABEL)
            box = {"x": left, "y": above, "x2": left + TINY, "y2": above + TINY}
            self.frames.append({**box, "label": label})
            share = (frame[["x", "y"]].to_numpy(float) - low) / span * (TINY - 2 * INSET) + INSET
            self.points.append(
                pd.DataFrame(
                    {
                        "x": np.round(left + share[:, 0], 1),
                        "y": np.round(above + TINY - share[:, 1], 1),
                        "group": frame["group"],
                    }
                )
            )
        self.bottom = top + -(-len(panels) // ACROSS) * (TINY + LABEL) + GAP

    def chart(self, colour: str | None) -> Any:
        """The picture; ``colour`` is the name of the variable that points are coloured by."""
        points = pd.concat(self.points, ignore_index=True)
        return studies.sheet(points, pd.DataFrame(self.frames), pd.DataFrame(self.titles), colour)


def _thinned(pictures: Sequence[EmbeddingPicture], quota: int) -> list[EmbeddingPicture]:
    """At most ``quota`` of them, successes first, evenly over their order by outcome and relation."""
    ordered = sorted(pictures, key=lambda p: (not p.succeeded, p.relation or "", p.seed))
    picked = np.unique(np.linspace(0, len(ordered) - 1, min(quota, len(ordered))).round().astype(int))
    return [ordered[i] for i in picked]


def _points(picture: EmbeddingPicture, of_base: bool = False) -> pd.DataFrame:
    x = np.round(picture.base if of_base else picture.transfer, 3)
    here = np.isfinite(x).all(1)
    return pd.DataFrame({"x": x[here, 0], "y": x[here, 1], "group": picture.groups.astype(str)[here]})


def _arrows(picture: EmbeddingPicture) -> pd.DataFrame:
    assert picture.arrows is not None
    start = np.broadcast_to(picture.transfer[:, None], picture.arrows.shape).reshape(-1, 2)
    end = picture.arrows.reshape(-1, 2)
    table = np.round(np.concatenate([start, end], 1), 3)
    table = table[np.isfinite(table).all(1) & (table[:, :2] != table[:, 2:]).any(1)]
    return pd.DataFrame(np.unique(table, axis=0), columns=["x", "y", "x2", "y2"])
