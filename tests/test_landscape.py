"""landscape: closed forms with known walls, exact ends, and the peers' defects as regressions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import diag
from diag.landscapes.result import Landscape
from diag.outputs.json import render
from diag.outputs.lines import WIDTH
from diag.outputs.registry import html, text
from diag.sources.systems import crar
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError
from tests.conftest import EXAMPLES, short, train
from tests.landscapes import SHORT_WAY
from trainers import checkpoint as files


@pytest.fixture(autouse=True)
def _short_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a training would go on to is judged by a few updates here: its own tests are elsewhere."""
    monkeypatch.setattr(crar, "WAY", SHORT_WAY)


class Toy:
    """One parameter w and the loss f(w)·(1 + noise of the sample): walls by design."""

    name = "toy"

    def __init__(self, losses: Mapping[str, Any], noise: float = 0.0) -> None:
        self._losses, self._noise = losses, noise
        self.terms = dict.fromkeys(losses, 1.0)
        self.constants: dict[str, Any] = {}

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return observations * parameters["m/w"]

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        w = parameters["m/w"].double()
        return {name: f(w) * (1 + self._noise * batch) for name, f in self._losses.items()}

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: Any) -> dict[str, Tensor]:
        return self.losses(parameters, batch)

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        return Pairs({"target": torch.arange(10.0)[:, None]}, np.arange(10))

    def batch(self, task: str, n: int, seed: int) -> Sampled:
        return Sampled(torch.from_numpy(np.random.default_rng(seed).normal(size=n)), np.arange(n))

    def variables(self) -> dict[str, Any]:
        return {}


def toy(w: float, system: Toy) -> Subject:
    return Subject(
        path=f"w={w}",
        sha256=str(w),
        task="target",
        parameters={"m/w": torch.tensor([w])},
        encoder=system,
        objective=system,
        tasks=system,
    )


def between(a: float, b: float, noise: float = 0.0, **losses: Any) -> Any:
    system = Toy(losses, noise)
    return diag.landscape(toy(a, system), toy(b, system), samples=200, quick=True)


def test_a_double_well_has_its_known_wall() -> None:
    """(w² − 1)² has minima 0 at ±1 and a wall of exactly 1 at 0."""
    found = between(-1.0, 1.0, well=lambda w: (w**2 - 1) ** 2)
    for height in found.barrier.values():
        assert height.value == pytest.approx(1.0)
        assert height.at == pytest.approx(0.5)
    assert found.verdict.status == "warn"
    assert found.verdict.summary.startswith("A wall of 1 [1, 1]")


def test_a_downhill_path_has_a_frankle_barrier_and_escape_zero() -> None:
    found = between(0.0, 1.0, slope=lambda w: 2 - w)
    assert found.barrier["escape"].value == 0
    assert found.barrier["frankle"].value == pytest.approx(0.5)
    assert found.barrier["entezari"].value == pytest.approx(0, abs=1e-6)
    assert found.verdict.status == "pass"


def test_an_uphill_path_is_no_wall() -> None:
    found = between(0.0, 1.0, slope=lambda w: 1 + w)
    assert found.barrier["escape"].value == pytest.approx(1)
    assert found.verdict.summary.startswith("Uphill")


def test_heights_per_term() -> None:
    found = between(-1.0, 1.0, well=lambda w: (w**2 - 1) ** 2, flat=lambda w: 0 * w + 3)
    assert found.barrier["escape"].per_loss["well"].value == pytest.approx(1)
    assert found.barrier["escape"].per_loss["flat"].value == pytest.approx(0)
    assert "'well' rises most" in found.verdict.summary


def test_the_term_that_rises_most_is_weighed() -> None:
    """A hundredth of the other's height, and ten thousand times its weight."""

    def well(w: Tensor) -> Tensor:
        return (w**2 - 1) ** 2

    system = Toy({"large": well, "small": lambda w: well(w) / 100})
    system.terms = {"large": 1.0, "small": 1e4}
    found = diag.landscape(toy(-1.0, system), toy(1.0, system), samples=200, quick=True)
    assert found.barrier["escape"].value == pytest.approx(101)
    assert "'small' rises most" in found.verdict.summary


