"""The relation of one embedding to another: one word, from the ladder, with how sure it is.

Similarity scores answer "how much alike"; this answers "alike up to what". The lowest rung of the
ladder that does about as well as the best one names the relation, and the bootstrap says how often the
same name would have come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probes._alignment import CONSTANT_BASE, RUNGS, Ladder, Rung, Step, ladder
from probes._collapse import effective_rank
from probes._measure import ArrayLike, Floats, Measure, ProbeError, as_pair, is_constant
from probes._resampling import Labels

Relation = Literal[
    "matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated"
]

MARGIN = 0.05
"""δ: a smaller map is as good as the best one when its R² is within this. Three times the largest gap
between identity and best map (0.015) among the maze's transfers with all 31 states in place
(benchmarks/margins.py, docs/results.md)."""

REMAINDER = 0.5
"""…or, for any map but the identity, when the best one leaves more than 1/(1 + this) = two thirds of what
it leaves unexplained. Frozen models bend a mirrored embedding, and larger maps pick up some of the bend; a
true rotation or shear leaves far less than two thirds."""

FLOOR = 0.3
"""R² below which no rung explains the transfer: `unrelated`."""

AGREEMENT = 0.9
"""Share of resamples that must choose the same relation; below it the answer is that there is none."""

SIGN_STABILITY = 0.95
"""Share of resamples in which an axis must keep its sign to count as negated."""

RANK_LOST = 2 / 3
"""Effective rank, as a share of the base's, below which an embedding has collapsed…"""

RECOVERED = 0.9
"""…unless some map recovers this much of the base (R²) all the same: what was lost then hardly counted."""

VARIANCE_LOST = 1e-2
"""Total variance, as a share of the base's, below which an embedding that no map explains has collapsed;
one that a map does explain is `rescaled`."""

_NAME: dict[tuple[Rung, bool], Relation] = {
    ("identity", False): "matched",
    ("identity", True): "affine",
    ("signs", False): "flipped",
    ("signs", True): "flipped",
    ("permutation", False): "permuted",
    ("permutation", True): "permuted",
    ("orthogonal", False): "rotated",
    ("similarity", False): "rescaled",
    ("affine", False): "affine",
}
"""Rung and whether it is shifted, from the smallest map to the largest -> relation."""


@dataclass(frozen=True)
class RelationResult:
    """What :func:`relation` found, and what it rests on."""

    relation: Relation | None
    """None where the evidence does not decide; ``reason`` then says why."""
    axes: tuple[int, ...]
    """Negated dimensions, zero-based; for ``permuted``, of the base's."""
    shifted: bool
    """Whether the map that names the relation has an offset besides."""
    rung: Step | None
    """The rung that names the relation."""
    agreement: float
    """Share of resamples that choose the same relation."""
    mismatch: float
    """Share of resamples that choose another relation than ``matched``."""
    flip: Measure
    """The flip metric: R² of the best signs minus R² of the identity."""
    effective_rank: tuple[float, float]
    """Of the base's embedding and of the transfer's."""
    variance_ratio: float
    """Total variance of the transfer's embedding over the base's."""
    ladder: Ladder
    reason: str | None = None


