"""A study's episodes and planes as rows of small pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diag.outputs.words import number
from diag.studies.result import StudyReport
from diag.studies.scored import Planes, Strip
from probes import Floats
from reports import Drawing, Section
from reports.pixels import Row, drawing

SMALL = 66
"""Width of a picture of planes, in CSS pixels."""


def episodes_sections(report: StudyReport) -> list[Section]:
    """The same episode, played by a base and by transfers of it; nothing where none can be drawn."""
    episodes = report.episodes
    if episodes is None:
        return []
    rows = [Row(_who(s), list(s.film.frames), s.film.captions) for s in episodes.strips]
    words = [
        f"All of them play the same episode, number {episodes.number} of {episodes.of}: the one in which all "
        "earn most nearly what they earn on average. Dots show the way since the picture before. Transfers "
        "see the other task, whose colours are the opposite ones.",
    ]
    description = " ".join(f"{_who(s)}: {', '.join(s.film.captions)}." for s in episodes.strips)
    return [
        Section("An episode, played by each", words, Drawing(drawing(rows), description), short="An episode")
    ]


def _who(strip: Strip) -> str:
    if strip.outcome == "base":
        who = f"Base {strip.base_seed}"
    else:
        ends = "succeeds" if strip.outcome == "success" else "fails"
        who = f"Transfer {strip.seed} of base {strip.base_seed} {ends}, {strip.relation}"
    return f"{who} (mean {number(strip.score)}): {strip.film.summary}"


def planes_sections(report: StudyReport) -> list[Section]:
    """The embedding of one state by each base and by two of its transfers, as colours; a row a kind."""
    planes = report.planes
    if not planes:
        return []
    bases = list(dict.fromkeys(p.base_seed for p in planes))
    lines: list[tuple[str, list[Planes]]] = [
        ("The bases", []),
        ("Their best transfers", []),
        ("Their worst", []),
    ]
    for base in bases:
        own = [p for p in planes if p.base_seed == base]
        for place, one in enumerate(own):
            lines[place][1].append(one)
    ends = {base: _ends([p for p in planes if p.base_seed == base and p.seed is None]) for base in bases}
    rows = []
    for title, some in lines:
        if some:
            pictures = [_grey(some[0].shown), *(_colours(p.planes, *ends[p.base_seed]) for p in some)]
            rows.append(Row(title, pictures, ["what it sees", *(_caption(p) for p in some)]))
    words = [
        "Each picture is the embedding of one state, the same for all: its planes are red, green and blue. "
        "The transfers of a base are drawn on the base's own scale, so that where a transfer landed "
        "its picture is its base's, like in the paper's figure 9. ✓ marks a transfer that "
        "succeeds, ✗ one that fails."
    ]
    description = (
        "Embeddings of one state as small colour pictures: each base, its best and its worst transfer."
    )
    return [
        Section(
            "One state, as bases and transfers embed it",
            words,
            Drawing(drawing(rows, SMALL), description),
            short="One state",
        )
    ]


def _caption(planes: Planes) -> str:
    if planes.seed is None:
        return f"base {planes.base_seed}"
    return f"{'✓' if planes.outcome == 'success' else '✗'} {planes.seed} {planes.relation}"


def _ends(own: list[Planes]) -> tuple[Floats, Floats]:
    """The least and the largest value of each plane of a base."""
    flat = own[0].planes.reshape(len(own[0].planes), -1)
    return flat.min(1), flat.max(1)


def _colours(planes: Floats, low: Floats, high: Floats) -> NDArray[np.uint8]:
    """Planes (c, h, w), c at most 3, as colours (h, w, 3) between the ends; beyond them they are cut."""
    span = np.maximum(high - low, np.finfo(float).tiny)
    share = np.clip((planes - low[:, None, None]) / span[:, None, None], 0, 1)
    share = np.nan_to_num(share)
    full = np.zeros((3, *planes.shape[1:]))
    full[: len(share)] = share
    if len(share) == 1:
        full[:] = share
    return np.round(255 * full).astype(np.uint8).transpose(1, 2, 0)


def _grey(shown: Floats) -> NDArray[np.uint8]:
    low, high = float(shown.min()), float(shown.max())
    share = (shown - low) / max(high - low, np.finfo(float).tiny)
    return np.round(255 * share).astype(np.uint8)[..., None].repeat(3, -1)
