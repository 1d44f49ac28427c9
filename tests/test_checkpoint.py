"""The checkpoint format: what is written is read back, nothing else is, and nothing is half-written."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError, Header

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
trees = st.dictionaries(st.text(max_size=10), json_values, max_size=4)
names = st.from_regex(r"[a-z]{1,8}/[0-9a-z.]{1,8}", fullmatch=True)
tensors = st.dictionaries(
    names,
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_dims=3, max_side=4),
        elements=st.floats(-1e6, 1e6, width=32),
    ).map(torch.from_numpy),
    min_size=1,
    max_size=4,
)
headers = st.builds(
    Header,
    system=st.text(max_size=8),
    settings=trees,
    task=st.text(max_size=8),
    step=st.integers(0, 2**53),
    seed=st.integers(0, 2**53),
    plan=st.none() | trees,
    metrics=trees,
    environment=trees,
)


# A header of 640 bytes begins the file with 80 02, as a pickle does: found by this very test.
@given(headers, tensors)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=50,
)
def test_round_trip(tmp_path: Path, header: Header, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "x.safetensors"
    files.save(path, header, weights)
    found = files.read(path)
    assert found.header == header
    assert found.tensors.keys() == weights.keys()
    assert all(torch.equal(found.tensors[n], weights[n]) for n in weights)
    assert found.identity == files.identity_of(weights)


def header(**changes: Any) -> Header:
    return Header(**{"system": "crar", "settings": {}, "task": "source", "step": 1, "seed": 0} | changes)


WEIGHTS = {"encoder/0.weight": torch.ones(2, 3), "encoder/0.bias": torch.zeros(2)}


def test_the_identity_is_of_the_tensors_alone(tmp_path: Path) -> None:
    files.save(tmp_path / "a", header(), WEIGHTS)
    files.save(tmp_path / "b", header(step=2), dict(reversed(WEIGHTS.items())))
    a, b = files.read(tmp_path / "a"), files.read(tmp_path / "b")
    assert a.identity == b.identity
    assert a.sha256 != b.sha256
    changed = WEIGHTS | {"encoder/0.bias": torch.tensor([0.0, -0.0])}
    assert files.identity_of(changed) != a.identity


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Explosive()))
    return buffer.getvalue()


def whole() -> bytes:
    words = {"transfer_diag": json.dumps(header().to_tree())}
    return safetensors.torch.save(WEIGHTS, metadata=words)


def with_words(words: str) -> bytes:
    return safetensors.torch.save(WEIGHTS, metadata={"transfer_diag": words})


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 bytes"),
        (b"hello, I am no checkpoint at all", "no whole safetensors file"),
        (pickle.dumps(Explosive()), "a pickle, which is never loaded"),
        (zipped(), "a zip archive"),
        (whole()[:-5], "no whole safetensors file"),
        (whole()[:20], "no whole safetensors file"),
        ((2**63).to_bytes(8, "little") + whole()[8:], "no whole safetensors file"),
        (safetensors.torch.save(WEIGHTS), "without a transfer-diag header"),
        (with_words("{"), "a header that is not JSON"),
        (with_words("[1]"), "a header that is a list"),
        (with_words('{"format_version": 99}'), "format version 99"),
        (with_words('{"format_version": 1}'), "a header without 'system'"),
        (with_words(json.dumps(header().to_tree() | {"stepp": 1})), "did you mean 'step'"),
        (with_words(json.dumps(header().to_tree() | {"step": "many"})), "step 'many'"),
        (with_words("[" * 100_000), "not JSON"),
        (with_words(json.dumps(header().to_tree() | {"base": {"path": 3}})), "a base without path"),
        (with_words(json.dumps(header().to_tree() | {"metrics": {"losses": 3}})), "loss curves"),
        (with_words(json.dumps(header().to_tree() | {"metrics": {"losses": {"a": ["b"]}}})), "loss curves"),
        (with_words(json.dumps(header().to_tree() | {"metrics": {"x": float("nan")}})), "not JSON"),
        (
            safetensors.torch.save(
                {"encoder/0.weight": torch.ones(2).to(torch.float8_e4m3fn)},
                metadata={"transfer_diag": json.dumps(header().to_tree())},
            ),
            "of type float8_e4m3fn",
        ),
    ],
)
def test_anything_else_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        files.read(path)
    assert found in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        files.read(tmp_path / "none")
    with pytest.raises(CheckpointError, match="is a directory"):
        files.read(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    files.save(path, header(), WEIGHTS | {"encoder/0.bias": torch.tensor([np.nan, 1.0])})
    with pytest.raises(CheckpointError, match=r"1 non-finite weights \(first in encoder/0.bias\)"):
        files.read(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    files.save(path, header(), WEIGHTS)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.save(path, header(step=2), WEIGHTS)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_resume_files_name_the_weights_that_they_go_with(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    files.save_resume(path, WEIGHTS, {"step": 3}, {"squares/a": torch.ones(2)})
    weights, state, rest = files.read_resume(path)
    assert state["identity"] == files.identity_of(WEIGHTS)
    assert state["step"] == 3
    assert torch.equal(weights["encoder/0.weight"], WEIGHTS["encoder/0.weight"])
    assert torch.equal(rest["squares/a"], torch.ones(2))
