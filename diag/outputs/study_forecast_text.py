"""A forecast fitted to studies, for a terminal: its accuracy, what stopping early saves, and bases alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diag.outputs.forecast_words import (
    ACCURACY_WORDS,
    NO_BASES,
    VIEWS,
    ahead_words,
    bases_words,
    done,
    fitted_words,
    share,
    slope,
    stopping_words,
)
from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.lines import headline, short
from diag.outputs.words import number
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.forecasts.result import BasesJudged, ForecastReport, Judged

ACCURACY = (
    Column("right", 15),
    Column("commoner", 10),
    Column("Brier", 14),
    Column("AUC", 6),
    Column("  slope", 0, "<"),
)


def render(result: ForecastReport, verbose: bool = False) -> str:
    """The whole text of a forecast that was fitted to studies."""
    known = dict(result.forecaster.fitted_to)
    lines = [headline(result.verdict), ""]
    lines += wrapped(f"outcome: {result.outcome}, as {known['ended_well']} ended; {fitted_words(known)}")
    for view, words in VIEWS.items():
        lines += ["", *_accuracy(result.at(view), words)]
    lines.append("")
    lines += [line for words in (ahead_words(result), *ACCURACY_WORDS) for line in wrapped(words)]
    if verbose:
        lines += ["", *_bins(result.at("embedding"))]
    lines += ["", *_stopping(result)]
    lines += ["", *_bases(result.bases, verbose)]
    return "\n".join(lines)


def _accuracy(judged: list[Judged], words: str) -> Iterator[str]:
    rows = [
        (
            done(j.share),
            share(j.right),
            f"{j.base_rate:.0%}",
            f"{number(j.brier.value, 3)} / {number(j.brier_base_rate, 3)}",
            number(j.auc.value),
            f"  {slope(j.slope)}",
        )
        for j in judged
    ]
    columns = (Column(words, 14, "<"), *ACCURACY)
    if sum(c.width for c in columns) > width() - 18:  # folded, the view's name is nobody's title
        yield f"  {words}"
    yield from table(columns, rows)


def _bins(judged: list[Judged]) -> Iterator[str]:
    yield from wrapped("forecasts from the embedding, and how many of them came true")
    for j in judged:
        cells = [f"{b.forecast:.0%}: {b.came_true} of {b.of}" for b in j.bins]
        ends = [f"{cell}," for cell in cells[:-1]] + cells[-1:]
        yield from wrapped(ends, f"  {done(j.share):9}", " " * 11)


def _stopping(result: ForecastReport) -> Iterator[str]:
    stopping, limits = result.stopping, result.forecaster.stop_below
    known = [f"{number(100 * p, 2)}% {done(at)}" for at, p in limits.items() if p > 0]
    rule = f"below {', '.join(known)}" if known else "never below any"
    yield from wrapped(f"stopping: the model's rule stops a transfer if its chance is {rule}")
    yield from wrapped(f"{share(stopping.saved)} of the updates", "  saved  ")
    yield from wrapped(
        f"{share(stopping.lost)} of the {stopping.successes} that ended {result.outcome}", "  lost   "
    )
    for words in stopping_words(stopping):
        yield from wrapped(words)


def _bases(bases: BasesJudged | None, verbose: bool) -> Iterator[str]:
    yield from wrapped("from a base alone: the share of its transfers that end well")
    if bases is None:
        yield from wrapped(NO_BASES)
        return
    yield from wrapped(bases_words(bases))
    if verbose:
        for name, p, rate in zip(bases.names, bases.forecast, bases.rate, strict=True):
            room = max(8, min(48, width() - 32))
            yield f"    {short(plain(name), room):{room}} forecast {p:4.0%}   was {rate:4.0%}"
