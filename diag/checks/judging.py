"""Hold a number with its interval against a limit: on its right side, on its wrong side, or across."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from probes import Measure

State: TypeAlias = Literal["good", "odd", "bad", "unsure", "absent", "idle"]
"""``odd`` is good but worth a word; ``absent`` is what this pair has no data for, ``idle`` what has no
meaning for it, however much data there were."""


EXACT = 1e-6
"""Difference from a limit, as a share of it or of 1, that is rounding: an encoder in single precision, on
another processor or with its units in another order, makes of a perfect 1 what is 1 to seven digits."""


@dataclass(frozen=True)
class Found:
    """The answer of a check, before its level and the baseline are applied."""

    check: str
    state: State
    message: str
    of: str = ""
    measure: Measure | None = None
    limit: str | None = None
    """The setting that decided, below the check's own: ``min``, ``terms.transition``."""
    better: Literal["higher", "lower"] = "higher"
    word: str = ""
    """The answer where it is no number: the relation."""
    instead: float | int | None = None
    """The world's own limit, which holds where the setting is unset."""


def judged(
    check: str,
    words: str,
    measure: Measure,
    limit: str,
    *,
    least: float | None = None,
    most: float | None = None,
    of: str = "",
) -> Found:
    """Whether a measure is at least, or at most, a limit: only where its whole interval is on one side.

    A measure without an interval is exact, and judged by its value; one that has a reason for having none is
    not judged. What misses a limit by rounding (:data:`EXACT`) meets it.
    """
    better: Literal["higher", "lower"] = "higher" if least is not None else "lower"
    if measure.value is None:
        return Found(check, "unsure", f"{words} is undefined: {measure.reason}", of, measure, limit, better)
    bound = least if least is not None else most
    assert bound is not None
    # A value that equals the limit but for rounding is judged, and shown, as the limit.
    read = replace(
        measure,
        value=_snapped(measure.value, bound),
        low=None if measure.low is None else _snapped(measure.low, bound),
        high=None if measure.high is None else _snapped(measure.high, bound),
    )
    assert read.value is not None
    low = read.value if read.low is None else read.low
    high = read.value if read.high is None else read.high
    if least is not None:
        state: State = "good" if low >= bound else "bad" if high < bound else "unsure"
        wanted = "at least"
    else:
        state = "good" if high <= bound else "bad" if low > bound else "unsure"
        wanted = "at most"
    if measure.reason is not None:
        state = "unsure"
    tail = ", and the data cannot tell" if state == "unsure" else ""
    tail += f" ({measure.reason})" if measure.reason is not None else ""
    # Enough digits that 0.7996 is not shown as the 0.8 that it fails to reach.
    number = shown(read, digits_beside(bound, (read.value, low, high)))
    return Found(
        check,
        state,
        f"{words} is {number}; wanted {wanted} {exactly(bound)}{tail}",
        of,
        measure,
        limit,
        better,
    )


def _snapped(value: float, bound: float) -> float:
    """The bound itself for a value that differs from it by rounding (:data:`EXACT`) alone."""
    return bound if abs(value - bound) <= EXACT * max(1.0, abs(bound)) else value


def absent(check: str, why: str) -> Found:
    """The answer of a check that this pair has no data for."""
    return Found(check, "absent", why)


def idle(check: str, why: str) -> Found:
    """The answer of a check that does not apply to such a pair, even where it is asked for."""
    return Found(check, "idle", why)


DIGITS, MOST_DIGITS = 3, 17
"""Significant digits of a number in a message, and those with which it is written exactly."""


def shown(measure: Measure, digits: int = DIGITS) -> str:
    """``0.59 [0.4, 0.73]``, three digits each; an estimate outside of its interval is said to be biased.

    >>> shown(Measure(0.774, 0.764, 0.77))
    '0.774, biased, and corrected for it [0.764, 0.77]'
    """
    if measure.value is None:
        return "undefined"
    if measure.low is None or measure.high is None:
        return f"{measure.value:.{digits}g}"
    interval = f"[{measure.low:.{digits}g}, {measure.high:.{digits}g}]"
    biased = "" if measure.low <= measure.value <= measure.high else ", biased, and corrected for it"
    return f"{measure.value:.{digits}g}{biased} {interval}"


def exactly(limit: float) -> str:
    """A limit in the fewest digits that still give exactly that number.

    >>> exactly(2.0), exactly(0.35), exactly(0.79999999)
    ('2', '0.35', '0.79999999')
    """
    short = f"{limit:g}"
    return short if float(short) == limit else repr(limit)


def digits_beside(limit: float, numbers: Iterable[float]) -> int:
    """The fewest digits, from three on, with which every number reads on the side of a limit that it is on.

    >>> digits_beside(0.8, [0.59]), digits_beside(0.8, [0.7996, 0.9])
    (3, 4)
    """
    known = list(numbers)
    sides = [(x > limit, x < limit) for x in known]
    for digits in range(DIGITS, MOST_DIGITS):
        read = [float(f"{x:.{digits}g}") for x in known]
        if [(x > limit, x < limit) for x in read] == sides:
            return digits
    return MOST_DIGITS
