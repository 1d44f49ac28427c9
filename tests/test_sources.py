"""Embeddings in every format: the same numbers give the same comparison, with all that stands beside them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import diag
from diag.comparisons.result import Comparison
from diag.sources import array_files, formats, parquet, safetensors_file, systems
from diag.subject import SubjectError
from tests import source_files as files
from trainers.checkpoint import CheckpointError, read

Array = NDArray[np.float32]

ALL = (
    *(files.npy, files.npz, files.packed, files.safetensors, files.saved, files.bare),
    *(files.columns, files.lists, files.fixed_lists, files.tensors, files.frame),
)
HOLDING_MORE = tuple(write for write in ALL if write not in (files.npy, files.bare))


def told(found: Comparison) -> dict[str, object]:
    """All that a comparison says, but for the files' names and those of their columns."""
    tree = found.to_tree()
    del tree["base"], tree["transfer"], tree["warnings"], tree["columns"]
    return tree


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[Array, Array]:
    y = rng.normal(size=(80, 3)).astype(np.float32)
    return y, y * np.float32([1, -1, 1]) + np.float32(0.1) * rng.normal(size=y.shape).astype(np.float32)


@pytest.mark.parametrize("write", ALL, ids=lambda w: w.__name__)
def test_every_format_gives_the_same_comparison(
    write: files.Write, pair: tuple[Array, Array], tmp_path: Path
) -> None:
    paths = [write(tmp_path / name, {"embeddings": v}) for name, v in zip("ab", pair, strict=True)]
    found, known = diag.compare(*paths), diag.compare(*pair)
    assert found.relation == "flipped"
    assert told(found) == told(known)
    subject = diag.open_subject(paths[0], task="source")
    assert subject.task == "source"
    assert subject.embeddings is not None
    assert subject.embeddings.dtype == np.float32


@pytest.mark.parametrize("write", HOLDING_MORE, ids=lambda w: w.__name__)
def test_episodes_and_returns_beside_the_embeddings(
    write: files.Write, pair: tuple[Array, Array], tmp_path: Path
) -> None:
    episodes, returns = np.arange(80) // 5, np.array([1.0, 2.5, -1.0])
    paths = [
        write(tmp_path / name, {"embeddings": v, "episodes": episodes, "returns": returns})
        for name, v in zip("ab", pair, strict=True)
    ]
    found = diag.compare(*paths)
    assert (found.grouping, found.states) == ("episodes", 16)
    assert told(found) == told(diag.compare(*pair, episodes=episodes))
    held = diag.open_subject(paths[0]).returns
    assert held is not None
    np.testing.assert_array_equal(held, returns)
    assert held.dtype == np.float64


@pytest.mark.parametrize("write", [files.npz, files.lists, files.columns, files.frame])
def test_episodes_may_be_words(write: files.Write, pair: tuple[Array, Array], tmp_path: Path) -> None:
    words = np.array([f"episode {i // 5}" for i in range(80)])
    path = write(tmp_path / "a", {"embeddings": pair[0], "episodes": words})
    np.testing.assert_array_equal(diag.open_subject(path).episodes, words)


@pytest.mark.parametrize("write", [files.npz, files.safetensors, files.saved])
def test_returns_alone(write: files.Write, tmp_path: Path) -> None:
    subject = diag.open_subject(write(tmp_path / "a", {"returns": np.arange(4)}))
    assert (subject.embeddings, subject.label) == (None, "returns of 4 episodes")
    np.testing.assert_array_equal(subject.returns, [0.0, 1.0, 2.0, 3.0])
    table = files.table(tmp_path / "t", {"returns": [1.0, None, 2.0]})
    np.testing.assert_array_equal(diag.open_subject(table).returns, [1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1.0, np.nan]), "1 of 2 returns not finite"),
        (np.zeros((2, 2)), r"returns of float64 \(2, 2\)"),
        (np.zeros(0), r"returns of float64 \(0,\)"),
    ],
)
def test_returns_that_make_no_sense(values: NDArray[np.float64], words: str, tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match=words):
        diag.open_subject(files.npz(tmp_path / "a", {"returns": values}))


@pytest.mark.parametrize("write", [files.npy, files.safetensors, files.fixed_lists, files.tensors])
def test_grids_keep_their_shape(write: files.Write, rng: np.random.Generator, tmp_path: Path) -> None:
    y = rng.normal(size=(20, 4, 3, 2))
    found = diag.open_subject(write(tmp_path / "a", {"embeddings": y})).embeddings
    assert found is not None
    np.testing.assert_array_equal(found, y)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int64", "bool"])
