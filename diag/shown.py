"""A result that shows itself in Python: as text, as one line, and in a notebook.

The renderers know the results and not the other way round: they are looked up in ``diag.outputs.registry``
by the kind of the result when it is shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from trainers.safe_text import one_line

if TYPE_CHECKING:
    import pandas as pd

REGISTRY, VALUES = "diag.outputs.registry", "diag.outputs.values"

MOST_FILES = 4
"""Most files that the one line names: the first ones."""


class Shown:
    """A result that prints as its command does, has one line for a debugger, and a page in a notebook.

    ``class Comparison(Shown, kind="comparison")``, under a ``dataclass`` with ``repr=False``.
    """

    kind: ClassVar[str]
    """Kind of result in the registry of renderers: ``comparison``."""

    def __init_subclass__(cls, kind: str, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls.kind = kind

    def __str__(self) -> str:
        """The text that the command prints, as wide as the terminal."""
        text: str = import_module(REGISTRY).text(self)
        return text

    def __repr__(self) -> str:
        files = self.shown_files()
        named = [one_line(file, 100) for file in files[:MOST_FILES]]
        if len(files) > MOST_FILES:
            named.append(f"{len(files) - MOST_FILES} more")
        state = ", ".join(one_line(word, 100) for word in self.shown_state() if word)
        words = "; ".join(part for part in (state, ", ".join(named)) if part)
        return f"<{type(self).__name__}: {words}>" if words else f"<{type(self).__name__}>"

    def _repr_html_(self) -> str:
        """The page without scripts, in a frame of its own, for a notebook's output cell."""
        cell: str = import_module(REGISTRY).cell(self)
        return cell

    @property
    def chart(self) -> Any:
        """The chief picture of the page as an Altair chart: a value to display, change or save.

        Raises :class:`diag.outputs.values.ValueMissingError` for a result without a picture.
        """
        return import_module(VALUES).chart(self)

    @property
    def charts(self) -> dict[str, Any]:
        """Every chart of the page, by the titles of its sections."""
        every: dict[str, Any] = import_module(VALUES).charts(self)
        return every

    def to_frame(self, part: str | None = None) -> pd.DataFrame:
        """The numbers as a tidy table of pandas; ``part`` names another than the chief one.

        docs/reports.md lists the parts of each kind. Raises
        :class:`diag.outputs.values.ValueMissingError` for a part that it does not have.
        """
        table: pd.DataFrame = import_module(VALUES).frame(self, part)
        return table

    def shown_state(self) -> list[str]:
        """Status, relation and axes, for the result's one-line form."""
        verdict = getattr(self, "verdict", None)
        if verdict is None:
            return []
        axes = ", ".join(map(str, verdict.axes))
        word = f"{verdict.relation} ({'axis' if len(verdict.axes) == 1 else 'axes'} {axes})"
        return [verdict.status, word if axes else verdict.relation or ""]

    def shown_files(self) -> list[str]:
        """Paths of the files that the result is about, for its one-line form."""
        named = (getattr(self, name, None) for name in ("base", "transfer"))
        return [ref.path for ref in named if ref is not None]
