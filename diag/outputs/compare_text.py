"""A comparison for a terminal: one sentence first, then the evidence, as wide as the terminal."""

from __future__ import annotations

from diag.comparisons.conclusion import next_command
from diag.comparisons.result import Comparison
from diag.outputs.dreams_text import dream_lines
from diag.outputs.layout import width, wrapped
from diag.outputs.lines import (
    BAR,
    LABEL,
    WIDTH,
    bar_room,
    column_lines,
    headline,
    labelled,
    short,
    warning_lines,
)
from diag.outputs.words import MEASURES, below, grouped, number, span, to_hundredths
from diag.wording import p_value, plural
from probes import Measure, Step

RUNG, GRID = 11, 33
"""Cells for the name of a rung, and of a symmetry of the grid."""


def render(result: Comparison, verbose: bool = False) -> str:
    """The whole text of a comparison."""
    lines = [
        headline(result.verdict),
        *wrapped(result.conclusion, "  ", "  "),
        *_command_lines(result),
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
    lines += _margin(result)
    lines += column_lines(result.columns)
    lines += ["", f"  {'channels' if result.channels else 'transform':9}      R²     95% interval"]
    lines += [line for step in result.ladder for line in _rung(step)]
    lines += _grids(result)
    if verbose and result.flat is not None:
        lines += ["", "  number by number", *(line for step in result.flat for line in _rung(step))]
    if verbose:
        lines += ["", "  with an offset", *(line for step in result.shifted for line in _rung(step))]
        lines += ["", *wrapped("back, from base to transfer")]
        lines += [line for step in result.back for line in _rung(step)]
    lines += ["", *(line for name, m in result.measures.items() for line in _measure(MEASURES[name], m))]
    if result.dreams is not None:
        lines += ["", *dream_lines(result.dreams)]
    if result.success is not None:
        words = (
            f"{result.own_states} of {result.states}; "
            f"{'a success' if result.success else 'no success'} (from {result.success_states})"
        )
        lines += labelled("states in place", words)
    return "\n".join(lines)


def _command_lines(result: Comparison) -> list[str]:
    """The command that leads the transfer back, where its paths fit into lines."""
    command = next_command(result)
    lines = [] if command is None else wrapped(command, "  ", "      ", width() - 2)
    lines = [*(f"{line} \\" for line in lines[:-1]), *lines[-1:]]  # so that a shell takes it as it stands
    return lines if all(len(line) <= width() for line in lines) else []


def _margin(result: Comparison) -> list[str]:
    """The margin, where it is not the default one."""
    if result.margin_source.startswith("the default"):
        return []
    gap = "" if result.gap is None else f"; without any map, R² is {below(result.gap)}"
    return wrapped(f"margin {number(result.margin, 3)}, {result.margin_source}{gap}")


def _dimensions(d: tuple[int, int]) -> str:
    return plural(d[0], "dimension") if d[0] == d[1] else f"{d[0]} and {plural(d[1], 'dimension')}"


def _grids(result: Comparison) -> list[str]:
    """The best map of channels under each symmetry of the grid, and beside them the best of all numbers."""
    found = result.by_channel
    if found is None:
        return []
    size = f"{found.height} × {found.width}"
    title = f"best map of channels, by how the transfer's grid of {size} is taken"
    lines = ["", *wrapped(f"{title} ({found.layout}):", "  ", "  ")]
    lines += [line for grid in found.ladders for line in _row(grid, to_hundredths(found.best(grid)), GRID)]
    known = [s.r2 for s in result.flat or result.ladder if s.r2.value is not None]
    if result.flat is None:
        words = "The relation is named by maps of all numbers: none of channels alone does as well."
        return [*lines, *wrapped(words, "  ", "  ")]
    if known:
        best = max(known, key=lambda r2: r2.value or 0.0)
        lines += _row("number by number, as it is", to_hundredths(best), GRID)
    return lines


def _rung(step: Step) -> list[str]:
    return _row(step.transform, step.r2, RUNG)


def _row(name: str, r2: Measure, room: int) -> list[str]:
    """A name with R², its interval and for rungs a bar, or with the reason why there is none."""
    if r2.value is None:
        return wrapped(r2.reason or "", f"  {name:{room}} {'–':>6}   ", " " * (room + 12))
    bar = "█" * round(min(1.0, max(0.0, r2.value)) * bar_room(WIDTH - BAR)) if room == RUNG else ""
    return [f"  {name:{room}} {number(r2.value):>6}   {span(r2):18} {bar}".rstrip()]


def _measure(label: str, measure: Measure) -> list[str]:
    if measure.value is None:
        return wrapped(f"– {measure.reason or ''}", f"  {label:{LABEL}} ", " " * (LABEL + 5))
    words = f"{number(measure.value)} {span(measure)}".rstrip()
    if measure.p is None:
        return labelled(label, words)
    return labelled(label, words, f"p {p_value(measure.p, measure.p_floor)}")
