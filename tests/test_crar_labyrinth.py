"""CRAR in labyrinths: updates are those of a plain loop, the target is double Q-learning's, runs go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.crar_labyrinth import Loop, seen_by
from tests.conftest import train
from tests.labyrinth_agents import agent, tiny
from tests.stopped import goes_on_bit_for_bit
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError
from trainers.crar import CRAR, CrarSettings
from trainers.crar_labyrinth import LabyrinthCRAR, LabyrinthSettings, LabyrinthTrainer
from trainers.crar_terms import double_q_target
from trainers.envs import UnknownWorldError
from trainers.plan import BASE_PLAN, TransferPlan, named_plan, plan_names
from trainers.run import Run, prepare
from trainers.settings import Settings, SettingsError, preset, presets_of, setting_names
from trainers.streams import stream_of
from trainers.system import system_of

ALGORITHMS = ["separate", "shared", "summed"]
ROUNDING = {"rtol": 1e-3, "atol": 2e-6}
"""Two routes add up in another order; RMSprop divides by √v + 1e-4, which makes 1e-7 of a gradient 1e-6."""


def trainer(algorithm: str, plan: TransferPlan = BASE_PLAN, *assignments: str) -> LabyrinthTrainer:
    made = agent(f"train.algorithm={algorithm}", *assignments)
    walk = made.collected(5, stream_of(base=True))
    return LabyrinthTrainer(made, made.settings.train, "target", plan, [made.fresh(5)], [walk], [(5,)])


@pytest.mark.parametrize("plan", ["base", "freeze-dynamics", "fine-tune"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_updates_are_those_of_a_plain_loop(algorithm: str, plan: str) -> None:
    """Modules, autograd and optimisers of torch, a pass forwards and backwards for each of the seven terms.

    Six updates with a copy of the target nets after four of them.
    """
    chosen = BASE_PLAN if plan == "base" else named_plan(plan)
    ours = trainer(algorithm, chosen)
    plain = Loop(ours.agent, ours.agent.fresh(5), algorithm, chosen)
    for step in range(6):
        seen = plain.learn(*seen_by(ours, step))
        ours.update()
        losses = ours.take_losses()
        assert set(losses) == set(seen) == set(ours.agent.terms)
        for term, value in seen.items():
            assert float(losses[term][0]) == pytest.approx(float(value), rel=1e-3, abs=1e-6), (step, term)
    member, started = ours.member(0), ours.agent.fresh(5)
    for component, net in plain.nets.items():
        layers = [layer for layer in net if hasattr(layer, "weight")]
        for number, layer in enumerate(layers):
            for kind in ("weight", "bias"):
                name = f"{component}/{number}.{kind}"
                theirs = getattr(layer, kind).detach()
                torch.testing.assert_close(member[name], theirs, **ROUNDING)
                moves = name in chosen.trainable(started)
                assert torch.equal(member[name], started[name]) != moves, name


def test_the_target_is_double_q_learnings() -> None:
    """The trained net chooses, the target net values; nothing follows a terminal."""
    reward, terminal = torch.tensor([1.0, -0.1, 1.0]), torch.tensor([False, False, True])
    online = torch.tensor([[0.0, 3.0], [2.0, 1.0], [9.0, 9.0]])
    target = torch.tensor([[5.0, 0.5], [0.25, 7.0], [9.0, 9.0]])
    found = double_q_target(reward, terminal, 0.9, online, target)
    assert found.tolist() == pytest.approx([1 + 0.9 * 0.5, -0.1 + 0.9 * 0.25, 1.0])


def test_target_nets_are_copied_when_it_is_time_and_belong_to_the_state_alone(tmp_path: Path) -> None:
    running = trainer("separate")
    started = running.stack.buffers["q"].clone()
    for _ in range(4):
        running.update()
    assert running.targets is not None
    assert torch.equal(running.targets.buffers["q"], started)
    before = running.stack.buffers["q"].clone()
    running.update()
    assert torch.equal(running.targets.buffers["q"], before)
    assert not torch.equal(running.stack.buffers["q"], before)
    assert torch.equal(running.state(0).tensors["kept/target/q"], before[0])
    assert set(running.member(0)) == set(running.agent.shapes())


@pytest.mark.parametrize("algorithm", ["separate", "shared"])
def test_a_term_at_rest_moves_nothing_and_its_squares_fall(algorithm: str) -> None:
    """Small embeddings lie within 1, so that ``bound`` is 0: what a step by gradients of 0 does, exactly."""
    resting, stepping = (trainer(algorithm, BASE_PLAN, "loss.terms=bound,entropy_random,q") for _ in range(2))
    stepping.at_rest = lambda loss: False  # type: ignore[method-assign]
    for running in (resting, stepping):
        running.stack.views["encoder/3.weight"].data.mul_(0.1)
        for _ in range(3):
            running.update()
            running.squares["bound"]["encoder"] += 1.0
        assert running.take_losses()["bound"][0] == 0.0
    assert resting.squares["bound"]["encoder"][0, 0].item() == pytest.approx(1 + 0.9 + 0.81)
    for optimiser, components in stepping.squares.items():
        for component, squares in components.items():
            assert torch.equal(resting.squares[optimiser][component], squares), optimiser
    for name, tensor in stepping.member(0).items():
        assert torch.equal(resting.member(0)[name], tensor), name


def test_what_a_batch_shows_is_what_the_walk_did() -> None:
    running = trainer("summed")
    pictures, after, batch = seen_by(running, 3)
    world, walk = running.agent.world, running._data[0]
    assert running._block is not None
    rows = running._block[1][0][3]
    np.testing.assert_array_equal(pictures.numpy(), world.observations(walk.before(rows), "target"))
    np.testing.assert_array_equal(after.numpy(), world.observations(walk.after(rows), "target"))
    np.testing.assert_array_equal(batch.reward.numpy(), walk.reward[rows])
    stayed = walk.agent[rows] == walk.next_agent[rows]
    assert stayed.any()
    shown = len(running.batch_of(3)[0][0])
    assert shown == 2 * len(rows) - stayed.sum()  # what shows the same is encoded once
    assert torch.equal(batch.next_state == batch.state, torch.from_numpy(stayed))


def test_a_batch_of_steps_against_walls_alone_is_learned_from() -> None:
    ours = trainer("separate", BASE_PLAN, "optimiser.batch=2")
    plain = Loop(ours.agent, ours.agent.fresh(5), "separate")
    ours.step = next(step for step in range(250) if len(ours.batch_of(step)[0][0]) == 2)
    seen = plain.learn(*seen_by(ours, ours.step))
    ours.update()
    for term, values in ours.take_losses().items():
        assert float(values[0]) == pytest.approx(float(seen[term]), rel=1e-3, abs=1e-6), term


@pytest.mark.parametrize(
    "algorithm",
    [
        "separate",
        pytest.param("shared", marks=pytest.mark.long),
        pytest.param("summed", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("stop", [3, 9])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, algorithm: str, stop: int) -> None:
    settings = tiny(f"train.algorithm={algorithm}")
    whole = train(tmp_path / "whole", settings, (0, 1))
    parts = Run(settings, (0, 1), str(tmp_path / "parts"))
    goes_on_bit_for_bit(whole, parts, stop)


def test_a_seed_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    alone, beside = (train(tmp_path / str(n), tiny(), seeds) for n, seeds in enumerate([(2,), (0, 2)]))
    assert files.read(alone.path(2)).identity == files.read(beside.path(2)).identity


def test_stacked_seeds_are_those_of_one_by_one_to_rounding() -> None:
    """As on CUDA, where all seeds are one stack.

    Few updates: each meets the best actions of 32 states more, and where two are equal to the last bit, the
    routes take another one of them.
    """
    made = agent()
    members, walks = [made.fresh(s) for s in (0, 1)], [made.collected(s, 0) for s in (0, 1)]
    stacked = LabyrinthTrainer(
        made, made.settings.train, "source", BASE_PLAN, members, walks, [(0, 0), (1, 0)]
    )
    apart = made.training(None, members, [0, 1])
    for _ in range(2):
        stacked.update()
        apart.update()
    for index in (0, 1):
        for name, tensor in stacked.member(index).items():
            torch.testing.assert_close(tensor, apart.member(index)[name], **ROUNDING)
    returns = stacked.evaluate()
    assert {mode: values.shape for mode, values in returns.items()} == {"depth0": (2,)}


def test_a_state_without_target_nets_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path, tiny(), (0,))
    weights, state, tensors = files.read_resume(run.path(0))
    kept = {name: tensor for name, tensor in tensors.items() if name != "kept/target/q"}
    files.save_resume(run.path(0), weights, state, kept)
    with pytest.raises(CheckpointError, match=r"seed0.*found no target/q"):
        prepare(run, resume=True, overwrite=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("labyrinth"), tiny(), (0,)).path(0)


PLANS_AT_ONCE = ("freeze-dynamics", "delayed-structure")
"""The paper's own plan, and one with a schedule; all are tested by name."""


