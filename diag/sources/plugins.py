"""Sources of other packages: entry points of the group ``diag.sources``, named by a file's suffix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from diag.sources.foreign_code import called
from diag.sources.opening import Opening
from diag.subject import Subject, SubjectError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "diag.sources"


def suffixes() -> tuple[str, ...]:
    """The suffixes, each with its dot, that installed packages open."""
    return tuple(_installed())


def check_own(suffix: str, path: str) -> None:
    """Raises SubjectError where a package claims a suffix of diag's: neither may win in silence."""
    if claims := _installed().get(suffix):
        claimed = f"a source for {suffix} in {_packages(claims)} beside diag's own"
        raise SubjectError(path, claimed, "a suffix of its own for each")


def open_plugin(opening: Opening) -> Subject | None:
    """The subject that an installed source makes of a file; None where none knows its suffix.

    Raises SubjectError, also for faults in the source.
    """
    name = opening.path.lower()
    claims = [claim for suffix, claim in _installed().items() if name.endswith(suffix)]
    if not claims:
        return None
    entries = max(claims, key=lambda claim: len(claim[0].name))
    if len(entries) > 1:
        claimed = f"sources for .{entries[0].name} in {_packages(entries)}"
        raise SubjectError(opening.path, claimed, "one of them installed")
    what = f"the source .{entries[0].name} of {_packages(entries)}"
    function: Any = called(entries[0].load, opening.path, f"{what}, on import")
    if not callable(function):
        raise SubjectError(opening.path, f"no function as {what}", "a function of an Opening")
    made = called(function, opening.path, what, opening)
    if not isinstance(made, Subject):
        raise SubjectError(opening.path, f"a {type(made).__name__} from {what}", "a diag.subject.Subject")
    return made


@cache
def _installed() -> Mapping[str, Sequence[EntryPoint]]:
    """{suffix: its sources}, read once: a process does not see what is installed while it runs."""
    from importlib.metadata import entry_points

    sources: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        known = sources.setdefault("." + entry.name.lower().lstrip("."), [])
        if entry not in known:  # a package that is installed twice is one
            known.append(entry)
    return sources


def _packages(entries: Sequence[EntryPoint]) -> str:
    return " and ".join(entry.dist.name if entry.dist is not None else entry.value for entry in entries)
