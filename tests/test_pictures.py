"""Pictures of embeddings: their plane, the states that are drawn, and the variable that colours them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import diag.outputs
import reports
from diag.comparisons.picture import MOST_COLOURS, Picture, colour_variable
from diag.outputs.sections import embedding_chart, panels
from diag.sources.pairs import TASKS, FilePairs, SeenBy
from diag.studies.histogram import Bar, stacked
from diag.subject import Parameters, Subject
from probes import Plane

ROOMS = np.array(["left", "door", "right", "left"])


def test_two_dimensions_stay_as_they_are_and_one_gets_a_second() -> None:
    flat = np.arange(8.0).reshape(4, 2)
    assert Plane.of(flat)(flat) is flat
    assert Plane.of(flat[:, :1])(flat[:, :1]).tolist() == [[0, 0], [2, 0], [4, 0], [6, 0]]


def test_the_plane_keeps_distances_of_flat_points() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 2))
    turned = flat @ np.linalg.qr(rng.normal(size=(5, 2)))[0].T + 3.0
    drawn = Plane.of(turned)(turned)
    sides = np.linalg.norm(flat[:, None] - flat, axis=-1)
    # Rounding of 20 sums of products of numbers of order 1.
    assert np.linalg.norm(drawn[:, None] - drawn, axis=-1) == pytest.approx(sides, abs=1e-12)


def test_states_are_drawn_evenly_with_their_lines() -> None:
    base = np.arange(20.0).reshape(10, 2)
    ends = np.stack([base + 1, base - 1], 1)
    drawn = Picture(base, -base, base_predictions=ends).drawn(4)
    assert drawn.states.tolist() == [0, 3, 6, 9]
    assert drawn.base.tolist() == base[[0, 3, 6, 9]].tolist()
    assert drawn.transfer.tolist() == (-base[[0, 3, 6, 9]]).tolist()
    assert drawn.base_ends is not None
    assert drawn.base_ends.tolist() == ends[[0, 3, 6, 9]].tolist()
    assert drawn.transfer_ends is None
    assert set(drawn.colours) == {"state"}


def test_the_first_categorical_variable_colours_unless_the_tasks_say() -> None:
    many = np.array([f"state {i}" for i in range(MOST_COLOURS + 1)])
    known = {"row": np.arange(4), "name": many, "room": ROOMS, "lit": np.array([True, False, True, True])}
    assert colour_variable(known) == "room"
    assert colour_variable(known, "lit") == "lit"
    assert colour_variable(known, "nowhere") == "room"
    assert colour_variable({"row": np.arange(4)}) is None


def test_the_legend_bears_the_variables_name() -> None:
    picture = Picture(np.eye(4, 2), np.eye(4, 2), {"side": ROOMS}, colour="side")
    chart = str(embedding_chart(panels(picture, "base", "transfer"), 2, picture.colour).to_dict())
    assert "'title': 'side'" in chart
    assert "'left'" in chart


def test_failures_stack_on_successes() -> None:
    bars = stacked(np.array([0.0, 0.0, 24.0, np.nan]), np.array(["success", "failure", "failure", "failure"]))
    assert bars == (
        Bar(0, 1, 0, 1, "success"),
        Bar(0, 1, 1, 2, "failure"),
        Bar(23, 24, 0, 1, "failure"),
    )
    assert stacked(np.array([np.inf]), np.array(["success"])) == ()


@pytest.mark.parametrize("package", [diag.outputs, reports])
def test_no_page_knows_a_world(package: object) -> None:
    """What is coloured, counted and named comes from the result; docstrings may speak of room for words."""
    world = re.compile(r"\b(rooms?|mazes?|crar)\b", re.IGNORECASE)
    for file in Path(str(package.__file__)).parent.glob("*.py"):  # type: ignore[attr-defined]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        words = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs]
        assert [word for word in words if isinstance(word, str) and world.search(word)] == []


class Scaled:
    """An encoder that makes the embedding three times the observations."""

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return 3 * observations


class Lit(FilePairs):
    """Pairs that choose the variable by which their pictures are coloured."""

    colour = "lit"


def test_a_picture_is_coloured_by_the_variable_that_the_tasks_choose(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen, known = rng.normal(size=(40, 3)), {"room": np.tile(ROOMS, 10), "lit": np.arange(40) % 2 == 0}
    np.savez(tmp_path / "pairs.npz", source=seen, target=seen, **known)
    path = str(tmp_path / "pairs.npz")

    def coloured(pairs: FilePairs | SeenBy) -> str | None:
        base, transfer = (Subject(task, task, task, {}, Scaled(), tasks=pairs) for task in TASKS)
        return diag.compare(base, transfer).picture.colour

    assert coloured(FilePairs(path)) == "room"
    assert coloured(Lit(path)) == "lit"
    assert coloured(SeenBy(Lit(path), FilePairs(path), "a")) == "lit"
    assert coloured(SeenBy(FilePairs(path), Lit(path), "a")) == "room"
