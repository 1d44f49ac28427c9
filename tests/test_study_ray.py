"""A study on a Ray cluster that loses a machine midway ends whole, with the weights of an undisturbed run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diag.commands.app import run as diag_run
from diag.studies.folder import Folder
from diag.studies.pieces import work
from diag.studies.run import engine_of, run_study
from diag.studies.study import read_study
from tests.short_studies import here, silent, weights
from trainers.pool import Todo, Told

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.long  # half a minute of starting and stopping machines

UPDATES = 2000
"""Two seconds or so: some reports of a worker, and far from the first save by the clock."""

SHORT = (
    *("bases=2", "transfers=1", "keep=0.5", "data.steps=300"),
    *(f"{phase}.{name}={UPDATES}" for phase in ("train", "transfer") for name in ("updates", "save_every")),
)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two machines of one core each; commands run on the first."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # a busy machine would never get to them
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def test_a_machine_that_is_lost_midway_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    study = read_study("tiny", SHORT)
    second = cluster.add_node(num_cpus=1)
    engine, jobs = engine_of("ray", cluster.address, None)
    assert jobs == 2
    heard: dict[str, list[int]] = {}
    lost: list[Any] = []
    begun = tmp_path / "begun"

    def noting(piece: Any, tell: Any, stopped: Any) -> None:
        with begun.open("a") as file:
            file.write(f"{piece.key} {ray.get_runtime_context().get_node_id()}\n")
        work(piece, tell, stopped)

    def watched(todo: Todo, jobs: int, told: Told) -> bool:
        def listening(key: str, value: int) -> None:
            heard.setdefault(key, []).append(value)
            on_second = f"{key} {second.node_id}" in begun.read_text().splitlines()
            if not lost and on_second and 0 < value < UPDATES:
                cluster.remove_node(second, allow_graceful=False)
                lost.append(second)
            told(key, value)

        return engine(replace(todo, work=noting), jobs, listening)

    assert run_study(study, tmp_path / "ray", engine=watched, jobs=jobs, progress=silent)
    assert lost
    times = Counter(line.split()[0] for line in begun.read_text().splitlines())
    assert sorted(times.values()) == [1, 1, 1, 2], "one is begun again, and nothing else"
    assert all(values[-1] == UPDATES for values in heard.values())
    assert len(Folder(tmp_path / "ray").done()) == 4

    assert run_study(study, tmp_path / "local", engine=here, jobs=1, progress=silent)
    assert weights(tmp_path / "ray") == weights(tmp_path / "local")


@pytest.fixture
def closed() -> Iterator[None]:
    """A command starts a cluster for itself, which ends with its process: here, with the test."""
    yield
    ray.shutdown()


@pytest.mark.usefixtures("closed")
def test_the_command_on_ray_says_what_is_wrong_with_a_piece_and_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")
    settings = [f"{phase}.updates=40" for phase in ("train", "transfer")]
    settings += ["bases=1", "transfers=1", "keep=0.5", "data.steps=300"]
    out = tmp_path / "out"
    (out / "main/base").mkdir(parents=True)
    (out / "study.json").write_text(
        json.dumps({"format": 1, "study": read_study("tiny", settings).to_tree()})
    )
    damaged = out / "main/base/seed0.safetensors.resume"
    damaged.write_bytes(b"half of it")
    command = ["study", "run", "tiny", "--out", str(out), "--engine", "ray", "--jobs", "1", "-q"]
    command += [part for setting in settings for part in ("--set", setting)]
    assert diag_run(command) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert "seed0.safetensors.resume: found 10 bytes that are no whole safetensors file" in words
    damaged.unlink()
    assert diag_run(command) == 0
    assert len(Folder(out).done()) == 2
    assert [session["finished"] for session in Folder(out).sessions()] == [False, True]


def test_a_cluster_that_is_not_there_or_has_its_own_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["study", "run", "tiny", "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert diag_run([*options, "--address", "nowhere"]) == 2
    assert "--address nowhere: found no Ray cluster" in capsys.readouterr().err
    assert diag_run([*options, "--address", "127.0.0.1:1"]) == 2
    assert "--address 127.0.0.1:1: found no Ray cluster ([Errno" in capsys.readouterr().err
    assert diag_run([*options, "--address", "127.0.0.1:1", "--jobs", "3"]) == 2
    assert "--jobs is of a local cluster" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not ray.is_initialized()
