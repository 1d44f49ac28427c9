"""Files that an earlier version wrote are read, gone on with and what they say is still said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import diag
from diag.sources.systems import trained
from trainers import checkpoint as files
from trainers.plan import TransferPlan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import Settings

DATA = Path(__file__).parent / "data"
"""Written on 27 November 2026, before there were systems: a base, a transfer of it that was stopped after 25
of 40 updates, with its resume file, and the comparison of the two."""


def test_checkpoints_of_version_1_are_read() -> None:
    base, transfer = (files.read(DATA / f"{name}-v1.safetensors") for name in ("base", "transfer"))
    assert (base.header.format_version, base.header.bases, base.header.step) == (1, (), 40)
    assert [b["identity"] for b in transfer.header.bases] == [base.identity]
    for saved in (base, transfer):
        system = trained(saved).system
        assert (system.name, system.readers) == ("crar", ("transition",))
        now, then = system.settings.model_dump(mode="json"), saved.header.settings
        assert then == {key: _of(then[key], now[key]) for key in then}
        assert (now["optimiser"]["clip_by"], now["transfer"]["decay_after"]) == ("step", 0)  # as it was then
    assert diag.compare(base.path, transfer.path).base.sha256 == base.sha256


def _of(then: Any, now: Any) -> Any:
    """Those of today's settings that there were at the time."""
    return {key: now[key] for key in then} if isinstance(then, dict) else now


def test_a_stopped_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    saved = files.read(DATA / "transfer-v1.safetensors")
    assert saved.header.plan is not None
    run = Run(
        Settings.from_tree(saved.header.settings),
        (3,),
        str(tmp_path / "parts"),
        TransferPlan.from_tree(saved.header.plan),
        str(DATA / "base-v1.safetensors"),
    )
    (tmp_path / "parts").mkdir()
    for suffix in ("", files.RESUME_SUFFIX):
        shutil.copy(f"{DATA / 'transfer-v1.safetensors'}{suffix}", f"{run.path(3)}{suffix}")
    assert [member.step for member in prepare(run, resume=True, overwrite=False)] == [25]
    assert execute(run, prepare(run, resume=True, overwrite=False), 1, lambda n: None)
    whole = replace(run, out=str(tmp_path / "whole"))
    assert execute(whole, prepare(whole, resume=False, overwrite=False), 1, lambda n: None)
    ends = [files.read(one.path(3)) for one in (run, whole)]
    assert [end.header.metrics["updates"] for end in ends] == [[15, 30, 40]] * 2
    for name, tensor in ends[0].tensors.items():
        # The 25 updates were made on another machine, whose last bits may be others; 40 updates move
        # weights by some hundredths.
        assert tensor.numpy() == pytest.approx(ends[1].tensors[name].numpy(), abs=1e-4), name


def test_a_result_of_an_earlier_version_says_what_is_said_now() -> None:
    before = json.loads((DATA / "compare-v1.json").read_text())
    now = diag.compare(DATA / "base-v1.safetensors", DATA / "transfer-v1.safetensors").to_tree()
    assert set(before) <= set(now)
    assert before["verdict"]["relation"] == now["verdict"]["relation"]
    assert before["transfer"]["sha256"] == now["transfer"]["sha256"]
