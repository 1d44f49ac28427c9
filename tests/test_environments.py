"""Two environments as a pair of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from diag.sources import environments
from diag.sources.environments import EnvironmentTasks, play
from diag.subject import SubjectError

DOT, INVERTED = "tests.dots:Dot-v0", "tests.dots:InvertedDot-v0"


def test_pairs_show_the_same_hidden_states() -> None:
    pairs = EnvironmentTasks(DOT, INVERTED, steps=200).paired_observations(None, 0)
    source, target = (pairs.observations[task] for task in ("source", "target"))
    assert source.shape == target.shape == (200, 36, 36, 2)
    assert source.dtype == torch.uint8
    assert torch.equal(source, 255 - target)
    assert len(torch.unique(source, dim=0)) == 200


def test_groups_are_episodes_and_there_are_enough_of_them() -> None:
    pairs = EnvironmentTasks(DOT, INVERTED, steps=200).paired_observations(None, 0)
    assert pairs.grouping == "episodes"
    assert np.unique(pairs.groups, return_counts=True)[1].tolist() == [10] * 20  # cut: they would last 30
    whole = EnvironmentTasks("CartPole-v1", "CartPole-v1", steps=1000).paired_observations(None, 0)
    lengths = np.unique(whole.groups, return_counts=True)[1]
    assert len(lengths) > 20
    assert len(set(lengths.tolist())) > 5


def test_few_states_stand_once_each_and_for_themselves() -> None:
    pairs = EnvironmentTasks("FrozenLake-v1", "FrozenLake-v1").paired_observations(None, 0)
    seen = pairs.observations["source"]
    assert pairs.grouping == "states"
    assert len(seen) == len(torch.unique(seen)) == len(np.unique(pairs.groups)) <= 16


def test_rows_that_repeat_in_both_are_left_out() -> None:
    tasks = EnvironmentTasks("Taxi-v4", "Taxi-v4", steps=400)
    pairs = tasks.paired_observations(None, 0)
    seen = pairs.observations["source"]
    assert 50 < len(seen) < 400
    assert len(torch.unique(seen)) == len(seen) == len(tasks.variables()["state_0"])
    assert pairs.grouping == "episodes"


def test_the_seed_decides_and_standard_pairs_have_none() -> None:
    tasks = EnvironmentTasks(DOT, INVERTED, steps=40)
    one, again, other = (tasks.paired_observations(40, seed).observations["source"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    standard = [tasks.paired_observations(None, seed).observations["source"] for seed in (0, 5)]
    assert torch.equal(*standard)


def test_the_hidden_state_is_known_where_both_show_the_same() -> None:
    tasks = EnvironmentTasks(DOT, INVERTED, steps=100)
    image = tasks.paired_observations(None, 0).observations["source"][..., 0].float()
    known = tasks.variables()
    assert list(known) == ["state_0", "state_1"]
    brightest = image.flatten(1).argmax(1).numpy()
    distance = np.abs(brightest % 36 / 36 - known["state_0"])  # the column is the first coordinate
    assert np.minimum(distance, 1 - distance).max() < 0.05
    assert EnvironmentTasks(DOT, "tests.dots:HiddenDot-v0", steps=100).variables() == {}


def test_transitions_follow_each_other_and_are_the_same_in_both() -> None:
    tasks = EnvironmentTasks(DOT, INVERTED)
    source, target = (tasks.batch(task, 120, 3) for task in ("source", "target"))
    batch = source.batch
    inside = np.flatnonzero(np.diff(source.groups) == 0)
    assert torch.equal(batch["next_observations"][inside], batch["observations"][inside + 1])
    assert torch.equal(batch["next_observations"], 255 - target.batch["next_observations"])
    assert batch["rewards"].dtype == torch.float32
    assert set(batch["actions"].tolist()) == {0, 1, 2}
    pairs = tasks.paired_observations(120, 3).observations["source"]
    assert not torch.equal(batch["observations"], pairs)  # other steps than those of pairs


def test_a_time_limit_is_no_end_of_the_world() -> None:
    found = EnvironmentTasks("Pendulum-v1", "Pendulum-v1").batch("source", 5000, 0)
    assert not found.batch["terminated"].any()
    assert EnvironmentTasks("CartPole-v1", "CartPole-v1").batch("source", 1000, 0).batch["terminated"].any()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (DOT, "tests.dots:DriftingDot-v0", "drift apart at step 10: reward 0.06.* and reward 0.56"),
        ("CartPole-v1", "tests.dots:Dot-v0", r"actions Discrete\(2\) and Discrete\(3\)"),
        ("Nowhere-v0", DOT, "Nowhere-v0: found no environment to make"),
        ("no_such_module:Dot-v0", DOT, "no_such_module"),
        (DOT, "", "registered environment"),
        ("tests.dots:Notes-v0", DOT, "Dict observations"),
    ],
)
def test_what_is_no_pair_gets_one_line(source: str, target: str, words: str) -> None:
    with pytest.raises(SubjectError, match=words) as caught:
        EnvironmentTasks(source, target, steps=240).paired_observations(None, 0)
    assert "\n" not in str(caught.value)


def test_episodes_are_played_side_by_side_as_they_would_be_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def towards_the_right(observations: NDArray[Any]) -> NDArray[Any]:
        return np.where(observations[..., 0].mean(1).argmax(1) < 18, 2, 0)

    together = play(DOT, towards_the_right, 20, 7, keep=True)
    monkeypatch.setattr(environments, "SIDE_BY_SIDE", 1)
    alone = play(DOT, towards_the_right, 20, 7)
    assert [e.rewards.tolist() for e in together] == [e.rewards.tolist() for e in alone]
    assert len({e.rewards[0] for e in together}) == 20  # each from a start of its own
    assert all(e.terminated and e.observations.shape == (31, 36, 36, 2) for e in together)
    assert all(len(e.observations) == 0 for e in alone)


def test_an_episode_that_is_kept_is_cut_and_one_that_counts_must_end() -> None:
    def still(observations: NDArray[Any]) -> NDArray[Any]:
        return np.ones(len(observations), np.int64)

    (cut,) = play("tests.dots:LongDot-v0", still, 1, 0, keep=True, longest=15)
    assert len(cut.rewards) == 15
    assert not cut.terminated
    with pytest.raises(SubjectError, match="more than 50 steps; expected a time limit"):
        play("tests.dots:Endless-v0", still, 1, 0, longest=50)


def test_the_example_shows_one_world_by_two_cameras(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(examples)  # whose modules are found there
    names = [f"visual_cartpole:{name}CartPole-v0" for name in ("Visual", "UpsideDown")]
    tasks = EnvironmentTasks(names[0], names[1], steps=300)
    pairs = tasks.paired_observations(None, 0)
    source, target = (pairs.observations[task] for task in ("source", "target"))
    assert torch.equal(source, target.flip(1, 2))
    place = (source[..., 1][:, 33:].float().mean(1) * torch.arange(36)).sum(1) / source[..., 1][
        :, 33:
    ].float().mean(1).sum(1)
    known = tasks.variables()["state_0"]  # the cart's place
    assert np.corrcoef(place.numpy(), known)[0, 1] > 0.99


def test_environments_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Counted(gymnasium.Wrapper[Any, Any, Any, Any]):
        def close(self) -> None:
            closed.append("")

    monkeypatch.setattr(environments.gymnasium, "make", _wrapped(environments.gymnasium.make, Counted))
    EnvironmentTasks(DOT, DOT, steps=41).paired_observations(None, 0)
    play(DOT, lambda o: np.ones(len(o), np.int64), 3, 0)
    assert len(closed) == 5


def _wrapped(make: Any, wrapper: Any) -> Any:
    return lambda *args, **kwargs: wrapper(make(*args, **kwargs))