@pytest.mark.parametrize("write", [files.safetensors, files.saved, files.columns, files.fixed_lists])
def test_numbers_keep_their_type(write: files.Write, dtype: str, tmp_path: Path) -> None:
    y = np.arange(30).reshape(10, 3).astype(dtype)
    found = diag.open_subject(write(tmp_path / "a", {"embeddings": y})).embeddings
    assert found is not None
    assert found.dtype == y.dtype
    np.testing.assert_array_equal(found, y)


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    y = torch.randn(20, 3).to(torch.bfloat16)
    save_file({"embeddings": y}, tmp_path / "a.safetensors")
    torch.save(y, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        found = diag.open_subject(tmp_path / name).embeddings
        np.testing.assert_array_equal(found, y.float().numpy())


@pytest.mark.parametrize("write", [files.npy, files.safetensors])
def test_large_files_are_mapped(
    write: files.Write, pair: tuple[Array, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (array_files, safetensors_file):
        monkeypatch.setattr(module, "MAPPED_BYTES", 100)
    paths = [write(tmp_path / name, {"embeddings": v}) for name, v in zip("ab", pair, strict=True)]
    assert isinstance(diag.open_subject(paths[0]).embeddings, np.memmap)
    assert told(diag.compare(*paths)) == told(diag.compare(*pair))


def test_parquet_is_read_in_batches(
    pair: tuple[Array, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_BYTES", 100)
    for write in (files.columns, files.lists, files.fixed_lists):
        np.testing.assert_array_equal(
            diag.open_subject(write(tmp_path / "a", {"embeddings": pair[0]})).embeddings, pair[0]
        )


def test_parquet_mixes_types_and_takes_missing_fractions_as_nan(tmp_path: Path) -> None:
    whole, fractions = list(range(10)), [0.5, None, *[1.0] * 8]
    found = diag.open_subject(files.table(tmp_path / "a", {"a": whole, "b": fractions})).embeddings
    assert found is not None
    assert found.dtype == np.float64
    assert np.isnan(found[1, 1])
    assert found[2].tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1.0, 2.0], "name": ["x", "y"]}, "column 'name' of string"),
        ({"a": [1, None]}, "a missing number in column 'a'"),
        ({"embeddings": [[1.0], [1.0, 2.0]]}, "lists of 1 to 2 in column 'embeddings'"),
        ({"embeddings": [[1.0], None]}, "a missing row in column 'embeddings'"),
        ({"embeddings": [["x"], ["y"]]}, "column 'embeddings' of string"),
        ({"embeddings": [[], []]}, "column 'embeddings' of null"),
        ({"a": [1.0, 2.0], "episodes": [1, None]}, "rows without one of the episodes"),
        ({"a": [1.0, 2.0], "episodes": [0.5, 1.5]}, "episodes of float64"),
        ({"episodes": [1, 2]}, "2 rows of 0 columns"),
        ({"a": np.zeros(0)}, "0 rows of 1 columns"),
        ({"a": [1.0, 2.0], "returns": [np.nan, 1.0]}, "1 of 2 returns not finite"),
    ],
)
def test_tables_that_are_no_embeddings(columns: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match=words):
        diag.open_subject(files.table(tmp_path / "a", columns))


def test_files_of_weights_say_what_they_lack(tmp_path: Path) -> None:
    weights = {"a": np.zeros((3, 2)), "b": np.zeros(2)}
    with pytest.raises(
        SubjectError, match=r"without a transfer-diag header, with 2 names .*--adapter MODULE"
    ):
        diag.open_subject(files.safetensors(tmp_path / "a", weights))
    with pytest.raises(SubjectError, match=r"a state dict, with 2 names \(a, b\)"):
        diag.open_subject(files.saved(tmp_path / "a", weights))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(SubjectError, match="found a list"):
        diag.open_subject(tmp_path / "list.pt")


def test_our_checkpoints_are_known_whatever_their_name(examples: Path, tmp_path: Path) -> None:
    for name in ("base", "base.onnx", "base.pt", "base.h5"):
        (tmp_path / name).write_bytes((examples / "base.safetensors").read_bytes())
        assert diag.open_subject(tmp_path / name, task="target").task == "source"
    # And tensors without our header by what they are, where no suffix says otherwise.
    place = files.safetensors(tmp_path / "plain", {"embeddings": np.ones((9, 2))})
    assert diag.open_subject(place.rename(tmp_path / "plain.unknown")).embeddings is not None


def test_files_of_no_known_kind_are_told_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("something")
    with pytest.raises(ValueError, match=r"known suffix \(.npy, .npz, .parquet.*docs/sources.md adds others"):
        diag.open_subject(tmp_path / "a.h5")


def test_nothing_heavy_is_imported_for_arrays_and_tensors(tmp_path: Path, pair: tuple[Array, Array]) -> None:
    place = files.safetensors(tmp_path / "a", {"embeddings": pair[0]})
    code = (
        f"import sys, diag; diag.open_subject({str(place)!r}); "
        "print([m for m in ('torch', 'pyarrow', 'onnxruntime', 'pandas', 'gymnasium') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_every_line_of_the_registries_leads_to_code() -> None:
    assert len(set(formats.SUFFIXES)) == len(formats.SUFFIXES)
    for known in formats.FORMATS:
        module, _, function = known.opener.partition(":")
        assert callable(getattr(import_module(f"diag.sources.{module}"), function))
    for name in systems.SUBJECTS.known():
        assert callable(systems.SUBJECTS.load(name))


def test_a_system_that_nothing_here_reads_gets_one_line(examples: Path) -> None:
    checkpoint = read(examples / "base.safetensors")
    other = replace(checkpoint, header=replace(checkpoint.header, system="none"))
    with pytest.raises(CheckpointError, match=r"found system 'none'; expected system .*'crar'"):
        systems.subject_of(other)