@pytest.mark.parametrize(
    "name",
    [n if n in PLANS_AT_ONCE else pytest.param(n, marks=pytest.mark.long) for n in plan_names()],
)
def test_it_transfers_under_every_plan(tmp_path: Path, base: Path, name: str) -> None:
    plan = named_plan(name)
    run = train(tmp_path, tiny("transfer.updates=20", "transfer.log_every=1"), (3,), base, plan)
    before, after = files.read(base), files.read(run.path(3))
    held = plan.frozen_components(before.tensors)
    assert ("q" in held) == (name not in ("fine-tune", "from-scratch"))
    for parameter, tensor in before.tensors.items():
        assert torch.equal(tensor, after.tensors[parameter]) == (parameter.partition("/")[0] in held)
    losses, returns = after.header.metrics["losses"], after.header.metrics["returns"]
    assert len(returns["depth0"]) == len(after.header.metrics["updates"]) == 20
    for term in ("bound", "entropy_random", "entropy_successive"):
        quiet = [value is None for value in losses[term]]
        late = name == "delayed-structure"  # 15% of 20 updates
        never = name == "no-random-entropy" and term == "entropy_random"
        assert quiet == [never or (late and update < 3) for update in range(20)]
    assert None not in losses["q"]


def test_returns_are_taken_as_often_as_the_settings_say_and_at_the_end(tmp_path: Path) -> None:
    changes = ["train.updates=18", "evaluation.every=2", "evaluation.depths=[0,1]"]
    saved = files.read(train(tmp_path, tiny(*changes), (0,)).path(0))
    assert saved.header.metrics["updates"] == [4, 8, 12, 16, 18]
    returns = saved.header.metrics["returns"]
    assert list(returns) == ["depth0", "depth1"]
    for mode in returns.values():
        assert [value is None for value in mode] == [True, False, True, False, False]
        assert all(-3.0 <= value <= 2.0 for value in mode if value is not None)


