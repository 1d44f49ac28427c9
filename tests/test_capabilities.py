"""Studies, forecasts and repairs ask for capabilities: any system that offers them will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import diag
from diag.embed import loss_at
from diag.forecasts.base import base_features
from diag.repairs.system import Case, case_of
from diag.sources.systems.crar import CrarSystem
from diag.studies.measure import measured
from diag.studies.reading import _arrows
from diag.subject import (
    LastLinear,
    LatentObjective,
    OwnTransitions,
    Parameters,
    Predictor,
    Retrainable,
    StackedLatentObjective,
    Subject,
    SubjectError,
    Task,
)
from tests.conftest import EXAMPLES
from trainers.plan import named_plan

BASE, MIRRORED = EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors"


class Losses:
    """An encoder with losses, and nothing more."""

    def __init__(self, system: CrarSystem) -> None:
        self._system = system
        self.terms, self.constants = system.terms, system.constants

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._system.embed(parameters, observations)

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        return self._system.losses(parameters, batch)


class Latent(Losses):
    """Losses that see observations only through their embeddings."""

    def embeddings(self, parameters: Parameters, batch: Any) -> Tensor:
        return self._system.embeddings(parameters, batch)

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: Any) -> dict[str, Tensor]:
        return self._system.losses_at(parameters, embeddings, batch)


class Foldable(Latent):
    """An encoder that ends in a linear layer."""

    @property
    def last_linear(self) -> str:
        return "encoder/4"

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor | None:
        return self._system.last_inputs(parameters, observations)


class Mendable(Foldable):
    """All that a repair asks for, and no more."""

    budget, batch_size, data_seed = 400, 32, 0

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> OwnTransitions:
        return self._system.own_transitions(task, seeds, device)


def offering(path: Any, kind: type[Losses]) -> Subject:
    """A checkpoint's subject that offers only what a kind of system does."""
    subject = diag.open_subject(path)
    assert isinstance(subject.objective, CrarSystem)
    system = kind(subject.objective)
    return replace(subject, encoder=system, objective=system)


def test_a_checkpoint_of_ours_offers_them_all() -> None:
    system = diag.open_subject(BASE).objective
    for capability in (LatentObjective, StackedLatentObjective, LastLinear, Predictor, Retrainable):
        assert isinstance(system, capability), capability


def test_a_study_measures_any_system_with_losses_and_a_linear_last_layer() -> None:
    plan = named_plan("freeze-dynamics")
    whole = measured(diag.open_subject(MIRRORED), diag.open_subject(BASE), plan)
    assert measured(offering(MIRRORED, Foldable), offering(BASE, Foldable), plan) == pytest.approx(
        whole, nan_ok=True
    )
    part = measured(offering(MIRRORED, Losses), offering(BASE, Losses), plan)
    assert set(whole) - set(part) == {"mended_loss", "mended_escape"}
    with pytest.raises(SubjectError, match="found no objective"):
        measured(replace(offering(BASE, Losses), objective=None), None, plan)


def test_a_loss_at_given_embeddings_needs_an_objective_that_takes_them() -> None:
    with pytest.raises(SubjectError, match="found no losses at given embeddings; expected a checkpoint"):
        loss_at(offering(BASE, Losses), torch.zeros(31, 2), None)


def test_arrows_need_a_model_of_where_actions_lead() -> None:
    points = np.zeros((3, 2))
    ours = _arrows(diag.open_subject(BASE), points)
    assert ours.shape == (3, 4, 2)
    assert _arrows(offering(BASE, Latent), points) is None


def test_features_of_a_base_need_losses_at_given_embeddings() -> None:
    whole = base_features(diag.open_subject(BASE))
    assert np.isfinite(whole).all()
    assert base_features(offering(BASE, Latent)) == pytest.approx(whole)
    assert np.isnan(base_features(offering(BASE, Losses))).all()


def test_a_repair_mends_any_system_that_offers_what_it_asks_for() -> None:
    ours = diag.repair(BASE, MIRRORED, train=5)
    other = diag.repair(offering(BASE, Mendable), offering(MIRRORED, Mendable), train=5)
    assert (ours.verdict.status, ours.relation) == (other.verdict.status, other.relation)
    assert other.after.losses == pytest.approx(ours.after.losses)
    assert other.training is not None
    assert other.training.of_budget == Mendable.budget


def test_losses_of_many_maps_are_those_of_one_after_another() -> None:
    def of(kind: type[Losses] | None) -> Case:
        if kind is None:
            return case_of(diag.open_subject(BASE), diag.open_subject(MIRRORED))
        return case_of(offering(BASE, kind), offering(MIRRORED, kind))

    stacked, plain = of(None), of(Mendable)
    assert not isinstance(plain.objective, StackedLatentObjective)
    x = torch.from_numpy(stacked.embedding(stacked.transfer)).float()
    points = torch.stack([x, -x, 2 * x])
    # float32 sums of 1240 losses in another order.
    assert torch.allclose(stacked.losses_at_many(points), plain.losses_at_many(points), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (Losses, "its last layer is not known to be linear"),
        (Latent, "its last layer is not known to be linear"),
        (Foldable, "it cannot be trained on further"),
    ],
)
def test_a_repair_names_what_a_system_lacks(kind: type[Losses], lacks: str) -> None:
    with pytest.raises(SubjectError, match=rf"no encoder that can be mended \({lacks}\)"):
        diag.repair(offering(BASE, kind), offering(MIRRORED, kind))
