"""Systems by name, each imported when it is asked for: ``crar`` is ``trainers.crar:CRAR``.

A package makes its own known with an entry point of the group ``transfer_diag.systems``; a test, or anything
else that is running, with :func:`register`. What a system has to have is :class:`trainers.system.System`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

GROUP = "transfer_diag.systems"

DEFAULT = "crar"
"""The system of settings that name none: they were written when there was no other."""

_SHIPPED = {"crar": "trainers.crar:CRAR"}
_registered: dict[str, str] = {}


def register(name: str, place: str) -> None:
    """Make a system known by a name; ``place`` is ``module:attribute``. Raises ValueError for a name in use.

    Another process has to register it too: do so where the module defines it.
    """
    if known().get(name, place) != place:
        raise ValueError(f"system {name!r}: already {known()[name]}, expected another name")
    _registered[name] = place


def known() -> dict[str, str]:
    """Every system's name and place."""
    return {**_installed(), **_registered, **_SHIPPED}


def shipped() -> tuple[str, ...]:
    """Names of the systems whose recipes lie in ``trainers/recipes``."""
    return tuple(_SHIPPED)


def load(name: str) -> Any:
    """The class of a system, imported now; raises KeyError for a name that is not known."""
    module, _, attribute = known()[name].partition(":")
    return getattr(import_module(module), attribute)


@cache
def _installed() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=GROUP)}
