"""A calibration of the gate for a terminal: how often each check alarms on pairs known to be equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.lines import short
from diag.wording import percent_interval, plural

if TYPE_CHECKING:
    from diag.checks.result import Calibration, Rate
    from probes import Measure

HEADER = ("check", "alarms", "95% interval", "unsure", "limit", "95% pass")


def brief(result: Calibration) -> str:
    """The rate of false alarms in one sentence."""
    pairs = plural(result.pairs, "pair")
    are = "is" if result.pairs == 1 else "are"
    alarms = percent_interval(result.alarms.value, result.alarms.low, result.alarms.high, digits=1)
    return f"False alarms: {alarms} of {pairs} that {are} known to be equal."


def render(result: Calibration, verbose: bool = False) -> str:
    """The rates of each check as a table, and what they rest on."""
    rows = [row(rate) for rate in result.rates]
    widths = [max(len(cells[i]) for cells in [HEADER, *rows]) for i in range(len(HEADER))]
    columns = [
        Column(title, room if place == 0 else room + 2, "<" if place == 0 else ">")
        for place, (title, room) in enumerate(zip(HEADER, widths, strict=True))
    ]
    lines = [
        *wrapped(brief(result), "", "  "),
        *(line for w in words(result) for line in wrapped(w, "  ", "  ")),
    ]
    lines += ["", *table(columns, rows)]
    failed = [one for one in result.checked if one.outcome == "fail"]
    if failed:
        shown = failed if verbose else failed[:5]
        lines += ["", "  failed:"]
        lines += [line for one in shown for line in wrapped([short(one.base), short(one.transfer)], "    ")]
        lines += [f"    and {len(failed) - len(shown)} more (--verbose)"] if len(shown) < len(failed) else []
    return "\n".join(lines)


def words(result: Calibration) -> Sequence[str]:
    """Sentences that say which pairs the rates rest on, and what to do with them."""
    of = plural(len(result.files), "file")
    rest = plural(result.independent, "pair")
    if result.base is not None:
        how = f"{of} were each checked against {short(result.base)}. The intervals rest on {rest}."
    else:
        drawn = (
            ""
            if result.pairs == result.possible
            else f" ({result.pairs} of {result.possible} pairs, drawn at random)"
        )
        how = (
            f"{of} were checked against each other{drawn}. Since a file stands in several pairs, the "
            f"intervals rest on the {rest} that share no file."
        )
    return (
        how,
        "An alarm is a check that was sure of a fault although there is none. The last column is the limit "
        "that 95% of these pairs would pass outright; with a stricter one the check can often not be sure.",
    )


def row(rate: Rate) -> tuple[str, ...]:
    """The cells of a check's row under :data:`HEADER`."""
    return (
        rate.name,
        _share(rate.alarms.value),
        _interval(rate.alarms),
        _share(rate.undecided),
        "" if rate.limit is None else f"{rate.limit:.3g}",
        "" if rate.clears is None else f"{rate.clears:.3g}",
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(measure: Measure) -> str:
    return "" if measure.low is None or measure.high is None else f"[{measure.low:.1%}, {measure.high:.1%}]"