def test_none_of_it_is_evaluated_without_depths_and_depths_need_models() -> None:
    without = agent("evaluation.depths=[]", "loss.terms=transition,bound")
    assert set(without.nets) == {"encoder", "transition"}
    assert without.evaluate(without.fresh(0), "source", 0) == {}
    running = without.training(None, [without.fresh(0)], [0])
    running.update()
    assert running.evaluate() == {}
    with pytest.raises(SettingsError, match=r"evaluation\.depths.*loss\.terms lacks q"):
        agent("loss.terms=transition,bound")
    with pytest.raises(SettingsError, match="lacks reward, discount"):
        agent("loss.terms=transition,q", "evaluation.depths=[0,3]")


def test_the_walk_has_a_limit_or_none() -> None:
    limited, free = agent("data.steps=3000"), agent("data.steps=3000", "data.limited=false")
    assert limited.collected(0, 0).walls.shape[0] > 1.5 * free.collected(0, 0).walls.shape[0]
    assert limited.world.steps == free.world.steps == 30  # episodes that are judged have theirs


def test_one_name_stands_for_both_kinds_of_world() -> None:
    assert {"labyrinth", "labyrinth-small", "simple-maze"} <= set(presets_of("crar"))
    paper, maze = preset("labyrinth"), preset("simple-maze")
    assert isinstance(paper, LabyrinthSettings)
    assert isinstance(maze, CrarSettings)
    assert isinstance(system_of(paper), LabyrinthCRAR)
    assert isinstance(system_of(maze), CRAR)
    assert {"evaluation.depths", "data.ends_are_terminal", "world"} <= set(setting_names("crar"))
    assert Settings.from_tree(paper.model_dump(mode="json")) == paper
    with pytest.raises(SettingsError, match=r"setting 'world': found 'simple-maze'.*--preset"):
        paper.with_overrides(["world=simple-maze"])
    with pytest.raises(SettingsError, match=r"setting 'world': found 'labyrinth'.*--preset"):
        maze.with_overrides(["world=labyrinth"])
    with pytest.raises(SettingsError, match=r"unknown setting 'evaluation\.depths'"):
        maze.with_overrides(["evaluation.depths=[1]"])
    with pytest.raises(UnknownWorldError):
        LabyrinthCRAR.of(paper.model_copy(update={"world": "labyrinht"}))


def test_the_papers_sizes() -> None:
    """Section 5.2 and the appendix: 48×48 pixels to 8×8×3, and 400,000 and 200,000 updates."""
    made = LabyrinthCRAR.of(preset("labyrinth"))
    assert (made.embedding, made.readers) == (192, ("transition", "reward", "discount", "q"))
    shapes = made.shapes()
    assert [shapes[f"encoder/{i}.weight"] for i in range(4)] == [
        (8, 1, 2, 2),
        (16, 8, 2, 2),
        (32, 16, 3, 3),
        (3, 32, 1, 1),
    ]
    assert shapes["q/7.weight"] == (4, 20)
    picture = torch.zeros(2, made.world.side, made.world.side)
    stack = {name: tensor[None] for name, tensor in made.fresh(0).items()}
    assert made.embed(stack, picture).shape == (1, 2, 3, 8, 8)
    settings = made.settings
    assert (settings.train.updates, settings.transfer.updates) == (400_000, 200_000)
    assert (settings.data.steps, settings.loss.discount, settings.loss.target_every) == (200_000, 0.9, 1000)
