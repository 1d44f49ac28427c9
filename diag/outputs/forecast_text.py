"""Forecasts for a terminal: one checkpoint's, and how good a forecast is that was fitted to studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.text import difference, headline, number, plain, short, span, warning_lines
from diag.wording import noun, plural

if TYPE_CHECKING:
    from diag.forecasts.result import BasesJudged, Forecast, ForecastReport, Judged, Stopping
    from diag.result import FileRef
    from probes import Measure

BESIDE = 40
"""Characters that stand beside a scale from 0 to 1, which takes the rest of the line."""

LEAST_SCALE = 10
"""Characters below which a scale shows nothing."""

VIEWS = {"embedding": "the embedding", "losses": "losses alone"}
"""What a forecast looks at, in words."""


def forecast(result: Forecast, verbose: bool = False) -> str:
    """The whole text of a forecast."""
    p = result.probability
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    files: list[tuple[str, FileRef | None]] = [("base", result.base), ("transfer", result.checkpoint)]
    for name, ref in files if result.base is not None else [("base", result.checkpoint)]:
        assert ref is not None
        lines.append(f"  {name:9} {short(ref.path)}")
        lines += wrapped(ref.label, " " * 12, " " * 12) if verbose and ref.label else []
    room = max(LEAST_SCALE, width() - BESIDE)
    lines += [
        "",
        f"  {'':17} 0{'':{room - 2}}1",
        f"  {what_words(result):17} {_scale(p.low, p.value, p.high, room)}",
    ]
    lines.append(f"  {'all that it knows':17} {_scale(result.common, result.common, result.common, room)}")
    return "\n".join([*lines, "", *wrapped(model_words(result))])


def what_words(result: Forecast) -> str:
    """What the probability is of."""
    return f"chance of {result.outcome}" if result.base is not None else f"share {result.outcome}"


def model_words(result: Forecast) -> str:
    """What the model was fitted to, and which of its parts answered."""
    words = f"The model was fitted to {fitted_words(result.fitted_to)}"
    if result.model_share is not None:
        words += f"; the answer is that for {result.model_share:.0%} of the updates"
    if result.stop is not None:
        from diag.forecasts.model import limit_words

        words += f"; {limit_words(result.stop_below)}"
    return f"{words}."


def fitted_words(known: dict[str, Any]) -> str:
    """How many transfers of how many bases, of which studies, worlds and algorithms."""
    studies = plain(", ".join(map(str, known.get("studies", []))))
    kinds = plain("; ".join(map(str, known.get("kinds", []))))
    transfers, bases = (known.get(name) for name in ("transfers", "bases"))
    words = f"{_many(transfers, 'transfer')} of {_many(bases, 'base')}"
    return f"{words} ({studies}: {kinds})" if studies or kinds else words


def _many(count: Any, one: str) -> str:
    return plural(count, one) if isinstance(count, int) else f"an unknown number of {noun(0, one)}"


def _scale(low: float, value: float, high: float, room: int) -> str:
    """An interval and its value on a line from 0 to 1."""
    first, at, last = (min(int(v * room), room - 1) for v in (low, value, high))
    return "".join("●" if i == at else "━" if first <= i <= last else "·" for i in range(room))


def report(result: ForecastReport, verbose: bool = False) -> str:
    """The whole text of a fitted forecast."""
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


ACCURACY_WORDS = (
    "Each base is forecast by a model that was not fitted to it. The intervals are 95% intervals and "
    "resample bases.",
    "Brier is the mean squared error of the probability, beside the error of always giving the mean. AUC is "
    "how often a transfer that ends well was given the higher chance. A slope of 1 means calibrated chances; "
    "a slope below 1 means chances that are too sure.",
)


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


ACCURACY = (
    Column("right", 15),
    Column("commoner", 10),
    Column("Brier", 14),
    Column("AUC", 6),
    Column("  slope", 0, "<"),
)


def done(part: float) -> str:
    """``at 1.5%``."""
    return f"at {part * 100:g}%"


def share(measure: Measure) -> str:
    """``95% [91%, 98%]``; a dash for no number."""
    from diag.forecasts.model import in_words

    return in_words(measure)


def ahead_words(result: ForecastReport) -> str:
    """Whether the embedding tells more than losses, where stopping begins."""
    at, lower = result.ahead_early
    if lower.value is None or lower.low is None or lower.high is None:
        return f"It cannot be said whether the embedding tells more than losses do: {lower.reason}."
    sure = "tells more than losses alone" if lower.low > 0 else "is not shown to tell more than losses alone"
    return (
        f"{_start(at)} the embedding {sure}: its Brier score is "
        f"{difference(lower, 3, more='lower', less='higher')}."
    )


def _start(part: float) -> str:
    return f"After {part * 100:g}% of the updates,"


def slope(measure: Measure) -> str:
    """``0.9 [0.8, 13]``; a dash for no number."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    value, low, high = (f"{v:.{int(abs(v) < 9.95)}f}" for v in (measure.value, measure.low, measure.high))
    return f"{value} [{low}, {high}]"


def _bins(judged: list[Judged]) -> Iterator[str]:
    yield from wrapped("forecasts from the embedding, and how many of them came true")
    for j in judged:
        cells = [f"{b.forecast:.0%}: {b.came_true} of {b.of}" for b in j.bins]
        ends = [f"{cell}," for cell in cells[:-1]] + cells[-1:]
        yield from wrapped(ends, f"  {done(j.share):9}", " " * 11)


def _stopping(result: ForecastReport) -> Iterator[str]:
    found, limits = result.stopping, result.forecaster.stop_below
    known = [f"{number(100 * p, 2)}% {done(at)}" for at, p in limits.items() if p > 0]
    rule = f"below {', '.join(known)}" if known else "never below any"
    yield from wrapped(f"stopping: the model's rule stops a transfer if its chance is {rule}")
    yield from wrapped(f"{share(found.saved)} of the updates", "  saved  ")
    yield from wrapped(
        f"{share(found.lost)} of the {found.successes} that ended {result.outcome}", "  lost   "
    )
    for words in stopping_words(found):
        yield from wrapped(words)


def stopping_words(found: Stopping) -> list[str]:
    """How far the rule can be trusted, a sentence each."""
    of = plural(found.bases_with_successes, "base")
    who = f"{found.bases_losing} of {of}" if found.bases_losing else f"None of {of}"
    return [
        f"{who} with successes would lose a success. So few bases cannot exclude that "
        f"{found.most_bases_lost:.0%} of all such bases would."
    ]


def _bases(found: BasesJudged | None, verbose: bool) -> Iterator[str]:
    yield from wrapped("from a base alone: the share of its transfers that end well")
    if found is None:
        yield from wrapped(NO_BASES)
        return
    yield from wrapped(bases_words(found))
    if verbose:
        for name, p, rate in zip(found.names, found.forecast, found.rate, strict=True):
            room = max(8, min(48, width() - 32))
            yield f"    {short(plain(name), room):{room}} forecast {p:4.0%}   was {rate:4.0%}"


NO_BASES = (
    "A base alone cannot be judged here: too few bases' checkpoints were found, or their embeddings are too "
    "wide."
)


def bases_words(found: BasesJudged) -> str:
    """How far the forecasts from bases alone are off, beside the mean."""
    return (
        f"The forecasts are off by {number(found.error.value)} {span(found.error)} on average over "
        f"{plural(len(found.rate), 'base')}; always naming the mean of the other bases is off by "
        f"{number(found.error_of_mean)}. The rank correlation is {number(found.rank.value)} "
        f"{span(found.rank)}."
    )
