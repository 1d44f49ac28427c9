"""Replays keep the newest rows of each lane in order, and recordings are files that are found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.corridor import CORRIDOR
from trainers.checkpoint import CheckpointError
from trainers.dreamer_settings import Data
from trainers.recorded import Recording, read, recorded
from trainers.replay import Replay, Rows, Sequences


def filled(lanes: int, capacity: int, rounds: int) -> Replay:
    """Rows whose reward is 1000 times the lane and the number of the row."""
    replay = Replay(lanes, capacity, (1, 1, 2))
    for now in range(rounds):
        row = now + 1000 * np.arange(lanes)
        none = np.zeros(lanes, np.int64)
        seen = np.full((lanes, 1, 1, 2), now % 256, np.uint8)
        replay.add(
            np.arange(lanes), Rows(seen, none, row.astype(np.float32), none.astype(bool), none.astype(bool))
        )
    return replay


@pytest.mark.parametrize("rounds", [6, 10, 13, 27])
def test_sequences_are_of_one_lane_in_order_and_all_are_drawn(rounds: int) -> None:
    replay, length = filled(3, 10, rounds), 4
    there = min(rounds, 10)
    assert len(replay) == 3 * there
    drawn = replay.sample(np.random.default_rng(0), 2000, length)
    lane, row = np.divmod(drawn.reward.numpy().astype(int), 1000)
    assert (lane == lane[0]).all()
    assert (np.diff(row, axis=0) == 1).all()
    assert (drawn.observation[..., 0, 0, 0].numpy() == row).all()
    oldest = rounds - there
    wanted = {(a, b) for a in range(3) for b in range(oldest, rounds - length + 1)}
    assert set(zip(lane[0].tolist(), row[0].tolist(), strict=True)) == wanted


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="found 3 rows in the fullest lane, expected 4 or more"):
        filled(2, 10, 3).sample(np.random.default_rng(0), 1, 4)


@pytest.mark.parametrize("rounds", [3, 13])
def test_a_replay_goes_on_from_its_state(rounds: int) -> None:
    one, other = filled(3, 10, rounds), Replay(3, 10, (1, 1, 2))
    other.restore(one.state())
    for replay in (one, other):
        none = np.zeros(1, np.int64)
        seen = np.full((1, 1, 1, 2), 9, np.uint8)
        replay.add(np.array([1]), Rows(seen, none, none.astype(np.float32), none == 1, none == 0))
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    draws = [vars(r.sample(np.random.default_rng(1), 5, 2)) for r in (one, other)]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
    with pytest.raises(ValueError, match="as many lanes"):
        Replay(2, 10, (1, 1, 2)).restore(one.state())
    with pytest.raises(ValueError, match="found no observation of shape"):
        Replay(3, 10, (1, 1, 3)).restore(one.state())


def corridor_data(folder: Path, **changed: object) -> Data:
    return Data.model_validate({"folder": str(folder), "steps": 600, "environments": 4, **changed})


def made(folder: Path, **changed: object) -> Recording:
    return recorded(CORRIDOR, "corridor", CORRIDOR.variants, corridor_data(folder, **changed))


def test_a_recording_is_made_once_and_of_equal_bytes_elsewhere(tmp_path: Path) -> None:
    one = made(tmp_path / "a")
    changed = Path(one.path).stat().st_mtime_ns
    again, elsewhere = made(tmp_path / "a"), made(tmp_path / "b")
    assert Path(one.path).stat().st_mtime_ns == changed
    assert one.sha256 == again.sha256 == elsewhere.sha256
    assert made(tmp_path / "a", seed=1).sha256 != one.sha256
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert len(one) == 600
    assert np.bincount(one.columns["look"]).tolist() == [300, 300]


def test_rows_are_steps_of_the_world(tmp_path: Path) -> None:
    columns = made(tmp_path).columns
    cell = columns["observation"][:, 0, 0].argmax(1)
    cell = np.where(columns["look"] == 1, columns["observation"][:, 0, 0].argmin(1), cell)
    first, terminal, reward = columns["first"], columns["terminal"], columns["reward"]
    assert first[0]
    assert terminal.sum() > 20
    after = np.flatnonzero(~first[1:]) + 1
    moved = cell[after - 1] + np.array([-1, 1, 0])[columns["action"][after]]
    assert (cell[after] == moved.clip(0, 6)).all()
    assert (reward[after] == (moved > 6).astype(int) - (moved < 0)).all()
    assert (terminal == (reward != 0)).all()
    assert first[np.flatnonzero(terminal[:-1]) + 1].all()
    assert not reward[first].any()


def test_sampled_sequences_are_rows_of_the_file(tmp_path: Path) -> None:
    recording = made(tmp_path)
    drawn = recording.sample(np.random.default_rng(0), 50, 7)
    assert isinstance(drawn, Sequences)
    assert drawn.observation.shape == (7, 50, 1, 1, 7)
    text = [bytes(row) for row in np.packbits(recording.columns["first"])]
    assert text
    rows = recording.columns["action"]
    windows = {tuple(rows[i : i + 7]) for i in range(len(rows) - 6)}
    assert all(tuple(one) in windows for one in drawn.action.T.tolist())


@pytest.mark.parametrize("fault", ["cut", "other", "recipe", "empty"])
def test_a_file_that_is_no_whole_recording_is_refused(tmp_path: Path, fault: str) -> None:
    path = Path(made(tmp_path).path)
    content = path.read_bytes()
    if fault == "cut":
        path.write_bytes(content[:-100])
    elif fault == "other":
        path.write_bytes(content.replace(b"reward", b"rewarD", 1))
    elif fault == "recipe":
        path.write_bytes(content.replace(b'switch_every\\": 100', b'switch_every\\": 101', 1))
    else:
        path.write_bytes(b"")
    words = "another recipe" if fault == "recipe" else "found no whole recording"
    with pytest.raises(CheckpointError, match=words) as caught:
        made(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found no such file"):
        read(tmp_path / "none.safetensors")
