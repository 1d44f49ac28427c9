"""Every type of numbers at every way in: the same result as float64, or a refusal in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

import diag
from diag.commands import app as cli
from diag.comparisons import pairing
from diag.comparisons.result import Comparison
from diag.sources import array_files, opened
from diag.sources.arrays import read_labels
from diag.sources.numbers import native, real_numbers, row_labels
from diag.sources.pairs import FilePairs
from diag.sources.supplied import Supplied
from diag.sources.variables import variables_of
from diag.subject import SubjectError
from tests import source_files as files

ROWS = 48
LONG = np.longdouble if np.dtype(np.longdouble).itemsize > 8 else np.float64

NUMBERS = {
    "big-endian float64": ">f8",
    "big-endian float32": ">f4",
    "big-endian half": ">f2",
    "long double": LONG,
    "half": "f2",
    "float32": "f4",
    "int8": "i1",
    "big-endian int16": ">i2",
    "int64": "i8",
    "uint16": "u2",
    "big-endian uint32": ">u4",
    "uint64": "u8",
}
"""Types that hold small whole numbers exactly: whatever comes out is what float64 gives."""

REFUSED = {
    "complex": (np.ones((ROWS, 3), complex), "complex128"),
    "words": (np.full((ROWS, 3), "a"), "<U1"),
    "bytes": (np.full((ROWS, 3), b"a"), "S1"),
    "records": (np.zeros((ROWS, 3), [("left", "f8"), ("right", "i4")]), "records with fields left, right"),
    "dates": (np.zeros((ROWS, 3), "M8[s]"), "datetime64"),
    "durations": (np.zeros((ROWS, 3), "m8[s]"), "timedelta64"),
}
"""Types that are no numbers, and a word that says what they are."""

Array = NDArray[Any]


def whole(seed: int) -> Array:
    """(n, 3) small whole numbers, none negative, that no two columns share."""
    return np.random.default_rng(seed).integers(0, 100, (ROWS, 3)).astype(np.float64)


BASE, TRANSFER = whole(1), np.abs(whole(1) - [0, 99, 0]) + whole(2) // 50


def told(found: Comparison) -> dict[str, object]:
    tree = found.to_tree()
    return {name: tree[name] for name in ("verdict", "measures", "ladder", "agreement", "grouping", "states")}


KNOWN = told(diag.compare(BASE, TRANSFER))


def same(found: Comparison, known: dict[str, object] = KNOWN) -> None:
    """Whole numbers come through every type exactly: not a bit may differ."""
    assert told(found) == known


def encoder(weights: Any, opening: Any) -> torch.nn.Module:
    """For ``--adapter``: what it makes of observations is these."""
    return Cast()


class Cast(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()


def paired(place: Path, **arrays: Array) -> Comparison:
    """What an encoder that changes nothing makes of pairs in a file."""
    for name in "ab":
        torch.save({"w": torch.ones(2)}, place.parent / f"{name}.pt")
    np.savez(place, **arrays)
    given = Supplied(place, adapter=f"{__name__}:encoder")
    return diag.compare(place.parent / "a.pt", place.parent / "b.pt", supplied=given)


def of_files(write: files.Write) -> Callable[[Path, Array, Array], Comparison]:
    def compared(folder: Path, a: Array, b: Array) -> Comparison:
        return diag.compare(write(folder / "a", {"embeddings": a}), write(folder / "b", {"embeddings": b}))

    return compared


def frames(folder: Path, a: Array, b: Array) -> Comparison:
    return diag.compare(*(pd.DataFrame({n: y[:, j] for j, n in enumerate("xyz")}) for y in (a, b)))


WAYS = {
    ".npy": of_files(files.npy),
    ".npz": of_files(files.npz),
    "arrays": lambda folder, a, b: diag.compare(a, b),
    "DataFrames": frames,
    "pairs": lambda folder, a, b: paired(folder / "pairs.npz", source=a, target=b),
}
"""Ways for embeddings, or for observations of which they are made."""


OPENED = {
    ".npy": lambda folder, y: diag.open_subject(files.npy(folder / "a", {"embeddings": y})).embeddings,
    ".npz": lambda folder, y: diag.open_subject(files.npz(folder / "a", {"embeddings": y})).embeddings,
    "array": lambda folder, y: opened(y, "array").embeddings,
    "DataFrame": lambda folder, y: (
        opened(pd.DataFrame({n: y[:, j] for j, n in enumerate("xyz")}), "").embeddings
    ),
    "pairs": lambda folder, y: seen(folder / "pairs.npz", y),
}
"""What stands in the place of the embeddings, or of the observations, at each way in."""


def seen(place: Path, y: Array) -> Array:
    np.savez(place, source=y, target=y)
    return FilePairs(str(place)).paired_observations(None, 0).observations["target"].numpy()


@pytest.mark.parametrize("way", OPENED)
@pytest.mark.parametrize("kind", NUMBERS)
def test_every_type_at_every_way_in(kind: str, way: str, tmp_path: Path) -> None:
    found = OPENED[way](tmp_path, BASE.astype(NUMBERS[kind]))
    assert found.dtype.isnative
    assert found.dtype.itemsize <= 8
    np.testing.assert_array_equal(found.astype(np.float64), BASE)


@pytest.mark.parametrize("way", WAYS)
def test_the_comparison_is_that_of_float64(way: str, tmp_path: Path) -> None:
    # Each way takes another odd type, and the last of them the one that ended in an internal error.
    kind = dict(zip(WAYS, (LONG, ">f2", ">u4", "i1", ">f4"), strict=True))[way]
    found = WAYS[way](tmp_path, BASE.astype(kind), TRANSFER.astype(kind))
    if way == "pairs":  # whose states are told apart by what is seen, not by what is embedded
        same(found, told(paired(tmp_path / "known.npz", source=BASE, target=TRANSFER)))
    else:
        same(found)


@pytest.mark.parametrize("kind", [kind for kind in NUMBERS if "big" not in kind and kind != "long double"])
@pytest.mark.parametrize("write", [files.safetensors, files.saved, files.columns, files.lists])
def test_formats_that_know_one_byte_order(kind: str, write: files.Write, tmp_path: Path) -> None:
    if write is files.saved and kind.startswith("uint"):
        pytest.skip("torch saves these by a call that its loader for weights alone is not given")
    found = diag.open_subject(write(tmp_path / "a", {"embeddings": BASE.astype(NUMBERS[kind])})).embeddings
    assert found is not None
    np.testing.assert_array_equal(found.astype(np.float64), BASE)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float8_e5m2, torch.int32, torch.uint8])
def test_tensors(kind: torch.dtype, tmp_path: Path) -> None:
    """All of these hold the numbers up to 4 exactly."""
    a, b = torch.from_numpy(BASE % 4).to(kind), torch.from_numpy(TRANSFER % 4).to(kind)
    known = told(diag.compare(BASE % 4, TRANSFER % 4))
    same(diag.compare(a, b), known)
    if kind is torch.float8_e5m2:
        return  # which torch saves by a call that its loader for weights alone is not given
    torch.save(a, tmp_path / "a.pt")
    torch.save(b, tmp_path / "b.pt")
    same(diag.compare(tmp_path / "a.pt", tmp_path / "b.pt"), known)


def test_bfloat16_pairs_of_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    seen = torch.from_numpy(BASE).to(torch.bfloat16)
    save_file({"source": seen, "target": seen.flip(0)}, tmp_path / "pairs.safetensors")
    pairs = FilePairs(str(tmp_path / "pairs.safetensors")).paired_observations(None, 0)
    assert torch.equal(pairs.observations["source"], seen.float())


@pytest.mark.parametrize("kind", ["big-endian float32", "big-endian half", "long double", "uint64"])
def test_large_files_of_any_type_are_mapped(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_files, "MAPPED_BYTES", 100)
    monkeypatch.setattr(pairing, "STREAMED_NUMBERS", 100)
    monkeypatch.setattr(pairing, "SUMS", 1)
    known, found = (
        WAYS[".npy"](tmp_path, BASE.astype(k), TRANSFER.astype(k)) for k in (np.float64, NUMBERS[kind])
    )
    same(found, told(known))


@cache
def by_episode() -> Comparison:
    return diag.compare(BASE, TRANSFER, episodes=np.arange(ROWS) // 4)


LABELS = {k: v for k, v in NUMBERS.items() if np.dtype(v).kind in "iu"} | {"words": "U2", "big words": ">U2"}


@pytest.mark.parametrize("kind", LABELS)
def test_episodes(kind: str, tmp_path: Path) -> None:
    """In a file of their own, beside the embeddings, beside pairs, and in memory."""
    episodes = np.arange(ROWS) // 4
    known = told(by_episode())
    assert known["grouping"] == "episodes"
    labels = np.array([f"{e:02}" for e in episodes]) if "words" in kind else episodes
    labels = labels.astype(LABELS[kind])
    np.save(tmp_path / "e.npy", labels)
    same(diag.compare(BASE, TRANSFER, episodes=tmp_path / "e.npy"), known)
    for read in (read_labels(str(tmp_path / "e.npy")), row_labels(labels, "", "")):
        assert read.dtype.isnative
        np.testing.assert_array_equal(read, labels)
    np.savez(tmp_path / "a.npz", embeddings=BASE, episodes=labels)
    beside = diag.open_subject(tmp_path / "a.npz").episodes
    assert beside is not None
    assert beside.dtype.isnative
    np.savez(tmp_path / "pairs.npz", source=BASE, target=TRANSFER, episodes=labels)
    groups = FilePairs(str(tmp_path / "pairs.npz")).paired_observations(None, 0).groups
    np.testing.assert_array_equal(groups, episodes)


@pytest.mark.parametrize("kind", ["f8", "f2", LONG, "complex64"])
def test_episodes_that_are_none(kind: Any, tmp_path: Path) -> None:
    labels = (np.arange(ROWS) // 4).astype(kind)
    np.save(tmp_path / "e.npy", labels)
    np.savez(tmp_path / "a.npz", embeddings=BASE, episodes=labels)
    for call in (
        lambda: diag.compare(BASE, TRANSFER, episodes=labels),
        lambda: diag.compare(BASE, TRANSFER, episodes=tmp_path / "e.npy"),
        lambda: diag.compare(tmp_path / "a.npz", TRANSFER),
        lambda: paired(tmp_path / "pairs.npz", source=BASE, target=TRANSFER, episodes=labels),
        lambda: diag.probe(BASE, variables={"v": BASE[:, 0]}, episodes=labels, projection="none"),
    ):
        with pytest.raises(
            SubjectError, match=r"(labels|episodes'?) of .*whole numbers|whole numbers or words"
        ):
            call()


@pytest.mark.parametrize("kind", [*NUMBERS, "bfloat16"])
def test_variables(kind: str, tmp_path: Path) -> None:
    """In a file, in a mapping, and as classes."""
    values: Any = BASE[:, 0] % 8

    def known() -> object:
        return diag.probe(BASE, variables={"v": values}, projection="none").to_tree()["variables"]

    if kind == "bfloat16":
        given: Any = torch.from_numpy(values).to(torch.bfloat16)
        assert diag.probe(BASE, variables={"v": given}, projection="none").to_tree()["variables"] == known()
        return
    np.savez(tmp_path / "v.npz", v=values.astype(NUMBERS[kind]))
    for source in (tmp_path / "v.npz", {"v": values.astype(NUMBERS[kind])}):
        read = variables_of(source, Supplied())[0]["v"]
        assert read.dtype.isnative
        np.testing.assert_array_equal(read.astype(np.float64), values)
    if kind == "big-endian half":
        assert diag.probe(BASE, variables=source, projection="none").to_tree()["variables"] == known()


@pytest.mark.parametrize("kind", NUMBERS)
def test_returns(kind: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", returns=np.arange(9).astype(NUMBERS[kind]))
    found = diag.open_subject(tmp_path / "r.npz").returns
    assert found is not None
    np.testing.assert_array_equal(found, np.arange(9.0))


def test_good_transfers() -> None:
    good = [BASE + whole(seed) // 50 for seed in (3, 4, 5)]
    kinds: tuple[Any, ...] = (">f4", LONG, ">i2")
    odd = [g.astype(kind) for g, kind in zip(good, kinds, strict=True)]
    assert diag.compare(BASE, TRANSFER, good=odd).margin == diag.compare(BASE, TRANSFER, good=good).margin


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number_is_refused_in_words(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values, words = REFUSED[kind]
    np.savez(tmp_path / "a.npz", embeddings=values)
    np.save(tmp_path / "b.npy", BASE)
    good = [BASE + whole(seed) for seed in (3, 4)]
    for call in (
        lambda: diag.open_subject(tmp_path / "a.npz"),
        lambda: diag.compare(BASE, values),
        lambda: diag.compare(BASE, TRANSFER, good=[*good, values]),
        lambda: paired(tmp_path / "pairs.npz", source=BASE, target=values),
    ):
        with pytest.raises(SubjectError, match=words):
            call()
    assert cli.run(["compare-embeddings", str(tmp_path / "b.npy"), str(tmp_path / "a.npz")]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_objects_are_refused_in_words() -> None:
    for values in ([[1, 2], [3]], np.array([[object(), 2.0]] * ROWS), np.array([[1, None]] * ROWS)):
        with pytest.raises(SubjectError, match=r"Python objects|unequal"):
            diag.compare(BASE, values)
    with pytest.raises(SubjectError, match="column 'x' of object"):
        diag.compare(pd.DataFrame({"x": [object()] * 9}), pd.DataFrame({"x": np.ones(9)}))


def test_what_float64_cannot_hold_is_refused() -> None:
    if LONG is np.float64:
        pytest.skip("this machine's long double is float64")
    huge = np.full((ROWS, 3), LONG(1e308)) * 10
    with pytest.raises(SubjectError, match="144 of them beyond what float64 holds"):
        diag.compare(BASE, huge)


def test_one_conversion_gives_what_everything_takes() -> None:
    for kind in NUMBERS.values():
        found = native(np.arange(4).astype(kind), "x", "x", "x")
        assert found.dtype.isnative
        assert found.dtype.itemsize <= 8
        assert torch.equal(torch.from_numpy(found).double(), torch.arange(4.0).double())
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    np.testing.assert_array_equal(real_numbers(masked, "x", "x", "x"), [1.0, np.nan])
    with pytest.raises(SubjectError, match="masked"):
        row_labels(np.ma.array(["a", "b"], mask=[True, False]), "x", "x")
    missing = pd.Series([1, None], dtype="Int64")
    np.testing.assert_array_equal(real_numbers(missing, "x", "x", "x"), [1.0, np.nan])
    assert row_labels(pd.Series(["a", "b"]), "x", "x").dtype.kind == "U"
