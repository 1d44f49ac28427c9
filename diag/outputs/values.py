"""Results as values of other libraries: charts of Altair, and tables of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diag.outputs.registry import RENDERERS, page, renderer
from reports import Figure
from reports.drawings import specification

if TYPE_CHECKING:
    import pandas as pd

    from diag.shown import Shown


class ValueMissingError(ValueError):
    """A result without charts or tables, or without the table that was asked for."""


def charts(result: Shown) -> dict[str, Any]:
    """The charts of a result's page by the titles of its sections; empty where it has none."""
    return {title: _altair(one) for title, one in _drawn(result).items()}


def chart(result: Shown) -> Any:
    """The first chart of a result's page; raises ValueMissingError for a result that has none."""
    for first in _drawn(result).values():
        return _altair(first)
    raise ValueMissingError(f"found {_named(result)}, which has no chart; expected a result with a picture")


def _drawn(result: Shown) -> dict[str, Any]:
    """The charts of a page as the page has them."""
    figures = {section.title: section.figure for section in page(result).sections}
    return {title: figure.chart for title, figure in figures.items() if isinstance(figure, Figure)}


def _altair(drawn: Any) -> Any:
    """A chart of a page as a chart of Altair that holds its rows itself, however many they are."""
    import altair as alt

    return alt.Chart.from_dict(specification(drawn))


def frame(result: Shown, part: str | None = None) -> pd.DataFrame:
    """A table of a result, by default the first; raises ValueMissingError where it has none of that name."""
    if "frames" not in RENDERERS[result.kind]:
        words = f"found {_named(result)}, which has no tables; expected the result of a diagnosis"
        raise ValueMissingError(words)
    tables: dict[str, pd.DataFrame] = renderer(result.kind, "frames")(result)
    if part is None:
        return next(iter(tables.values()))
    if part not in tables:
        words = f"found no table {part!r} of {_named(result)}; expected one of {', '.join(tables)}"
        raise ValueMissingError(words)
    return tables[part]


def _named(result: Shown) -> str:
    """A kind of result in an error: ``a file description``."""
    name = result.kind.replace("_", " ")
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
