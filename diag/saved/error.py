"""The error of a value that does not have the form that its type asks for."""

from __future__ import annotations

from trainers.safe_text import one_line


class FormError(ValueError):
    """A value of another form than its type's: ``where`` in the tree, ``found`` and ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        self.where, self.found, self.expected = where, one_line(found), one_line(expected)
        place = f"{one_line(where)}: " if where else ""
        super().__init__(f"{place}found {self.found}, expected {self.expected}")
