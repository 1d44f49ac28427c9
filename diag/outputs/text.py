"""A result for a terminal: one sentence first, then the evidence, as wide as the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diag.outputs.layout import USUAL, ending, filled, width, wrapped
from diag.result import Columns, Comparison, Grouping, Verdict
from diag.sources.safe.bounds import listed
from diag.wording import plural
from probes import Measure, Step
from trainers.safe_text import plain as plain

if TYPE_CHECKING:
    from diag.checks.result import Calibration, Gate
    from diag.forecasts.forecast import Forecast
    from diag.forecasts.report import ForecastReport
    from diag.landscapes.result import Landscape
    from diag.probing.result import Probed
    from diag.repairs.result import Repair
    from diag.sources.description import Description, FileDescription
    from diag.studies.reported import StudyReport
    from diag.subject import Subject

WIDTH = USUAL
"""Columns that layouts are made for; what a wider terminal adds goes to names and bars."""

BAR = 24
ZERO = 1e-12
"""What rounding leaves of zero is shown as zero."""
_SPARKS = "▁▂▃▄▅▆▇█"

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
}
"""The measures of a comparison in the order they are shown, with their names in words."""


def headline(verdict: Verdict) -> str:
    """``FAIL  Flipped: …``, wrapped."""
    tag = f"{verdict.status.upper()}  "
    return filled(verdict.summary, tag, " " * len(tag))


def comparison(result: Comparison, verbose: bool = False) -> str:
    """The whole text of a comparison."""
    lines = [
        headline(result.verdict),
        *wrapped(result.conclusion, "  ", "  "),
        *warning_lines(result.warnings),
        "",
    ]
    lines += [f"  base      {short(result.base.path)}", f"  transfer  {short(result.transfer.path)}"]
    if verbose and result.transfer.label:
        lines += wrapped(result.base.label, " " * 12, " " * 12)
        lines += wrapped(result.transfer.label, " " * 12, " " * 12)
    lines += wrapped(
        f"{grouped(result.states, result.grouping)}, {_dimensions(result.dimensions)}; "
        f"the relation holds in {result.agreement:.0%} of the resamples"
    )
    lines += margin_lines(result)
    lines += column_lines(result.columns)
    lines += ["", f"  {'channels' if result.channels else 'transform':9}      R²     95% interval"]
    lines += [line for step in result.ladder for line in _rung(step)]
    if verbose:
        lines += ["", "  with an offset", *(line for step in result.shifted for line in _rung(step))]
        lines += ["", *wrapped("back, from base to transfer")]
        lines += [line for step in result.back for line in _rung(step)]
    lines += ["", *(line for name, m in result.measures.items() for line in _measure(MEASURES[name], m))]
    if result.success is not None:
        words = (
            f"{result.own_states} of {result.states}; "
            f"{'a success' if result.success else 'no success'} (from {result.success_states})"
        )
        lines += labelled("states in place", words)
    return "\n".join(lines)


_GROUPS = {"states": "state", "episodes": "episode", "blocks of a rollout": "rollout block"}


def counted(result: Comparison) -> str:
    """What the bootstrap resampled, which :attr:`Comparison.states` counts."""
    return f"{_GROUPS[result.grouping]}s"


def grouped(count: int, grouping: Grouping) -> str:
    """How many states, episodes or blocks: ``31 states``, ``1 episode``."""
    return plural(count, _GROUPS[grouping])


def margin_lines(result: Comparison) -> list[str]:
    """The margin, where it is not the default one."""
    if result.margin_source.startswith("the default"):
        return []
    gap = "" if result.gap is None else f"; without any map, R² is {below(result.gap)}"
    return wrapped(f"margin {number(result.margin, 3)}, {result.margin_source}{gap}")


def below(gap: float) -> str:
    """How far the R² of no map stands behind that of the best map, in words."""
    if gap == 0:
        return "as high as the best map's"
    return f"{number(abs(gap), 3)} {'lower' if gap > 0 else 'higher'} than the best map's"


def column_lines(columns: Columns | None) -> list[str]:
    """Which columns were compared, and what rows were told apart by; nothing where the files name none."""
    if columns is None:
        return []
    return wrapped(column_words(columns))


def column_words(columns: Columns) -> str:
    """``columns z0, z1; step left out; rows by step``."""
    words = f"{'column' if len(columns.taken) == 1 else 'columns'} {listed(columns.taken)}"
    if columns.left_out:
        words += f"; left out {listed(columns.left_out)}"
    return words + (f"; rows by {columns.key}" if columns.key else "")


def brief(verdict: Verdict) -> str:
    """One line, for ``--quiet``."""
    return f"{verdict.status}  {verdict.summary}"


def short(path: str, room: int | None = None) -> str:
    """A path's end, for a line that begins with what the file is."""
    return ending(path, width() - 12 if room is None else room)


def _dimensions(d: tuple[int, int]) -> str:
    return plural(d[0], "dimension") if d[0] == d[1] else f"{d[0]} and {plural(d[1], 'dimension')}"


def bar_room(beside: int) -> int:
    """Characters for a bar of 0 to 1 beside so many others: 24 where there are 80."""
    return max(0, width() - beside)


def _rung(step: Step) -> list[str]:
    r2 = step.r2
    if r2.value is None:
        return wrapped(r2.reason or "", f"  {step.transform:11} {'–':>6}   ", " " * 23)
    bar = "█" * round(min(1.0, max(0.0, r2.value)) * bar_room(WIDTH - BAR))
    return [f"  {step.transform:11} {number(r2.value):>6}   {span(r2):18} {bar}".rstrip()]


