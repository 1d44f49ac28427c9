"""The parts of a landscape: the moving space, curves, planes, what moves, and how terms pull."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import diag
from diag.landscapes import LandscapeError, curve, moves, plane, sheets
from diag.landscapes.evaluate import Data, on_route, take
from diag.landscapes.heights import HEIGHTS, Draws, barrier
from diag.landscapes.space import Bezier, Space, Straight, Through
from diag.landscapes.system import natural, spaced
from diag.subject import Parameters, Sampled, SubjectError


class Bowl:
    """Two parameters in one component, two terms: |w − p|² for two places p; an actor that returns w₀."""

    name = "bowl"
    terms: Mapping[str, float] = {"one": 1.0, "two": 0.5}
    constants: Mapping[str, Any] = {}
    places: Mapping[str, Tensor] = {"one": torch.tensor([0.0, 0.0]), "two": torch.tensor([4.0, 0.0])}

    def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
        w = parameters["m/w"]
        return {n: (w - p).square().sum() + 0 * batch for n, p in self.places.items()}

    def returns(self, parameters: Parameters, task: str, episodes: int, seed: int) -> Any:
        return float(parameters["m/w"][0]) + np.random.default_rng(seed).normal(size=episodes)


BOWL = Bowl()
SPACE = Space({"m/w": (2,)}, {})
DATA = Data.of(Sampled(torch.zeros(40), np.arange(40)), 0)


def test_the_space_packs_what_moves_and_keeps_what_does_not() -> None:
    parameters = {"a/w": torch.arange(6.0).reshape(2, 3), "b/w": torch.ones(2), "a/b": torch.zeros(2)}
    space = Space.of(parameters, ["a/w", "a/b"])
    vector = space.pack(parameters)
    assert space.size == len(vector) == 8
    back = space.one(vector + 1)
    assert torch.equal(back["a/w"], parameters["a/w"] + 1)
    assert back["b/w"] is parameters["b/w"]
    many = space.many(torch.stack([vector, vector + 1]))
    assert torch.equal(many["a/w"][1], back["a/w"])
    assert many["b/w"].shape == (2, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ways_are_exact_at_their_ends(dtype: torch.dtype) -> None:
    """a + t·(b − a) is not b at t = 1 in floating point."""
    a, b, c = (torch.randn(1000, generator=torch.Generator().manual_seed(i), dtype=dtype) for i in range(3))
    ends = torch.tensor([0.0, 1.0])
    for path in (Straight(a, b), Bezier(a, c, b)):
        found = path(ends)
        assert torch.equal(found[0], a)
        assert torch.equal(found[1], b)
    corners = Through(a, b, c)(torch.tensor([[0.0, 0], [1, 0], [0, 1]]))
    assert all(torch.equal(row, end) for row, end in zip(corners, (a, b, c), strict=True))


def test_t_goes_on_beyond_both_ends_at_the_same_step() -> None:
    assert spaced(5, 0.3).tolist() == [-0.25, 0, 0.25, 0.5, 0.75, 1, 1.25]
    assert spaced(3, 0).tolist() == [0, 0.5, 1]
    assert {0.0, 1.0} <= set(spaced(51, 0.2).tolist())


def test_chunks_change_nothing() -> None:
    """Points taken one by one and several at once are the same, and per-sample losses are kept if asked."""
    evaluate = on_route(BOWL, SPACE, Straight(torch.zeros(2), torch.tensor([4.0, 2.0])), DATA.batch)
    t = np.linspace(0, 1, 21)
    found = take(evaluate, t, DATA, keep=True)
    for name, place in Bowl.places.items():
        there = np.stack([4 * t, 2 * t], 1)
        expected = ((there - place.numpy()) ** 2).sum(1)
        assert found.means[name] == pytest.approx(expected, rel=1e-5)
        assert found.per_sample is not None
        assert found.per_sample[name].shape == (21, 40)
        assert found.sums[name].sum(1) == pytest.approx(40 * expected, rel=1e-5)


def test_heights_leave_out_what_lies_beyond_the_ends() -> None:
    t = spaced(5, 0.5)
    total = np.where((t < 0) | (t > 1), 100.0, 1 - np.abs(2 * t - 1))
    draws = Draws({"total": np.tile(total, (9, 1))}, {"total": np.tile(total, (1, 2, 9, 1))}, 9)
    found = barrier(t, {"total": total}, draws)
    assert found["escape"].value == 1
    assert found["escape"].at == 0.5


@pytest.mark.parametrize(
    ("wall", "noise", "n", "fall"),
    [
        (0.5, 0.5, 40, 0.2),
        pytest.param(0.0, 0.5, 40, 0.2, marks=pytest.mark.long),
        pytest.param(0.5, 0.0, 40, 0.2, marks=pytest.mark.long),
        pytest.param(0.5, 0.1, 200, 0.2, marks=pytest.mark.long),
        pytest.param(0.1, 0.5, 200, 0.2, marks=pytest.mark.long),
        pytest.param(0.0, 0.5, 40, 0.0, marks=pytest.mark.long),
    ],
)
def test_intervals_of_a_height_cover_it(wall: float, noise: float, n: int, fall: float) -> None:
    """Samples whose losses share a level and a slope, with noise of their own at every point.

    Without noise nothing is biased; with it the highest of 51 points is, by up to a third of what is
    measured here, and intervals about the plain supremum held the truth 64 to 80% of the time.
    """
    rng = np.random.default_rng(5)
    t = np.linspace(0, 1, 51)
    truth = wall * np.sin(np.pi * t) - fall * t
    heights = {kind: float(above(truth, t).max()) for kind, above in HEIGHTS.items()}
    held, runs = dict.fromkeys(HEIGHTS, 0), 80
    for run in range(runs):
        level, slope = rng.normal(size=(2, n, 1))
        losses = 1 + truth + 0.3 * level + 0.3 * slope * np.sin(np.pi * t) + noise * rng.normal(size=(n, 51))
        data = Data.of(Sampled(torch.zeros(n), np.arange(n)), run)
        sums = {"loss": data.groups.sums(losses).T}
        for kind, found in barrier(t, {"total": losses.mean(0)}, data.draws(sums, {"loss": 1.0})).items():
            assert found.low is not None
            assert found.high is not None
            held[kind] += found.low <= heights[kind] + 1e-12 <= found.high + 2e-12
    assert min(held.values()) >= 0.9 * runs


def test_a_curve_goes_round_a_hill_that_the_line_goes_over() -> None:
    """A hill of height 1 on the way from (−1, 0) to (1, 0): past it at a distance the loss is near 0."""

    def losses(w: Tensor) -> Tensor:
        return torch.exp(-4 * w.square().sum(1)) + 0.001 * w.square().sum(1)

    a, b = torch.tensor([-1.5, 0.0]), torch.tensor([1.5, 0.05])
    t = torch.linspace(0, 1, 101)
    over = float(losses(Straight(a, b)(t)).max())
    way = curve.bent(losses, a, b)
    assert over == pytest.approx(1.0, abs=0.01)
    assert float(losses(way(t)).max()) < 0.1
    assert torch.equal(way(torch.tensor([0.0, 1.0])), torch.stack([a, b]))


def test_a_curve_trained_on_parts_of_the_samples_goes_round_as_well() -> None:
    def hill(tilt: float) -> Callable[[Tensor], Tensor]:
        return lambda w: torch.exp(-4 * w.square().sum(1)) + 0.001 * w.square().sum(1) + tilt * w[:, 1]

    a, b = torch.tensor([-1.5, 0.0]), torch.tensor([1.5, 0.05])
    asked: list[float] = []

    def part(tilt: float) -> Callable[[Tensor], Tensor]:
        return lambda w: (asked.append(tilt), hill(tilt)(w))[1]

    way = curve.bent(hill(0.0), a, b, parts=[part(0.02), part(-0.02)])
    assert float(hill(0.0)(way(torch.linspace(0, 1, 101))).max()) < 0.1
    assert asked == [0.02, -0.02] * (curve.STEPS // 2)


def test_a_line_without_a_wall_is_the_curve_and_nothing_is_trained() -> None:
    """From high up down to a minimum: no way's highest point can be lower than its start."""
    asked: list[int] = []

    def bowl(w: Tensor) -> Tensor:
        asked.append(len(w))
        return w.square().sum(1)

    a, b, told = torch.tensor([3.0, 1.0]), torch.zeros(2), list[int]()
    way = curve.bent(bowl, a, b, progress=told.append)
    assert torch.equal(way.control, (a + b) / 2)
    assert told == [curve.STEPS]
    assert sum(asked) < 4 * curve.POINTS + 2


