"""Paired observations that are handed over: what a file of them may hold, and who sees them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import diag
from diag.sources.pairs import FilePairs, tasks_of
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests import source_files as files
from tests.source_files import Weights

pytestmark = pytest.mark.numeric


@pytest.fixture
def weights(rng: np.random.Generator) -> tuple[Weights, Weights]:
    return files.flipping(rng)


@pytest.fixture
def pairs(rng: np.random.Generator, tmp_path: Path) -> Path:
    return files.pairs(tmp_path / "pairs.npz", rng)


def test_a_checkpoint_of_ours_sees_the_pairs_that_are_given(examples: Path, tmp_path: Path) -> None:
    """So that it can be compared with its own export, here by an adapter's kind of encoder."""
    base = diag.open_subject(examples / "base.safetensors")
    assert base.tasks is not None
    seen = base.tasks.paired_observations(None, 0).observations
    # All 31 states, some twice: of 20 the mirror is told in 85% of the resamples, at the edge of 90%.
    rows = np.arange(40) % 31
    np.savez(tmp_path / "pairs.npz", **{task: o.numpy()[rows] for task, o in seen.items()})
    given = Supplied(tmp_path / "pairs.npz")
    found = diag.compare(examples / "base.safetensors", examples / "mirrored.safetensors", supplied=given)
    assert (found.relation, found.rows, found.success_states) == ("flipped", 40, None)
    assert (found.states, found.agreement > 0.98) == (31, True)
    opened = diag.open_subject(examples / "base.safetensors", given)
    assert opened.tasks is not None
    assert len(opened.tasks.batch("source", 62, 0).groups) == 62  # its own transitions are still there
    np.savez(tmp_path / "other.npz", source=np.ones((20, 3)), target=np.ones((20, 3)))
    with pytest.raises(
        SubjectError, match=r"observations of the source task of shape \(3,\); expected \(8, 8\)"
    ):
        diag.open_subject(examples / "base.safetensors", Supplied(tmp_path / "other.npz"))


def test_pairs_of_a_file(tmp_path: Path, rng: np.random.Generator) -> None:
    seen = rng.normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", source=seen, target=-seen, room=np.arange(40))
    tasks = FilePairs(str(tmp_path / "a.npz"))
    whole = tasks.paired_observations(None, 0)
    assert (whole.groups, list(whole.observations), list(tasks.variables())) == (
        None,
        ["source", "target"],
        ["room"],
    )
    some = tasks.paired_observations(10, 1).observations
    assert torch.equal(some["source"], -some["target"])
    assert torch.equal(some["source"], tasks.paired_observations(10, 1).observations["source"])
    assert len(some["source"]) == 10
    with pytest.raises(SubjectError, match="found observations alone; expected transitions"):
        tasks.batch("source", 10, 0)
    episodes = np.array([f"episode {i // 4}" for i in range(40)])
    files.safetensors(tmp_path / "b", {"source": seen, "target": -seen, "episodes": np.arange(40) // 4})
    np.savez(tmp_path / "c.npz", source=seen, target=-seen, episodes=episodes)
    for name in ("b.safetensors", "c.npz"):
        grouped = FilePairs(str(tmp_path / name)).paired_observations(None, 0)
        assert grouped.grouping == "episodes"
        assert len(np.unique(grouped.groups)) == 10


def test_pairs_in_episodes_are_resampled_whole(
    weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path
) -> None:
    with np.load(pairs) as known:
        arrays = {name: known[name] for name in ("source", "target")}
    base, transfer = files.both(files.onnx, tmp_path, weights)
    np.savez(tmp_path / "e.npz", **arrays, episodes=np.arange(60) // 5)
    found = diag.compare(base, transfer, supplied=Supplied(tmp_path / "e.npz"))
    known_too = diag.compare(*files.embeddings(pairs, weights), episodes=np.arange(60) // 5)
    assert (found.grouping, found.states) == ("episodes", 12)
    assert found.measures["cka"].p == pytest.approx(known_too.measures["cka"].p)
    np.savez(tmp_path / "few.npz", **arrays, episodes=np.arange(60) // 20)
    with pytest.raises(SubjectError, match="found 3 episodes; expected at least 8"):
        diag.compare(base, transfer, supplied=Supplied(tmp_path / "few.npz"))


ROWS = np.ones((20, 2))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"source": ROWS}, "found no array 'target'; expected a .npz or .safetensors of arrays 'source'"),
        ({"source": ROWS, "target": np.ones(20)}, r"'target' of float64 \(20,\)"),
        ({"source": ROWS, "target": np.ones((20, 0))}, r"'target' of float64 \(20, 0\)"),
        ({"source": ROWS, "target": np.ones((19, 2))}, "found 20 rows of source and 19 of target"),
        ({"source": ROWS, "target": np.full((20, 2), "a")}, "'target' of <U1"),
        ({"source": ROWS, "target": ROWS, "room": np.ones(3)}, r"'room' of float64 \(3,\)"),
        (
            {"source": ROWS, "target": ROWS, "episodes": np.ones(20)},
            "'episodes' of float64",
        ),
        ({"source": ROWS, "target": ROWS, "episodes": np.ones(3, int)}, r"'episodes' of int64 \(3,\)"),
    ],
)
def test_files_that_are_no_pairs(arrays: dict[str, NDArray[np.float64]], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SubjectError, match=words):
        tasks_of(Supplied(tmp_path / "a.npz"))


def test_pairs_are_read_once_and_anew_when_they_change(tmp_path: Path) -> None:
    place = tmp_path / "a.npz"
    np.savez(place, source=ROWS, target=ROWS)
    first = tasks_of(Supplied(place))
    assert tasks_of(Supplied(str(place), output="x")) is first
    np.savez(place, source=ROWS[:10], target=ROWS[:10])
    second = tasks_of(Supplied(place))
    assert second is not None
    assert first is not None
    assert second.name != first.name


def test_pairs_come_from_one_place(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", source=ROWS, target=ROWS)
    assert tasks_of(Supplied()) is None
    with pytest.raises(SubjectError, match="found pairs, and environments; expected one of them"):
        tasks_of(Supplied(tmp_path / "a.npz", "CartPole-v1", "CartPole-v1"))
    with pytest.raises(SubjectError, match="CartPole-v1: found no --target-env"):
        tasks_of(Supplied(source_env="CartPole-v1"))
    with pytest.raises(SubjectError, match="CartPole-v1: found no --source-env"):
        tasks_of(Supplied(target_env="CartPole-v1"))
    with pytest.raises(SubjectError, match=r"none.npz: found no such file.*expected a .npz or .safetensors"):
        tasks_of(Supplied(tmp_path / "none.npz"))


def test_different_pairs_do_not_mix(weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path) -> None:
    base, transfer = files.both(files.onnx, tmp_path, weights)
    with np.load(pairs) as known:
        np.savez(tmp_path / "other.npz", source=known["source"][:30], target=known["target"][:30])
    left = diag.open_subject(base, Supplied(pairs), "source")
    right = diag.open_subject(transfer, Supplied(tmp_path / "other.npz"), "target")
    with pytest.raises(SubjectError, match=r"world 'other.npz \(30 pairs, .*'pairs.npz \(60 pairs"):
        diag.compare(left, right)


def test_a_pipe_of_pairs_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.npz")
    with pytest.raises(SubjectError, match="a device or a pipe"):
        tasks_of(Supplied(pairs=tmp_path / "pairs.npz"))


def test_a_name_with_a_null_byte_is_refused() -> None:
    with pytest.raises(SubjectError, match="null byte"):
        diag.open_subject("a\0.npy")
