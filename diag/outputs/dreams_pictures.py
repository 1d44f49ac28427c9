"""What world models foresee: drift over the steps ahead, and dreamt pictures beside those that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.comparisons.dreams import Dreams, Who
from diag.outputs.dreams_text import KEEPER, TERMS, shown_steps
from diag.outputs.words import three
from probes import Measure
from reports import Drawing, Figure, Section
from reports.pixels import Row, drawing

WHOSE: Mapping[Who, str] = {"base": "the base", "transfer": "the transfer"}
SMALL = 56
"""Width of a picture, in CSS pixels."""

SHADES = 5
"""Levels of a colour: more take more room in a page and say little."""

COLOURS = np.array(
    [
        *((255, 255, 255), (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)),
        *((213, 94, 0), (204, 121, 167), (0, 114, 178), (160, 110, 60), (150, 150, 150)),
    ],
    np.float64,
)
"""Colours of channels, in order; more channels begin again."""

MOST_CHANNELS_OF_FRAMES, LARGE = 4, 40
"""A picture with a side of so many pixels and at most so many channels is a stack of grey frames."""


def dream_sections(dreams: Dreams | None) -> list[Section]:
    """The section of a comparison's page; none for models that foresee nothing."""
    if dreams is None:
        return []
    from reports import dreams as charts  # it loads Altair, which most pages do without

    rows = [
        {"panel": TERMS.get(term, term), "name": whose, **_point(step, measure)}
        for term, by in _ordered(dreams)
        for who, whose in WHOSE.items()
        for step, measure in enumerate(by[who])
        if measure.value is not None
    ]
    rows += [
        {"panel": TERMS["off"], "name": KEEPER, **_point(step, measure)}
        for step, measure in enumerate(dreams.kept)
        if measure.value is not None
    ]
    table = pd.DataFrame(
        [
            {"": TERMS.get(term, term), "steps ahead": str(step)}
            | {whose: cell(by[who][step]) for who, whose in WHOSE.items()}
            | {"difference": cell(by["difference"][step])}
            for term, by in _ordered(dreams)
            for step in shown_steps(dreams.ahead)
        ]
    )
    words = [
        f"Both models see the first rows of {dreams.histories} histories of the {dreams.task} task and go on "
        f"for {dreams.ahead} steps by themselves, with the actions that were taken. Step 0 is the last row "
        "that they see. The bands and the brackets are 95% intervals over histories; a history counts until "
        "its episode ends. What pictures are off is the sum of the differences of a picture's numbers, each "
        "from 0 to 1; it can be held against keeping the last picture that was seen.",
    ]
    parts = [
        Section(
            "Open loop: drift over the steps ahead",
            words,
            Figure(charts.drift(pd.DataFrame(rows)), "Losses of open-loop predictions over the steps ahead."),
            table,
        )
    ]
    frames = dreams.frames
    strips = [
        ("As it came", frames.came),
        ("The base's expectation", frames.base),
        ("The transfer's", frames.transfer),
    ]
    return [*parts, pictures(strips, "Dreamt pictures beside those that came")]


def pictures(strips: Sequence[tuple[str, NDArray[np.float32]]], title: str) -> Section:
    """Rows of pictures (1 + H, c, h, w) of the same history, each with its title."""
    rows = [
        Row(
            name,
            [in_colour(frame) for frame in frames],
            ["seen" if step == 0 else f"+{step}" for step in range(len(frames))],
        )
        for name, frames in strips
    ]
    words = [
        "The first picture of each row is of what was seen last, as the model has it; the others are "
        "expectations without sight. A colour is a channel, and its strength how likely, or how bright, the "
        "model holds a cell to be. Of the histories, the one that goes on longest and changes most is shown."
    ]
    told = f"Rows of small pictures of one history: {', '.join(name for name, _ in strips)}."
    return Section(title, words, Drawing(drawing(rows, SMALL), told))


def _ordered(dreams: Dreams) -> list[tuple[str, Mapping[Who, tuple[Measure, ...]]]]:
    terms = [*(t for t in TERMS if t in dreams.drift), *(t for t in dreams.drift if t not in TERMS)]
    return [(term, dreams.drift[term]) for term in terms]


def _point(step: int, measure: Measure) -> dict[str, float | int | None]:
    return {"step": step, "value": measure.value, "low": measure.low, "high": measure.high}


def cell(measure: Measure) -> str:
    """A mean with its interval, to three digits."""
    if measure.value is None:
        return "–"
    if measure.low is None or measure.high is None:
        return three(measure.value)
    return f"{three(measure.value)} [{three(measure.low)}, {three(measure.high)}]"


def in_colour(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture (c, h, w) of numbers from 0 to 1 in colours (h, w, 3).

    One channel, or the last of a stack of frames, is grey; three are red, green and blue; of more, each has a
    colour of its own, and the strongest of a cell is drawn over the others.
    """
    share = np.round(np.clip(np.nan_to_num(picture), 0, 1) * (SHADES - 1)) / (SHADES - 1)
    channels, height, _ = share.shape
    if channels == 3:
        drawn = 255 * share.transpose(1, 2, 0)
    elif channels == 1 or (height >= LARGE and channels <= MOST_CHANNELS_OF_FRAMES):
        drawn = 255 * share[-1][..., None].repeat(3, -1)
    else:
        drawn = COLOURS[share.argmax(0) % len(COLOURS)] * share.max(0)[..., None]
    return np.asarray(np.round(drawn), np.uint8)
