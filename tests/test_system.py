"""A system that is one file of its own: trained, stopped, gone on with, transferred; the runs know it not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import diag
from tests import ring
from tests.conftest import train
from tests.stopped import goes_on_bit_for_bit
from trainers import checkpoint as files
from trainers import registry
from trainers.checkpoint import CheckpointError
from trainers.plan import PlanError, TransferPlan, named_plan, plan_names
from trainers.processes import execute
from trainers.run import Run, RunError, prepare, train_members
from trainers.settings import Settings, SettingsError, preset, preset_names, setting_names
from trainers.streams import stream_of
from trainers.system import System, system_of

KINDS = ("ring", "ring-walked")
LOGGED = ["train.log_every=20", "transfer.log_every=20"]


def settings(kind: str = "ring") -> Settings:
    return preset(kind).with_overrides(LOGGED)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("ring"), settings(), (0, 1)).path(0)


@pytest.mark.parametrize("kind", KINDS)
def test_training_brings_the_losses_down(tmp_path: Path, kind: str) -> None:
    saved = files.read(train(tmp_path, settings(kind).with_overrides(["train.updates=400"]), (0,)).path(0))
    losses = saved.header.metrics["losses"]
    assert sum(losses[t][-1] for t in ring.Ring.terms) < 0.5 * sum(losses[t][0] for t in ring.Ring.terms)
    assert len(saved.header.metrics["returns"]["greedy"]) == len(saved.header.metrics["updates"]) == 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [7, 20, 33])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, kind: str, stop: int) -> None:
    whole = train(tmp_path / "whole", settings(kind), (0, 1))
    parts = Run(settings(kind), (0, 1), str(tmp_path / "parts"))
    goes_on_bit_for_bit(whole, parts, stop)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", plan_names())
def test_it_transfers_under_every_plan(tmp_path: Path, base: Path, kind: str, name: str) -> None:
    plan = named_plan(name)
    run = train(tmp_path, settings(kind), (0, 3), base, plan)
    before, after = files.read(base), files.read(run.path(3))
    assert after.header.base is not None
    assert after.header.base["identity"] == before.identity
    held = plan.frozen_components(before.tensors)
    for parameter, tensor in before.tensors.items():
        assert torch.equal(tensor, after.tensors[parameter]) == (parameter.partition("/")[0] in held)


@pytest.mark.long
def test_processes_change_nothing(tmp_path: Path) -> None:
    one, two = (train(tmp_path / str(n), settings("ring-walked"), (0, 1), jobs=n) for n in (1, 2))
    for seed in (0, 1):
        assert files.read(one.path(seed)).identity == files.read(two.path(seed)).identity


def test_a_state_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    run = train(tmp_path, settings(), (0,))
    weights, state, _ = files.read_resume(run.path(0))
    files.save_resume(run.path(0), weights, state, {})
    with pytest.raises(CheckpointError, match=r"seed0.*found no optimiser state"):
        prepare(run, resume=True, overwrite=False)


def test_bases_of_another_system_are_refused(tmp_path: Path, base: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="found a 'crar' checkpoint; expected a 'ring' checkpoint"):
        train(tmp_path, settings(), (0,), trained / "base" / "seed0.safetensors")


def test_an_ensemble_needs_inputs_for_it(tmp_path: Path, base: Path) -> None:
    rules = [{"component": "*", "action": "copy"}, {"component": "encoder", "action": "ensemble"}]
    plan = TransferPlan.from_tree({"name": "p", "rules": rules})
    with pytest.raises(RunError, match="ring's models have no inputs for an ensemble"):
        train(tmp_path, settings(), (0,), base, plan)


def test_parts_of_several_bases_make_one_transfer(tmp_path: Path, base: Path) -> None:
    rules = [{"component": "*", "action": "copy"}, {"component": "encoder", "action": "freeze", "base": 1}]
    plan, other = TransferPlan.from_tree({"name": "two", "rules": rules}), base.with_name("seed1.safetensors")
    run = Run(settings(), (0,), str(tmp_path), plan, str(base), more_bases=(str(other),))
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    made, first, second = (files.read(path) for path in (run.path(0), base, other))
    assert torch.equal(made.tensors["encoder/0.weight"], second.tensors["encoder/0.weight"])
    assert made.header.format_version == 2
    assert [b["sha256"] for b in made.header.bases] == [first.sha256, second.sha256]
    assert prepare(run, resume=True, overwrite=False) == []
    with pytest.raises(CheckpointError, match="a run with other base"):
        prepare(replace(run, more_bases=(str(base),)), resume=True, overwrite=False)
    with pytest.raises(PlanError, match="found a rule for base 1"):
        prepare(replace(run, more_bases=(), out=str(tmp_path / "x")), False, False)


def test_an_installed_package_makes_its_system_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "rings-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rings\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[transfer_diag.systems]\nother = tests.ring:Ring\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    places = registry.Places("system", registry.SYSTEMS.group, {"crar": "trainers.crar:CRAR"})
    assert places.known()["other"] == "tests.ring:Ring"
    assert places.load("other") is ring.Ring
    with pytest.raises(ValueError, match=r"system 'other': already tests\.ring:Ring"):
        places.register("other", "elsewhere:Ring")


def test_names_of_systems_and_their_settings() -> None:
    made: System = system_of(preset("ring"))
    assert (made.name, made.readers) == ("ring", ("transition",))
    assert set(KINDS) < set(preset_names())
    assert "interacting" in setting_names("ring")
    assert Settings.from_tree(preset("ring").model_dump(mode="json")) == preset("ring")
    assert Settings.from_tree({"preset": "old", "world": "simple-maze"}).system == "crar"
    with pytest.raises(SettingsError, match="unknown system 'rnig'; did you mean 'ring'"):
        Settings.from_tree({"preset": "p", "world": "ring", "system": "rnig"})
    with pytest.raises(SettingsError, match=r"unknown setting 'loss\.terms'"):
        preset("ring").with_overrides(["loss.terms=bound"])
    with pytest.raises(ValueError, match=r"already tests\.ring:Ring"):
        registry.register("ring", "elsewhere:Ring")


RULES = [{"component": "*", "action": "copy"}, {"component": "transition", "action": "ensemble"}]
ENSEMBLE = TransferPlan.from_tree({"name": "both", "rules": RULES})
"""The encoder from the first base, and what both bases' transition models say as inputs of a new one."""