def test_a_curve_is_never_worse_than_the_line() -> None:
    def ridge(w: Tensor) -> Tensor:
        return 1 - w[:, 0].square() / 4 + 50 * w[:, 1].square()

    a, b = torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 0.0])
    way = curve.bent(ridge, a, b, steps=20)
    assert float(ridge(way(torch.linspace(0, 1, 65))).max()) <= 1 + 1e-6


def test_a_curve_between_equal_ends_is_a_point() -> None:
    a = torch.ones(3)
    assert torch.equal(curve.bent(lambda w: w.sum(1), a, a).control, a)


def test_gradients_of_terms_pull_as_they_must() -> None:
    """From one bowl's bottom to the other's: against each other all the way, and one against moving on."""
    a, b = Bowl.places["one"], Bowl.places["two"]
    found = moves.conflict_along(BOWL, SPACE, Straight(a, b), DATA.batch)
    ((pair, cosine),) = found.cosine.items()
    assert pair == ("one", "two")
    assert np.isnan(cosine[[0, -1]]).all()
    assert cosine[1:-1] == pytest.approx(-1)
    assert found.slope["one"] == pytest.approx(2 * 16 * found.t)
    assert found.slope["two"] == pytest.approx(-0.5 * 2 * 16 * (1 - found.t), abs=1e-5)


