"""How far weights moved by component and layer, what half precision kept, and plans that were broken."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import diag
from diag.layerwise.result import LayersCompared
from diag.outputs.registry import html, text
from diag.sources import open_subject
from diag.sources.supplied import Supplied
from diag.units.drift import drift, kept
from tests.conftest import EXAMPLES
from tests.networks import Branches, Sevens, made, nudged, pictures
from trainers import checkpoint as files

BASE, MIRRORED = EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors"


def compared(folder: Path, a: nn.Module, b: nn.Module, inputs: Any = None, **more: Any) -> LayersCompared:
    np.save(folder / "x.npy", pictures(320).numpy() if inputs is None else inputs)
    for name, net in (("a", a), ("b", b)):
        torch.save(net.state_dict(), folder / f"{name}.pt")
    given = Supplied(model=f"tests.networks:{type(a).__name__}", inputs=(folder / "x.npy",))
    return diag.layers(folder / "a.pt", folder / "b.pt", supplied=given, **more)


# --- Distances --------------------------------------------------------------------------------------------


def test_distances_are_those_of_the_weights() -> None:
    drawn = torch.Generator().manual_seed(0)
    shapes = {"encoder/0.weight": (4, 3), "encoder/0.bias": (4,), "encoder/1.weight": (2, 4), "q/w": (5,)}
    a = {name: torch.randn(shape, generator=drawn) for name, shape in shapes.items()}
    b = {name: t + (name != "q/w") * torch.randn(t.shape, generator=drawn) for name, t in a.items()}
    found = {(one.component, one.layer): one for one in drift(a, b)}
    assert list(found) == [("encoder", None), ("encoder", "0"), ("encoder", "1"), ("q", None)]
    layer = ["encoder/0.weight", "encoder/0.bias"]
    apart = torch.cat([(b[n] - a[n]).flatten() for n in layer]).norm()
    own = torch.cat([a[n].flatten() for n in layer]).norm()
    one = found["encoder", "0"]
    assert one.distance == pytest.approx(float(apart), rel=1e-6)
    assert one.relative == pytest.approx(float(apart / own), rel=1e-6)
    assert found["encoder", "0"].share + found["encoder", "1"].share == pytest.approx(1)
    assert found["encoder", None].share == pytest.approx(1)
    assert (found["q", None].kept, found["q", None].relative) == ("exactly", 0.0)


def test_what_norms_remember_is_no_weight() -> None:
    a = {"net/bn.weight": torch.ones(2), "net/bn.running_mean": torch.zeros(2)}
    (one,) = drift(a, {**a, "net/bn.running_mean": torch.ones(2)})
    assert one.distance == 0
    assert one.parameters == 2


def test_weights_that_one_network_alone_has_are_left_out() -> None:
    a = {"net/a": torch.ones(2), "net/b": torch.ones(2), "net/c": torch.ones(2)}
    (one,) = drift(a, {"net/a": torch.ones(2), "net/b": torch.ones(3)})
    assert one.parameters == 2


# --- Half precision ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_copies_are_kept_from_either_side(half: torch.dtype) -> None:
    a = {"w": torch.randn(20, generator=torch.Generator().manual_seed(0))}
    b = {"w": a["w"].to(half).float()}
    name = str(half).removeprefix("torch.")
    assert kept(a, b) == kept(b, a) == kept(a, {"w": a["w"].to(half)}) == name
    moved = {"w": b["w"] + 0.01}
    assert kept(a, moved) is None


def test_one_tensor_that_happens_to_be_rounded_does_not_make_a_layer_kept() -> None:
    """A bias of 1.0001 that was reset to 1 is 1 in half precision; the weights beside it are not."""
    a = {"weight": torch.full((3,), 0.1), "bias": torch.full((3,), 1.0001)}
    assert kept(a, {"weight": torch.full((3,), 0.2), "bias": torch.ones(3)}) is None


def test_frozen_layers_saved_in_half_precision_count_as_frozen(tmp_path: Path) -> None:
    base = made()
    tuned = nudged(base, "conv2", 0.8)
    result = compared(tmp_path, base, copy.deepcopy(tuned).half())
    assert [one.frozen for one in result.layers] == ["float16", None, None, "float16"]
    assert result.reader == "fc"
    assert result.verdict.status == "fail"
    assert "frozen½" in text(result)
    assert "once they are rounded to float16" in " ".join(text(result).split())
    given = Supplied(model="tests.networks:Pictures", inputs=(tmp_path / "x.npy",))
    assert diag.compare(tmp_path / "a.pt", tmp_path / "b.pt", supplied=given).frozen == ("fc",)


# --- The plan ---------------------------------------------------------------------------------------------


def test_the_plan_stands_beside_the_distances() -> None:
    result = diag.layers(BASE, MIRRORED, relations=False)
    found = {one.component: one for one in result.weights if one.layer is None}
    assert (found["encoder"].plan, found["encoder"].kept) == ("copied, trained", None)
    assert (found["transition"].plan, found["transition"].kept) == ("frozen", "exactly")
    assert not any(one.broken for one in result.weights)
    told = result.to_tree()["weights"]
    assert [one["component"] for one in told if one["layer"] is None] == ["encoder", "transition"]
    assert "copied, trained" in text(result)
    assert "copied, trained" in html(result)


def test_what_moved_although_the_plan_froze_it_fails(tmp_path: Path) -> None:
    read = files.read(MIRRORED)
    tensors = dict(read.tensors)
    tensors["transition/1.weight"] = tensors["transition/1.weight"] + 0.01
    files.save(tmp_path / "moved.safetensors", read.header, tensors)
    result = diag.layers(BASE, tmp_path / "moved.safetensors", relations=False)
    assert result.verdict.status == "fail"
    assert result.verdict.summary.startswith("The plan froze transition (by ")
    assert [one.layer for one in result.weights if one.broken] == [None, "1"]
    assert "moved though frozen" in text(result)


def test_columns_that_the_plan_made_afresh_are_no_broken_plan(tmp_path: Path) -> None:
    read = files.read(MIRRORED)
    tensors = dict(read.tensors)
    name = next(n for n, t in tensors.items() if n.startswith("transition/") and t.dim() == 2)
    tensors[name] = tensors[name].clone()
    tensors[name][:, :2] += 0.3
    plan = dict(read.header.plan or {})
    component, _, parameter = name.partition("/")
    afresh = {"component": component, "parameters": parameter, "action": "reset", "columns": [0, 2]}
    header = replace(read.header, plan={**plan, "rules": [*plan["rules"], afresh]})
    files.save(tmp_path / "part.safetensors", header, tensors)
    result = diag.layers(BASE, tmp_path / "part.safetensors")
    found = {one.component: one for one in result.weights if one.layer is None}
    assert (found["transition"].plan, found["transition"].kept) == ("frozen, in part reset", None)
    assert not any(one.broken for one in result.weights)
    assert "froze" not in result.verdict.summary
    assert "kept" not in result.verdict.summary
    assert "transition reads what is" in result.verdict.summary


@pytest.mark.long
def test_a_reader_whose_weights_moved_is_not_said_to_have_kept_them(tmp_path: Path) -> None:
    read = files.read(MIRRORED)
    tensors = {n: t + 0.01 if n.startswith("transition/") else t for n, t in read.tensors.items()}
    files.save(tmp_path / "moved.safetensors", read.header, tensors)
    said = diag.layers(BASE, tmp_path / "moved.safetensors").verdict.summary
    assert "moved all the same" in said
    assert "kept" not in said
    assert "transition kept the base's weights" in diag.layers(BASE, MIRRORED).verdict.summary


def test_a_plan_says_nothing_beside_another_base(tmp_path: Path) -> None:
    read = files.read(BASE)
    tensors = {name: t + 0.01 for name, t in read.tensors.items()}
    files.save(tmp_path / "other.safetensors", read.header, tensors)
    result = diag.layers(tmp_path / "other.safetensors", MIRRORED, relations=False)
    assert result.verdict.status != "fail"
    assert all(one.plan is None for one in result.weights)
    assert any("was not made from" in words for words in result.warnings)


def test_a_base_has_no_plan() -> None:
    assert open_subject(BASE).plan is None


# --- Who reads what changed -------------------------------------------------------------------------------


def test_a_frozen_branch_beside_what_changed_is_no_reader_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = Branches()
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.first.weight.copy_(torch.randn(6, 6))
    x = np.random.default_rng(0).normal(size=(320, 6)).astype(np.float32)
    result = compared(tmp_path, base, tuned, x)
    assert result.reader == "reader"
    assert "input of beside" not in [one.name for one in result.layers]
    assert result.verdict.status == "fail"


def test_layers_without_a_row_for_each_input_are_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = Sevens()
    x = np.random.default_rng(0).normal(size=(70, 6)).astype(np.float32)
    result = compared(tmp_path, base, copy.deepcopy(base), x)
    assert [one.name for one in result.layers] == ["input of head", "head"]
    (words,) = [words for words in result.warnings if "no row for each input" in words]
    assert words.startswith("table (7 × 6 numbers for 3 inputs) of ")
