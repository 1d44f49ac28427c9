"""The change of a loss by training on from a checkpoint, from a walk that the optimiser really took.

One update cannot be extrapolated: in the noise ball of a training at rest the mean update points down and
pays off for a few updates only. So the walk is long, and both of its ends are averages over windows.

Each continuation is compared with itself: L(late) − L(early), then the mean over continuations. In a
training at rest both windows of a continuation are alike, whatever the curvature, and the difference is 0 on
average. The loss at the *mean over all continuations* would fall even then. They share the checkpoint, one
draw of the noise; the early mean still holds what the late one has forgotten of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diag.landscapes.point import SharpnessError
from diag.result import measure_tree
from probes import Floats, Measure

if TYPE_CHECKING:
    from torch import Tensor

    from diag.landscapes.point import Loss

UPDATES = 1000
"""Number of updates for which a change is stated: long beside an optimiser's memory (10 to 1,000 updates),
short beside a training of tens of thousands."""

MIN_DRAWS = 4
"""Continuations below which a drift has no interval worth the name."""

LEVEL = 0.95
"""Confidence level of the intervals."""


@dataclass(frozen=True, eq=False)
class Walk:
    """Continuations of training from one checkpoint, each with batches of its own, averaged over two windows.

    The windows are to be equally long, or the averages differ by their noise alone.
    Raises SharpnessError for wrong shapes, fewer than MIN_DRAWS continuations and no updates.
    """

    early: Tensor
    """(m, P) mean position of each continuation over the first window."""
    late: Tensor
    """(m, P) mean position of each continuation over the last window."""
    updates: int
    """Updates from the middle of the first window to the middle of the last."""

    def __post_init__(self) -> None:
        early, late = tuple(self.early.shape), tuple(self.late.shape)
        if len(early) != 2 or early != late:
            raise SharpnessError(f"windows of shapes {early} and {late}, expected (m, P) twice")
        if len(self.early) < MIN_DRAWS:
            raise SharpnessError(f"{len(self.early)} continuations, expected at least {MIN_DRAWS}")
        if self.updates < 1:
            raise SharpnessError(f"a walk of {self.updates} updates, expected at least 1")


@dataclass(frozen=True)
class Drift:
    """The change of the loss by training on from a checkpoint."""

    share: Measure
    """‖E d‖² / E‖d‖², d = late − early, unbiased: the part of the movement that all continuations share; 0
    for noise."""
    change: Measure
    """E [L(late) − L(early)], extrapolated to UPDATES updates: a share of the scale, or in the loss's own
    units where that is 0. The luck of the checkpoint itself, one draw of the noise, is not in the interval;
    it is small where many parameters are slow, or the walk is long."""
    updates: int
    """Number of updates over which the change was measured."""
    draws: int
    """Number of continuations."""
    relative: bool
    """Whether the change is a share of the scale."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "share": measure_tree(self.share),
            "change": measure_tree(self.change),
            "per": UPDATES,
            "updates": self.updates,
            "draws": self.draws,
            "relative": self.relative,
        }


def drift(loss: Loss, early: Tensor, late: Tensor, updates: int, *, scale: float | None = None) -> Drift:
    """The change of ``loss`` by training on, from continuations averaged over two windows (m, P) each.

    ``updates`` lie between the windows; changes are shares of ``scale``, which is the mean |L(early)| unless
    given. What continuations share beside the checkpoint counts as signal.
    Raises SharpnessError as :class:`Walk` does.
    """
    import torch

    walk = Walk(early, late, updates)
    with torch.no_grad():
        before, after = (
            np.array([float(loss(x)) for x in window.detach()]) for window in (early, late.to(early))
        )
        d = (walk.late.to(early) - early).detach().double()
        inner = (d @ d.T).cpu().numpy()
    size = float(abs(before).mean()) if scale is None else scale
    relative = size > 0
    if not all(np.isfinite(a).all() for a in (before, after, inner)):
        missing = Measure.undefined("a continuation, or the loss along it, is not finite")
        return Drift(missing, missing, updates, len(d), relative)
    change = _mean((after - before) * (UPDATES / updates / (size if relative else 1.0)))
    return Drift(_share(inner), change, updates, len(d), relative)


def _share(inner: Floats) -> Measure:
    """‖E d‖² / E‖d‖² from the inner products (m, m) of the ways; pairs of different ones keep noise out."""
    m, sizes = len(inner), np.diag(inner)
    if not sizes.sum() > 0:
        return Measure.undefined("no continuation moves anything")
    across = inner - np.diag(sizes)
    whole = across.sum() / (m - 1) / sizes.sum()
    rest = sizes.sum() - sizes
    without = (across.sum() - 2 * across.sum(0)) / (m - 2) / np.where(rest > 0, rest, np.inf)
    error = math.sqrt(float(np.sum((without - without.mean()) ** 2)) * (m - 1) / m)  # the jackknife's
    return _around(float(whole), error, m)


def _mean(draws: Floats) -> Measure:
    return _around(float(draws.mean()), float(draws.std(ddof=1)) / math.sqrt(len(draws)), len(draws))


def _around(value: float, error: float, m: int) -> Measure:
    """A value with Student's t interval of m − 1 degrees of freedom."""
    from scipy.special import stdtrit

    half = float(stdtrit(m - 1, (1 + LEVEL) / 2)) * error
    return Measure(value, value - half, value + half)