def test_returns_along_the_way_have_intervals() -> None:
    found = moves.returns_along(BOWL, SPACE, Straight(torch.zeros(2), torch.tensor([4.0, 0.0])), "target", 0)
    assert found.value[-1] - found.value[0] == pytest.approx(4)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()


def sheet(steps: int = 7) -> sheets.Sheet:
    a, b = torch.zeros(2), torch.tensor([4.0, 0.0])
    return sheets.through_three(a, b, torch.tensor([0.0, 2.0]), None, steps)  # type: ignore[arg-type]


def store(folder: Path) -> plane.Store:
    return plane.Store(folder, sheet(), {})


def test_a_plane_is_what_a_formula_says() -> None:
    found = plane.losses_on(sheet(), BOWL, SPACE, {"target": DATA})
    alpha, beta = np.meshgrid(found.alpha, found.beta)
    expected = (4 * alpha) ** 2 + (2 * beta) ** 2
    assert found.losses["target"]["one"] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert found.angle == pytest.approx(90)
    assert found.lengths == (4, 2)


def test_a_plane_stopped_midway_goes_on_and_is_the_same(tmp_path: Path) -> None:
    rows: list[int] = []

    def stop(cells: int) -> None:
        rows.append(cells)
        if len(rows) == 3:
            raise KeyboardInterrupt

    whole = plane.losses_on(sheet(), BOWL, SPACE, {"target": DATA})
    folder = tmp_path / "rows"
    with pytest.raises(KeyboardInterrupt):
        plane.losses_on(sheet(), BOWL, SPACE, {"target": DATA}, store=store(folder), progress=stop)
    assert len(list(folder.glob("row-*.npz"))) == 3
    (folder / "row-0001.npz").write_bytes(b"torn")
    (folder / "row-0002.npz").write_bytes(b"")
    (folder / "row-two.npz").write_bytes(b"")
    taken: list[float] = []

    class Counting(Bowl):
        def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
            taken.append(float(parameters["m/w"][1]))
            return super().losses(parameters, batch)

    again = plane.losses_on(sheet(), Counting(), SPACE, {"target": DATA}, store=store(folder))
    assert len(taken) == 6 * 7
    np.testing.assert_array_equal(again.losses["target"]["total"], whole.losses["target"]["total"])


def test_rows_of_another_plane_are_refused(tmp_path: Path) -> None:
    plane.losses_on(sheet(), BOWL, SPACE, {"target": DATA}, store=store(tmp_path / "rows"))
    for other, about in ((sheet(9), {}), (sheet(), {"weights": {"one": 2.0}})):
        with pytest.raises(LandscapeError, match="rows of another plane"):
            plane.Store(tmp_path / "rows", other, about)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(LandscapeError, match="other files"):
        store(tmp_path / "other")


def test_rows_over_processes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Telling(Bowl):
        terms: Mapping[str, float] = {"one": 1.0, "two": 0.5, "process": 0.0}

        def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
            found = super().losses(parameters, batch)
            return {**found, "process": 0 * batch.double() + os.getpid()}

    alone = plane.losses_on(sheet(), BOWL, SPACE, {"target": DATA})
    monkeypatch.setattr(plane, "WORTH_PROCESSES", 0.0)
    found = plane.losses_on(sheet(), Telling(), SPACE, {"target": DATA}, jobs=2)
    processes = set(found.losses["target"]["process"].flatten().tolist())
    assert os.getpid() in processes
    assert len(processes) > 1  # on a busy machine one of the two others may take all the rows
    np.testing.assert_array_equal(found.losses["target"]["total"], alone.losses["target"]["total"])


