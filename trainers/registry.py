"""Systems by name, each imported when it is asked for, and the kind of list that they stand in.

A package makes its own system known with an entry point of the group ``transfer_diag.systems``; a test, or
anything else that is running, with :func:`register`. What a system has to have is
:class:`trainers.system.System`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

DEFAULT = "crar"
"""The system of settings that name none: they were written when there was no other."""


DEFAULT_PRESETS = {"crar": "simple-maze", "dreamer": "minatar-small", "impala": "catch-small"}
"""The preset of each system that ships that is trained where none is named."""


class Places:
    """Places of code by name (``module:attribute``): those that ship, installed ones, and registered ones."""

    def __init__(self, what: str, group: str, shipped: Mapping[str, str]) -> None:
        self.what, self.group, self.shipped = what, group, dict(shipped)
        self._registered: dict[str, str] = {}

    def register(self, name: str, place: str) -> None:
        """Make a place known by a name. Raises ValueError for a name in use.

        Another process has to register it too: do so where the module defines it.
        """
        if self.known().get(name, place) != place:
            raise ValueError(f"{self.what} {name!r}: already {self.known()[name]}, expected another name")
        self._registered[name] = place

    def known(self) -> dict[str, str]:
        """Every name and its place."""
        return {**self._installed, **self._registered, **self.shipped}

    def load(self, name: str) -> Any:
        """The thing at a name's place, imported now; raises KeyError for a name that is not known."""
        module, _, attribute = self.known()[name].partition(":")
        return getattr(import_module(module), attribute)

    @cached_property
    def _installed(self) -> dict[str, str]:
        from importlib.metadata import entry_points  # which no help has to wait for

        return {entry.name: entry.value for entry in entry_points(group=self.group)}


SYSTEMS = Places(
    "system",
    "transfer_diag.systems",
    {
        "crar": "trainers.crar:CRAR",
        "dreamer": "trainers.dreamer:Dreamer",
        "impala": "trainers.impala:IMPALA",
    },
)
"""Every system's class."""

register, known, load = SYSTEMS.register, SYSTEMS.known, SYSTEMS.load


def shipped() -> tuple[str, ...]:
    """Names of the systems whose recipes lie in ``trainers/recipes``."""
    return tuple(SYSTEMS.shipped)
