"""A result for a terminal: one sentence first, then the evidence, within 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diag.result import Columns, Comparison, Verdict
from diag.sources.bounds import listed
from probes import Measure, Step
from trainers.harmless import plain as plain

if TYPE_CHECKING:
    from diag._forecast import Forecast
    from diag._show import Description
    from diag.checks.result import Gate
    from diag.forecasts.report import ForecastReport
    from diag.landscapes.result import Landscape
    from diag.probed import Probed
    from diag.repairs.result import Repair
    from diag.studies.reported import StudyReport

WIDTH = 80
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
    tag = verdict.status.upper()
    return textwrap.fill(f"{tag}  {verdict.summary}", WIDTH, subsequent_indent=" " * (len(tag) + 2))


def comparison(result: Comparison, verbose: bool = False) -> str:
    """The whole text of a comparison."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    lines += [f"  base      {short(result.base.path)}", f"  transfer  {short(result.transfer.path)}"]
    if verbose and result.transfer.label:
        lines += [f"            {result.base.label}", f"            {result.transfer.label}"]
    lines += [
        f"  {result.states} {counted(result)}, {_dimensions(result.dimensions)}; "
        f"the relation holds in {result.agreement:.0%} of the resamples",
        *margin_lines(result),
        *column_lines(result.columns),
        "",
        f"  {'channels' if result.channels else 'transform':9}      R²     95% interval",
        *(_rung(step) for step in result.ladder),
    ]
    if verbose:
        lines += ["", "  with an offset", *(_rung(step) for step in result.shifted)]
        lines += ["", "  back, from base to transfer", *(_rung(step) for step in result.back)]
    lines += ["", *(_measure(MEASURES[name], m) for name, m in result.measures.items())]
    if result.success is not None:
        lines.append(
            f"  {'states in place':34} {result.own_states} of {result.states}; "
            f"{'a success' if result.success else 'no success'} (from {result.success_states})"
        )
    return "\n".join(lines)


def counted(result: Comparison) -> str:
    """What the bootstrap resampled, which :attr:`Comparison.states` counts."""
    return "rollout blocks" if result.grouping == "blocks of a rollout" else result.grouping


def margin_lines(result: Comparison) -> list[str]:
    """The margin, where it is not the default one."""
    if result.margin_source.startswith("the default"):
        return []
    gap = "" if result.gap is None else f"; the gap is {number(result.gap, 3)}"
    return [f"  margin {number(result.margin, 3)}, {result.margin_source}{gap}"]


def column_lines(columns: Columns | None) -> list[str]:
    """Which columns were compared, and what rows were told apart by; nothing where the files name none."""
    if columns is None:
        return []
    return textwrap.wrap(column_words(columns), WIDTH, initial_indent="  ", subsequent_indent="    ")


def column_words(columns: Columns) -> str:
    """``columns z0, z1; step left out; rows by step``."""
    words = f"{'column' if len(columns.taken) == 1 else 'columns'} {listed(columns.taken)}"
    if columns.left_out:
        words += f"; left out {listed(columns.left_out)}"
    return words + (f"; rows by {columns.key}" if columns.key else "")


def brief(verdict: Verdict) -> str:
    """One line, for ``--quiet``."""
    return f"{verdict.status}  {verdict.summary}"


def short(path: str, room: int = WIDTH - 12) -> str:
    """A path's end, for a line that begins with what the file is."""
    return path if len(path) <= room else "…" + path[-(room - 1) :]


def _dimensions(d: tuple[int, int]) -> str:
    return f"{d[0]} dimensions" if d[0] == d[1] else f"{d[0]} and {d[1]} dimensions"


def _rung(step: Step) -> str:
    r2 = step.r2
    if r2.value is None:
        return f"  {step.transform:11} {'–':>6}   {textwrap.shorten(r2.reason or '', 56)}"
    bar = "█" * round(min(1.0, max(0.0, r2.value)) * BAR)
    return f"  {step.transform:11} {number(r2.value):>6}   {span(r2):18} {bar}".rstrip()


