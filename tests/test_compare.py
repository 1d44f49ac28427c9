"""compare-embeddings: verdicts on the examples and on arrays, and words for pairs that make none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.outputs.json import render
from diag.outputs.lines import WIDTH
from diag.outputs.registry import text
from diag.sources.systems import trained as trained_by
from diag.subject import SubjectError
from probes import ProbeError
from trainers import checkpoint as files
from trainers.crar import CRAR


def test_the_examples_are_what_they_are_called(examples: Path) -> None:
    base = examples / "base.safetensors"
    matched = diag.compare(base, examples / "matched.safetensors")
    assert (matched.verdict.status, matched.relation, matched.success) == ("pass", "matched", True)
    mirrored = diag.compare(base, examples / "mirrored.safetensors")
    assert (mirrored.verdict.status, mirrored.relation, mirrored.success) == ("fail", "flipped", False)
    assert mirrored.verdict.axes
    flip = mirrored.measures["flip"]
    assert flip.low is not None
    assert flip.low > 0.3
    assert mirrored.frozen == ("transition",)


def embedded(path: Path, observations: torch.Tensor) -> torch.Tensor:
    subject = diag.open_subject(path)
    assert subject.encoder is not None
    assert subject.parameters is not None
    return subject.encoder.embed(subject.parameters, observations)


def test_a_loaded_checkpoint_embeds_bit_for_bit(trained: Path, tmp_path: Path) -> None:
    """The same numbers after saving and loading, and alone as in any stack."""
    path = trained / "base" / "seed0.safetensors"
    loaded = files.read(path)
    agent = trained_by(loaded).system
    assert isinstance(agent, CRAR)
    seen = torch.from_numpy(agent.world.observations["source"])
    stacked = {n: t.unsqueeze(0) for n, t in loaded.tensors.items()}
    first = embedded(path, seen)
    files.save(tmp_path / "copy", loaded.header, loaded.tensors)
    assert torch.equal(embedded(tmp_path / "copy", seen), first)
    many = {n: t.repeat(5, *[1] * (t.dim() - 1)) for n, t in stacked.items()}
    assert all(torch.equal(row, first) for row in agent.embed(many, seen))


def test_arrays(tmp_path: Path, rng: np.random.Generator) -> None:
    y = rng.normal(size=(100, 4, 2))
    np.save(tmp_path / "base.npy", y)
    np.savez(tmp_path / "flipped.npz", embeddings=-y + 0.01 * rng.normal(size=y.shape), other=np.zeros(3))
    found = diag.compare(tmp_path / "base.npy", tmp_path / "flipped.npz")
    assert (found.verdict.status, found.relation, found.verdict.axes) == ("fail", "flipped", tuple(range(8)))
    assert found.success is None
    told = diag.compare(tmp_path / "base.npy", tmp_path / "flipped.npz", unfrozen=True)
    assert (told.verdict.status, told.relation) == ("pass", "flipped")


def test_equal_content_in_two_files_is_matched_with_a_warning(examples: Path, tmp_path: Path) -> None:
    base = examples / "base.safetensors"
    shutil.copy(base, tmp_path / "copy.safetensors")
    found = diag.compare(base, tmp_path / "copy.safetensors")
    assert found.relation == "matched"
    assert "equal byte for byte" in found.warnings[0]
    loaded = files.read(base)
    files.save(tmp_path / "other.safetensors", replace(loaded.header, step=1), loaded.tensors)
    again = diag.compare(base, tmp_path / "other.safetensors")
    assert again.relation == "matched"
    assert "hold the same numbers" in again.warnings[0]


def test_a_file_is_not_compared_with_itself(examples: Path, tmp_path: Path) -> None:
    base = examples / "base.safetensors"
    (tmp_path / "link").symlink_to(base.resolve())
    for other in (base, tmp_path / "link"):
        with pytest.raises(SubjectError, match="the base itself"):
            diag.compare(base, other)


def test_a_transfer_of_another_base_is_warned_of(examples: Path, trained: Path) -> None:
    found = diag.compare(examples / "base.safetensors", trained / "transfer" / "seed0.safetensors")
    assert "was not made from" in found.warnings[0]


def test_an_unfrozen_transfer_does_not_fail(examples: Path, tmp_path: Path) -> None:
    loaded = files.read(examples / "mirrored.safetensors")
    free = {"name": "free", "rules": [{"component": "*", "action": "copy"}]}
    files.save(tmp_path / "free.safetensors", replace(loaded.header, plan=free), loaded.tensors)
    found = diag.compare(examples / "base.safetensors", tmp_path / "free.safetensors")
    assert (found.verdict.status, found.relation, found.frozen) == ("pass", "flipped", ())


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((3, 2)), "3 rows; expected 50 rows"),
        (np.full((50, 2), np.inf), "50 of 50 rows with NaN or infinity"),
        (np.array([["a"]] * 50), "values"),
        (np.array([[{}]] * 50, dtype=object), "pickled objects, which are never loaded"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
    ],
)
def test_arrays_that_cannot_be_compared(
    tmp_path: Path, rng: np.random.Generator, array: np.ndarray, words: str
) -> None:
    np.save(tmp_path / "base.npy", rng.normal(size=(50, 2)))
    np.save(tmp_path / "other.npy", array, allow_pickle=True)
    with pytest.raises(SubjectError, match=words):
        diag.compare(tmp_path / "base.npy", tmp_path / "other.npy")


def test_too_few_states(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "a.npy", rng.normal(size=(5, 2)))
    np.save(tmp_path / "b.npy", rng.normal(size=(5, 2)))
    with pytest.raises(SubjectError, match="5 rows; expected at least 8 paired states"):
        diag.compare(tmp_path / "a.npy", tmp_path / "b.npy")
    np.save(tmp_path / "a.npy", np.repeat(rng.normal(size=(5, 2)), 4, 0))
    np.save(tmp_path / "b.npy", np.repeat(rng.normal(size=(5, 2)), 4, 0))
    with pytest.raises(SubjectError, match="5 distinct states; expected at least 8"):
        diag.compare(tmp_path / "a.npy", tmp_path / "b.npy")


def test_files_that_are_no_arrays(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "a.npy", rng.normal(size=(50, 2)))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:100])
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "d.txt").write_text("no")
    np.savez(tmp_path / "e.npz", one=np.zeros((50, 2)), two=np.zeros((50, 2)))
    for name, words in (
        ("b.npy", "no whole numpy file"),
        ("c.npz", "no whole numpy file"),
        ("e.npz", "arrays one, two; expected one array, or one named 'embeddings'"),
        ("f.npy", "no such file"),
    ):
        with pytest.raises(SubjectError, match=words):
            diag.compare(tmp_path / "a.npy", tmp_path / name)
    with pytest.raises(SubjectError, match="found a table of text"):
        diag.compare(tmp_path / "a.npy", tmp_path / "d.txt")
    with pytest.raises(SubjectError, match="a folder"):
        diag.compare(tmp_path, tmp_path / "a.npy")


def test_checkpoints_and_arrays_do_not_mix(examples: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "a.npy", rng.normal(size=(31, 2)))
    with pytest.raises(SubjectError, match="the same kind of file"):
        diag.compare(examples / "base.safetensors", tmp_path / "a.npy")


def test_a_constant_base_is_inconclusive(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "a.npy", np.ones((20, 2)))
    np.save(tmp_path / "b.npy", rng.normal(size=(20, 2)))
    found = diag.compare(tmp_path / "a.npy", tmp_path / "b.npy")
    assert found.verdict.status == "inconclusive"
    assert "constant" in found.verdict.summary
    assert json.loads(render(found))["measures"]["variance_ratio"]["value"] is None


def test_the_json_has_the_documented_shape(examples: Path) -> None:
    found = diag.compare(examples / "base.safetensors", examples / "mirrored.safetensors")
    tree = json.loads(render(found))
    assert tree["schema_version"] == 1
    assert tree["diagnosis"] == "compare-embeddings"
    assert set(tree["base"]) == {"path", "sha256"}
    assert set(tree["verdict"]) == {"status", "relation", "axes", "summary"}
    assert [step["transform"] for step in tree["ladder"]] == [
        "identity",
        "signs",
        "permutation",
        "orthogonal",
        "similarity",
        "affine",
    ]
    assert set(tree["ladder"][1]) == {"transform", "r2", "low", "high", "map"}
    assert set(tree["measures"]["l2"]) == {"value", "low", "high"}
    assert tree["verdict"]["axes"] == [j for j, s in enumerate(tree["ladder"][1]["map"]["signs"]) if s < 0]


def test_the_text_says_it_in_one_sentence_first_and_fits(examples: Path) -> None:
    found = diag.compare(examples / "base.safetensors", examples / "mirrored.safetensors")
    lines = text(replace(found, base=replace(found.base, path="x" * 300))).splitlines()
    assert lines[0].startswith("FAIL  Flipped: the base's embedding with")
    assert max(map(len, lines)) <= WIDTH


def test_arrays_in_memory(base_embedding: np.ndarray) -> None:
    found = diag.compare(base_embedding, torch.from_numpy(-base_embedding))
    assert (found.relation, found.verdict.axes) == ("flipped", (0, 1, 2))
    with pytest.raises(SubjectError, match="transfer array: found shape"):
        diag.compare(base_embedding, np.zeros(3))


def test_matched_but_not_all_in_place_is_a_warning(examples: Path, tmp_path: Path) -> None:
    """Small noise on the last bias and weights: still the base's space, but states change neighbours."""
    loaded = files.read(examples / "matched.safetensors")
    moved = dict(loaded.tensors)
    moved["encoder/4.bias"] = moved["encoder/4.bias"] + 0.13
    files.save(tmp_path / "near.safetensors", loaded.header, moved)
    found = diag.compare(examples / "base.safetensors", tmp_path / "near.safetensors", margin=0.2)
    assert (found.verdict.status, found.relation, found.success) == ("warn", "matched", False)
    assert "states are nearest to their own" in found.verdict.summary


