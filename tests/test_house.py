"""The house: rooms of ``diag`` stand on few floors, and nothing imports in a circle (benchmarks/house.py)."""

from __future__ import annotations

import pytest

from benchmarks.house import Imports, circles, floors, imports_in, rooms_of

MOST_FLOORS = 10
"""From the words at the bottom to the command line at the top: what a reader climbs to follow one call."""


@pytest.fixture(scope="module")
def modules() -> Imports:
    return imports_in("diag")


def test_nothing_imports_in_a_circle(modules: Imports) -> None:
    assert circles(modules) == []
    assert circles(rooms_of(modules)) == []


def test_rooms_stand_on_few_floors(modules: Imports) -> None:
    assert floors(rooms_of(modules)) <= MOST_FLOORS


def test_the_public_names_are_for_users_alone(modules: Imports) -> None:
    """``diag`` itself stands on every engine: whatever imported it would stand on all of them, too."""
    assert [module for module, imported in modules.items() if "diag" in imported] == []


def test_floors_are_those_of_the_longest_chain_and_a_circle_is_one() -> None:
    chain = {"diag": ["diag.b.x"], "diag.b.x": ["diag.b.y"], "diag.b.y": ["diag.c"], "diag.c": []}
    assert floors(chain) == 4
    assert rooms_of(chain) == {"diag": {"diag.b"}, "diag.b": {"diag.c"}, "diag.c": set()}
    assert floors(rooms_of(chain)) == 3
    round_about = {**chain, "diag.c": ["diag.b.x"]}
    assert circles(round_about) == [{"diag.b.x", "diag.b.y", "diag.c"}]
    assert floors(round_about) == 2