def relation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Labels | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> RelationResult:
    """How the transfer's embedding x lies to the base's y, paired rows (n, d) or (n, ...).

    ``groups`` (n,) names the state or episode of each row. ``margin`` is δ, in R², from 0 to 1. Raises
    ProbeError.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(200, 3))
    >>> found = relation(y * [1, -1, 1] + 0.1 * rng.normal(size=y.shape), y)
    >>> found.relation, found.axes
    ('flipped', (1,))
    """
    if not 0 <= margin <= 1:
        raise ProbeError(f"margin is {margin}, expected 0 to 1")
    transfer, base = as_pair(x, y)
    rungs = ladder(transfer, base, groups=groups, seed=seed)
    ranks = (effective_rank(base), effective_rank(transfer))
    constant = is_constant(base)
    ratio = float("nan") if constant else float(transfer.var(0).sum() / base.var(0).sum())
    flip = rungs.difference("signs", "identity")
    steps = (*rungs.steps, *rungs.shifted)
    order = [_column(key) for key in _NAME]
    values = np.array([[np.nan if s.r2.value is None else s.r2.value for s in steps]])
    names = [*_NAME.values(), "collapsed", "unrelated", None]

    def answer(
        name: Relation | None,
        agreement: float,
        step: Step | None = None,
        shifted: bool = False,
        axes: tuple[int, ...] = (),
        reason: str | None = None,
    ) -> RelationResult:
        return RelationResult(
            name, axes, shifted, step, agreement, mismatch, flip, ranks, ratio, rungs, reason
        )

    mismatch = 0.0
    if constant:
        return answer(None, 0.0, reason=CONSTANT_BASE)
    flat = ranks[1] < RANK_LOST * ranks[0]
    faint = ratio < VARIANCE_LOST
    complete = rungs["affine"].r2.value is not None
    chosen = int(_choose(values[:, order], margin, flat, faint, complete)[0])
    resampled = _choose(rungs.draws[:, order], margin, flat, faint, complete)
    name = names[chosen]
    agreement = float(np.mean([names[c] == name for c in resampled]))
    mismatch = float(np.mean(resampled != 0))
    if name is None:
        missing = next(s.r2.reason for s in rungs.steps if s.r2.value is None)
        return answer(None, agreement, reason=f"no rung that could be fitted explains it, and {missing}")
    step: Step | None = None
    shifted, axes = False, tuple[int, ...]()
    if chosen < len(_NAME):
        (_, shifted), step = list(_NAME)[chosen], steps[order[chosen]]
    if name in ("flipped", "permuted") and step is not None and step.map is not None:
        stability = rungs.shifted_sign_stability if shifted else rungs.sign_stability
        negated = [j for j, sign in enumerate(step.map.signs or ()) if sign < 0]
        steady = name == "permuted" or len(stability) == 0
        axes = tuple(j for j in negated if steady or stability[j] >= SIGN_STABILITY)
        if name == "flipped" and not axes:
            return answer(None, agreement, reason="no axis keeps its sign in 95% of the resamples")
    if agreement < AGREEMENT:
        others = [str(n or "no relation") for n in map(names.__getitem__, resampled) if n != name]
        rival = max(set(others), key=others.count)
        reason = f"'{name}' in {agreement:.0%} of the resamples, '{rival}' in most others"
        return answer(None, agreement, step, shifted, axes, reason)
    return answer(name, agreement, step, shifted, axes)


def _column(key: tuple[Rung, bool]) -> int:
    rung, shifted = key
    return RUNGS.index(rung) + (len(RUNGS) if shifted else 0)


def _choose(r2: Floats, margin: float, flat: bool, faint: bool, complete: bool) -> NDArray[np.int64]:
    """For rows of R² (m, candidates), smallest map first: the candidate, or those after the last one:
    collapsed, unrelated, none. ``flat`` and ``faint`` say that rank or variance is lost, ``complete``
    that the largest map could be fitted."""
    known = np.where(np.isnan(r2), -np.inf, r2)
    best = known.max(1, keepdims=True)
    slack = np.repeat(np.maximum(margin, REMAINDER * (1 - best)), known.shape[1], axis=1)
    slack[:, 0] = margin
    lowest = (known >= best - slack).argmax(1)
    collapsed = (best[:, 0] < RECOVERED) if flat else (best[:, 0] < FLOOR) & faint
    nothing = known.shape[1] + (1 if complete else 2)
    chosen: NDArray[np.int64] = np.where(
        collapsed, known.shape[1], np.where(best[:, 0] >= FLOOR, lowest, nothing)
    ).astype(np.int64)
    return chosen
