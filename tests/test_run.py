"""Runs on disk: resuming changes nothing, stopping loses nothing, seeds and folders are checked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import short, train
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError
from trainers.processes import execute
from trainers.run import Run, RunError, prepare, seeds_from, train_members


def same(a: Path, b: Path) -> bool:
    one, two = files.read(a), files.read(b)
    return one.identity == two.identity and one.header.metrics == two.header.metrics


@pytest.mark.parametrize("stop", [13, 20])
@pytest.mark.parametrize("algorithm", ["separate", "shared", "summed"])
def test_a_resumed_run_ends_like_one_that_never_stopped(tmp_path: Path, algorithm: str, stop: int) -> None:
    settings = short(f"train.algorithm={algorithm}", "train.log_every=20", "train.save_every=20")
    whole = train(tmp_path / "whole", settings, (0,))
    parts = Run(settings, (0,), str(tmp_path / "parts"))
    members = prepare(parts, resume=False, overwrite=False)
    asked = iter(range(10**6))
    train_members(parts, members, lambda n: None, lambda: next(asked) >= stop)
    assert files.read(parts.path(0)).header.step == stop
    assert execute(parts, prepare(parts, resume=True, overwrite=False), 1, lambda n: None)
    assert same(whole.path(0), parts.path(0))
    assert prepare(parts, resume=True, overwrite=False) == []


def test_processes_change_nothing(tmp_path: Path) -> None:
    one = train(tmp_path / "one", short(), (0, 1, 2), jobs=1)
    two = train(tmp_path / "two", short(), (0, 1, 2), jobs=2)
    assert all(same(one.path(s), two.path(s)) for s in (0, 1, 2))


def test_a_crash_between_the_two_writes_loses_nothing(tmp_path: Path) -> None:
    settings = short("train.save_every=20")
    run = train(tmp_path / "a", settings, (0,))
    finished = run.path(0).read_bytes()
    # The resume file of the end beside the checkpoint of an earlier step: what such a crash leaves.
    early = train(tmp_path / "b", short("train.updates=20"), (0,))
    run.path(0).write_bytes(early.path(0).read_bytes())
    longer = replace(run, settings=short("train.updates=60", "train.save_every=20"))
    assert execute(longer, prepare(longer, resume=True, overwrite=False), 1, lambda n: None)
    straight = train(tmp_path / "c", short("train.updates=60"), (0,))
    assert files.read(longer.path(0)).identity == files.read(straight.path(0)).identity
    assert finished


def test_a_folder_with_checkpoints_is_not_overwritten_unasked(tmp_path: Path) -> None:
    run = train(tmp_path, short(), (0,))
    with pytest.raises(RunError, match="already there; --resume goes on"):
        prepare(run, resume=False, overwrite=False)
    assert len(prepare(run, resume=False, overwrite=True)) == 1


def test_fewer_updates_than_are_done_are_refused(tmp_path: Path) -> None:
    run = train(tmp_path, short(), (0,))
    shorter = replace(run, settings=short("train.updates=20"))
    with pytest.raises(CheckpointError, match="found 40 updates; expected at most the 20 asked for"):
        prepare(shorter, resume=True, overwrite=False)


def test_damaged_resume_files_are_refused(tmp_path: Path) -> None:
    import torch

    run = train(tmp_path, short(), (0,))
    path = run.path(0)
    weights, state, rest = files.read_resume(path)
    identity = {"identity": state["identity"]}
    for changed, tensors in (
        ({"step": "x"}, rest),
        ({"step": None}, rest),
        ({"step": -5}, rest),
        ({"run": 3}, rest),
        ({"curves": None}, rest),
        ({"training": []}, rest),
        ({}, {}),
    ):
        files.save_resume(path, weights, state | identity | changed, tensors)
        with pytest.raises(CheckpointError):
            prepare(run, resume=True, overwrite=False)
    longer = replace(run, settings=short("train.updates=60"))
    files.save_resume(path, weights, state, {n: torch.zeros(3) for n in rest})
    with pytest.raises(RunError, match="optimiser state"):
        execute(longer, prepare(longer, resume=True, overwrite=False), 1, lambda n: None)


def test_resuming_needs_the_same_settings_and_untouched_weights(tmp_path: Path) -> None:
    run = train(tmp_path / "a", short(), (0,))
    other = replace(run, settings=short("train.learning_rate=1e-3"))
    with pytest.raises(CheckpointError, match="a run with other settings"):
        prepare(other, resume=True, overwrite=False)
    foreign = train(tmp_path / "b", short("data.steps=400"), (0,))
    run.path(0).write_bytes(foreign.path(0).read_bytes())
    with pytest.raises(CheckpointError, match="weights changed since"):
        prepare(run, resume=True, overwrite=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.long
def test_ctrl_c_leaves_usable_checkpoints(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "diag", "train", "crar", "--seeds", "0-1", "--out", str(tmp_path), "-q"]
    running = subprocess.Popen(
        [*command, "--set", "train.save_every=10"], start_new_session=True, stderr=subprocess.PIPE
    )
    paths = [tmp_path / f"seed{seed}.safetensors" for seed in (0, 1)]
    for _ in range(1200):
        if all(path.exists() for path in paths):
            break
        time.sleep(0.05)
    os.killpg(running.pid, number)
    _, words = running.communicate(timeout=30)
    assert running.returncode == 130
    assert b"--resume goes on" in words
    for path in paths:
        found = files.read(path)
        assert 0 < found.header.step < 160_000
        assert files.read_resume(path)[1]["step"] == found.header.step


def test_a_run_that_is_stopped_before_its_first_update_can_be_resumed(tmp_path: Path) -> None:
    run = Run(short(), (0,), str(tmp_path / "parts"))
    train_members(run, prepare(run, resume=False, overwrite=False), lambda n: None, lambda: True)
    assert files.read(run.path(0)).header.step == 0
    assert execute(run, prepare(run, resume=True, overwrite=False), 1, lambda n: None)
    assert same(run.path(0), train(tmp_path / "whole", short(), (0,)).path(0))


def test_seeds() -> None:
    assert seeds_from("3") == (3,)
    assert seeds_from("0-3, 7") == (0, 1, 2, 3, 7)
    for text, words in (
        ("", "expected numbers"),
        ("a", "expected numbers"),
        ("3-1", "a range of nothing"),
        ("1,1", "twice"),
        ("-1", "expected numbers"),
        ("0-99999999", "at most 100000"),
        ("0-99999999999999999999", "at most 100000"),
    ):
        with pytest.raises(RunError, match=words):
            seeds_from(text)


def test_checkpoints_along_the_way_are_kept(tmp_path: Path) -> None:
    run = replace(Run(short(), (0,), str(tmp_path)), keep=(10, 30))
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    early = files.read(tmp_path / "seed0.step10.safetensors")
    straight = train(tmp_path / "short", short("train.updates=10"), (0,))
    assert early.header.step == 10
    assert early.identity == files.read(straight.path(0)).identity
    assert files.read(tmp_path / "seed0.step30.safetensors").header.step == 30


def test_devices_that_are_not_there_are_refused(tmp_path: Path) -> None:
    import torch

    names = ["nonsense", "meta"] if torch.cuda.is_available() else ["nonsense", "meta", "cuda"]
    for name in names:
        with pytest.raises(RunError, match="cannot be used here"):
            prepare(Run(short(), (0,), str(tmp_path / "x"), device=name), False, False)
    assert not (tmp_path / "x").exists()


def test_a_transfer_needs_a_base_of_its_shape(trained: Path, tmp_path: Path) -> None:
    settings = short("model.encoder=[8,4]")
    with pytest.raises(
        CheckpointError, match=r"encoder/0.weight of shape \(200, 64\); expected shape \(8, 64\)"
    ):
        train(tmp_path, settings, (0,), trained / "base" / "seed0.safetensors")
