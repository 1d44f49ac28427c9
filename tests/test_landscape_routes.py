"""Is the wall real? Symmetric copies, curves, verdicts; and the defects of other packages as regressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import diag
from diag.landscapes.evaluate import Data, on_route, take
from diag.landscapes.plane import losses_on
from diag.landscapes.sheets import at_random
from diag.landscapes.space import Space, Straight
from diag.subject import Pairs, Parameters, Sampled, Subject
from diag.units.layers import Dense, chain
from diag.units.symmetry import apply, random_symmetry


class LinearNet:
    """y = w₂·w₁·x with one hidden unit, on x = 1, y = 1: the loss (w₂·w₁ − 1)², and its two mirror images."""

    name = "linear"
    terms: Mapping[str, float] = {"square": 1.0}
    constants: Mapping[str, Any] = {}
    units = chain([Dense("m/0", odd=True), Dense("m/1")], {"m/0.weight": (1, 1), "m/1.weight": (1, 1)})

    def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
        product = parameters["m/1.weight"] @ parameters["m/0.weight"]
        return {"square": (product[0, 0] * batch - batch).square()}

    def activations(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
        # Over inputs that differ, or the unit would be a constant.
        return {"m/0": torch.arange(1.0, 9.0)[:, None] @ parameters["m/0.weight"].T}

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        return Pairs({"target": torch.zeros(8, 1)}, np.arange(8))

    def batch(self, task: str, n: int, seed: int) -> Sampled:
        return Sampled(torch.ones(n), np.arange(n))

    def variables(self) -> dict[str, Any]:
        return {}


def linear(w1: float, w2: float, system: Any = None) -> Subject:
    system = system or LinearNet()
    return Subject(
        path=f"{w1}, {w2}",
        sha256=f"{w1}, {w2}",
        task="target",
        parameters={"m/0.weight": torch.tensor([[float(w1)]]), "m/1.weight": torch.tensor([[float(w2)]])},
        objective=system,
        tasks=system,
    )


def test_the_wall_between_a_linear_net_and_its_mirror_image_is_only_a_symmetry() -> None:
    """On the line (1 − 2t)·(1, 1) the loss is ((1 − 2t)² − 1)²: a wall of exactly 1 at t = ½."""
    found = diag.landscape(linear(1, 1), linear(-1, -1), samples=124, quick=True)
    escape = {way: route.barrier["escape"].value for way, route in found.routes.items()}
    assert escape == {"raw": pytest.approx(1), "aligned": 0, "nearest": 0}
    assert found.barrier["escape"].at == pytest.approx(0.5)
    assert found.routes["nearest"].length == 0
    assert found.verdict.status == "pass"
    assert "only a symmetry of the weights" in found.verdict.summary


def test_a_curve_leads_round_the_linear_nets_wall() -> None:
    """From (½, 2) to (2, ½) along the hyperbola w₁·w₂ = 1 there is no wall; the straight line has one."""
    found = diag.landscape(linear(0.5, 2), linear(2, 0.5), samples=124, points=21, curve_steps=200)
    line, bent = (found.routes[way].barrier["escape"].value for way in ("raw", "curve"))
    assert line == pytest.approx((1.25**2 - 1) ** 2)
    assert bent is not None
    assert bent < 0.01
    assert found.verdict.status == "warn"


def test_a_copy_that_computes_the_same_comes_out_at_height_zero(examples: Path) -> None:
    """All hidden units of the encoder shuffled, half of them negated: a real wall, and none at all."""
    base = diag.open_subject(examples / "matched.safetensors")
    objective: Any = base.objective
    assert base.parameters is not None
    units = tuple(u for u in objective.units if u.name.startswith("encoder"))
    copied = apply(units, base.parameters, random_symmetry(units, 1))
    copy = replace(base, path="copy", sha256="copy", parameters=copied)
    found = diag.landscape(base, copy, points=21, quick=True)
    start = found.routes["raw"].losses["total"]
    assert found.barrier["escape"].value > 0.3
    for way in ("aligned", "nearest"):
        route = found.routes[way]  # type: ignore[index]
        assert route.length == pytest.approx(0, abs=1e-4)
        for height in route.barrier.values():
            assert height.value == pytest.approx(0, abs=1e-6 * float(start.max()))
    assert found.verdict.status == "pass"


def test_units_described_wrongly_are_found_out() -> None:
    class Wrong(LinearNet):
        units = (replace(LinearNet.units[0], spots=LinearNet.units[0].spots[:1]),)

    found = diag.landscape(linear(1, 1, Wrong()), linear(-1, -1, Wrong()), samples=124, quick=True)
    assert set(found.routes) == {"raw"}
    assert "the description of its hidden units is wrong" in found.warnings[0]


def test_the_embeddings_line_is_straight_between_what_the_ends_see(examples: Path) -> None:
    """At its ends it has the losses of the checkpoints; its middle is that of the mean embedding."""
    a, b = (diag.open_subject(examples / f"{n}.safetensors") for n in ("mirrored", "matched"))
    found = diag.landscape(a, b, points=3, beyond=0, quick=True)
    ways = found.routes
    for term, values in ways["embedding"].losses.items():
        assert values[[0, 2]] == pytest.approx(ways["raw"].losses[term][[0, 2]], rel=1e-6)
    objective: Any = a.objective
    assert a.tasks is not None
    assert a.parameters is not None
    assert b.parameters is not None
    batch = a.tasks.batch("target", found.samples, found.seed).batch
    middle = torch.lerp(
        objective.embeddings(a.parameters, batch), objective.embeddings(b.parameters, batch), 0.5
    )
    direct = objective.losses_at(a.parameters, middle, batch)
    for term, values in direct.items():
        assert ways["embedding"].losses[term][1] == pytest.approx(float(values.mean()), rel=1e-6)


# What other packages get wrong.


class Line:
    """One parameter w, the loss w."""

    terms: Mapping[str, float] = {"w": 1.0}
    constants: Mapping[str, Any] = {}

    def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
        return {"w": parameters["m/w"].sum() + 0 * batch}


DATA = Data.of(Sampled(torch.zeros(10), np.arange(10)), 0)


def test_a_slice_begins_at_t_0_and_ends_at_t_1() -> None:
    """loss-landscapes never evaluates its start, and its last point falls short of the end."""
    space = Space({"m/w": (1,)}, {})
    path = Straight(torch.tensor([3.0]), torch.tensor([7.0]))
    found = take(on_route(Line(), space, path, DATA.batch), np.linspace(0, 1, 5), DATA)
    assert found.means["w"].tolist() == [3, 4, 5, 6, 7]


def test_rows_of_a_plane_are_not_shifted() -> None:
    """loss-landscapes walks a plane to and fro by steps, and its odd rows are one step off."""
    space = Space({"m/w": (2, 2)}, {})
    sheet = at_random(space, torch.ones(4), 0, steps=5)
    found = losses_on(sheet, Line(), space, {"target": DATA}).losses["target"]["total"]
    u, v = (vector.double().sum() for vector in (sheet.vectors.u, sheet.vectors.v))  # type: ignore[union-attr]
    expected = (
        4 + np.outer(np.ones(5), found.shape and sheet.alpha * float(u)) + sheet.beta[:, None] * float(v)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_direction_is_walked_at_its_full_length() -> None:
    """Another package scales every displacement by 0.975."""
    space = Space({"m/w": (3, 5)}, {})
    origin = torch.arange(1.0, 16.0)
    sheet = at_random(space, origin, 3)
    moved = sheet.vectors(torch.tensor([[1.0, 0.0]]))[0] - origin
    norms = [t.reshape(3, 5).norm(dim=1) for t in (moved, origin)]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-5, atol=0)


def test_nan_stays_nan() -> None:
    """Another package puts the mean of the others in the place of a loss that is not a number."""

    class Broken(Line):
        def losses(self, parameters: Parameters, batch: Tensor) -> dict[str, Tensor]:
            w = super().losses(parameters, batch)["w"]
            return {"w": torch.where(w == 5, torch.nan, w)}

    space = Space({"m/w": (1,)}, {})
    path = Straight(torch.tensor([3.0]), torch.tensor([7.0]))
    found = take(on_route(Broken(), space, path, DATA.batch), np.linspace(0, 1, 5), DATA)
    assert np.isnan(found.means["w"]).tolist() == [False, False, True, False, False]