def test_the_slice_begins_and_ends_exactly_at_the_checkpoints(examples: Path) -> None:
    a, b = (diag.open_subject(examples / f"{n}.safetensors") for n in ("mirrored", "matched"))
    found = diag.landscape(a, b, points=5, beyond=0.25, quick=True, per_sample=True)
    assert found.routes["raw"].t.tolist() == [-0.25, 0, 0.25, 0.5, 0.75, 1, 1.25]
    for task in found.tasks:
        taken = found.tasks[task].raw
        assert taken.per_sample is not None
        for subject, index in ((a, 1), (b, -2)):
            assert subject.objective is not None
            assert subject.tasks is not None
            assert subject.parameters is not None
            batch = subject.tasks.batch(task, found.samples, found.seed).batch
            direct = subject.objective.losses(subject.parameters, batch)
            for term, values in direct.items():
                assert (taken.per_sample[term][index] == values.double().numpy()).all()
                assert taken.losses[term][index] == values.double().numpy().mean()


def test_parameters_are_computed_afresh_and_models_stay_as_they_were(examples: Path) -> None:
    """Peers accumulate steps and leave the caller's model changed."""
    a, b = (diag.open_subject(examples / f"{n}.safetensors") for n in ("mirrored", "matched"))
    assert a.parameters is not None
    before = files.identity_of(a.parameters)
    coarse, fine = (diag.landscape(a, b, points=points, beyond=0, quick=True) for points in (3, 51))
    assert files.identity_of(a.parameters) == before
    middle = coarse.routes["raw"].losses["total"][1]
    assert middle == pytest.approx(fine.routes["raw"].losses["total"][25], rel=1e-6)


def test_the_total_is_the_weighted_sum_of_the_terms(examples: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    found = diag.landscape(*ends, points=7, quick=True)
    taken = found.tasks["source"].raw.losses
    total = sum(weight * taken[term] for term, weight in found.weights.items())
    np.testing.assert_allclose(taken["total"], total)
    assert found.weights["entropy_successive"] == pytest.approx(0.2)


def test_a_plane_holds_the_three_checkpoints_and_the_slice(examples: Path) -> None:
    names = ("mirrored", "matched", "base")
    a, b, c = (examples / f"{n}.safetensors" for n in names)
    found = diag.landscape(a, b, third=c, points=5, steps=13, beyond=0, quick=True)
    (plane,) = found.planes
    zero, one = (int(np.flatnonzero(plane.alpha == v)[0]) for v in (0.0, 1.0))
    total = plane.losses["target"]["total"]
    line = found.routes["raw"].losses["total"]
    assert total[zero, zero] == pytest.approx(line[0], rel=1e-5)
    assert total[zero, one] == pytest.approx(line[-1], rel=1e-5)
    ends = diag.landscape(a, c, points=3, beyond=0, quick=True).tasks["target"].raw.losses["total"]
    assert total[one, zero] == pytest.approx(ends[-1], rel=1e-5)


@pytest.mark.long
def test_equal_seeds_give_equal_results(examples: Path) -> None:
    a, b = examples / "mirrored.safetensors", examples / "matched.safetensors"
    once, again = (diag.landscape(a, b, points=5, curve_steps=5) for _ in range(2))
    assert render(once) == render(again)


def test_a_wall_stands_between_the_examples(examples: Path) -> None:
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    found = diag.landscape(*ends, quick=True)
    assert found.task == "target"
    escape = found.barrier["escape"]
    assert escape.low is not None
    assert escape.low > 0
    assert 0 < (escape.at or 0) < 1


def test_losses_that_are_not_finite_are_kept_counted_and_drawn_as_gaps() -> None:
    found = between(-1.0, 1.0, pole=lambda w: 1 / w.clamp(min=0) if w < 0.1 else 1 / w)
    tree = json.loads(render(found))
    assert None in tree["slice"]["losses"]["total"]
    assert "points have a loss that is not finite" in found.warnings[0]
    assert found.verdict.status == "inconclusive"
    assert "not finite" in text(found)
    assert "not finite" in html(found)


def test_noise_is_in_the_interval_and_the_supremums_bias_is_taken_out() -> None:
    """A flat path of independent noise has no wall, though its largest point is above its first.

    The noise of a point is drawn from the point itself: other at every point, and the same each time.
    """
    system = Toy({"flat": lambda w: 0 * w + 1.0}, 0.5)

    class Independent(Toy):
        def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
            place = abs(float(next(iter(parameters.values())).sum()))
            rng = np.random.default_rng(int(place * 1e9))
            return {"flat": torch.from_numpy(1 + 0.5 * rng.normal(size=len(batch)))}

    noisy = Independent(system._losses)
    found = diag.landscape(toy(0.0, noisy), toy(1.0, noisy), samples=400, quick=True)
    assert found.verdict.status == "inconclusive"
    escape = found.barrier["escape"]
    assert escape.low is not None
    assert escape.value is not None
    assert escape.low < escape.value


def test_architectures_that_differ_are_named(trained: Path, tmp_path: Path) -> None:
    train(tmp_path, short("model.encoder=[200,100,50,8]"), (0,))
    with pytest.raises(SubjectError, match=r"encoder/3.weight of shape \(8, 50\)|encoder/3.bias of shape"):
        diag.landscape(trained / "base" / "seed0.safetensors", tmp_path / "seed0.safetensors")


def test_other_constants_of_a_loss_are_refused(trained: Path, tmp_path: Path) -> None:
    train(tmp_path, short("loss.entropy_scale=50"), (0,))
    with pytest.raises(SubjectError, match="other loss terms or constants"):
        diag.landscape(trained / "base" / "seed0.safetensors", tmp_path / "seed0.safetensors")


def test_arrays_have_no_losses(examples: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(31, 2)))
    with pytest.raises(SubjectError, match="no parameters; expected a checkpoint of diag train"):
        diag.landscape(examples / "base.safetensors", tmp_path / "a.npy")