def test_random_directions_have_the_filters_norms_and_leave_biases() -> None:
    """Filter normalisation of Li et al.: by filter for convolutions, by row for dense layers."""
    shapes = {"c/w": (4, 3, 2, 2), "d/w": (5, 7), "d/b": (5,)}
    space = Space(shapes, {})
    at = torch.randn(space.size, generator=torch.Generator().manual_seed(0))
    direction = space.one(sheets.random_direction(space, at, [0]))
    weights = space.one(at)
    for name in ("c/w", "d/w"):
        own, drawn = (t[name].flatten(1).norm(dim=1) for t in (weights, direction))
        assert torch.allclose(own, drawn, rtol=1e-5)
        assert not torch.allclose(direction[name], weights[name])
    assert (direction["d/b"] == 0).all()


def test_the_plane_of_a_trail_holds_what_lies_in_it() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 50, generator=generator)
    places = [(5.0, 0.0), (3.0, 2.0), (1.0, 1.5), (0.5, 0.2), (0.0, 0.0)]
    trail = torch.stack([x * u + y * v for x, y in places])
    off = torch.randn(50, generator=generator)
    found = sheets.along_trail(trail, (), {"A": trail[0] + 3 * off})
    vectors = found.vectors
    for mark, vector in zip(found.marks[:5], trail, strict=True):
        there = vectors(torch.tensor([[mark.alpha, mark.beta]]))[0]
        assert torch.allclose(there, vector, atol=1e-4)
        assert mark.off == pytest.approx(0, abs=1e-2)
    assert found.explained is not None
    assert sum(found.explained) == pytest.approx(1)
    assert found.marks[5].off > 1
    line = torch.stack([x * u for x in (3.0, 2.0, 0.0)])
    with pytest.raises(LandscapeError, match="a point or a line"):
        sheets.along_trail(line, (), {})


def test_steps_of_a_trail_sort_by_number() -> None:
    names = ["seed0.step1000.safetensors", "seed0.step200.safetensors", "seed0.safetensors"]
    assert sorted(names, key=natural)[:2] == ["seed0.safetensors", "seed0.step200.safetensors"]


def test_moving_some_components_holds_the_others(examples: Path) -> None:
    ends = examples / "base.safetensors", examples / "matched.safetensors"
    found = diag.landscape(*ends, points=3, beyond=0, quick=True)
    assert found.moved == ("encoder",)
    assert found.pinned == ("transition: equal in all checkpoints",)
    everything = diag.landscape(*ends, points=3, beyond=0, quick=True, move=["all"])
    assert everything.moved == ("encoder", "transition")
    assert everything.distance == found.distance
    still = diag.landscape(*ends, points=3, beyond=0, quick=True, move=["transition"])
    total = still.routes["raw"].losses["total"]
    assert total.tolist() == [total[0]] * 3
    assert "held at A's values" in still.pinned[0]
    with pytest.raises(LandscapeError, match="no component 'encdoer' to move"):
        diag.landscape(*ends, quick=True, move=["encdoer"])


def test_a_trail_must_be_checkpoints_of_the_system(examples: Path, tmp_path: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    with pytest.raises(LandscapeError, match="matches 0 files"):
        diag.landscape(*ends, quick=True, trail=str(tmp_path / "*.safetensors"))
    np.save(tmp_path / "a.npy", np.zeros((31, 2)))
    with pytest.raises(SubjectError, match="no parameters"):
        diag.landscape(*ends, quick=True, trail=[ends[0], ends[1], tmp_path / "a.npy"])


def test_a_device_that_is_not_there(examples: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    with pytest.raises(LandscapeError, match="device is 'cuda:77'"):
        diag.landscape(*ends, quick=True, device="cuda:77")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_landscape_on_cuda_is_that_on_the_cpu(examples: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    cpu, cuda = (diag.landscape(*ends, points=11, curve_steps=20, device=d) for d in ("cpu", "cuda"))
    for name, there in cuda.routes["raw"].losses.items():
        assert there == pytest.approx(cpu.routes["raw"].losses[name], rel=1e-3, abs=1e-5)


def test_the_base_is_found_where_the_checkpoint_says(examples: Path, tmp_path: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    given = diag.landscape(*ends, points=3, beyond=0, quick=True, base=examples / "base.safetensors")
    moved = given.tasks["target"].moves
    assert moved is not None
    assert moved.reference == f"the base's, {examples / 'base.safetensors'}"
    assert moved.r2["identity"][-1] > 0.9 > moved.r2["identity"][0]
    copies = [tmp_path / end.name for end in ends]
    for end, copy in zip(ends, copies, strict=True):
        copy.write_bytes(end.read_bytes())
    before = Path.cwd()
    os.chdir(tmp_path)  # where the relative path to the base leads nowhere
    try:
        found = diag.landscape(*copies, points=3, beyond=0, quick=True).tasks["target"].moves
    finally:
        os.chdir(before)
    assert found is not None
    assert found.reference == f"B's, {copies[1]}"