def test_equal_arrays_in_other_formats_are_noticed(tmp_path: Path, rng: np.random.Generator) -> None:
    y = rng.normal(size=(50, 2))
    np.save(tmp_path / "a.npy", y)
    np.savez(tmp_path / "b.npz", np.asfortranarray(y))
    found = diag.compare(tmp_path / "a.npy", tmp_path / "b.npz")
    assert found.relation == "matched"
    assert "hold the same numbers" in found.warnings[0]


def test_swapped_arguments_are_refused(examples: Path) -> None:
    with pytest.raises(SubjectError, match="expected BASE before TRANSFER"):
        diag.compare(examples / "mirrored.safetensors", examples / "base.safetensors")


@pytest.mark.parametrize("value", [1.0, 0.1, 0.3, 1e6])
def test_nothing_is_in_place_in_a_constant_base(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "a.npy", np.full((31, 2), value))
    np.save(tmp_path / "b.npy", np.random.default_rng(0).normal(size=(31, 2)))
    found = diag.compare(tmp_path / "a.npy", tmp_path / "b.npy")
    assert found.verdict.status == "inconclusive"
    assert found.own_states is None
    assert "constant" in text(found)


def test_a_component_frozen_in_part_counts_as_frozen(examples: Path, tmp_path: Path) -> None:
    loaded = files.read(examples / "mirrored.safetensors")
    rules = [
        {"component": "*", "action": "copy"},
        {"component": "transition", "parameters": "0.*", "action": "freeze"},
    ]
    files.save(
        tmp_path / "part.safetensors",
        replace(loaded.header, plan={"name": "part", "rules": rules}),
        loaded.tensors,
    )
    found = diag.compare(examples / "base.safetensors", tmp_path / "part.safetensors")
    assert (found.verdict.status, found.frozen) == ("fail", ("transition",))


