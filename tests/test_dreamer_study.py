"""Dreamer in studies: shared bases, dry runs that make no files, and what a repair says of world models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import diag
from diag.sources import open_subject
from diag.studies import outlook
from diag.studies.folder import Folder
from diag.studies.measure import measured
from diag.studies.run import planned
from diag.studies.study import Study, Variant, read_study
from diag.subject import SubjectError, agree
from tests.conftest import train
from tests.corridor import corridor
from trainers.envs.acting import World
from trainers.plan import named_plan
from trainers.recorded import absent
from trainers.system import Sketched, system_of


def test_bases_are_shared_by_target_tasks() -> None:
    pytest.importorskip("minatar")
    study = read_study("minatar-small")
    assert {study.base_of(v).name for v in study.variants} == {"space-invaders"}
    targets = {v.name: v.settings.model_dump()["tasks"]["target"] for v in study.variants}
    assert targets["seaquest"] == ("seaquest",)
    assert targets["space-invaders"] == ("space_invaders",)


def test_what_a_base_learns_from_tells_bases_apart(tmp_path: Path) -> None:
    one = corridor(tmp_path)
    for same in ("tasks.target=default", "acting.prefill=300", "evaluation.episodes=3", "transfer.updates=7"):
        assert corridor(tmp_path, same).of_bases() == one.of_bases()
    for other in ("data.steps=999", "tasks.source=negative", "train.updates=7"):
        assert corridor(tmp_path, other).of_bases() != one.of_bases()
    agents = [
        corridor(tmp_path, "train.algorithm=agent", a) for a in ("acting.prefill=300", "acting.prefill=400")
    ]
    assert agents[0].of_bases() != agents[1].of_bases()


def test_a_base_is_compared_with_a_transfer_to_another_target(tmp_path: Path) -> None:
    settings = corridor(tmp_path / "d", "train.updates=20", "transfer.updates=5")
    base = train(tmp_path / "b", settings, (0,)).path(0)
    other = corridor(tmp_path / "d", "train.updates=20", "transfer.updates=5", "tasks.target=default")
    transfer = train(tmp_path / "t", other, (0,), base, named_plan("freeze-world-model")).path(0)
    first, second = open_subject(base), open_subject(transfer)
    assert first.tasks is not None
    assert second.tasks is not None
    assert agree(first.tasks, second.tasks)
    result = diag.compare(base, transfer)
    assert result.relation == "matched"  # the same look, and a world model that stayed as it was
    row = measured(second, first, named_plan("freeze-world-model"))
    assert row["gradient_norm"] == 0  # what trains is in none of the world model's losses
    with pytest.raises(SubjectError, match="a world model, whose latent state no last layer gives"):
        diag.repair(base, transfer)


def test_a_dry_run_makes_no_recorded_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = corridor(data, "data.steps=500")
    plans = (named_plan("freeze-recurrent"),)
    study = Study("s", "", (), (Variant("main", settings, (0,), (0,), plans),))
    plan = planned(study, Folder(tmp_path / "s"), 1, "cpu")
    ((path, seconds),) = outlook.files_of(plan).items()
    assert Path(path).parent == data
    assert seconds > 0
    assert outlook.seconds_an_update(plan.pieces[0].run, 1) > 0
    assert outlook.seconds_an_update(plan.pieces[1].run, 1) > 0
    assert not data.exists()
    system = system_of(settings)
    assert isinstance(system, Sketched)
    system.provide(None)  # type: ignore[attr-defined]
    assert Path(path).exists()
    assert outlook.files_of(plan) == {}


def test_a_recording_takes_as_much_longer_as_it_has_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("trainers.recorded.monotonic", lambda: now[0])

    def a_second(world: World, look: str, *rest: object) -> None:
        now[0] += 1.0

    for part in ("policies_of", "look_columns"):
        monkeypatch.setattr(f"trainers.recorded.{part}", a_second)
    settings = corridor(tmp_path, "data.steps=32000", "data.dqn_steps=16000", "data.policies=random,dqn50")
    system = system_of(settings)
    found = absent(system.world, "corridor", ("default", "negative"), settings.data)  # type: ignore[attr-defined]
    assert found is not None
    assert found[1] == pytest.approx(2 * (16000 / 1600 + 16000 / 1600))


def test_rows_of_any_look_can_be_probed(tmp_path: Path) -> None:
    settings = corridor(tmp_path / "d", "train.updates=150")
    base = train(tmp_path / "b", settings, (0,)).path(0)
    from diag.probing.rows import Drawn

    found = diag.probe(base, drawn=Drawn(400, "default"), projection="none")
    assert found.rows == 400
    finding = found.columns[0].findings["cell"]
    assert finding.held_out.value.value is not None
    assert finding.held_out.value.value > 0.8
    assert finding.flatters is not None
    assert {"action", "rewarded"} <= set(found.variables)
    assert found.columns[0].findings["action"].clusters is not None
    with pytest.raises(SubjectError, match="no look 'dark'; expected one of default, negative"):
        diag.probe(base, drawn=Drawn(look="dark"))
    rows = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(SubjectError, match="rows or a look to draw, of embeddings"):
        diag.probe(rows, variables={"a": rows[:, 0]}, drawn=Drawn(20))
