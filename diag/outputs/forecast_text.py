"""Forecasts for a terminal: one checkpoint's, and how good a forecast is that was fitted to studies."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diag.outputs.text import WIDTH, headline, number, plain, short, span, warning_lines

if TYPE_CHECKING:
    from diag._forecast import Forecast
    from diag.forecasts.judge import BasesJudged, Judged, Stopping
    from diag.forecasts.report import ForecastReport
    from diag.result import FileRef
    from probes import Measure

BAR = 40
"""Characters of a scale from 0 to 1."""

VIEWS = {"embedding": "the embedding", "losses": "losses alone"}
"""What a forecast looks at, in words."""


def forecast(result: Forecast, verbose: bool = False) -> str:
    """The whole text of a forecast."""
    p, known = result.probability, result.fitted_to
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    files: list[tuple[str, FileRef | None]] = [("base", result.base), ("transfer", result.checkpoint)]
    for name, ref in files if result.base is not None else [("base", result.checkpoint)]:
        assert ref is not None
        lines.append(f"  {name:9} {short(ref.path)}")
        lines += [f"            {ref.label}"] if verbose and ref.label else []
    what = f"chance of {result.outcome}" if result.base is not None else f"share {result.outcome}"
    lines += ["", f"  {'':17} 0{'':{BAR - 2}}1", f"  {what:17} {_scale(p.low, p.value, p.high)}"]
    lines.append(f"  {'of all it knows':17} {_scale(result.common, result.common, result.common)}")
    words = f"fitted to {fitted_words(known)}"
    if result.model_share is not None:
        words += f"; the model for {result.model_share:.0%} of the updates"
    if result.stop is not None:
        from diag.forecasts.model import limit_words

        words += f"; {limit_words(result.stop_below)}"
    return "\n".join([*lines, "", _filled(words)])


def fitted_words(known: dict[str, Any]) -> str:
    """How many transfers of how many bases, of which studies, worlds and algorithms."""
    studies = plain(", ".join(map(str, known.get("studies", []))))
    kinds = plain("; ".join(map(str, known.get("kinds", []))))
    return f"{known.get('transfers')} transfers of {known.get('bases')} bases ({studies}: {kinds})"


def _scale(low: float, value: float, high: float) -> str:
    """An interval and its value on a line from 0 to 1."""
    first, at, last = (min(int(v * BAR), BAR - 1) for v in (low, value, high))
    return "".join("●" if i == at else "━" if first <= i <= last else "·" for i in range(BAR))


def report(result: ForecastReport, verbose: bool = False) -> str:
    """The whole text of a fitted forecast, within 80 columns."""
    known = dict(result.forecaster.fitted_to)
    lines = [headline(result.verdict), ""]
    lines.append(_filled(f"outcome: {result.outcome}, as {known['ended_well']} ended; {fitted_words(known)}"))
    for view, words in VIEWS.items():
        lines += ["", *_accuracy(result.at(view), words)]
    lines += ["", *(_filled(words) for words in (ahead_words(result), *ACCURACY_WORDS))]
    if verbose:
        lines += ["", *_bins(result.at("embedding"))]
    lines += ["", *_stopping(result)]
    lines += ["", *_bases(result.bases, verbose)]
    return "\n".join(lines)


ACCURACY_WORDS = (
    "Each base is forecast by a model that was not fitted to it; intervals are 95% and resample bases.",
    "Brier: mean squared error of the probability, beside that of always giving the mean. AUC: how often "
    "one that ends well has the higher chance. Slope: 1 is calibrated, below 1 is too sure.",
)


def _accuracy(judged: list[Judged], words: str) -> Iterator[str]:
    yield f"  {words:13} {'right':>15} {'commoner':>9} {'Brier':>13} {'AUC':>5}  slope"
    for j in judged:
        brier = f"{number(j.brier.value, 3)} / {number(j.brier_base_rate, 3)}"
        yield (
            f"  {done(j.share):13} {share(j.right):>15} {j.base_rate:>9.0%} {brier:>13} "
            f"{number(j.auc.value):>5}  {slope(j.slope)}"
        ).rstrip()


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
        return f"Whether the embedding tells more than losses cannot be said: {lower.reason}."
    sure = "tells more than losses alone" if lower.low > 0 else "is not shown to tell more than losses alone"
    return (
        f"{done(at).capitalize()} the embedding {sure}: its Brier score is lower by {lower.value:.3f} "
        f"[{lower.low:.3f}, {lower.high:.3f}]."
    )


def slope(measure: Measure) -> str:
    """``0.9 [0.8, 13]``; a dash for no number."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    value, low, high = (f"{v:.{int(abs(v) < 9.95)}f}" for v in (measure.value, measure.low, measure.high))
    return f"{value} [{low}, {high}]"


def _bins(judged: list[Judged]) -> Iterator[str]:
    yield "  forecast, from the embedding: how many came true"
    for j in judged:
        cells = ", ".join(f"{b.forecast:.0%}:_{b.came_true}_of_{b.of}" for b in j.bins)
        words = textwrap.wrap(cells, WIDTH, initial_indent=f"  {done(j.share):9}", subsequent_indent=" " * 11)
        yield from (line.replace("_", " ") for line in words)


def _stopping(result: ForecastReport) -> Iterator[str]:
    found, limits = result.stopping, result.forecaster.stop_below
    yield "  stopping; the model's rule is to stop where the chance is below"
    yield "    " + "".join(f"{done(at):>10}" for at, p in limits.items() if p > 0).rstrip()
    yield "    " + "".join(f"{number(100 * p, 2):>9}%" for p in limits.values() if p > 0).rstrip()
    yield f"  saved  {share(found.saved)} of the updates"
    yield f"  lost   {share(found.lost)} of the {found.successes} that ended {result.outcome}"
    for words in stopping_words(found):
        yield _filled(words)


def stopping_words(found: Stopping) -> list[str]:
    """How far the rule can be trusted, a sentence each."""
    of = f"{found.bases_with_successes} bases with successes"
    who = f"{found.bases_losing} of {of} lose" if found.bases_losing else f"None of {of} loses"
    return [f"{who} any: so few cannot exclude that {found.most_bases_lost:.0%} of all such bases would."]


def _bases(found: BasesJudged | None, verbose: bool) -> Iterator[str]:
    yield "  from a base alone: the share of its transfers that end well"
    if found is None:
        yield _filled(NO_BASES)
        return
    yield _filled(bases_words(found))
    if verbose:
        for name, p, rate in zip(found.names, found.forecast, found.rate, strict=True):
            yield f"    {short(plain(name), 48):48} forecast {p:4.0%}   was {rate:4.0%}"


NO_BASES = "Cannot be said: too few bases' checkpoints were found, or their embeddings are too wide."


def bases_words(found: BasesJudged) -> str:
    """How far the forecasts from bases alone are off, beside the mean."""
    return (
        f"Off by {number(found.error.value)} {span(found.error)} in the mean over {len(found.rate)} bases, "
        f"where always naming the others' mean is off by {number(found.error_of_mean)}; "
        f"rank correlation {number(found.rank.value)} {span(found.rank)}."
    )


def _filled(words: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
