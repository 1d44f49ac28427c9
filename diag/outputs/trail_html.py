"""How a transfer came where it is: R² and the embedding at checkpoints along its training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from diag.comparisons.result import Comparison, Stop
from diag.outputs.embeddings_html import film_figure, has_picture, stages_figure
from diag.outputs.names import short_names
from diag.outputs.words import hundredths, span, to_hundredths
from probes import Measure
from reports import Figure, Section
from reports.trails import on_the_way

MOST_PANELS = 7
"""Checkpoints drawn side by side beside the base, evenly over all."""

MAPS = {"identity": "as it is", "signs": "with the best signs"}


def trail_sections(result: Comparison) -> list[Section]:
    """R² along the training, the embeddings side by side, and a slider over all; none without a trail."""
    if not result.trail:
        return []
    stops = [*result.trail, Stop(result.transfer.path, result.share, result)]
    titles = _titles(stops)
    sections = [_curve(stops, titles)]
    if not all(has_picture(stop.comparison.picture) for stop in stops):
        return sections
    shapes = {stop.comparison.picture.transfer.shape for stop in stops}
    if len(shapes) > 1 or shapes != {result.picture.base.shape}:
        return sections
    some = np.unique(np.linspace(0, len(stops) - 1, min(len(stops), MOST_PANELS)).astype(int))
    shown = [(titles[place], stops[place].comparison) for place in some]
    sections.append(
        Section("Checkpoint by checkpoint", [], stages_figure(shown, of=result), short="Checkpoints")
    )
    every = [(title, stop.comparison) for title, stop in zip(titles, stops, strict=True)]
    words = [
        "The embedding at each checkpoint over the base's. Where the page runs scripts, the slider below the "
        "picture chooses the checkpoint; the picture begins with the last one."
    ]
    sections.append(Section("See it happen", words, film_figure(every, of=result), short="Slider"))
    return sections


def _titles(stops: list[Stop]) -> list[str]:
    """Where in the training each checkpoint is, with its R²."""
    if all(stop.share is not None for stop in stops):
        names = _shares([100 * (stop.share or 0.0) for stop in stops])
    else:
        names = short_names([stop.name for stop in stops])
    told = []
    for name, stop in zip(names, stops, strict=True):
        r2 = stop.r2("identity").value
        told.append(name if r2 is None else f"{name}: R² {hundredths(r2)}")
    return told


def _shares(percent: list[float]) -> list[str]:
    """Shares with as few digits as tell them apart, two at least.

    >>> _shares([1 / 3, 46.667, 100.0]), _shares([98.0, 98.18])
    (['0.33%', '47%', '100%'], ['98%', '98.2%'])
    """
    for digits in (2, 3, 4):
        told = [f"{float(f'{share:.{digits}g}'):g}%" for share in percent]
        if len(set(told)) == len(told):
            break
    return told


def _curve(stops: list[Stop], titles: list[str]) -> Section:
    percent = all(stop.share is not None for stop in stops)
    rows: list[dict[str, Any]] = []
    for place, stop in enumerate(stops):
        for transform, words in MAPS.items():
            r2 = stop.r2(transform)
            if r2.value is None:
                continue
            rows.append(
                {
                    "at": stop.share if percent else place + 1,
                    "name": titles[place],
                    "r2": r2.value,
                    "low": np.nan if r2.low is None else r2.low,
                    "high": np.nan if r2.high is None else r2.high,
                    "map": words,
                    "relation": stop.comparison.relation or "undecided",
                }
            )
    table = pd.DataFrame(
        [
            {
                "checkpoint": title.partition(":")[0],
                "relation": stop.comparison.relation or "undecided",
                "R²": _cell(stop.r2("identity")),
                "R² with the best signs": _cell(stop.r2("signs")),
                "states in place": _in_place(stop),
            }
            for title, stop in zip(titles, stops, strict=True)
        ]
    )
    figure = None
    if rows:
        title = "share of the training" if percent else "checkpoint"
        described = "Lines of R squared over the training: as the embedding is, and with the best signs."
        figure = Figure(on_the_way(pd.DataFrame(rows), title, percent), described)
    return Section("How it came there", _words(stops, titles), figure, table, folded=True, short="Way")


def _in_place(stop: Stop) -> str:
    return "–" if stop.comparison.own_states is None else f"{stop.comparison.own_states:,}"


def _cell(r2: Measure) -> str:
    return f"{hundredths(r2.value)} {span(to_hundredths(r2))}".rstrip()


def _words(stops: list[Stop], titles: list[str]) -> list[str]:
    """The relations in their order, each with where it begins."""
    told: list[str] = []
    last = ""
    for title, stop in zip(titles, stops, strict=True):
        name = stop.comparison.relation or "undecided"
        if name != last:
            told.append(f"{name} from {title.partition(':')[0]}")
            last = name
    sentence = ", then ".join(told)
    return [
        f"{sentence[:1].upper()}{sentence[1:]}. Where the lines part, the transfer is mirrored: signs "
        "explain what the embedding as it is does not."
    ]
