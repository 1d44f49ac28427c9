"""A forecast fitted to studies, for a terminal: its accuracy, what stopping early saves, and bases alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diag.outputs import study_forecast_words as words
from diag.outputs.forecast_words import fitted_words
from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.lines import headline, short
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
    known = fitted_words(dict(result.forecaster.fitted_to))
    lines = [headline(result.verdict), ""]
    lines += wrapped(f"outcome: {words.outcome_words(result)}; fitted to {known}")
    for view, name in words.VIEWS.items():
        lines += ["", *_accuracy(result.at(view), name)]
    lines.append("")
    lines += [line for said in (words.ahead_words(result), *words.ACCURACY_WORDS) for line in wrapped(said)]
    if verbose:
        lines += ["", *_bins(result.at("embedding"))]
    lines += ["", *_stopping(result)]
    lines += ["", *_bases(result.bases, verbose)]
    return "\n".join(lines)


def _accuracy(judged: list[Judged], view: str) -> Iterator[str]:
    rows = [
        (a.done, a.right, a.commoner_end, f"{a.brier} / {a.brier_of_mean}", a.auc, f"  {a.slope}")
        for a in map(words.Accuracy.of, judged)
    ]
    columns = (Column(view, 14, "<"), *ACCURACY)
    if sum(c.width for c in columns) > width() - 18:  # folded, the view's name is nobody's title
        yield f"  {view}"
    yield from table(columns, rows)


def _bins(judged: list[Judged]) -> Iterator[str]:
    yield from wrapped("forecasts from the embedding, and how many of them came true")
    for j in judged:
        cells = [words.came_true(b) for b in j.bins]
        ends = [f"{cell}," for cell in cells[:-1]] + cells[-1:]
        yield from wrapped(ends, f"  {words.done(j.share):9}", " " * 11)


def _stopping(result: ForecastReport) -> Iterator[str]:
    yield from wrapped(f"stopping: {words.rule_words(result)}")
    yield from wrapped(f"{words.share(result.stopping.saved)} of the updates", "  saved  ")
    yield from wrapped(f"{words.share(result.stopping.lost)} of the {words.successes(result)}", "  lost   ")
    yield from wrapped(words.stopping_words(result))


def _bases(bases: BasesJudged | None, verbose: bool) -> Iterator[str]:
    yield from wrapped("from a base alone: the share of its transfers that end well")
    if bases is None:
        yield from wrapped(words.NO_BASES)
        return
    yield from wrapped(words.bases_words(bases))
    if verbose:
        for name, p, rate in words.each_base(bases):
            room = max(8, min(48, width() - 32))
            yield f"    {short(plain(name), room):{room}} forecast {p:4.0%}   was {rate:4.0%}"
