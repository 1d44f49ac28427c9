"""Circles and floors of imports, files at the top of diag/, docstrings that begin with a fragment.

    python -m benchmarks.house

A floor is the longest chain of imports below a module, circles counted as one; all imports count, those
inside functions and those for types alone too. Of rooms, the packages and files at the top of diag/, floors
are counted likewise: a room imports another where a module in it imports one of the other's.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeAlias

import grimp
import networkx

ROOT = Path(__file__).parent.parent
PACKAGES = ("diag", "probes", "reports", "trainers")

Imports: TypeAlias = Mapping[str, Collection[str]]
"""{module or room: those that it imports}."""

FRAGMENTS = (
    "Of ",
    "So many",
    "So much",
    "What ",
    "How ",
    "In words",
    "By ",
    "Its ",
    "Their ",
    "Those ",
    "Which ",
)
"""First words of sentences that lean on another."""


def main() -> None:
    modules = imports_in("diag")
    rooms = rooms_of(modules)
    told = list(docstrings())
    fragments = [words for words in told if words.startswith(FRAGMENTS)]
    print(f"circles of imports in diag: {len(circles(modules))} of modules, {len(circles(rooms))} of rooms")
    print(f"floors of rooms in diag: {floors(rooms)}")
    print(f"floors of modules in diag: {floors(modules)}")
    print(f"files at the top of diag: {len(list((ROOT / 'diag').glob('*.py')))}")
    print(f"docstrings that begin with a fragment: {len(fragments)} of {len(told)}")


def imports_in(package: str) -> Imports:
    """The imports of every module of a package that lead to modules of the same package."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    ours = {module for module in graph.modules if module.split(".")[0] == package}
    return {module: graph.find_modules_directly_imported_by(module) & ours for module in ours}


def rooms_of(modules: Imports) -> Imports:
    """The imports between the packages and files at a package's first level, and its own ``__init__``."""
    rooms: dict[str, set[str]] = {room_of(module): set() for module in modules}
    for module, imported in modules.items():
        rooms[room_of(module)] |= {room_of(other) for other in imported} - {room_of(module)}
    return rooms


def room_of(module: str) -> str:
    """The room of a module: ``diag.checks`` of ``diag.checks.config``."""
    return ".".join(module.split(".")[:2])


def circles(imports: Imports) -> list[set[str]]:
    """The sets of modules, or rooms, that import one another in a circle."""
    return [part for part in _parts(imports) if len(part) > 1]


def floors(imports: Imports) -> int:
    """The number of modules, or rooms, in the longest chain of imports."""
    parts = _parts(imports)
    part_of = {module: number for number, part in enumerate(parts) for module in part}
    below = {
        number: {part_of[other] for module in part for other in imports[module]} - {number}
        for number, part in enumerate(parts)
    }
    floor: dict[int, int] = {}
    for number in TopologicalSorter(below).static_order():
        floor[number] = 1 + max((floor[other] for other in below[number]), default=0)
    return max(floor.values())


def _parts(imports: Imports) -> list[set[str]]:
    """The modules or rooms, those of one circle together."""
    return list(networkx.strongly_connected_components(networkx.DiGraph(imports)))


def docstrings() -> Iterator[str]:
    """The docstrings of modules, classes, functions and attributes."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                body = getattr(node, "body", None)
                for statement in body if isinstance(body, list) else []:
                    value = getattr(statement, "value", None)
                    if isinstance(statement, ast.Expr) and isinstance(getattr(value, "value", None), str):
                        yield value.value.strip()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
