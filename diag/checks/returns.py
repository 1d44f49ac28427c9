"""The returns check: is the transfer as good as its reference, to within a margin?"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from diag.checks.judging import Found, absent, shown
from diag.checks.settings import ReturnsCheck
from diag.subject import Subject, SubjectError, require
from probes import Measure

LEVEL, POWER = 0.95, 0.8
"""Of the two-sided interval, and with which so many more episodes would decide."""

MOST_EPISODES = 10**6
"""More than this nobody runs."""


def returns_of(subject: Subject, episodes: int, seed: int) -> NDArray[np.float64] | None:
    """(episodes,) returns on its own task: those that the source holds, or of episodes run now; else None."""
    if subject.returns is not None:
        found = subject.returns
    elif subject.actor is not None and subject.task is not None:
        parameters = require(subject, "parameters", subject.parameters)
        found = subject.actor.returns(parameters, subject.task, episodes, seed)
    else:
        return None
    if len(found) < 2 or not np.isfinite(found).all():
        bad = int((~np.isfinite(found)).sum())
        words = f"{bad} of {len(found)} returns that are not finite" if bad else f"{len(found)} returns"
        raise SubjectError(subject.path, words, "at least 2 finite returns")
    return np.asarray(found, np.float64)


def of_returns(
    transfer: Subject, own: NDArray[np.float64] | None, limits: ReturnsCheck, seed: int
) -> Iterator[Found]:
    """Whether the transfer's mean return is worse than the reference by less than the margin.

    ``own`` are the base's returns, which the settings' ``reference`` replaces. Three outcomes from the 95%
    interval of the difference (Welch): it lies above −margin (non-inferior), below it (inferior), or across.
    """
    found = returns_of(transfer, limits.episodes, seed)
    if found is None or (own is None and limits.reference is None):
        who = "the transfer" if found is None else "the base"
        yield absent("returns", f"{who} has no returns, and no environment to run episodes in")
        return
    reference = None if limits.reference is not None else own
    mean = float(reference.mean()) if reference is not None else float(limits.reference or 0.0)
    margin = limits.margin * (abs(mean) if limits.relative else 1.0)
    if margin == 0:
        expected = "a margin that is not relative: check.returns.relative = false"
        raise SubjectError(transfer.path, "a reference of mean return 0", expected)
    worse = difference(found, reference, mean)
    assert worse.low is not None
    assert worse.high is not None
    what = (
        f"the mean return is {found.mean():.4g}, the reference's {mean:.4g}: a difference of {shown(worse)}"
    )
    if worse.low >= -margin:
        yield Found("returns", "good", f"{what}, worse by less than {margin:.3g}", "", worse, "margin")
    elif worse.high < -margin:
        yield Found("returns", "bad", f"{what}, worse by more than {margin:.3g}", "", worse, "margin")
    else:
        more = more_episodes(found, reference, margin)
        words = (
            f"needs about {more} more episodes{'' if reference is None else ' of each'} to tell two equals"
            if more is not None
            else "no number of episodes that anybody runs would tell"
        )
        yield Found(
            "returns", "unsure", f"{what}, across the margin of {margin:.3g}: {words}", "", worse, "margin"
        )


def difference(found: NDArray[np.float64], reference: NDArray[np.float64] | None, mean: float) -> Measure:
    """Mean of ``found`` minus that of ``reference``, or minus the number ``mean``, with Welch's interval."""
    from scipy import stats

    value = float(found.mean()) - mean
    parts = [(float(r.var(ddof=1)) / len(r), len(r)) for r in (found, reference) if r is not None]
    error = sum(part for part, _ in parts)
    if error == 0:  # every episode went alike
        return Measure(value, value, value)
    freedom = error**2 / sum(part**2 / (n - 1) for part, n in parts)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error**0.5
    return Measure(value, value - half, value + half)


def more_episodes(
    found: NDArray[np.float64], reference: NDArray[np.float64] | None, margin: float
) -> int | None:
    """Episodes that are missing, of each, for two equals to pass in 80% of cases; None beyond a million.

    n = (z₀.₉₇₅ + z₀.₈)²·(s₁² + s₂²)/margin², the sample size of a non-inferiority test of two means.
    """
    from scipy import stats

    z = float(stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER))
    spread = float(found.var(ddof=1)) + (0.0 if reference is None else float(reference.var(ddof=1)))
    needed = z**2 * spread / margin**2
    if not isfinite(needed) or needed > MOST_EPISODES:
        return None
    have = min(len(r) for r in (found, reference) if r is not None)
    # Enough for two equals, and still across: they are no equals, or had bad luck; as many again tell.
    return max(ceil(needed) - have, have)
