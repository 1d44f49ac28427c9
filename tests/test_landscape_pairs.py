"""landscape_pairs: known walls between several checkpoints, the same heights as one by one, and basins."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diag
from diag.landscapes import LandscapeError
from diag.landscapes.basins import by_straight_lines, grouped, in_words
from diag.landscapes.pairs_result import LandscapePairs
from diag.outputs.json import render
from diag.outputs.registry import html, page, text
from diag.result import FileRef
from diag.saved.kinds import load
from diag.sources.torch_losses import from_module
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError
from diag.units.layers import units_of
from diag.units.symmetry import apply, random_symmetry
from tests.commands import run
from tests.conftest import EXAMPLES
from tests.landscapes import X, Y, squared

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))

SAMPLES = 200


class Plain:
    """Weights (x, y) and a loss of them, times 1 + the noise of each sample."""

    name = "plain"

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], noise: float = 0.0) -> None:
        self._loss, self._noise = loss, noise
        self.terms = {"loss": 1.0}
        self.constants: dict[str, Any] = {}
        self.asked: list[tuple[float, float]] = []

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        x, y = parameters["m/w"].double()
        self.asked.append((float(x), float(y)))
        return {"loss": self._loss(x, y) * (1 + self._noise * batch)}

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        return Pairs({"target": torch.arange(10.0)[:, None]}, np.arange(10))

    def batch(self, task: str, n: int, seed: int) -> Sampled:
        return Sampled(torch.from_numpy(np.random.default_rng(seed).normal(size=n)), np.arange(n))

    def variables(self) -> dict[str, Any]:
        return {}


def at(x: float, y: float, system: Plain, task: str = "target") -> Subject:
    return Subject(
        path=f"({x:g}, {y:g})",
        sha256=f"{x} {y}",
        task=task,
        parameters={"m/w": torch.tensor([x, y])},
        objective=system,
        tasks=system,
    )


def of(system: Plain, *places: tuple[float, float], **options: Any) -> LandscapePairs:
    return diag.landscape_pairs([at(*p, system) for p in places], samples=SAMPLES, **options)


def wells(x: Tensor, y: Tensor) -> Tensor:
    """Two valleys along x = 1 and x = −1, with a ridge of 1 between them, on a floor of 0.1."""
    return (x**2 - 1) ** 2 + 0.1


def test_two_valleys_are_two_basins() -> None:
    found = of(Plain(wells), (-1.0, 0.0), (-1.0, 5.0), (1.0, 0.0), (1.0, 5.0))
    assert found.straight.groups == ((0, 1), (2, 3))
    assert found.straight.through == found.straight.unknown == ()
    assert found.verdict.status == "warn"
    assert "A and B share a basin; C and D share another." in found.verdict.summary
    heights = np.array(found.matrix("raw"), dtype=float)
    across = np.add.outer([0, 0, 1, 1], [0, 0, 1, 1]) == 1
    assert heights[across] == pytest.approx(np.ones(8))
    assert heights[~across & ~np.eye(4, dtype=bool)] == pytest.approx(np.zeros(4))
    assert [loss.value for loss in found.losses] == pytest.approx([0.1] * 4)


def test_uphill_is_no_wall_between_two() -> None:
    """From the low end the loss climbs all the way; seen from the high one nothing is in the way."""
    found = of(Plain(lambda x, y: x + 1), (0.0, 0.0), (1.0, 0.0))
    assert found.matrix("raw") == [[None, pytest.approx(1)], [pytest.approx(0), None]]
    assert found.verdict.status == "pass"
    assert "A and B share one basin." in found.verdict.summary


def test_sharing_a_basin_need_not_go_over_from_pair_to_pair() -> None:
    """Along either axis the loss is flat; between the axes' ends a ridge of 1/16 stands."""
    found = of(Plain(lambda x, y: (x * y) ** 2 + 0.1), (1.0, 0.0), (0.0, 0.0), (0.0, 1.0))
    assert found.straight.groups == ((0, 1, 2),)
    assert found.straight.through == ((0, 2),)
    assert found.pair(2, 0).ways["raw"].wall.value == pytest.approx(1 / 16)
    assert found.verdict.status == "warn"
    assert "A wall stands between A–C all the same." in found.verdict.summary


def test_what_the_samples_do_not_tell_is_said() -> None:
    """A ridge of about the bar, under noise as large as itself."""
    system = Plain(lambda x, y: 1 + 0.06 * (1 - x**2), noise=3.0)
    found = of(system, (-1.0, 0.0), (1.0, 0.0))
    assert found.straight.unknown == ((0, 1),)
    assert found.verdict.status == "inconclusive"
    assert "of A and B none is known to share a basin." in found.verdict.summary
    assert "Not known: A–B; more --samples would tell." in found.verdict.summary


