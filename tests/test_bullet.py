"""The second paper's six tasks in PyBullet, the swing-up that no library has, and table 3 as a study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diag.studies.study import read_study
from tests.conftest import train
from tests.poles import poles
from trainers import checkpoint as files
from trainers.dreamer import Dreamer
from trainers.dreamer_acting import Experience
from trainers.envs.acting import WorldError
from trainers.envs.bullet import BODIES, LASTS, BulletWorld
from trainers.envs.several import PaddedEnvs, Several, world_of
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import preset
from trainers.system import system_of

TINY = (
    "train.updates=2",
    "transfer.updates=2",
    "model.widths=[4,8,8,16]",
    "model.hidden=16",
    "model.deterministic=16",
    "model.groups=4",
    "model.heads=[16]",
    "batches.sequences=2",
    "batches.length=6",
    "batches.horizon=3",
    "acting.prefill=30",
    "acting.capacity=400",
    "evaluation.episodes=1",
)


def installed() -> bool:
    from importlib.util import find_spec

    return find_spec("pybullet_envs_gymnasium") is not None


with_packages = pytest.mark.skipif(not installed(), reason="needs the extra [control]")


def test_the_tasks_are_one_world_whose_sizes_need_no_package() -> None:
    pictures, numbers = world_of("bullet"), world_of("bullet-state")
    assert pictures.observation_shape == (3, 64, 64)
    assert numbers.observation_shape == (28, 1, 1)
    assert pictures.actions.n == numbers.actions.n == 8
    assert pictures.variants == tuple(BODIES)
    assert not pictures.exact


def test_a_task_or_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(WorldError, match="expected one of cheetah"):
        BulletWorld("humanoid")
    with pytest.raises(WorldError, match="8 to 256"):
        BulletWorld("ant", pixels=4)


@pytest.mark.skipif(installed(), reason="the packages are there")
def test_without_the_packages_a_line_says_what_to_install() -> None:
    with pytest.raises(WorldError, match=r"pip install 'transfer-diag\[control\]'"):
        world_of("bullet-state").envs("ant", 1, 0)


def test_the_study_has_the_combinations_of_table_3() -> None:
    study = read_study("bullet-sources")
    sources = {v.name: v.settings.model_dump()["tasks"]["source"] for v in study.variants}
    assert len(sources) == 24
    assert sources["cheetah-2"] == ("hopper", "ant")
    assert sources["inverted-double-pendulum-4"] == ("hopper", "inverted-pendulum", "walker", "ant")
    for variant in study.variants:
        tasks = variant.settings.model_dump()["tasks"]
        (target,) = tasks["target"]
        assert target not in tasks["source"] or variant.name.endswith("scratch")
        if not variant.name.endswith("scratch"):
            count = int(variant.name[-1])
            assert len(tasks["source"]) == len(set(tasks["source"])) == count
            # "each source set … includes at least one task of the same environment type" (section 5)
            assert any(("pendulum" in source) == ("pendulum" in target) for source in tasks["source"])


@with_packages
@pytest.mark.parametrize("task", BODIES)
def test_a_task_steps_from_state_and_draws_itself(task: str) -> None:
    world = BulletWorld(task, "state")
    envs = world.envs("default", 2, 0)
    rng = np.random.default_rng(0)
    assert envs.observations.shape == (2, *world.observation_shape)
    assert envs.observations.dtype == np.float32
    for _ in range(5):
        step = envs.step(world.actions.sample(rng, 2))
        assert np.isfinite(step.rewards).all()
        assert len(envs.last_observations()) == step.ended.sum()
    assert not np.array_equal(envs.observations[0], envs.observations[1])
    envs.close()
    drawn = BulletWorld(task, pixels=16).envs("default", 1, 0)
    before = drawn.observations
    assert before.shape == (1, 3, 16, 16)
    assert before.dtype == np.uint8
    assert before.std() > 0
    for _ in range(8):
        drawn.step(world.actions.sample(rng, 1))
    assert not np.array_equal(drawn.observations, before)
    drawn.close()


@with_packages
def test_the_double_pendulum_hangs_is_paid_by_both_joints_and_ends_by_time_alone() -> None:
    world = BulletWorld("inverted-double-pendulum", "state")
    envs = world.envs("default", 1, 0)
    seen = envs.observations[0].ravel()
    assert seen[3] < -0.99  # cos Θ: the first pole hangs
    assert seen[6] > 0.99  # cos Γ: the second is straight below it
    steps = [envs.step(np.zeros((1, 1), np.float32)) for _ in range(world.max_steps - 1)]
    assert not any(step.ended.any() for step in steps)
    cosines = envs.observations[0].ravel()[[3, 6]]
    last = envs.step(np.zeros((1, 1), np.float32))
    assert last.truncated.all()
    assert not last.terminated.any()
    assert last.rewards[0] == pytest.approx(2 * cosines.sum(), abs=0.05)
    assert envs.observations[0].ravel()[3] < -0.99
    assert (world.max_steps, LASTS) == (500, 1000)
    envs.close()


@with_packages
def test_place_i_meets_the_same_whatever_stands_beside_it() -> None:
    world = BulletWorld("hopper", "state")
    actions = world.actions.sample(np.random.default_rng(0), 40, 1)
    met = []
    for n in (1, 3):
        envs = world.envs("default", n, 5)
        own = [envs.step(np.repeat(action, n, 0)) for action in actions]
        met.append(([float(step.rewards[0]) for step in own], envs.observations[0]))
        envs.close()
    assert met[0][0] == met[1][0]
    assert np.array_equal(met[0][1], met[1][1])


@with_packages
def test_states_of_physics_are_refused_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    envs = BulletWorld("ant", "state").envs("default", 1, 0)
    with pytest.raises(WorldError, match="bit for bit"):
        envs.state()
    envs.close()
    envs.close()
    assert capfd.readouterr().out == ""


def test_what_was_met_is_kept_and_episodes_begin_anew_in_a_world_that_cannot_be_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dreamer = system_of(poles())
    assert isinstance(dreamer, Dreamer)
    monkeypatch.setattr(Several, "exact", property(lambda world: False))
    monkeypatch.setattr(PaddedEnvs, "state", None)  # asked for by nobody
    monkeypatch.setattr(PaddedEnvs, "restore", None)
    rng = np.random.default_rng(0)
    before = Experience(dreamer, "source", 0)
    for _ in range(10):
        before.step(dreamer.world.actions.sample(rng, before.n))
    before.finished = [3.0]
    tensors, values = before.state()
    assert not any(name.startswith("envs") for name in tensors)
    after = Experience(dreamer, "source", 0)
    after.restore(tensors, json.loads(json.dumps(values)))
    assert after.finished == [3.0]
    assert not after.total.any()
    assert after.player.first.all()
    assert len(after.replay) == len(before.replay) + after.n
    met = after.replay.state()
    assert met["first"].sum() == 2 * after.n  # the episode that was cut off, and the one after it


@with_packages
@pytest.mark.parametrize("world", ["bullet-state", pytest.param("bullet", marks=pytest.mark.long)])
def test_the_preset_trains_and_transfers(tmp_path: Path, world: str) -> None:
    sizes = () if world == "bullet" else ("model.codec=mlp", "model.widths=[16]")
    settings = preset("bullet").with_overrides([*TINY, f"world={world}", *sizes])
    base = train(tmp_path / "b", settings, (0,))
    run = Run(settings, (0,), str(tmp_path / "t"), named_plan("fractional"), str(base.path(0)))
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    made = files.read(run.path(0))
    assert made.header.step == 2
    assert all(bool(tensor.isfinite().all()) for tensor in made.tensors.values())


@with_packages
@pytest.mark.long
def test_the_presets_of_the_paper_s_size_do_an_update(tmp_path: Path) -> None:
    """Nets and pictures of the paper's size, on small batches: whole ones take minutes and gigabytes here."""
    batches = ("batches.sequences=4", "batches.length=10", "batches.horizon=4", "acting.prefill=60")
    for name in ("bullet", "control"):
        small = (*batches, "train.updates=2", "acting.capacity=400", "evaluation.episodes=1")
        train(tmp_path / name, preset(name).with_overrides(small), (0,))
