"""Dreamer learns, stops and goes on bit for bit, and keeps what a plan freezes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import train
from tests.corridor import CELLS, CORRIDOR, corridor
from tests.stopped import goes_on_bit_for_bit
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError
from trainers.dreamer import MODEL, Dreamer
from trainers.envs.acting import WorldError
from trainers.plan import PlanError, TransferPlan, named_plan, plan_names
from trainers.processes import execute
from trainers.replay import Sequences
from trainers.run import Run, prepare, train_members
from trainers.settings import Settings, SettingsError, preset
from trainers.streams import stream_of
from trainers.system import system_of

V1 = (
    "model.latents=gaussian",
    "model.groups=6",
    "model.classes=1",
    "model.norm=false",
    "loss.free_nats=1.0",
    "loss.balance=0.5",
    "loss.estimator=dynamics",
    "loss.image=gaussian",
)
"""Settings that make it Dreamer's first version."""


def agent(settings: Settings) -> Dreamer:
    made = system_of(settings)
    assert isinstance(made, Dreamer)
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corridor")
    return train(folder / "b", corridor(folder / "data"), (0, 1)).path(0)


def step_sequences(cells: torch.Tensor, actions: torch.Tensor) -> Sequences:
    """Sequences (T, B) of what the corridor shows at cells, each after an action."""
    seen = torch.from_numpy(CORRIDOR.render({"cell": cells.flatten().numpy()}, "default"))
    none = torch.zeros(cells.shape)
    first = torch.zeros(cells.shape, dtype=torch.bool)
    first[0] = True
    return Sequences(seen.reshape(*cells.shape, 1, 1, CELLS), actions, none, none.bool(), first)


@pytest.mark.numeric
def test_the_world_model_foresees_where_steps_lead(tmp_path: Path) -> None:
    settings = corridor(tmp_path, "train.updates=500", "train.log_every=50", "tasks.source=default")
    path = train(tmp_path / "b", settings, (0,)).path(0)
    saved, dreamer = files.read(path), agent(settings)
    losses = saved.header.metrics["losses"]
    assert losses["image"][-1] < 0.2 * losses["image"][0]
    cells, actions = np.divmod(np.arange(3 * CELLS), 3)
    legal = (cells + actions > 0) & ~((cells == CELLS - 1) & (actions == 1))  # no step out of the corridor
    cell, action = (torch.from_numpy(values[legal]) for values in (cells, actions))
    start = step_sequences(cell[None], torch.zeros(1, len(cell), dtype=torch.int64))
    with torch.no_grad():
        seen = dreamer.observe(saved.tensors, start, None)
        state = type(seen.state)(seen.state.deter[0], seen.state.stoch[0])
        moves = torch.nn.functional.one_hot(action, 3).float()
        ahead = dreamer.rssm.imagine(saved.tensors, state, moves, None)
        foreseen = dreamer.pictured(saved.tensors, ahead.features).flatten(1).argmax(1)
    reached = cell + torch.tensor([-1, 1, 0])[action]
    assert float((foreseen == reached).float().mean()) > 0.9  # by chance 1/7


@pytest.mark.numeric
@pytest.mark.parametrize("version", ["v2", pytest.param("v1", marks=pytest.mark.long)])
def test_the_agent_learns_to_walk_to_the_right(tmp_path: Path, version: str) -> None:
    words = V1 if version == "v1" else ()
    long = ("train.algorithm=agent", "train.updates=600", "train.log_every=100", "tasks.source=default")
    rates = ("train.actor_rate=3e-3", "train.critic_rate=3e-3")
    settings = corridor(tmp_path, *long, *rates, *words)
    saved, dreamer = files.read(train(tmp_path / "b", settings, (0,)).path(0)), agent(settings)
    fresh = dreamer.fresh(0, stream_of(base=True))
    before, after = (dreamer.returns(p, "source", 200, 1).mean() for p in (fresh, saved.tensors))
    assert abs(before) < 0.5  # 200 episodes of ±1: as often to the left as to the right
    assert after > 0.8
    assert saved.header.metrics["returns"]["episodes"][-1] > 0.5