def test_a_loss_that_is_not_finite_leaves_a_pair_open() -> None:
    found = of(Plain(lambda x, y: 1 / (x - x) if abs(x) < 0.1 else x * 0 + 1), (-1.0, 0.0), (1.0, 0.0))
    assert found.straight.unknown == ((0, 1),)
    assert found.matrix("raw")[0][1] is None
    assert found.straight.lost == ((0, 1),)
    assert "--samples" not in found.verdict.summary
    assert "Not known: A–B, since a loss on the way is not finite." in found.verdict.summary
    assert "not finite on the target task" in found.warnings[0]
    assert "not finite" in text(found)
    assert json.loads(render(found))["escape"]["raw"][0][1] is None
    assert html(found)


def test_each_checkpoint_is_measured_once() -> None:
    system = Plain(wells)
    places = [(-1.0, 0.0), (-1.0, 5.0), (1.0, 0.0), (1.0, 5.0)]
    found = of(system, *places, points=5)
    assert found.evaluations == 4 + 6 * 3
    # Beside that, the losses are taken twice to see that they repeat themselves.
    assert all(system.asked.count(place) <= 4 for place in places)
    assert sum(system.asked.count(place) for place in places[1:]) == 3


# --- Beside landscapes of two -------------------------------------------------------------------------------


def nets(count: int) -> list[nn.Sequential]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)))
    return made


def subject(net: nn.Sequential, name: str, batch: Any = (X, Y)) -> Subject:
    return from_module(net, squared, batch, name=name, units=units_of(net, "model/"))


def test_heights_are_those_of_each_two_alone() -> None:
    made = [subject(net, name) for net, name in zip(nets(3), "abc", strict=True)]
    found = diag.landscape_pairs(made, points=9)
    assert found.ways == ("raw", "aligned", "nearest")
    for i, j in ((0, 1), (0, 2), (1, 2), (1, 0)):
        alone = diag.landscape(made[i], made[j], quick=True, points=9, beyond=0)
        for way in found.ways if i < j else ("raw",):
            one, other = alone.routes[way].barrier["escape"], found.height(way, i, j)
            assert other is not None
            for end in ("value", "low", "high", "bias"):
                assert getattr(other, end) == pytest.approx(getattr(one, end), rel=1e-4, abs=1e-6)


def test_copies_with_their_units_exchanged_share_a_basin_once_matched() -> None:
    first = nets(1)[0]
    units, batch = units_of(first), (X, first(X).detach())  # which all three fit
    second, third = nets(2)[1], nets(3)[2]
    for seed, net in enumerate((second, third)):
        net.load_state_dict(apply(units, first.state_dict(), random_symmetry(units, seed + 1)))
    made = [subject(n, c, batch) for n, c in zip((first, second, third), "abc", strict=True)]
    found = diag.landscape_pairs(made)
    assert found.straight.groups == ((0,), (1,), (2,))
    assert found.matched is not None
    assert found.matched.groups == ((0, 1, 2),)
    assert found.verdict.status == "pass"
    assert "no two share a basin" in found.verdict.summary
    assert "Once hidden units are matched: all share one basin." in found.verdict.summary


def test_a_way_that_is_the_straight_line_is_so_too_when_read_back(tmp_path: Path) -> None:
    found = diag.landscape_pairs([subject(net, c) for net, c in zip(nets(2), "ab", strict=True)], points=5)
    (pair,) = found.pairs
    same = replace(found, pairs=(replace(pair, ways={**pair.ways, "nearest": pair.ways["raw"]}),))
    (tmp_path / "pairs.json").write_text(render(same))
    back = load(tmp_path / "pairs.json")
    assert back.pairs[0].is_straight("nearest")
    assert not back.pairs[0].is_straight("aligned")
    assert text(back, True) == text(same, True)
    assert html(back) == html(same)


# --- The page ---


def test_the_page_names_its_files_and_says_what_to_do_next() -> None:
    found = of(Plain(wells), (-1.0, 0.0), (-1.0, 5.0), (1.0, 0.0))
    files = [
        FileRef(f"runs/{n}.safetensors", "", "transfer (x), y task, seed 0, 5 updates")
        for n in ("a", "b", "c")
    ]
    made = page(replace(found, checkpoints=tuple(files)))
    assert (made.kind, made.title) == ("landscape", "Walls between a, b and c")
    assert [(key.name, key.value) for key in made.keys][:2] == [
        ("checkpoints", "3"),
        ("basins on straight lines", "2"),
    ]
    assert "highest wall" in [key.name for key in made.keys]
    assert made.sections[0].figure is not None
    assert made.sections[1].table is not None
    assert made.sections[-1].title == "What to do next"
    assert made.sections[-1].commands[0].startswith("diag landscape runs/")
    plain = [replace(one, label="Sequential of 20 numbers") for one in files]
    assert not page(replace(found, checkpoints=tuple(plain))).sections[-1].commands


