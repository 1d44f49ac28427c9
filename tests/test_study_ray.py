"""A study on a Ray cluster that loses a machine midway ends whole, with the weights of an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from diag.cli import run as diag_run
from diag.studies.folder import Folder
from diag.studies.run import engine_of, run_study
from diag.studies.study import read_study
from trainers import checkpoint as files

ray = pytest.importorskip("ray")

UPDATES = 1500
"""Two seconds or so: some reports of a worker, and far from the first save by the clock."""

SHORT = (
    *("bases=2", "transfers=1", "keep=0.5", "data.steps=300"),
    *(f"{phase}.{name}={UPDATES}" for phase in ("train", "transfer") for name in ("updates", "save_every")),
)


@contextmanager
def silent(total: int) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def here(work: Any, items: Any, jobs: int, told: Any, after: Any = None, attempts: int = 1) -> bool:
    """An engine in this process, that nothing disturbs."""
    for item in items.values():
        work(item, lambda value: None, lambda: False)
    return True


def weights(folder: Path) -> dict[str, str]:
    """The identity of every checkpoint, by its place."""
    found = sorted(folder.rglob("*.safetensors"))
    return {p.relative_to(folder).as_posix(): files.read(p).identity for p in found}


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

    def watched(work: Any, items: Any, jobs: int, told: Any, after: Any = None, attempts: int = 1) -> bool:
        def listening(key: str, value: int) -> None:
            heard.setdefault(key, []).append(value)
            # One core each: two that are under way are one on either machine.
            if not lost and sum(0 < values[-1] < UPDATES for values in heard.values()) == 2:
                cluster.remove_node(second, allow_graceful=False)
                lost.append(second)
            told(key, value)

        return engine(work, items, jobs, listening, after, attempts)

    assert run_study(study, tmp_path / "ray", engine=watched, jobs=jobs, progress=silent)
    assert lost
    assert any(b < a for values in heard.values() for a, b in pairwise(values)), "nothing was begun again"
    assert all(values[-1] == UPDATES for values in heard.values())
    assert len(Folder(tmp_path / "ray").done()) == 4

    assert run_study(study, tmp_path / "local", engine=here, jobs=1, progress=silent)
    assert weights(tmp_path / "ray") == weights(tmp_path / "local")


def test_a_cluster_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["study", "run", "tiny", "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert diag_run([*options, "--address", "nowhere"]) == 2
    assert "--address nowhere: found no Ray cluster" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not ray.is_initialized()
