"""What a file cannot do: run code, take memory without bound, lead elsewhere, or end in a traceback."""

from __future__ import annotations

import os
import resource
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands import app as cli
from diag.sources.arrays import read_labels
from diag.sources.pairs import FilePairs
from diag.sources.safe import bounds
from diag.sources.supplied import Supplied
from diag.sources.variables import open_variables
from diag.subject import SubjectError
from tests import source_files as files
from tests.harmful_files import (
    MEGABYTE,
    PICKLED,
    WHOLE,
    archive,
    bomb,
    damaged_size,
    expanded,
    header,
    overlapping,
    repacked,
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpickling would make, it would make here."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", PICKLED)
def test_pickles_are_never_loaded(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(PICKLED[name])
    np.save(tmp_path / "base.npy", np.ones((9, 2)))
    np.savez(tmp_path / "pairs.npz", source=np.ones((9, 2)), target=np.ones((9, 2)))
    for command in (["base.npy", name], [name, "base.npy"], ["base.npy", name, "--pairs", "pairs.npz"]):
        status = cli.run(["compare-embeddings", *command])
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert name in err
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["objects.npz", "saved.npz", "raw.npz"])
def test_pickles_are_no_pairs_labels_or_variables_either(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICKLED[name])
    for read in (FilePairs, read_labels, open_variables):
        with pytest.raises(SubjectError, match=name):
            read(name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "raw.pt",
            "found a pickle, which is never loaded; expected .*--trust-pickle for a file that you trust",
        ),
        ("legacy.pt", "found a pickle, which is never loaded"),
        ("saved.pt", "found a pickle that calls posix.mkdir, which is never loaded"),
        ("program.pt2", "expected --trust-pickle for a file that you trust: torch.export's loader unpickles"),
        ("objects.npz", "found pickled objects, which are never loaded"),
    ],
)
def test_a_pickle_is_refused_with_the_reason(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICKLED[name])
    with pytest.raises(SubjectError, match=words):
        diag.open_subject(name)


@pytest.mark.parametrize("name", ["saved.pt", "legacy.pt"])
def test_who_trusts_a_pickle_runs_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICKLED[name])
    with pytest.raises(SubjectError):
        diag.open_subject(name, Supplied(trust_pickle=True))
    assert (tmp_path / "exploded").exists()


TOO_MUCH = {
    "bomb.npz": (
        bomb(2 * 2**30),
        r"2.1 GB packed into 2.*MB; expected at most 268 MB, or 100 times its size",
    ),
    "claims.npz": (
        damaged_size(archive({"embeddings.npy": header((2,)) + bytes(16)}), 2**32 - 2),
        "packed into",
    ),
    "hides.npz": (
        damaged_size(archive({"embeddings.npy": header((2,)) + bytes(16)}), 90),
        "no whole numpy file",
    ),
    "shape.npy": (header((2**60, 2)) + bytes(80), "no whole numpy file"),
    "shape.npz": (archive({"embeddings.npy": header((2**60, 2)) + bytes(80)}), "no whole numpy file"),
    "none.npy": (header((2**60, 2), "<U0") + b"", "no whole numpy file"),
    "flat.npy": (header((2**62, 0)), "no whole numpy file"),
    "negative.npy": (header((-1, 2)) + bytes(80), "no whole numpy file"),
    "longer.npy": (header((10, 1)) + bytes(81), "no whole numpy file"),
    "deep.npy": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"[" * 9000, "no whole numpy file"),
    "records.npy": (
        header((1, 1), "[('a', '<f8')]").replace(b"\"[('a'", b"[('a'") + bytes(8),
        "numpy|values",
    ),
    "lzma.npz": (archive({"embeddings.npy": bytes(9)}, zipfile.ZIP_LZMA), "a way that numpy never uses"),
    "bzip2.npz": (archive({"embeddings.npy": bytes(9)}, zipfile.ZIP_BZIP2), "a way that numpy never uses"),
    "packed.pt": (repacked(WHOLE, zipfile.ZIP_DEFLATED), "packed parts, which torch.save never writes"),
    "overlap.pt": (overlapping(WHOLE), "more parts than the file has room for"),
    "expanded.pt": (expanded(), r"embeddings of shape \(1000000, 1000000\), which is more than its data"),
    "zip.pt": (archive({"a": b"b"}, zipfile.ZIP_STORED), "an archive without one index of tensors"),
    "half.pt": (WHOLE[:2000], "no whole file of torch.save"),
    "long.safetensors": ((2**63).to_bytes(8, "little") + b"{}", "no whole safetensors file"),
    "far.safetensors": (
        struct.pack("<Q", 64) + b'{"a":{"dtype":"F32","shape":[9,9],"data_offsets":[0,324]}}      ',
        "no whole safetensors file",
    ),
    "huge.safetensors": (
        struct.pack("<Q", 72)
        + b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'[:72],
        "no whole safetensors file",
    ),
    "deep.safetensors": (struct.pack("<Q", 90000) + b'{"a":' + b"[" * 89995, "no whole safetensors file"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_would_take_memory_without_bound_is_refused_at_once(name: str, tmp_path: Path) -> None:
    content, words = TOO_MUCH[name]
    (tmp_path / name).write_bytes(content)
    torch.ones(1)  # imported before the clock starts
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ValueError, match=words) as caught:
        diag.open_subject(name)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # kB