# --- Groups -------------------------------------------------------------------------------------------------


def test_groups_are_what_ways_without_a_wall_join() -> None:
    found = grouped(5, [(0, 3, "none"), (1, 4, "none"), (3, 4, "none"), (0, 2, "wall"), (0, 1, "open")])
    assert found.groups == ((0, 1, 3, 4), (2,))
    assert found.unknown == ((0, 1),)


def test_who_is_known_to_stand_alone_and_who_is_not_are_told_apart() -> None:
    found = grouped(4, [(0, 1, "open"), (0, 2, "wall"), (1, 2, "wall"), *((i, 3, "wall") for i in range(3))])
    words = in_words("ABCD", found, "on the straight lines")
    assert words.startswith(
        "On the straight lines: C and D stand alone; of A and B none is known to share a basin."
    )
    found = grouped(3, [(0, 1, "none"), (0, 2, "open"), (1, 2, "wall")])
    assert in_words("ABC", found, "here").startswith(
        "Here: A and B share a basin; C is not known to share a basin."
    )


def test_the_straight_lines_alone_are_grouped_by_themselves() -> None:
    found = of(Plain(wells), (-1.0, 0.0), (1.0, 0.0))
    assert by_straight_lines(2, found.pairs) == found.straight
    assert found.matched is None
    assert "Hidden units were not matched" in found.verdict.summary


# --- Refusals -----------------------------------------------------------------------------------------------


def test_numbers_of_checkpoints_are_bounded() -> None:
    with pytest.raises(LandscapeError, match="found 1 checkpoints, expected 2 to 26"):
        diag.landscape_pairs([MIRRORED])
    with pytest.raises(LandscapeError, match="found 27 checkpoints"):
        diag.landscape_pairs([MIRRORED] * 27)


def test_one_file_twice_and_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match=r"mirrored.safetensors itself; expected diff"):
        diag.landscape_pairs([MIRRORED, MATCHED, MIRRORED])
    np.save(tmp_path / "x.npy", np.zeros((40, 2)))
    with pytest.raises(SubjectError, match="found no parameters; expected a checkpoint"):
        diag.landscape_pairs([MIRRORED, MATCHED, tmp_path / "x.npy"])


def test_checkpoints_of_two_tasks_are_taken_on_the_target_task_with_a_warning() -> None:
    found = diag.landscape_pairs([MIRRORED, MATCHED, BASE], points=3, samples=124)
    assert found.task == "target"
    assert any(words.startswith("C was trained on another task than") for words in found.warnings)
    asked = diag.landscape_pairs([MIRRORED, MATCHED, BASE], points=3, samples=124, task="source")
    assert asked.task == "source"
    assert not any("another task" in words for words in asked.warnings)


# --- The command --------------------------------------------------------------------------------------------


def test_the_command_takes_pairs_from_three_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, tree = tmp_path / "page.html", tmp_path / "tree.json"
    options = ["--points", "5", "--samples", "124", f"--html={page}", f"--json={tree}"]
    status, out, _ = run(capsys, "landscape", MIRRORED, MATCHED, BASE, *options)
    assert status == 0
    assert "escape height, straight, between the weights" in out
    assert "A–B   straight" in out
    found = json.loads(tree.read_text())
    assert found["diagnosis"] == "landscape_pairs"
    assert [one["name"] for one in found["checkpoints"]] == ["A", "B", "C"]
    assert [(p["first"], p["second"]) for p in found["pairs"]] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert found["straight"]["groups"]
    words = page.read_text()
    for row in found["escape"]["raw"]:
        for height in row:
            assert height is None or f"{height:.2f}" in words
    assert "<h1>Walls between " in words
    assert "pairs parted by a wall" in words
    assert "What to do next" in words


def test_two_can_be_asked_for_as_a_pair(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["landscape", MIRRORED, MATCHED, "--all-pairs", "--points", "3", "--samples", "124"]
    assert "from the higher end of each pair" in run(capsys, *asked)[1]


@pytest.mark.parametrize(
    "option", [["--third", BASE], ["--random-plane"], ["--trail", "x*"], ["--base", BASE]]
)
def test_what_two_alone_have_is_refused_of_pairs(
    capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    status, _, err = run(capsys, "landscape", MIRRORED, MATCHED, BASE, *option)
    assert status == 2
    assert f"{option[0]}: found 3 checkpoints to take in pairs" in err
