"""A word of one world or algorithm stands in that world's or algorithm's file, and where it is listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("diag", "trainers", "probes", "reports")

NAMED = re.compile(r"(?<![a-z])(crar|impala|mazes?)(?![a-z])", re.IGNORECASE)
"""Words that no name in code has; ``room`` is what a line of text has, too."""

SAID = re.compile(r"(?<![a-z])(crar|impala|mazes?|rooms|room(?! for))(?![a-z])", re.IGNORECASE)
"""Words that no text has which the program says or compares; comments and docstrings tell where numbers
come from."""

OWN = {
    "trainers/crar.py": "the algorithm",
    "trainers/crar_labyrinth.py": "the algorithm with rewards",
    "trainers/crar_labyrinth_settings.py": "its settings",
    "trainers/crar_terms.py": "what both have in common",
    "trainers/impala.py": "the third paper's algorithm",
    "trainers/impala_settings.py": "its settings",
    "trainers/impala_training.py": "its training",
    "trainers/envs/simple_maze.py": "the world",
    "diag/sources/systems/crar.py": "the algorithm's checkpoints",
    "diag/sources/systems/crar_labyrinth.py": "those of the algorithm with rewards",
    "diag/sources/systems/impala.py": "the third paper's algorithm's checkpoints",
    "diag/studies/paper.py": "what the first paper published, and of which world",
    "diag/commands/demo/shipped.py": "the shipped checkpoints, and what their pictures show",
}
"""Files of a world, of an algorithm, and of checkpoints of them."""

LISTS = {
    "trainers/registry.py": "the systems that ship, and the preset of each",
    "trainers/envs/finite.py": "the worlds that ship",
    "trainers/envs/__init__.py": "their names in gymnasium",
    "diag/sources/systems/__init__.py": "the systems whose checkpoints are read",
}
"""Files with the line that makes one known."""

EXAMPLES = {
    "diag/commands/app.py": "a study, as an example in the help",
    "diag/commands/demo/command.py": "the preset that the demo trains",
}
"""Files whose help or documentation names a preset or world."""


def words(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and words of one world or algorithm in a file's names and texts."""
    tree = ast.parse(path.read_text("utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in told and (word := SAID.search(node.value)):
                yield node.lineno, word[0]
            continue
        for value in vars(node).values():
            for name in value if isinstance(value, list) else [value]:
                split = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name) if isinstance(name, str) else ""
                if word := NAMED.search(split):
                    yield getattr(node, "lineno", 0), word[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_knows_one_world_or_algorithm(package: str) -> None:
    allowed = {**OWN, **LISTS, **EXAMPLES}
    found = [
        f"{name}:{line}: {word}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if (name := path.relative_to(ROOT).as_posix()) not in allowed
        for line, word in words(path)
    ]
    assert found == []


@pytest.mark.parametrize("name", [*OWN, *LISTS, *EXAMPLES])
def test_what_is_listed_is_needed(name: str) -> None:
    assert any(words(ROOT / name))


def test_words_are_found_in_names_and_texts_and_not_in_docstrings(tmp_path: Path) -> None:
    text = '"""Of the maze."""\nfrom trainers.crar import CrarSettings as x\nsay("a room", "room for more")\n'
    (tmp_path / "a.py").write_text(text)
    assert sorted(words(tmp_path / "a.py")) == [(2, "Crar"), (2, "crar"), (3, "room")]