def test_the_bomb_is_a_whole_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one is read, so that the large one is refused for its size alone; and where memory is short."""
    content = bomb(2 * MEGABYTE)
    fixed = content[: content.index(b"PK\x01\x02")]
    data = header((2 * MEGABYTE // 8 - 16,))
    crc = struct.pack("<I", zlib.crc32(data + bytes(2 * MEGABYTE - len(data))))
    rest = content[len(fixed) :]
    (tmp_path / "a.npz").write_bytes(fixed[:14] + crc + fixed[18:] + rest[:16] + crc + rest[20:])
    assert len(open_variables("a.npz")["embeddings"]) == 2 * MEGABYTE // 8 - 16
    monkeypatch.setattr(bounds, "free_memory", lambda: MEGABYTE)
    with pytest.raises(
        SubjectError, match=r"2\.1 MB of numbers; expected at most 1\.0 MB, the memory that is"
    ):
        open_variables("a.npz")
    monkeypatch.setattr(bounds, "free_memory", lambda: 1000)
    with pytest.raises(SubjectError, match="of file; expected at most"):
        open_variables("a.npz")


@pytest.mark.parametrize("kind", ["columns", "lists"])
def test_tables_that_unpack_to_far_more_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    monkeypatch.setattr(bounds, "ALWAYS_BYTES", MEGABYTE)
    values = pa.array(np.zeros(10**6, np.int8))
    offsets = pa.array([0, 10**6], pa.int32())
    column = {"a": values} if kind == "columns" else {"embeddings": pa.ListArray.from_arrays(offsets, values)}
    place = files.table(tmp_path / "a", column, compression="zstd")
    with pytest.raises(SubjectError, match=r"8\.0 MB packed into .*; expected at most 1\.0 MB, or 100 times"):
        diag.open_subject(place)


def test_one_long_word_in_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ALWAYS_BYTES", MEGABYTE)
    words = ["x" * 20_000, *["y"] * 999]
    place = files.table(tmp_path / "a", {"a": np.arange(1000.0), "episodes": words})
    with pytest.raises(SubjectError, match=r"80\.0 MB packed into"):
        diag.open_subject(place)
    import pyarrow.parquet as pq

    pq.write_table(
        pq.read_table(place), place, use_dictionary=False, column_encoding={"episodes": "DELTA_BYTE_ARRAY"}
    )
    with pytest.raises(SubjectError, match="words in an encoding that unpacks without bound"):
        diag.open_subject(place)


def test_devices_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    (tmp_path / "folder.npz").mkdir()
    for name, words in (
        ("pipe.npz", "a device or a pipe"),
        ("zero.npy", "a device or a pipe"),
        ("/dev/zero", "a device or a pipe"),
        ("loop.npz", "symbolic links"),
        ("folder.npz", "a folder"),
        ("none.npz", "no such file"),
        ("nul\0.npz", "null"),
    ):
        with pytest.raises(SubjectError, match=words):
            diag.open_subject(name)
        if name != "folder.npz":
            with pytest.raises(SubjectError, match=words):
                open_variables(name)


def test_names_out_of_a_file_are_shown_harmlessly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"\x1b[31mred": np.zeros(3), "../../up": np.zeros(3), "a\nb": np.zeros(3), "x" * 900: np.zeros(3)}
    np.savez(tmp_path / "a.npz", **names)
    assert cli.run(["compare-embeddings", "a.npz", "a.npz"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "\x1b" not in err
    assert len(err) < 500
    assert not (tmp_path.parent.parent / "up.npy").exists()


FORMATS = (files.npy, files.packed, files.safetensors, files.saved, files.columns, files.lists, files.frame)


@pytest.mark.parametrize("write", FORMATS, ids=lambda w: w.__name__)
def test_damaged_files_are_read_or_refused_in_words(write: files.Write, tmp_path: Path) -> None:
    """Bits flipped, ends cut off, and lengths made enormous."""
    rng = np.random.default_rng(0)
    y = {"embeddings": rng.normal(size=(30, 3)), "episodes": np.arange(30) // 3, "returns": np.ones(3)}
    place = write(tmp_path / "a", y)
    whole = place.read_bytes()
    said: list[str] = []
    for trial in range(150):
        content = bytearray(whole)
        if trial % 5 == 0:
            del content[rng.integers(len(content)) :]
        else:
            for at in rng.integers(len(content), size=1 + trial % 3):
                content[at] ^= 1 << rng.integers(8)
        if trial % 7 == 0:
            at = rng.integers(max(1, len(content) - 8))
            content[at : at + 8] = (2 ** int(rng.choice([31, 40, 63]))).to_bytes(8, "little")
        place.write_bytes(content)
        try:
            diag.open_subject(place)
        except ValueError as error:
            said.append(str(error))
    assert len(said) > 30
    assert all(str(place) in words and "\n" not in words and len(words) < 1000 for words in said)
