"""One checkpoint's forecast for a terminal: its chance on a scale, above that of all transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diag.outputs.forecast_words import KNOWN, model_words, what_words
from diag.outputs.layout import width, wrapped
from diag.outputs.lines import headline, short, warning_lines

if TYPE_CHECKING:
    from diag.forecasts.result import Forecast
    from diag.result import FileRef

BESIDE = 40
"""Characters beside the scale from 0 to 1, which takes the rest of the line."""


LEAST_SCALE = 10
"""Fewest characters of a scale."""


def render(result: Forecast, verbose: bool = False) -> str:
    """The whole text of one checkpoint's forecast."""
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
    lines.append(f"  {KNOWN:17} {_scale(result.common, result.common, result.common, room)}")
    return "\n".join([*lines, "", *wrapped(model_words(result))])


def _scale(low: float, value: float, high: float, room: int) -> str:
    """An interval and its value on a line from 0 to 1."""
    first, at, last = (min(int(v * room), room - 1) for v in (low, value, high))
    return "".join("●" if i == at else "━" if first <= i <= last else "·" for i in range(room))
