"""Small pictures in rows, as an inline SVG drawing that needs neither scripts nor images.

Areas of one colour are one path each, so that a picture of 36 × 36 pixels takes about a kilobyte.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE, GAP, HEAD, FOOT = 96, 8, 22, 18
"""Width of a picture and the gap beside it; heights of a row's title and of a caption, all in CSS pixels."""

LETTER = 7.0
"""Most that a letter of a title takes on average: titles and captions may reach beyond the pictures."""

Pixels = NDArray[np.uint8]
"""(h, w, 3) red, green and blue."""


@dataclass(frozen=True)
class Row:
    """Pictures side by side, with a title above them and a few words under each."""

    title: str
    pictures: Sequence[Pixels]
    captions: Sequence[str]


def drawing(rows: Sequence[Row], side: int = SIDE) -> str:
    """The rows below each other, as the text of one ``<svg>``; pictures are ``side`` pixels wide.

    >>> drawing([Row("one", [np.zeros((2, 2, 3), np.uint8)], ["black"])]).count("<path")
    1
    """
    parts, top, right = [], 0.0, 0.0
    for row in rows:
        parts.append(_text(row.title, 0, top + 13, 12, bold=True))
        right = max(right, LETTER * len(row.title))
        top += HEAD if row.title else 0
        tallest = 0.0
        for place, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
            left, scale = place * (side + GAP), side / picture.shape[1]
            parts.append(
                f'<g transform="translate({left} {top:g}) scale({scale:g})" shape-rendering="crispEdges">'
                f"{_areas(picture)}</g>"
            )
            edge = f'width="{side}" height="{scale * picture.shape[0]:g}" fill="none" stroke="#88888888"'
            parts.append(f'<rect x="{left}" y="{top:g}" {edge}/>')
            height = scale * picture.shape[0]
            parts.append(_text(caption, left, top + height + 13, 11))
            tallest, right = max(tallest, height), max(right, left + side + 1, left + LETTER * len(caption))
        top += tallest + FOOT + GAP
    width, height = round(right), round(top)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def _text(words: str, x: float, y: float, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    told = html.escape(words)
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{weight} fill="currentColor">{told}</text>'


def _areas(picture: Pixels) -> str:
    """The picture as a path a colour: the commonest colour is one rectangle below the others."""
    height, width, _ = picture.shape
    codes = (picture.astype(np.int64) * (65536, 256, 1)).sum(-1)
    colours, counts = np.unique(codes, return_counts=True)
    ground, *others = (int(c) for c in colours[np.argsort(-counts, kind="stable")])
    parts = [f'<path fill="#{ground:06x}" d="M0 0h{width}v{height}H0z"/>']
    for colour in others:
        shapes = "".join(f"M{x} {y}h{w}v{h}h-{w}z" for x, y, w, h in _rectangles(codes == colour))
        parts.append(f'<path fill="#{colour:06x}" d="{shapes}"/>')
    return "".join(parts)


def _rectangles(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Rectangles (x, y, width, height) that cover a mask: runs of a row, joined with equal runs above."""
    done: list[tuple[int, int, int, int]] = []
    opened: dict[tuple[int, int], int] = {}
    for y in range(len(mask) + 1):
        row = mask[y] if y < len(mask) else np.zeros(mask.shape[1], np.bool_)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        runs = {(int(a), int(b)) for a, b in edges.reshape(-1, 2)}
        for run in [run for run in opened if run not in runs]:
            start = opened.pop(run)
            done.append((run[0], start, run[1] - run[0], y - start))
        for run in sorted(runs):
            opened.setdefault(run, y)
    return done