@pytest.mark.parametrize("size", [1e-160, 1e-310, 1e155, 1e308])
def test_sizes_that_float64_cannot_square_are_refused(tmp_path: Path, size: float) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(31, 2)))
    np.save(tmp_path / "b.npy", np.random.default_rng(0).uniform(0.5, 1, size=(31, 2)) * size)
    with pytest.raises(ProbeError, match=r"b\.npy: the embedding has values of size"):
        diag.compare(tmp_path / "a.npy", tmp_path / "b.npy")


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_text_keeps_to_its_width_at_any_scale(tmp_path: Path, size: float) -> None:
    y = np.random.default_rng(0).normal(size=(31, 2))
    np.save(tmp_path / "a.npy", y * size)
    np.save(tmp_path / "b.npy", -y)
    lines = text(diag.compare(tmp_path / "a.npy", tmp_path / "b.npy"), verbose=True).splitlines()
    evidence = [line for line in lines if not line.startswith(("  base ", "  transfer "))]
    assert max(map(len, evidence)) <= WIDTH
    assert not any("0.00 [0.00" in line for line in lines if "L2" in line)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    """Every byte of a compressed archive flipped in turn: read, or refused in words."""
    y = np.random.default_rng(0).normal(size=(12, 2))
    np.save(tmp_path / "a.npy", y)
    np.savez_compressed(tmp_path / "b.npz", embeddings=y)
    whole = (tmp_path / "b.npz").read_bytes()
    refused = 0
    for index in range(len(whole)):
        (tmp_path / "c.npz").write_bytes(whole[:index] + bytes([whole[index] ^ 0x55]) + whole[index + 1 :])
        try:
            diag.open_subject(tmp_path / "c.npz")
        except SubjectError:
            refused += 1
    assert refused > len(whole) / 2


def test_margins_and_groups_that_make_no_sense(base_embedding: np.ndarray) -> None:
    import probes

    with pytest.raises(ProbeError, match="groups has shape"):
        probes.relation(base_embedding, base_embedding, groups=[1, 2])
    for margin in (float("nan"), -1.0, 9.0):
        with pytest.raises(ProbeError, match="expected 0 to 1"):
            probes.relation(-base_embedding, base_embedding, margin=margin)
