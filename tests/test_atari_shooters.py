"""Atari's shooters as one world of Dreamer, and the study at the paper's size, smoked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diag.studies import measure
from diag.studies.folder import Folder
from diag.studies.run import run_study
from diag.studies.study import read_study
from tests.short_studies import here, silent
from trainers.envs.atari import AtariWorld
from trainers.envs.several import SHOOTERS, world_of
from trainers.settings import preset

pytest.importorskip("ale_py")

TINY = (
    "data.policies=random",
    "data.steps=120",
    "data.environments=1",
    "train.updates=2",
    "transfer.updates=2",
    "model.widths=[4,8,8,16]",
    "model.hidden=32",
    "model.deterministic=32",
    "model.groups=4",
    "model.classes=4",
    "model.heads=[16]",
    "batches.sequences=2",
    "batches.length=10",
    "batches.horizon=4",
    "acting.environments=2",
    "acting.prefill=60",
    "acting.capacity=400",
)
"""Settings of a study that does all that the whole one does, in a minute or two."""


def test_the_games_are_one_world() -> None:
    world = world_of("atari-shooters")
    assert world.observation_shape == (1, 64, 64)
    assert world.actions.n == 18
    assert world.variants == (*SHOOTERS, "breakout")
    for look in ("galaxian", "breakout"):
        envs = world.envs(look, 2, 0)
        step = envs.step(np.array([1, 3]))
        assert step.rewards.shape == (2,)
        assert envs.observations.shape == (2, 1, 64, 64)
        assert envs.observations.max() > 0
        envs.close()


def test_the_recipe_names_games_that_there_are() -> None:
    tasks = preset("atari-shooters").model_dump()["tasks"]
    assert set(tasks["source"]) == set(SHOOTERS)
    assert tasks["target"] == ("breakout",)


@pytest.mark.long
def test_the_study_runs_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the study does, but that agents are judged by one episode, cut short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "EPISODES", 1)
    monkeypatch.setattr(AtariWorld, "max_steps", 40)
    study = read_study("atari-shooters", [*TINY, "keep=", "transfers=1"])
    assert run_study(study, tmp_path / "s", engine=here, jobs=1, progress=silent)
    results = Folder(tmp_path / "s").results()
    assert set(results["plan"]) == {"", "freeze-recurrent", "all-trained", "from-scratch"}
    assert results["finite"].all()
    transfers = results[results["phase"] == "transfer"]
    assert transfers[["loss_image", "loss_kl", "score", "r2_identity"]].notna().all().all()
    (recording,) = (tmp_path / "recorded").glob("*.safetensors")
    assert recording.name.startswith("atari-shooters-")
