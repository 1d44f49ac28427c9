"""The returns check: is the transfer as good as its reference, to within a margin?"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, isfinite
from typing import Annotated, ClassVar

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field

from diag.checks.judging import Found, State, absent, shown
from diag.checks.kind import Check, Positive
from diag.checks.pair import Pair
from diag.repeatable import HeldActor
from diag.subject import SeededEpisodes, Subject, SubjectError, require
from probes import Measure, share

LEVEL, POWER = 0.95, 0.8
"""Confidence level of the two-sided interval, and power at which further episodes are counted."""

ROUNDING = 1e-9
"""Difference of two returns, as a share of the largest, that is rounding."""

MOST_EPISODES = 10**6
"""Most further episodes that a message asks for: nobody runs more."""


class ReturnsCheck(Check):
    """Non-inferiority of the returns: worse by less than the margin, with an interval."""

    name: ClassVar[str] = "returns"
    asks: ClassVar[str] = (
        "is the mean return worse than the base's, or a `reference`, by more than the margin?"
    )
    limited_by: ClassVar[tuple[str, ...]] = ("margin",)
    default: ClassVar[str] = "10%"

    margin: Positive = Field(0.1, description="Fall of the mean return that is still as good")
    relative: bool = Field(
        True,
        validate_default=True,
        description="Whether the margin is a share of the reference's mean return",
    )
    reference: float | None = Field(
        None, description="A mean return to hold the transfer against (unset: the base's on its own task)"
    )
    episodes: Annotated[int, Field(ge=2, le=10**6)] = Field(
        100, description="Episodes to run, where the source can run them"
    )

    @pydantic.field_validator("relative")
    @classmethod
    def _a_share(cls, relative: bool, info: pydantic.ValidationInfo) -> bool:
        if relative and info.data.get("margin", 0.0) >= 1:
            raise ValueError(f"false for a margin of {info.data['margin']:g}, which as a share is no limit")
        return relative

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        needed = not is_base or self.reference is None
        return needed and subject.actor is None and subject.returns is None

    def measured(self, pair: Pair) -> Iterator[Found]:
        """Hold the difference of the mean returns against the margin."""
        own, base = None, pair.base.subject
        if self.reference is None:
            own = pair.base.once(self.name, lambda: returns_of(base, self.episodes, pair.seed))
        yield from of_returns(pair.transfer, own, self, pair.seed, paired(base, pair.transfer))


def paired(base: Subject, transfer: Subject) -> bool:
    """Whether episode i of a seed is the same for both, because both say that they play the same ones.

    Returns that a source holds ready are of episodes that nobody knows, and are not.
    """
    return (of_base := _episodes(base)) is not None and of_base == _episodes(transfer)


def _episodes(subject: Subject) -> str | None:
    """The episodes that a subject plays, in words; None where they are not known."""
    if subject.returns is not None or not isinstance(subject.actor, SeededEpisodes):
        return None
    return subject.actor.episodes_played()


def returns_of(subject: Subject, episodes: int, seed: int) -> NDArray[np.float64] | None:
    """(episodes,) returns on its own task: those that the source holds, or of episodes run now; else None."""
    if subject.returns is not None:
        returns = subject.returns
    elif subject.actor is not None and subject.task is not None:
        parameters = require(subject, "parameters", subject.parameters)
        returns = HeldActor(subject.actor).returns(parameters, subject.task, episodes, seed)
    else:
        return None
    if len(returns) < 2 or not np.isfinite(returns).all():
        bad = int((~np.isfinite(returns)).sum())
        words = f"{bad} of {len(returns)} returns that are not finite" if bad else f"{len(returns)} returns"
        raise SubjectError(subject.path, words, "at least 2 finite returns")
    return np.asarray(returns, np.float64)


def of_returns(
    transfer: Subject,
    own: NDArray[np.float64] | None,
    limits: ReturnsCheck,
    seed: int,
    in_pairs: bool = False,
) -> Iterator[Found]:
    """Judge whether the transfer's mean return is worse than the reference's by less than the margin.

    ``own`` are the base's returns, which the settings' ``reference`` replaces; ``in_pairs`` says that the
    transfer's are of the same episodes. Three outcomes from the 95% interval of the difference: it lies above
    −margin (non-inferior), below it (inferior), or across.
    """
    returns = returns_of(transfer, limits.episodes, seed)
    if returns is None or (own is None and limits.reference is None):
        who = "the transfer" if returns is None else "the base"
        yield absent("returns", f"{who} has no returns, and no environment to run episodes in")
        return
    reference = None if limits.reference is not None else own
    mean = float(reference.mean()) if reference is not None else float(limits.reference or 0.0)
    margin = limits.margin * (abs(mean) if limits.relative else 1.0)
    # A margin that is a share of an estimated, negative mean adds to the reference's own uncertainty.
    weight = 1.0 + limits.margin if limits.relative and mean < 0 else 1.0
    in_pairs = in_pairs and reference is not None and len(reference) == len(returns)
    worse = difference(returns, reference, mean, weight, in_pairs)
    of_mean = f" ({100 * limits.margin:.3g}% of the reference's mean)" if limits.relative else ""
    state, words = _beside(worse, margin, f"the margin of {margin:.3g}{of_mean}")
    if not words:
        more = more_episodes(returns, reference, margin, weight, in_pairs)
        words = f"across the margin of {margin:.3g}{of_mean}: {_needed(more, reference is not None)}"
    means = f"the mean return is {returns.mean():.4g}, the reference's {mean:.4g}"
    how = ", episode by episode" if in_pairs else ""
    message = f"{means}: a difference of {shown(worse)}{how}, {words}"
    yield Found("returns", state, message, "", worse, "margin")


def _beside(worse: Measure, margin: float, allowed: str) -> tuple[State, str]:
    """Judge the interval of a difference beside 0 and −margin, with words; none where it is across both."""
    assert worse.low is not None
    assert worse.high is not None
    if worse.low > 0:
        return "good", "better"
    if margin == 0:
        return "unsure", "a reference of 0 has no share to be worse by: set check.returns.relative = false"
    if worse.low >= -margin:
        return "good", f"not worse by more than {allowed}"
    if worse.high < -margin:
        return "bad", f"worse by more than {allowed}"
    if worse.high < 0:
        return "unsure", f"worse, but the data cannot tell whether by more than {allowed}"
    return "unsure", ""


def _needed(more: int | None, both: bool) -> str:
    """Words on how many more episodes would tell; ``both`` where the reference needs them too."""
    if more is None:
        return "no number of episodes that anybody runs would tell"
    of = " of each" if both else ""
    return f"needs about {more} more episode{'' if more == 1 else 's'}{of} to tell, if they are as good"


def difference(
    returns: NDArray[np.float64],
    reference: NDArray[np.float64] | None,
    mean: float,
    weight: float = 1.0,
    in_pairs: bool = False,
) -> Measure:
    """Mean of ``returns`` minus that of ``reference``, or minus the number ``mean``, with its 95% interval.

    The interval is Welch's; ``in_pairs``, where row i of both is the same episode, it is Student's of the
    differences. For returns that take two values, such as success and failure, it is Newcombe's (1998, method
    10, and its form for pairs): Welch's has no width where all succeed, and passes one of three agents that
    are worse by the margin. ``weight`` is a factor on the reference's error.
    """
    from scipy import stats

    value = float(returns.mean()) - mean
    if (two := _two_values(returns, reference)) is not None:
        down, up = _reach(returns, *two)
        down_before, up_before = (0.0, 0.0) if reference is None else _reach(reference, *two)
        phi = _correlation(returns, reference, two) if in_pairs and reference is not None else 0.0
        low = value - _joined(down, weight * up_before, phi)
        return Measure(value, low, value + _joined(up, weight * down_before, phi))
    if in_pairs and reference is not None:
        apart = returns - weight * reference
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(apart) - 1)) * float(
            apart.std(ddof=1) / len(apart) ** 0.5
        )
        return Measure(value, value - half, value + half)
    parts = [float(returns.var(ddof=1)) / len(returns)]
    if reference is not None:
        parts.append(weight**2 * float(reference.var(ddof=1)) / len(reference))
    error = sum(parts)
    if error == 0:  # nothing but zeros
        return Measure(value, value, value)
    sizes = [len(r) for r in (returns, reference) if r is not None]
    freedom = error**2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error**0.5
    return Measure(value, value - half, value + half)


def more_episodes(
    returns: NDArray[np.float64],
    reference: NDArray[np.float64] | None,
    margin: float,
    weight: float = 1.0,
    in_pairs: bool = False,
) -> int | None:
    """Further episodes each side needs for two equals to pass in 80% of cases; None beyond a million.

    n = (z₀.₉₇₅ + z₀.₈)²·(s₁² + s₂²)/margin², the sample size of a non-inferiority test of two means; in
    pairs, the variance is that of the differences.
    """
    from scipy import stats

    z = float(stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER))
    spread = _variance(returns, reference)
    if reference is not None:
        spread += weight**2 * _variance(reference, returns)
        if in_pairs:
            two = _two_values(returns, reference)
            spread = (
                float((returns - weight * reference).var(ddof=1))
                if two is None
                else spread * (1 - _correlation(returns, reference, two))
            )
    needed = z**2 * spread / margin**2
    if not isfinite(needed) or needed > MOST_EPISODES:
        return None
    have = min(len(r) for r in (returns, reference) if r is not None)
    # There are enough for two equals, and still the interval is across: they are not equal, or it was bad
    # luck. Ask for as many again.
    missing = ceil(needed) - have
    return missing if missing > 0 else have


def _joined(one: float, other: float, phi: float) -> float:
    """Length of two errors that are correlated by φ: √(a² − 2·φ·a·b + b²)."""
    return float(max(one**2 - 2 * phi * one * other + other**2, 0.0) ** 0.5)


def _correlation(
    returns: NDArray[np.float64], reference: NDArray[np.float64], two: tuple[float, float]
) -> float:
    """φ of paired returns that take two values, corrected for continuity as Newcombe has it; 0 if all agree.

    With a, b, c and d the pairs of high and high, high and low, low and high, low and low: the numerator
    a·d − b·c is lowered by n/2, to 0 at least, where it is positive.
    """
    middle = sum(two) / 2
    x, y = returns > middle, reference > middle
    a, b, c, d = (int((p & q).sum()) for p in (x, ~x) for q in (y, ~y))
    edges = float((a + b) * (c + d) * (a + c) * (b + d))
    if not edges:
        return 0.0
    cross = float(a * d - b * c)
    return (max(cross - len(x) / 2, 0.0) if cross > 0 else cross) / float(edges**0.5)


def _two_values(*returns: NDArray[np.float64] | None) -> tuple[float, float] | None:
    """The two values that all returns take, within rounding; None where they take more.

    Where all are one value, the other is 0: nothing shows what another ending would be worth.
    """
    values = np.unique(np.concatenate([r for r in returns if r is not None]))
    # Sums of rewards that were added up in another order are the same return.
    values = values[np.diff(values, prepend=-np.inf) > ROUNDING * np.abs(values).max()]
    if len(values) == 1 and values[0] != 0:
        values = np.unique([0.0, values[0]])
    return (float(values[0]), float(values[1])) if len(values) == 2 else None


def _reach(returns: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Distances from the mean to the ends of Wilson's interval, for returns that are ``low`` or ``high``."""
    rate = share(float((returns > (low + high) / 2).mean()), len(returns))
    assert rate.value is not None
    assert rate.low is not None
    assert rate.high is not None
    return (high - low) * (rate.value - rate.low), (high - low) * (rate.high - rate.value)


def _variance(returns: NDArray[np.float64], other: NDArray[np.float64] | None) -> float:
    """Variance of a return; a smoothed binomial, which is never 0, where returns take two values.

    The rate is that of both sides, with one more return of each value.
    """
    two = _two_values(returns, other)
    if two is None:
        return float(returns.var(ddof=1))
    both = np.concatenate([r for r in (returns, other) if r is not None])
    rate = (float((both > sum(two) / 2).sum()) + 1) / (len(both) + 2)
    return (two[1] - two[0]) ** 2 * rate * (1 - rate)