def test_the_same_file_and_the_same_weights(examples: Path, tmp_path: Path) -> None:
    base = examples / "base.safetensors"
    with pytest.raises(SubjectError, match="different files"):
        diag.landscape(base, base)
    shutil.copy(base, tmp_path / "copy.safetensors")
    found = diag.landscape(base, tmp_path / "copy.safetensors", points=3, quick=True)
    assert "nothing lies between them" in found.warnings[0]
    assert found.barrier["escape"].value == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": 2}, "points is 2"),
        ({"samples": 123}, "samples is 123"),
        ({"task": "sauce"}, "task is 'sauce'"),
    ],
)
def test_numbers_that_make_no_sense(examples: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        diag.landscape(examples / "mirrored.safetensors", examples / "matched.safetensors", **options)


@pytest.fixture(scope="module")
def taken() -> Landscape:
    """A landscape of the two example transfers, with short walks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crar, "WAY", SHORT_WAY)
        ends = (EXAMPLES / f"{name}.safetensors" for name in ("mirrored", "matched"))
        return diag.landscape(*ends, points=5, beyond=0, curve_steps=5)


def test_the_json_has_the_documented_shape(taken: Landscape) -> None:
    found = taken
    tree = json.loads(render(found))
    assert tree["slice"]["t"] == [0, 0.25, 0.5, 0.75, 1]
    assert set(tree["slice"]["losses"]) == {"total", *found.weights}
    for kind in ("escape", "frankle", "entezari"):
        assert {"value", "low", "high", "at", "bias", "per_loss"} == set(tree["barrier"][kind])
    assert set(tree["paths"]) == {"raw", "aligned", "nearest", "curve", "embedding"}
    assert tree["paths"]["raw"]["escape"] == tree["barrier"]["escape"]
    assert set(tree["sharpness"]) == {"A", "B"}
    assert set(tree["tasks"]) == {"source", "target"}


def test_the_text_fits(taken: Landscape) -> None:
    found = replace(taken, base=replace(taken.base, path="x" * 300))
    assert max(map(len, text(found, verbose=True).splitlines())) <= WIDTH


def test_how_far_the_weights_moved_stands_beside_the_plan() -> None:
    """The failed transfer has its base's models, which the plan froze, and an encoder of its own."""
    base, mirrored = EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors"
    for ends in ((mirrored, base), (base, mirrored)):  # whichever of the two was made from the other
        found = diag.landscape(*ends, points=3, beyond=0, quick=True)
        fate = {one.component: (one.kept, one.plan) for one in found.drift if one.layer is None}
        assert fate == {"encoder": (None, "copied, trained"), "transition": ("exactly", "frozen")}
        moved = next(one for one in found.drift if one.component == "encoder" and one.layer is None)
        assert moved.distance == pytest.approx(found.distance, rel=1e-6)
        assert [one["component"] for one in found.to_tree()["weights_moved"]] == [
            d.component for d in found.drift
        ]
        text = str(found)
        assert "weights of" in text
        assert "frozen" in text
        assert "How far the weights moved" in html(found)
