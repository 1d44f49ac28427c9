"""Numbers, intervals and names in words, as texts and pages write them; nothing here breaks lines."""

from __future__ import annotations

import math
from importlib import metadata
from typing import Protocol

from diag.comparisons.result import Comparison
from diag.result import Columns, FileRef, Grouping, Verdict
from diag.sources.safe.names import listed
from diag.wording import plural
from probes import Measure

ZERO = 1e-12
"""Size of numbers that are put down to rounding and shown as zero."""

MEASURES = {
    "l2": "L2 distance per state",
    "l2_relative": "  relative to the base's spread",
    "nearest_own": "nearest base state is its own",
    "flip": "flip metric (R² signs − identity)",
    "cka": "CKA, blind to flips",
    "cka_debiased": "  without its bias",
    "cca": "CCA, blind to flips",
    "procrustes": "Procrustes, blind to flips",
    "knn_overlap": "neighbours in common",
    "effective_rank_base": "effective rank, base",
    "effective_rank_transfer": "effective rank, transfer",
    "variance_ratio": "variance, transfer / base",
    "dead_base": "units never above 0, base",
    "dead_transfer": "units never above 0, transfer",
    "living_ratio": "living units, transfer / base",
}
"""The measures of a comparison in the order they are shown, with their names in words."""

ALONE = {"l2_relative": "L2 relative to the base's spread", "cka_debiased": "CKA without its bias"}
"""Full names of the measures whose names in :data:`MEASURES` continue the line above them."""


def measure_name(name: str) -> str:
    """Name of a measure in words, understandable without the line above it."""
    return ALONE.get(name, MEASURES[name].strip())


def number(value: float | None, digits: int = 2) -> str:
    """A number to ``digits`` decimals where they say enough, else three significant digits; a dash for none.

    >>> number(0.5), number(0.00012), number(-1234567.0), number(None), number(-1e-16)
    ('0.50', '0.00012', '-1.23e+06', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) < ZERO:
        return f"{0.0:.{digits}f}"
    readable = 10.0**-digits <= abs(value) < 1e5
    return f"{value:.{digits}f}" if readable else f"{value:.3g}"


def three(value: float) -> str:
    """A number to three digits: losses of several sizes stand below each other.

    >>> three(0.15), three(0.127), three(137.0), three(12345.6)
    ('0.150', '0.127', '137', '12,346')
    """
    return f"{value:#.3g}".removesuffix(".") if abs(value) < 999.5 else f"{value:,.0f}"


def hundredths(value: float | None) -> str:
    """A number to two decimals however small it is, for tables of R²; a dash for none.

    >>> hundredths(-0.00284), hundredths(0.967), hundredths(None)
    ('0.00', '0.97', '–')
    """
    return number(None if value is None else round(value, 2))


def to_hundredths(r2: Measure) -> Measure:
    """An R² to two decimals: how far below 0.01 it is says nothing."""
    value, low, high = (None if end is None else round(end, 2) for end in (r2.value, r2.low, r2.high))
    return Measure(value, low, high, r2.reason)


def span(measure: Measure, digits: int = 2) -> str:
    """The interval of a measure as ``[low, high]``; empty where it has none."""
    if measure.low is None or measure.high is None:
        return ""
    return f"[{number(measure.low, digits)}, {number(measure.high, digits)}]"


def span_or_reason(measure: Measure, digits: int = 2) -> str:
    """The interval of a measure as ``[low, high]``, or the reason why it has none."""
    return span(measure, digits) or measure.reason or ""


def difference(measure: Measure, digits: int = 3, more: str = "higher", less: str = "lower") -> str:
    """A difference without its sign: the word says which way it goes, and the interval goes with it.

    >>> difference(Measure(-0.045, -0.06, -0.03)), difference(Measure(0.045))
    ('0.045 [0.030, 0.060] lower', '0.045 higher')
    """
    if measure.value is None:
        return "–"
    sign = -1.0 if measure.value < 0 else 1.0
    words = number(sign * measure.value, digits)
    if measure.low is not None and measure.high is not None:
        low, high = sorted((sign * measure.low, sign * measure.high))
        words += f" [{number(low, digits)}, {number(high, digits)}]"
    return f"{words} {less if sign < 0 else more}"


_GROUPS = {"states": "state", "episodes": "episode", "blocks of a rollout": "rollout block"}


def counted(result: Comparison) -> str:
    """Name of the units that the bootstrap resampled: ``states``, ``episodes``, ``rollout blocks``."""
    return f"{_GROUPS[result.grouping]}s"


def grouped(count: int, grouping: Grouping) -> str:
    """A number of states, episodes or blocks with its noun: ``31 states``, ``1 episode``."""
    return plural(count, _GROUPS[grouping])


def below(gap: float) -> str:
    """Comparison of the identity's R² with the best map's in words, from the gap between them."""
    if gap == 0:
        return "as high as the best map's"
    return f"{number(abs(gap), 3)} {'lower' if gap > 0 else 'higher'} than the best map's"


def column_words(columns: Columns) -> str:
    """The compared columns, those left out, and the key of the rows: ``columns z0, z1; left out step``."""
    words = f"{'column' if len(columns.taken) == 1 else 'columns'} {listed(columns.taken)}"
    if columns.left_out:
        words += f"; left out {listed(columns.left_out)}"
    return words + (f"; rows by {columns.key}" if columns.key else "")


def named(ref: FileRef) -> str:
    """A file's path, with what it is where its source says."""
    return f"{ref.path} ({ref.label})" if ref.label else ref.path


class Judged(Protocol):
    """A result with a verdict."""

    @property
    def verdict(self) -> Verdict: ...


def verdict_of(result: Judged) -> str:
    """Status and summary of a result's verdict in one line, for ``--quiet``."""
    return f"{result.verdict.status}  {result.verdict.summary}"


def version() -> str | None:
    """Version of this package; None where it was not installed."""
    try:
        return metadata.version("transfer-diag")
    except metadata.PackageNotFoundError:
        return None
