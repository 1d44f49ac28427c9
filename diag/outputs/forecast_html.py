"""One checkpoint's forecast as a page: its chance beside that of all transfers, and what to do next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.forecast_words import KNOWN, model_words, what_words
from diag.outputs.names import short_names
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named
from reports import Figure, Key, Page, Section, forecasts

if TYPE_CHECKING:
    from diag.forecasts.result import Forecast


def page(result: Forecast) -> Page:
    """A forecast as a page."""
    facts = [("checkpoint", named(result.checkpoint))]
    if result.base is not None:
        facts.append(("base", named(result.base)))
    if result.share is not None:
        facts.append(("updates done", f"{result.share:.1%} of the transfer's"))
    facts += [("outcome", result.outcome), ("model", model_words(result))]
    sections = [_chance(result)]
    if result.warnings:
        sections.append(Section("Warnings", warning_words(result.warnings)))
    sections.append(_next(result))
    (title,) = short_names([result.checkpoint.path])
    verdict = result.verdict
    return Page(
        title, verdict.status, verdict.summary, facts, sections, footer(), kind="forecast", keys=_keys(result)
    )


def _keys(result: Forecast) -> list[Key]:
    p = result.probability
    keys = [Key(what_words(result), f"{p.value:.0%}", f"[{p.low:.0%}, {p.high:.0%}]")]
    keys.append(Key(f"of all {KNOWN} ended {result.outcome}", f"{result.common:.0%}"))
    if result.share is not None:
        keys.append(Key("of the updates are done", f"{result.share:.0%}"))
    if result.stop_below is not None:
        keys.append(Key("the rule stops below", _percent(result.stop_below)))
    return keys


def _percent(value: float) -> str:
    """A chance in percent, to two digits where it is small."""
    return f"{100 * value:.2g}%"


def _chance(result: Forecast) -> Section:
    p = result.probability
    rows = [
        (what_words(result), p.value, p.low, p.high, f"{p.value:.0%} [{p.low:.0%}, {p.high:.0%}]"),
        (KNOWN, result.common, result.common, result.common, f"{result.common:.0%}"),
    ]
    if result.stop_below is not None:
        limit = result.stop_below
        rows.append(("stopped below", limit, limit, limit, _percent(limit)))
    frame = pd.DataFrame(rows, columns=["name", "value", "low", "high", "said"])
    apart = "above" if p.low > result.common else "below" if p.high < result.common else "not told apart from"
    words = [
        f"The interval lies {apart} the {result.common:.0%} of all transfers known to the model that ended "
        f"{result.outcome}."
        if apart != "not told apart from"
        else f"The forecast cannot be told apart from the {result.common:.0%} of all transfers known to the "
        f"model that ended {result.outcome}."
    ]
    if result.stop is not None:
        does = "would stop" if result.stop else "would not stop"
        words.append(f"The model's stopping rule {does} this transfer here.")
    notes = [
        "The first row is the forecast with its 95% interval, where 95% of models fitted to other bases "
        f"would put it. The second is the share of all the transfers known to the model that ended "
        f"{result.outcome}, which is the forecast of somebody who knows nothing about this one.",
        model_words(result),
    ]
    figure = Figure(forecasts.chance(frame), "The forecast with its interval, above that of all transfers.")
    return Section("The forecast", words, figure, notes=notes)


def _next(result: Forecast) -> Section:
    """What a reader may do after this forecast."""
    checkpoint = shlex.quote(result.checkpoint.path)
    if result.base is None:
        words = "Its transfers decide: train some, and forecast each from an early checkpoint."
        commands = [f"diag transfer {checkpoint} --seeds 0-7 --out transfers"]
        return Section("What to do next", [words], commands=commands, short="Next")
    pair = shlex.join([result.base.path, result.checkpoint.path])
    commands = [f"diag compare-embeddings {pair}"]
    if result.stop or result.verdict.status == "fail":
        words = "A comparison says where it is caught; a repair may lead it back, or another seed may land."
        commands.append(f"diag repair {pair} -o mended.safetensors")
    elif result.verdict.status == "pass":
        words = "Let it go on, and compare it with its base when it has finished."
    else:
        words = (
            "Ask again at a later checkpoint, where a forecast is surer; a comparison says where it is now."
        )
    return Section("What to do next", [words], commands=commands, short="Next")
