"""``diag layers``: which layer is the first to differ, by what, and whether a frozen one minds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import diag
from diag.layerwise.reading import Sample, batches_of
from diag.layerwise.result import LayersCompared
from diag.outputs.registry import html
from diag.sources.supplied import Supplied
from diag.sources.torch_watch import watched
from diag.subject import SubjectError
from tests.commands import run
from tests.networks import Named, StepsFirst, Tokens, Twice, made, nudged, permuted, pictures

ORDER = [3, 1, 0, 7, 6, 2, 5, 4]


def written(folder: Path, *nets: nn.Module, inputs: torch.Tensor | None = None) -> list[Path]:
    np.save(folder / "x.npy", (pictures(320) if inputs is None else inputs).numpy())
    places = [folder / f"{number}.pt" for number in range(len(nets))]
    for net, place in zip(nets, places, strict=True):
        torch.save(net.state_dict(), place)
    return places


def compared(
    folder: Path,
    *nets: nn.Module,
    model: str = "Pictures",
    inputs: torch.Tensor | None = None,
    **more: Any,
) -> LayersCompared:
    a, b = written(folder, *nets, inputs=inputs)
    given = Supplied(model=f"tests.networks:{model}", inputs=(folder / "x.npy",))
    return diag.layers(a, b, supplied=given, **more)


def test_the_first_layer_that_moved_is_found_and_the_frozen_one_fails(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), nudged(made(), "conv2", 0.8))
    assert [one.name for one in result.layers] == ["conv1", "conv2", "input of fc", "fc"]
    assert (result.differs, result.departs, result.reader) == ("conv2", "conv2", "fc")
    assert result.verdict.status == "fail"
    assert result.verdict.summary.startswith(
        "The first of 3 layers lies where the base's does; the next does not: conv2 (affine, R² "
    )
    first, second = result.layer("conv1"), result.layer("conv2")
    assert (first.frozen, first.relation, first.moved) == ("exactly", "matched", 0.0)
    assert first.cka.value == pytest.approx(1)
    assert not second.frozen
    assert second.moved == pytest.approx(0.8, abs=0.15)
    assert (second.as_it_is.value or 0) < (second.linear.value or 0)


def test_permuted_hidden_units_are_no_fault(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), permuted(made(), ORDER))
    relations = {one.name: one.relation for one in result.layers}
    assert relations == {"conv1": "permuted", "conv2": "matched", "input of fc": "matched", "fc": "matched"}
    assert result.differs == "conv1"
    assert result.departs is None
    assert result.verdict.status == "pass"
    assert result.layer("conv1").matched.value == pytest.approx(1, abs=1e-6)


def test_equal_networks_in_two_files_are_matched_in_every_layer(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), made())
    assert {one.relation for one in result.layers} == {"matched"}
    assert result.differs is None
    assert result.verdict.summary == "Every layer lies where the base's does: 3 layers in all."


def test_other_networks_share_nothing(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), made(5))
    assert result.differs == "conv1"
    assert result.reader is None
    assert result.verdict.status == "pass"


def test_the_map_has_every_layer_with_every_other(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), nudged(made(), "conv2", 0.8), relations=False)
    assert result.map.base == result.map.transfer == ("conv1", "conv2", "input of fc", "fc")
    assert result.map.cka.shape == result.map.r2.shape == (4, 4)
    assert np.diag(result.map.cka)[0] == pytest.approx(1)
    assert np.diag(result.map.r2)[0] == pytest.approx(1, abs=1e-6)
    assert (result.map.cka_low <= result.map.cka + 0.05).all()
    assert result.layer("conv1").relation is None
    assert result.verdict.status == "inconclusive"
    assert "of 3 layers, fc is least like the base's" in result.verdict.summary


def test_a_frozen_layer_behind_a_harmless_one_is_judged_too(tmp_path: Path) -> None:
    """The second convolution reads what it did; the last layer, frozen too, reads what moved in between."""
    other = permuted(made(), ORDER)
    with torch.no_grad():
        other.bn2.weight.mul_(-1)
        other.bn2.bias.add_(1.5)
    result = compared(tmp_path, made(), other)
    assert result.reader == "fc"
    assert result.verdict.status == "fail"


def test_patterns_choose_layers(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), made(5), only=("conv*",), relations=False)
    assert [one.name for one in result.layers] == ["conv1", "conv2"]
    with pytest.raises(SubjectError, match=r"no layer called block\*; expected one of conv1"):
        compared(tmp_path, made(), made(5), only=("block*",))


def test_wide_layers_say_what_would_compare_them(tmp_path: Path) -> None:
    result = compared(tmp_path, made(), made(5), widest=6)
    assert result.layer("conv1").reason == "wider than 6 units: --widest 8 compares them, at some cost"
    assert result.layer("fc").as_it_is.value is not None


def test_a_layer_that_runs_twice_is_two_and_rows_of_steps_are_joined(tmp_path: Path) -> None:
    torch.manual_seed(0)
    a, b = Twice(), Twice()
    x = torch.randn(64, 3, 6)
    places = written(tmp_path, a, b, inputs=x)
    given = Supplied(model="tests.networks:Twice", inputs=(tmp_path / "x.npy",))
    result = diag.layers(*places, supplied=given, relations=False)
    assert result.map.base == ("shared", "shared (call 2)", "input of rows", "rows")
    assert {one.units for one in result.layers} == {(6, 6), (4, 4)}


def test_the_layers_of_a_transformer_run_where_they_can_be_read() -> None:
    net = Tokens().eval()
    seen: dict[str, tuple[int, ...]] = {}
    x = torch.randn(4, 5, 8)
    with (
        torch.inference_mode(),
        watched(net, 4, lambda layer, out: seen.update({layer.name: tuple(out.shape)})),
    ):
        watched_out = net(x)
    with torch.inference_mode():
        assert torch.allclose(net(x), watched_out, atol=1e-5)
    assert {"block.self_attn", "block.linear1", "block.linear2", "head"} <= seen.keys()
    assert seen["block.linear1"] == (4, 16, 5)
    assert seen["head"] == (4, 3)


def test_networks_without_a_name_in_common_have_their_map(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32))
    subjects = []
    for name in ("first", "other"):
        torch.save(Named(name).state_dict(), tmp_path / f"{name}.pt")
        given = Supplied(model="tests.networks:Named", model_args=f'["{name}"]', inputs=(tmp_path / "x.npy",))
        subjects.append(diag.open_subject(tmp_path / f"{name}.pt", given, "source"))
    result = diag.layers(*subjects)
    assert result.layers == ()
    assert result.verdict.summary.startswith("The networks have no layer of one name")
    assert result.map.base == ("first", "input of first")[::-1]
    assert result.map.cka.shape == (2, 1)
    assert "CKA of every layer" in html(result)
    assert "no namesake" in str(result).replace("\n", " ")


def test_too_few_inputs_and_one_file_twice(tmp_path: Path) -> None:
    a, b = written(tmp_path, made(), made(1), inputs=pictures(12))
    given = Supplied(model="tests.networks:Pictures", inputs=(tmp_path / "x.npy",))
    with pytest.raises(SubjectError, match="12 inputs; expected at least 16"):
        diag.layers(a, b, supplied=given)
    with pytest.raises(SubjectError, match="the base itself"):
        diag.layers(a, a, supplied=given)
    np.save(tmp_path / "e.npy", np.zeros((40, 2)))
    with pytest.raises(SubjectError, match="found no layers; expected weights with --model"):
        diag.layers(a, tmp_path / "e.npy", supplied=given)


@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_that_are_no_pairs_are_told(tmp_path: Path, shuffled: bool) -> None:
    """The transfer sees the base's pictures inverted: in the same order, or in another."""
    shown = pictures(400)
    a, b = written(tmp_path, made(), nudged(made(), "conv2", 0.2), inputs=shown)
    seen = -shown[np.random.default_rng(0).permutation(len(shown))] if shuffled else -shown
    np.save(tmp_path / "y.npy", seen.numpy())
    both = (tmp_path / "x.npy", tmp_path / "y.npy")
    given = Supplied(model="tests.networks:Pictures", inputs=both)
    result = diag.layers(a, b, supplied=given, relations=False)
    assert (
        any("may not show the same things in the same order" in words for words in result.warnings)
        is shuffled
    )