@pytest.mark.parametrize("stop", [0, 13])
def test_an_ensemble_of_two_bases_trains_goes_on_and_is_read(tmp_path: Path, base: Path, stop: int) -> None:
    other = base.with_name("seed1.safetensors")
    run = Run(settings(), (0,), str(tmp_path), ENSEMBLE, str(base), more_bases=(str(other),))
    if stop:
        asked = iter(range(100))
        train_members(run, prepare(run, False, False), lambda n: None, lambda: next(asked) >= stop)
        assert files.read(run.path(0)).header.step == stop
    assert execute(run, prepare(run, resume=bool(stop), overwrite=False), 1, lambda n: None)
    made, first, second = (files.read(path).tensors for path in (run.path(0), base, other))
    assert torch.equal(made["transition.source/weight"], first["transition/weight"])
    assert torch.equal(made["transition.source1/weight"], second["transition/weight"])
    assert made["transition/weight"].shape == (7, 2)
    fresh = system_of(settings()).fresh(0, stream_of(base=False), plan=ENSEMBLE, bases=2)
    assert not torch.equal(made["transition/weight"], fresh["transition/weight"])
    subject = diag.open_subject(run.path(0))
    assert subject.frozen == ("transition.source", "transition.source1")
    assert diag.compare(base, run.path(0)).states == ring.STATES


@pytest.mark.long
def test_transfers_in_two_processes_are_those_of_one(tmp_path: Path, base: Path) -> None:
    one, two = (train(tmp_path / str(n), settings("ring-walked"), (0, 1), base, jobs=n) for n in (1, 2))
    for seed in (0, 1):
        assert files.read(one.path(seed)).identity == files.read(two.path(seed)).identity


def test_what_a_seed_stands_at_has_to_be_there(tmp_path: Path) -> None:
    run = train(tmp_path, settings("ring-walked"), (0,))
    weights, state, tensors = files.read_resume(run.path(0))
    both = "found no random, place"
    for gone, words in (("place", both), ("random", both), ("counts", "found no counts")):
        kept = {name: value for name, value in state["training"].items() if name != gone}
        files.save_resume(run.path(0), weights, {**state, "training": kept}, tensors)
        with pytest.raises(CheckpointError, match=words):
            prepare(run, resume=True, overwrite=False)