@pytest.mark.parametrize("stop", [3, 10, 17])
@pytest.mark.parametrize("phase", ["base", "transfer", "v1"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, base: Path, phase: str, stop: int) -> None:
    settings = corridor(base.parent.parent / "data")
    plan, first = (None, None) if phase == "base" else (named_plan("all-trained"), str(base))
    if phase == "v1":
        settings, plan, first = corridor(tmp_path, "train.algorithm=agent", *V1), None, None
    whole = Run(settings, (0, 1), str(tmp_path / "whole"), plan, first)
    assert execute(whole, prepare(whole, False, False), 1, lambda n: None)
    parts = Run(settings, (0, 1), str(tmp_path / "parts"), plan, first)
    goes_on_bit_for_bit(whole, parts, stop)


def test_a_seed_does_not_depend_on_its_neighbours(tmp_path: Path, base: Path) -> None:
    alone = train(tmp_path, corridor(base.parent.parent / "data"), (0,))
    assert files.read(alone.path(0)).identity == files.read(base).identity


def test_a_checkpoint_names_its_data(base: Path) -> None:
    named = files.read(base).header.metrics["data"]
    assert files.file_sha256(named["path"]) == named["sha256"]


def test_data_of_another_hash_are_refused_on_resuming(tmp_path: Path) -> None:
    settings = corridor(tmp_path / "data")
    run = Run(settings, (0,), str(tmp_path / "b"))
    asked = iter(range(100))
    train_members(run, prepare(run, False, False), lambda n: None, lambda: next(asked) >= 5)
    (data,) = (tmp_path / "data").glob("*.safetensors")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(bytes(content))
    with pytest.raises(
        CheckpointError, match=r"found other bytes in .* than it began with; expected the same data"
    ):
        prepare(run, resume=True, overwrite=False)


def test_an_agent_does_not_go_on_without_its_replay(tmp_path: Path, base: Path) -> None:
    run = train(tmp_path, corridor(tmp_path), (0,), base, named_plan("all-trained"))
    weights, state, tensors = files.read_resume(run.path(0))
    rest = {name: tensor for name, tensor in tensors.items() if name != "replay/reward"}
    files.save_resume(run.path(0), weights, {**state, "curves": state["curves"]}, rest)
    with pytest.raises(CheckpointError, match="found no experience that it can go on from"):
        prepare(run, resume=True, overwrite=False)


@pytest.mark.parametrize(
    "name", [n for n in plan_names("dreamer") if n not in ("no-random-entropy", "delayed-structure")]
)
@pytest.mark.parametrize("estimator", ["reinforce", "dynamics"])
def test_it_transfers_under_every_plan_that_fits(
    tmp_path: Path, base: Path, name: str, estimator: str
) -> None:
    plan = named_plan(name)
    settings = corridor(tmp_path, f"loss.estimator={estimator}", "transfer.updates=6", "transfer.log_every=2")
    before, after = files.read(base), files.read(train(tmp_path, settings, (3,), base, plan).path(3))
    held = plan.frozen_components(before.tensors)
    moved = {
        parameter.partition("/")[0]
        for parameter, tensor in before.tensors.items()
        if not torch.equal(tensor, after.tensors[parameter])
    }
    assert moved == {*MODEL, "actor", "critic"} - set(held)
    expected = {"freeze-recurrent": {"recurrent"}, "freeze-world-model": set(MODEL)}
    assert set(held) == expected.get(name, set(held))
    assert set(after.header.metrics["losses"]) == {"image", "reward", "discount", "kl", "actor", "critic"}


def test_a_plan_of_other_terms_is_refused_and_its_own_can_rest(tmp_path: Path, base: Path) -> None:
    with pytest.raises(PlanError, match="bound"):
        train(tmp_path, corridor(tmp_path), (0,), base, named_plan("delayed-structure"))
    tree = {"name": "p", "rules": [{"component": "*", "action": "copy"}], "terms": {"actor": {"start": 0.5}}}
    saved = files.read(train(tmp_path, corridor(tmp_path), (0,), base, TransferPlan.from_tree(tree)).path(0))
    curve = saved.header.metrics["losses"]["actor"]
    assert [value is None for value in curve] == [True, True, False, False]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("world=corider", "setting 'world': unknown world 'corider'"),
        ("tasks.source=defalt", "setting 'tasks.source': found 'defalt', expected some of default, negative"),
        ("data.policies=dqn0", "setting 'data.policies': found 'dqn0'"),
        ("acting.prefill=20", "setting 'acting.prefill': found 20, expected 32 or more"),
        ("model.classes=1", "2 classes or more"),
        ("model.codec=image", "setting 'model.codec': found 1 widths, expected 4 for 'image'"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, assignment: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        system_of(corridor(tmp_path, assignment))
    assert "\n" not in str(caught.value)


def test_a_world_whose_package_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise WorldError("the world minatar needs the package minatar, which is not installed: pip install …")

    monkeypatch.setattr("trainers.dreamer.world_of", missing)
    with pytest.raises(SettingsError, match="setting 'world': the world minatar needs the package") as caught:
        system_of(preset("minatar-small"))
    assert "\n" not in str(caught.value)