def test_weights_that_are_not_finite_are_told(tmp_path: Path) -> None:
    broken = made()
    with torch.no_grad():
        broken.conv2.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(SubjectError, match="NaN or infinity in layer 'conv2'"):
        compared(tmp_path, made(), broken)


def test_memory_does_not_grow_with_the_inputs() -> None:
    assert Sample.of(50, 1000).places == 8
    assert Sample.of(10**6, 1000) == Sample.of(10**5, 1000)
    assert Sample.of(10**6, 10**6).inputs == 512
    for n in (16, 31, 64, 500, 5000):
        parts = batches_of(n, 0)
        assert sorted(np.concatenate(parts)) == list(range(n))
        assert min(map(len, parts)) >= 15


def test_the_command_writes_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, written(tmp_path, made(), nudged(made(), "conv2", 0.8)))
    given = ("--model", "tests.networks:Pictures", "--inputs", str(tmp_path / "x.npy"))
    page = tmp_path / "layers.html"
    _, text, _ = run(capsys, "layers", a, b, *given, "--html", str(page), "-v")
    assert "▸ conv2" in text
    assert "holds in 100% of the resamples" in text
    assert "<h2>CKA of every layer with every other</h2>" in page.read_text()
    tree = json.loads(run(capsys, "layers", a, b, *given, "--quick", "--json")[1])
    assert tree["diagnosis"] == "layers"
    assert tree["layers"][0]["r2_as_it_is"]["reason"] == "relations were not asked for"


def test_the_gate_holds_each_layer_against_a_limit(tmp_path: Path) -> None:
    a, b = written(tmp_path, made(), nudged(made(), "conv2", 3.0))
    given = Supplied(model="tests.networks:Pictures", inputs=(tmp_path / "x.npy",))
    limits = {"check.layers.level": "error", "check.layers.min_cka": 0.9}
    gate = diag.check(a, b, supplied=given, config=limits)
    told = {one.of: one.outcome for one in gate.checked[0].findings if one.check == "layers"}
    assert told["conv1"] == "pass"
    assert told["conv2"] == "fail"


def test_a_checkpoint_of_our_own_is_read_layer_by_layer() -> None:
    result = diag.layers("examples/base.safetensors", "examples/mirrored.safetensors")
    assert [one.name for one in result.layers] == [f"encoder/{number}" for number in range(5)]
    assert result.layers[-1].relation == "flipped"
    assert (result.reader, result.verdict.status) == ("transition", "fail")


def test_steps_are_never_taken_for_inputs(tmp_path: Path) -> None:
    inputs = torch.randn(256, 16, 8, generator=torch.Generator().manual_seed(0))  # as many steps as a batch
    with pytest.raises(SubjectError, match="whose first axis is not the inputs"):
        compared(tmp_path, StepsFirst(), StepsFirst(), model="StepsFirst", inputs=inputs)
