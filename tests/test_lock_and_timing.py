"""Locks that keep two runs from one place, and forecasts of how long work takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diag.commands import app as cli
from diag.commands.timing import Outlook
from diag.wording import about
from trainers.lock import HeldError, alone
from trainers.run import Run, RunError
from trainers.settings import preset

ROOT = Path(__file__).parent.parent

HOLDER = """
import sys
from pathlib import Path
from trainers.lock import alone
with alone([Path(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""


def held(file: Path) -> subprocess.Popen[str]:
    """Another process that holds a lock until its input ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def run_in(folder: Path, *seeds: int) -> Run:
    return Run(preset("simple-maze"), seeds, str(folder))


def test_a_lock_is_one_processs_and_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    other = held(file)
    try:
        with pytest.raises(HeldError, match=f"process {other.pid} on"), alone([file]):
            pass
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        for stream in (other.stdin, other.stdout):
            assert stream is not None
            stream.close()
    assert file.exists()  # a killed process cannot clear up; what it left holds nobody off
    with alone([file]):
        assert file.read_text().startswith(f"process {os.getpid()} ")
    assert not file.exists()


def test_a_lock_is_not_shared_within_a_process_either(tmp_path: Path) -> None:
    with alone([tmp_path / ".a", tmp_path / ".b"]):
        with pytest.raises(HeldError), alone([tmp_path / ".b"]):
            pass
        with alone([tmp_path / ".c"]):
            pass
    assert list(tmp_path.iterdir()) == []


def test_two_trainings_of_one_seed_do_not_write_over_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    with run_in(folder, 0, 1).alone():
        with (
            pytest.raises(RunError, match=r"trains seed1 there .*take another --out"),
            run_in(folder, 1).alone(),
        ):
            pass
        with run_in(folder, 2).alone():  # as the tasks of a cluster's array do
            pass
        for overwrite in ([], ["--overwrite"], ["--resume"]):
            assert cli.run(["train", "crar", "--seeds", "1", "--out", str(folder), *overwrite]) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert "another command that trains seed1 there" in told.err
            assert len(told.err.splitlines()) == 1
    assert not folder.exists()


def test_a_refused_training_leaves_no_folder(tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert cli.run(["train", "crar", "--out", str(new), "--keep", "99999999"]) == 2
    assert not new.exists()


def test_a_forecast_of_time_is_told_once_from_how_fast_the_beginning_went() -> None:
    now, told = [0.0], list[str]()
    outlook = Outlook(1000, told.append, lambda: now[0])
    now[0] = 60.0  # starting up, which is no work
    outlook.advance(10)
    for _ in range(20):
        now[0] += 1.0
        outlook.advance(10)
    # Three seconds for 30 of 1000: 960 are left at 10 a second.
    assert told == [about(96)]
    short = Outlook(50, told.append, lambda: now[0])
    for _ in range(5):
        now[0] += 1.0
        short.advance(10)
    assert len(told) == 1


def test_a_dry_run_of_a_study_says_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diag.studies import outlook

    monkeypatch.setattr(outlook, "seconds_an_update", lambda run, members: 0.01 * members)
    monkeypatch.setattr(outlook, "seconds_a_measure", lambda piece: 2.0)
    monkeypatch.setattr(outlook, "cores", lambda: 2)
    assert cli.run(["study", "run", "tiny", "--out", str(tmp_path / "s"), "--dry-run", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    from diag.studies.study import read_study

    study = read_study("tiny")
    rows = 8 * (len(study.steps(3000)) + 1)
    assert about((10 * 3000 * 0.01 + rows * 2.0) / 2) in out
    assert not (tmp_path / "s").exists()


def test_the_speed_of_a_stack_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from diag.studies import outlook
    from diag.studies.folder import Folder
    from diag.studies.run import planned
    from diag.studies.study import read_study

    monkeypatch.setattr(outlook, "SECONDS", 0.02)
    plan = planned(read_study("tiny"), Folder(tmp_path), 2, "cpu")
    for piece in (plan.pieces[0], plan.pieces[-1]):  # a base's and a transfer's
        assert 1e-5 < outlook.seconds_an_update(piece.run, len(piece.run.seeds)) < 10