def span(measure: Measure, digits: int = 2) -> str:
    """``[low, high]``, or nothing."""
    if measure.low is None or measure.high is None:
        return ""
    return f"[{number(measure.low, digits)}, {number(measure.high, digits)}]"


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


def number(value: float | None, digits: int = 2) -> str:
    """``digits`` decimals where they say enough, else three significant digits; a dash for no number.

    >>> number(0.5), number(0.00012), number(-1234567.0), number(None)
    ('0.50', '0.00012', '-1.23e+06', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    readable = value == 0 or 10.0**-digits <= abs(value) < 1e5
    return f"{value:.{digits}f}" if readable or abs(value) < ZERO else f"{value:.3g}"


LABEL = 34
"""Cells for a measure's name."""


def _measure(label: str, measure: Measure) -> list[str]:
    if measure.value is None:
        return wrapped(f"– {measure.reason or ''}", f"  {label:{LABEL}} ", " " * (LABEL + 5))
    words = f"{number(measure.value)} {span(measure)}".rstrip()
    if measure.p is None:
        return labelled(label, words)
    return labelled(label, words, f"p {p_value(measure.p, measure.p_floor)}")


def labelled(label: str, words: str, end: str = "", room: int = LABEL) -> list[str]:
    """A label and its words side by side, or below each other where there is no room."""
    line = f"  {label:{room}} {words}"
    line = f"{line:60} {end}" if end else line
    if len(line) <= width():
        return [line]
    inner = " " * (len(label) - len(label.lstrip()) + 4)
    return [*wrapped(label.strip(), inner[2:]), *wrapped([*words.split(), *([end] if end else [])], inner)]


def p_value(p: float | None, floor: float | None = None) -> str:
    """A p-value to three decimals; a dash for none.

    ``floor`` is the least that its permutations could give: there, the p-value is that or any less.

    >>> p_value(0.0431), p_value(1e-9), p_value(None), p_value(0.01, floor=0.01)
    ('0.043', '< 0.001', '–', '≤ 0.010')
    """
    if p is None:
        return "–"
    if p < 0.0005:
        return "< 0.001"
    # What equals the floor but for rounding is at it.
    return f"≤ {p:.3f}" if floor is not None and p <= floor * (1 + 1e-9) else f"{p:.3f}"


def warning_lines(warnings: Iterable[str]) -> list[str]:
    """Warnings, wrapped, after an empty line."""
    told = [filled(f"warning: {w}", "  ", "    ") for w in warnings]
    return ["", *told] if told else []


def landscape(result: Landscape, verbose: bool = False) -> str:
    """The whole text of a landscape."""
    from diag.outputs.landscape_text import render

    return render(result, verbose)


def study(result: StudyReport, verbose: bool = False) -> str:
    """The whole text of a study's report."""
    from diag.outputs.study_text import study as render

    return render(result, verbose)


def forecast(result: Forecast, verbose: bool = False) -> str:
    """The whole text of a forecast."""
    from diag.outputs.forecast_text import forecast as render

    return render(result, verbose)


def study_forecast(result: ForecastReport, verbose: bool = False) -> str:
    """The whole text of a forecast that was fitted to studies."""
    from diag.outputs.forecast_text import report

    return report(result, verbose)


def sparkline(values: Sequence[float] | NDArray[np.float64], width: int = 40) -> str:
    """``width`` characters of bars from the least to the greatest; a gap where a value is not finite.

    >>> sparkline([0, 1, 2, 3], width=4)
    '▁▃▆█'
    """
    known = np.asarray(values, dtype=float)
    picked = known[np.round(np.linspace(0, len(known) - 1, width)).astype(int)]
    finite = picked[np.isfinite(picked)]
    if not len(finite):
        return " " * width
    low, span = finite.min(), finite.max() - finite.min()
    top = len(_SPARKS) - 1
    return "".join(
        " " if not np.isfinite(v) else _SPARKS[0 if span <= 0 else round(float((v - low) / span) * top)]
        for v in picked
    )


def probe(result: Probed, verbose: bool = False) -> str:
    """The whole text of a probe."""
    from diag.outputs.probe_text import render

    return render(result, verbose)


def repair(result: Repair, verbose: bool = False) -> str:
    """The whole text of a repair."""
    from diag.outputs.repair_text import render

    return render(result, verbose)


def check(result: Gate, verbose: bool = False) -> str:
    """The whole text of a gate."""
    from diag.outputs.check_text import render

    return render(result, verbose)


def calibration(result: Calibration, verbose: bool = False) -> str:
    """The whole text of a gate's calibration."""
    from diag.outputs.calibration import text

    return text(result, verbose)


def subject(result: Subject, verbose: bool = False) -> str:
    """What a subject is, and what can be asked of it."""
    from diag.outputs.subject_text import render

    return render(result)


def description(found: Description, verbose: bool = False) -> str:
    """The whole text of ``diag show``."""
    from diag.outputs.show_text import render

    return render(found, verbose)


def file_description(found: FileDescription, verbose: bool = False) -> str:
    """What a file that is no checkpoint of diag train is read as."""
    from diag.outputs.file_text import render

    return render(found, verbose)


def title(found: Description | FileDescription) -> str:
    """What ``diag show`` found, in one line."""
    from diag.outputs import file_text, show_text

    return show_text.title(found) if found.kind == "description" else file_text.title(found)  # type: ignore[arg-type]


def version() -> str | None:
    """That of this package; None where it was not installed."""
    try:
        return metadata.version("transfer-diag")
    except metadata.PackageNotFoundError:
        return None
