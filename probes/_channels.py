"""The ladder of maps between channels that are the same at every place, under each symmetry of the grid.

Of y (n, H, W, C) at place p, a map of channels makes y[p] ≈ x[g(p)]·A + b: one A (C, C) for all places, and
g one of the symmetries of the rectangle (four) or the square (eight). The rungs are those of
:mod:`probes._alignment`, with the places of a state in one half of the states, so that R² is held out by
state. It has the total that the flat ladder has, the variation of each number about its own mean, so that
what stands still at a place, such as a wall, does not count, and the two ladders can be set side by side.

A map of channels is a special case of the flat map of its family: it has C² numbers where that has (HWC)²,
and C signs where that has HWC. Both are scored on states that they were not fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probes._alignment import Ladder, climb
from probes._maps import RUNGS
from probes._measure import ArrayLike, Floats, Labels, Measure, ProbeError, as_pair
from probes._resampling import interval, labels
from probes._spatial import GRIDS, UNTURNED, Layout, as_grid, channels, grids_of, is_spatial, layout_of
from probes._states import SAME

MARGIN = 0.05
"""δ: a smaller map is as good as the best one when its R² is within this, and a grid as it is as good as the
best of its mirror images. Three times the largest gap between identity and best map (0.015) among the maze's
transfers with all 31 states in place (benchmarks/margins.py, docs/results.md);
:func:`probes.equivalence_margin` takes it from others."""

MOST_CLIMBED = 2**22
"""Numbers in an embedding up to which every symmetry has its whole ladder; of larger ones only the grid as it
is and the one that looks best, which take a few seconds."""


@dataclass(frozen=True)
class ChannelLadders:
    """Maps of channels from x to y under each symmetry of the grid, and the symmetry that fits best."""

    layout: Layout
    height: int
    width: int
    channels: tuple[int, int]
    """Channels of the embedding that is mapped, and of the one that it is mapped to."""
    ladders: Mapping[str, Ladder]
    """{grid: ladder from x under that grid to y}."""
    grid: str
    """The symmetry of x's grid under which maps of channels explain most of y; as it is, if that does as
    well to within the margin."""
    chosen: NDArray[np.bool_]
    """(resamples,) whether a resample chooses the same symmetry."""

    @property
    def agreement(self) -> float:
        """Share of resamples that choose the same symmetry."""
        return float(self.chosen.mean())

    @property
    def ladder(self) -> Ladder:
        """The ladder under the symmetry that fits best."""
        return self.ladders[self.grid]

    def best(self, grid: str) -> Measure:
        """R² of the best map of channels under a symmetry, with its interval."""
        ladder = self.ladders[grid]
        known = [s.r2 for s in ladder.steps if s.r2.value is not None]
        if not known:
            return ladder.steps[0].r2
        value = max(r2.value for r2 in known if r2.value is not None)
        return interval(value, _best(ladder.draws), ladder.groups, high=1.0)


def channel_ladders(
    x: ArrayLike,
    y: ArrayLike,
    *,
    layout: Layout | None = None,
    groups: Labels | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> ChannelLadders:
    """Fit and score maps of channels under each symmetry, from x to y over one grid of the same places.

    Both are (n, H, W, C) or, with ``layout="channels first"``, (n, C, H, W); without a layout a grid is taken
    to be square (:func:`layout_of`). ``groups`` (n,) names the state or episode of each row. Raises
    ProbeError.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(60, 3, 4, 4))
    >>> found = channel_ladders(-y[:, [1, 0, 2], :, ::-1], y)
    >>> found.layout, found.grid, found.ladder["permutation"].map.order
    ('channels first', 'mirrored left to right', (1, 0, 2))
    """
    if not 0 <= margin <= 1:
        raise ProbeError(f"margin is {margin}, expected 0 to 1")
    if not is_spatial(x, y, layout):
        shapes = f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}"
        raise ProbeError(f"{shapes}, expected four axes and one grid of the same places")
    transfer, base = as_pair(x, y)
    order = layout or layout_of(tuple(y.shape))
    a, b = (as_grid(v.reshape(tuple(w.shape)), order) for v, w in ((transfer, x), (base, y)))
    return climb_grids(a, b, order, labels(groups, transfer, base), margin, seed)


def climb_grids(
    x: Floats, y: Floats, layout: Layout, state: NDArray[np.int64], margin: float, seed: int
) -> ChannelLadders:
    """The ladders of x and y, (n, H, W, C) each, of states (n,)."""
    _, height, width, count = y.shape
    names = grids_of(height, width)
    if max(x.size, y.size) > MOST_CLIMBED:
        names = _likeliest(x, y, names)
    ladders = {name: climb_channels(GRIDS[name](x), y, state, seed) for name in names}
    points = {name: _best(_point(ladder)) for name, ladder in ladders.items()}
    draws = {name: _best(ladder.draws) for name, ladder in ladders.items()}
    grid = names[int(_choice(np.stack([*points.values()]), names.index(UNTURNED), margin)[0])]
    votes = _choice(np.stack([*draws.values()]), names.index(UNTURNED), margin)
    return ChannelLadders(
        layout, height, width, (x.shape[-1], count), ladders, grid, votes == names.index(grid)
    )


def climb_channels(x: Floats, y: Floats, state: NDArray[np.int64], seed: int) -> Ladder:
    """The ladder of maps of channels from x to y, (n, H, W, C) each."""
    spread = channels(np.square(y - y.mean(0))).sum(1)
    places = np.repeat(state, y.shape[1] * y.shape[2])
    return climb(channels(x), channels(y), places, spread, None, seed)


def _point(ladder: Ladder) -> Floats:
    """(1, rungs) R² on all states, NaN where a rung is undefined."""
    return np.array([[np.nan if s.r2.value is None else s.r2.value for s in ladder.steps]])


def _best(r2: Floats) -> Floats:
    """(m,) the largest R² of the rungs without a shift, (m, rungs), −∞ where all are undefined."""
    plain = r2[:, : len(RUNGS)]
    return np.asarray(np.where(np.isnan(plain), -np.inf, plain).max(1))


def _choice(best: Floats, unturned: int, margin: float) -> NDArray[np.int64]:
    """(m,) number of the grid with the largest R² (grids, m); unturned where that is within the margin.

    Among grids that explain equally much within rounding, as where nothing moves along one side, the first.
    """
    top = best.max(0)
    chosen = (best >= top - SAME).argmax(0)
    return np.where(best[unturned] >= top - margin, unturned, chosen)


def _likeliest(x: Floats, y: Floats, names: tuple[str, ...]) -> tuple[str, ...]:
    """The grid as it is, and the one under which a linear map of channels, fitted to all, explains most."""
    moving = channels(y - y.mean(0))
    still = x - x.mean(0)
    explained = {}
    for name in names:
        a = channels(GRIDS[name](still))
        overlap = np.linalg.lstsq(a.T @ a, a.T @ moving, rcond=None)[0]
        explained[name] = float((overlap * (a.T @ moving)).sum())
    best = max(explained, key=lambda name: explained[name])
    return tuple(dict.fromkeys((UNTURNED, best)))
