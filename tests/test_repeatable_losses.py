"""Losses that sample, change their module or differ from call to call: held fixed and said, or refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diag
from diag.checks.losses import losses_of
from diag.landscapes import plane
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.sources.torch_losses import from_module
from diag.subject import Subject, SubjectError
from tests.unsteady import Stateful, counted, remembered, standing

pytestmark = pytest.mark.usefixtures("generators_at_a_known_place")

N = 200


class Autoencoder(nn.Module):
    """A variational autoencoder of six numbers, which samples at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x: Tensor) -> Tensor:
        mean, log = self.encoder(x).chunk(2, 1)
        found: Tensor = self.decoder(mean + torch.randn_like(mean) * (log / 2).exp())
        return found


def reconstruction(model: Any, batch: Tensor) -> dict[str, Tensor]:
    return {"reconstruction": (model(batch) - batch).square().sum(1)}


def squared(model: Any, batch: Tensor) -> dict[str, Tensor]:
    return {"squared": model(batch).square().sum(1)}


def copies(model: nn.Module, losses: Any, apart: float = 1e-6) -> tuple[Subject, Subject]:
    """A module and a copy of it that is off by so much, as subjects."""
    other, x = copy.deepcopy(model), torch.randn(N, 6)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += apart * torch.randn_like(parameter)
    return from_module(model, losses, x, name="a"), from_module(other, losses, x, name="b")


def test_a_loss_that_samples_has_no_wall_of_its_own_noise() -> None:
    """Scores of 13.4, 12.7 and 12.5 for one checkpoint, and a height of 2.01 to its copy, without this."""
    model = Autoencoder()
    before = copy.deepcopy(model.state_dict())
    a, b = copies(model, reconstruction)
    stands = standing()
    found = diag.landscape(a, b, points=5, quick=True)
    height = found.barrier["escape"]
    at = found.routes["raw"].losses["total"]
    assert found.verdict.status == "pass"
    assert height.value is not None
    assert height.high is not None
    # The copy's own rise is some 1e-6 of the loss.
    assert height.high < 1e-4 * at.max()
    assert at.max() - at.min() < 1e-4 * at.max()
    words = next(w for w in found.warnings if "torch.randn_like" in w)
    assert "a: its losses draw random numbers" in words
    assert "seed 0" in words
    for rendered in (
        render(found),
        " ".join(text(found).split()),
        html(found),
    ):
        assert "draw random numbers (torch.randn_like)" in rendered
    assert standing() == stands
    assert model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_another_seed_draws_anew() -> None:
    model = Autoencoder()
    a, b = copies(model, reconstruction)
    one, other = (diag.landscape(a, b, points=3, quick=True, seed=seed) for seed in (0, 1))
    starts = [float(found.routes["raw"].losses["total"][0]) for found in (one, other)]
    assert abs(starts[0] - starts[1]) > 1e-3 * starts[0]
    assert any("seed 1" in words for words in other.warnings)


def test_every_way_to_evaluate_meets_the_same_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends, curvature, and a plane whose rows are taken by several processes."""
    monkeypatch.setattr(plane, "WORTH_PROCESSES", 0.0)
    a, b = copies(Autoencoder(), reconstruction, apart=0.1)
    with torch.no_grad():
        assert a.objective is not None
        assert a.parameters is not None
        batch = a.tasks.batch("target", N, 0).batch  # type: ignore[union-attr]
        own = float(a.objective.losses(a.parameters, batch)["reconstruction"].mean())
    one = diag.landscape(a, b, points=3, quick=True, random_plane=True, steps=3, jobs=1)
    many = diag.landscape(a, b, points=3, curve_steps=2, random_plane=True, steps=3, jobs=2)
    rows = [found.planes[0].losses["target"]["total"] for found in (one, many)]
    np.testing.assert_array_equal(rows[0], rows[1])
    middle = rows[0][1, 1]
    ends = one.routes["raw"].losses["total"][[abs(one.routes["raw"].t - t).argmin() for t in (0, 1)]]
    # One draw, summed in single precision by other routes.
    assert middle == pytest.approx(own, rel=1e-5)
    assert ends[0] == pytest.approx(own, rel=1e-5)
    seat, curve = many.seats[0].sharpness, many.routes["curve"].losses["total"]
    assert seat.loss == pytest.approx(own, rel=1e-5)
    assert curve[0] == pytest.approx(own, rel=1e-5)
    # A step promises what its gradient and curvature say, and keeps to it: they are of the same draw.
    assert seat.step is not None
    assert seat.step.found == pytest.approx(seat.step.predicted, rel=0.5)


def trained(model: Any, batch: Tensor) -> dict[str, Tensor]:
    model.train()
    return squared(model, batch)


def trained_after(model: Any, batch: Tensor) -> dict[str, Tensor]:
    """As many validate: the mode is put back at the end, whatever it was before."""
    found = squared(model, batch)
    model.train()
    return found


@pytest.mark.parametrize("losses", [trained, trained_after])
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), r"dropout left on: '1' \(Dropout\) in training mode; .* no \.train\(\) in them"),
        (nn.BatchNorm1d(3), r"running_mean of '1' \(BatchNorm1d\).*training mode; .* no \.train\(\) in them"),
    ],
    ids=["dropout", "batch norm"],
)
def test_losses_that_put_the_module_into_training_mode_are_refused(
    layer: nn.Module, words: str, losses: Any
) -> None:
    with pytest.raises(SubjectError, match=words):
        from_module(nn.Sequential(nn.Linear(6, 3), layer), losses, torch.randn(N, 6))


def test_a_loss_with_a_generator_of_its_own_is_refused_by_name() -> None:
    noise = torch.Generator().manual_seed(1)

    def losses(model: Any, batch: Tensor) -> dict[str, Tensor]:
        return squared(model, batch + torch.randn(batch.shape, generator=noise))

    with pytest.raises(
        SubjectError, match=r"model: found another result .* of its own \('noise'\); expected"
    ):
        from_module(nn.Linear(6, 2), losses, torch.randn(N, 6))
    with pytest.raises(SubjectError, match=r"another result each time .* state from call to call"):
        from_module(Stateful(counted), squared, torch.randn(N, 6))


def test_a_counter_in_a_buffer_is_lost_after_each_call_of_a_copy() -> None:
    """The copy runs on buffers that are lent to it: what is written there matters to nobody."""
    model = Stateful(remembered)
    a, b = copies(model, squared, apart=0.1)
    assert not [w for w in diag.landscape(a, b, points=3, quick=True).warnings if "buffer" in w]
    assert model.seen == 0


def test_losses_of_the_gate_are_those_of_one_draw() -> None:
    a, b = copies(Autoencoder(), reconstruction)
    stands = standing()
    found = [losses_of(subject, N, 0) for subject in (a, a, b)]
    totals = [one.terms["total"].mean() for one in found if one is not None]
    assert totals[0] == totals[1]
    assert totals[2] == pytest.approx(totals[0], rel=1e-4)
    assert found[0] is not None
    assert "torch.randn_like" in found[0].warnings[0]
    gate = diag.check(a, b)
    assert any("a: its losses draw random numbers" in words for words in gate.checked[0].warnings)
    assert standing() == stands