def span(measure: Measure, digits: int = 2) -> str:
    """``[low, high]``, or nothing."""
    if measure.low is None or measure.high is None:
        return ""
    return f"[{number(measure.low, digits)}, {number(measure.high, digits)}]"


def number(value: float | None, digits: int = 2) -> str:
    """``digits`` decimals where they say enough, else three significant digits; a dash for no number.

    >>> number(0.5), number(0.00012), number(-1234567.0), number(None)
    ('0.50', '0.00012', '-1.23e+06', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    readable = value == 0 or 10.0**-digits <= abs(value) < 1e5
    return f"{value:.{digits}f}" if readable or abs(value) < ZERO else f"{value:.3g}"


def _measure(label: str, measure: Measure) -> str:
    if measure.value is None:
        return f"  {label:34} – {textwrap.shorten(measure.reason or '', 40)}"
    line = f"  {label:34} {number(measure.value)} {span(measure)}".rstrip()
    return line if measure.p is None else f"{line:60} p {p_value(measure.p)}"


def p_value(p: float | None) -> str:
    """A p-value to three decimals; a dash for none.

    >>> p_value(0.0431), p_value(1e-9), p_value(None)
    ('0.043', '< 0.001', '–')
    """
    return "–" if p is None else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def warning_lines(warnings: Iterable[str]) -> list[str]:
    """Warnings, wrapped, after an empty line."""
    return (
        [
            "",
            *(
                textwrap.fill(f"warning: {w}", WIDTH, initial_indent="  ", subsequent_indent="    ")
                for w in warnings
            ),
        ]
        if (warnings := list(warnings))
        else []
    )


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


def description(found: Description, verbose: bool = False) -> str:
    """The whole text of ``diag show``."""
    checkpoint, header = found.checkpoint, found.checkpoint.header
    settings = found.settings
    phase = settings["train" if header.plan is None else "transfer"]
    role = "base" if header.plan is None else f"transfer, plan {plain(header.plan['name'])}"
    lines = [
        f"{checkpoint.path}: {header.system} {role}",
        "",
        f"  world      {settings['world']}, {header.task} task (preset {plain(settings['preset'])})",
        f"  step       {header.step} of {phase['updates']} updates, {phase['algorithm']}, seed {header.seed}",
    ]
    if header.base is not None:
        lines.append(f"  parent     {short(plain(header.base['path']))}")
        lines.append(f"             sha256 {header.base['sha256'][:16]}…")
    lines.append(f"  sha256     {checkpoint.sha256[:16]}…   tensors {checkpoint.identity[:16]}…")
    losses = header.metrics.get("losses", {})
    last = {t: v[-1] for t, v in losses.items() if v and v[-1] is not None}
    if last:
        words = ", ".join(f"{plain(t)} {v:.4f}" for t, v in last.items())
        lines.append(textwrap.fill(f"  losses     {words}", WIDTH, subsequent_indent=" " * 13))
    if isinstance(mended := header.metrics.get("repair"), dict):
        how = mended.get("map") or "a search without pairs"
        words = f"by {how} and {mended.get('updates')} updates"
        lines.append(f"  mended     {plain(words)}")
    lines += ["", "  component     parameters  widths"]
    for part in found.components:
        state = "" if part.trained else "  frozen"
        lines.append(f"  {part.name:12} {part.parameters:11,}  {part.shape}{state}")
    if verbose:
        lines += ["", *(plain(f"  {k}: {v}") for k, v in header.environment.items())]
        lines += ["", *(plain(f"  {name} = {value}") for name, value in _flat(settings))]
    return "\n".join(lines)


def version() -> str | None:
    """That of this package; None where it was not installed."""
    try:
        return metadata.version("transfer-diag")
    except metadata.PackageNotFoundError:
        return None


def _flat(tree: object, prefix: str = "") -> list[tuple[str, object]]:
    if not isinstance(tree, dict):
        return [(prefix, tree)]
    return [
        item
        for key, value in tree.items()
        for item in _flat(value, f"{prefix}.{key}" if prefix else str(key))
    ]
