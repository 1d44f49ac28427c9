"""Circles and floors of imports, files at the top of diag/, docstrings that begin with a fragment.

    python -m benchmarks.house

A floor is the longest chain of imports below a module, circles counted as one; all imports count, those
inside functions and those for types alone too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import networkx

ROOT = Path(__file__).parent.parent
PACKAGES = ("diag", "probes", "reports", "trainers")

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
    graph = grimp.build_graph(*PACKAGES)
    ours = [m for m in graph.modules if m.split(".")[0] == "diag"]
    imports = {m: graph.find_modules_directly_imported_by(m) & set(ours) for m in ours}
    parts = list(networkx.strongly_connected_components(networkx.DiGraph(imports)))
    circle_of = {m: number for number, part in enumerate(parts) for m in part}
    below = {
        number: {circle_of[other] for m in part for other in imports[m]} - {number}
        for number, part in enumerate(parts)
    }
    floors: dict[int, int] = {}
    for number in TopologicalSorter(below).static_order():
        floors[number] = 1 + max((floors[other] for other in below[number]), default=0)
    told = list(docstrings())
    fragments = [words for words in told if words.startswith(FRAGMENTS)]
    print(f"circles of imports in diag: {sum(len(part) > 1 for part in parts)}")
    print(f"floors of imports in diag: {max(floors.values())}")
    print(f"files at the top of diag: {len(list((ROOT / 'diag').glob('*.py')))}")
    print(f"docstrings that begin with a fragment: {len(fragments)} of {len(told)}")


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
