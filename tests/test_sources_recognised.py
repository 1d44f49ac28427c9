"""Files by their content: opened whatever their name, or told what they are and what makes one that opens."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import json
import lzma
import pickle
import re
import shlex
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diag
from diag.commands import app as cli
from diag.sources import foreign_files, formats
from diag.sources.content import Content
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests import source_files as files
from tests.harmful_files import archive, saved
from tests.source_files import Explosive

# A program of one line may leave its files open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

Y = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

WEIGHTS = {"linear.weight": torch.from_numpy(Y[:3].copy())}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(name: str) -> str:
    with pytest.raises(ValueError, match=re.escape(name.partition("/")[0])) as caught:
        diag.open_subject(name)
    words = str(caught.value)
    assert "\n" not in words
    assert not words.endswith("…")
    return words


def followed(words: str) -> None:
    """The advice of an error is taken: its Python is run, or its command."""
    if code := re.search(r'python -c "(.*)"$', words):
        exec(code[1].replace("\\\\", "\\"), {})
        gc.collect()  # files that a program of one line leaves open
    else:
        command = re.search(r"(tar -xf .*)$", words)
        assert command is not None, words
        subprocess.run(shlex.split(command[1]), check=True)


def encoder(weights: Any, opening: Any) -> torch.nn.Module:
    """An adapter for the weights above, wherever they are among what a training loop saves."""
    tensors = weights.get("state_dict", weights)
    return files.Plain(next(iter(tensors.values())).numpy().T)


# --- Opened whatever their name ---------------------------------------------------------------------------

TORCH_NAMES = (
    "a.ckpt",
    "a.pth.tar",
    "a.cleanrl_model",
    "pytorch_model.bin",
    "a.th",
    "a",
    "a.zip",
    "a.safetensors",
)


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_what_torch_saved_is_opened_whatever_its_name(name: str) -> None:
    Path("pairs.npz").write_bytes(b"")
    np.savez("pairs.npz", source=Y, target=Y)
    Path(name).write_bytes(saved({"state_dict": WEIGHTS, "epoch": 3}))
    given = Supplied(adapter="tests.test_sources_recognised:encoder", pairs="pairs.npz")
    subject = diag.open_subject(name, given)
    assert subject.encoder is not None
    found = subject.encoder.embed({}, torch.from_numpy(Y))
    np.testing.assert_allclose(found, Y @ Y[:3].T, rtol=1e-5, atol=1e-5)
    assert "a state dict, with 2 names (state_dict, epoch); expected" in refused(name)
    assert "--adapter MODULE:FUNCTION" in refused(name)


@pytest.mark.parametrize("write", [files.npy, files.npz, files.saved, files.columns, files.safetensors])
@pytest.mark.parametrize("name", ["a.emb", "a", "a.pt", "a.npy", "a.parquet"])
def test_embeddings_are_opened_whatever_their_name(write: files.Write, name: str, tmp_path: Path) -> None:
    place = write(tmp_path / "written", {"embeddings": Y})
    content = place.read_bytes()
    place.unlink()
    Path(name).write_bytes(content)
    np.testing.assert_array_equal(diag.open_subject(name).embeddings, Y)


@pytest.mark.parametrize("name", ["a.ckpt", "a.bin", "a.cleanrl_model", "a.npy"])
def test_code_in_what_torch_saved_is_refused_under_every_name(name: str, tmp_path: Path) -> None:
    for content in (
        saved({"a": Explosive()}),
        saved({"a": Explosive()}, _use_new_zipfile_serialization=False),
    ):
        Path(name).write_bytes(content)
        assert "which is never loaded" in refused(name)
    assert not (tmp_path / "exploded").exists()


# --- Named, with what would work --------------------------------------------------------------------------


def tarred(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        content = npy()
        part = tarfile.TarInfo("inside.npy")
        part.size = len(content)
        file.addfile(part, io.BytesIO(content))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, Y)
    return buffer.getvalue()


def csv(header: bool, separator: str = ",") -> bytes:
    lines = [separator.join(map(repr, row)) for row in Y.tolist()]
    return "\n".join([separator.join("abc"), *lines] if header else lines).encode()


def feather() -> bytes:
    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame(Y, columns=list("abc")).to_feather(buffer)
    return buffer.getvalue()


def matlab() -> bytes:
    import scipy.io

    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"embeddings": Y})
    return buffer.getvalue()


def hdf5() -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("group/embeddings", data=Y)
        file.create_dataset("name", data="a word")
    return buffer.getvalue()


def keras() -> bytes:
    return archive({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": hdf5()})


def flax() -> bytes:
    serialization = pytest.importorskip("flax.serialization")
    return bytes(serialization.to_bytes({"embeddings": Y}))


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(files.Plain(Y[:3]), torch.zeros(1, 3)), buffer)
    return buffer.getvalue()


CONVERTED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a.npy.gz": (lambda: gzip.compress(npy()), "a file packed by gzip", "a.npy"),
    "a.npy.bz2": (lambda: bz2.compress(npy()), "a file packed by bzip2", "a.npy"),
    "a.npy.xz": (lambda: lzma.compress(npy()), "a file packed by xz", "a.npy"),
    "a": (lambda: gzip.compress(npy()), "a file packed by gzip", "a.unpacked"),
    "a.tar": (lambda: tarred("w"), "a tar archive", "inside.npy"),
    "a.tar.gz": (lambda: tarred("w:gz"), "a tar archive packed by gzip", "inside.npy"),
    "a.tgz": (lambda: tarred("w:bz2"), "a tar archive packed by bzip2", "inside.npy"),
    "a.csv": (lambda: csv(True), "a table of text (CSV)", "a.parquet"),
    "b.csv": (lambda: csv(False), "a table of text (CSV)", "b.parquet"),
    "a.tsv": (lambda: csv(True, "\t"), "a table of text (CSV)", "a.parquet"),
    "a.npy": (lambda: csv(True, ";"), "a table of text (CSV)", "a.parquet"),
    "a.feather": (feather, "an Arrow (Feather) file", "a.parquet"),
    "a.mat": (matlab, "a MATLAB file", "a.npz"),
    "a.json": (lambda: json.dumps(Y.tolist()).encode(), "JSON text", "a.safetensors"),
    "b.json": (lambda: json.dumps({"embeddings": Y.tolist()}).encode(), "JSON text", "b.safetensors"),
    "a.pkl": (lambda: pickle.dumps(Y), "a pickle, which is never loaded", "a.safetensors"),
    "b.pkl": (lambda: pickle.dumps({"embeddings": Y}), "a pickle, which is never", "b.safetensors"),
    "a.h5": (hdf5, "an HDF5 file", "a.safetensors"),
    "a.onnx": (hdf5, "an HDF5 file", "a.safetensors"),
    "a.keras": (keras, "a model of Keras", "a.safetensors"),
    "a.msgpack": (flax, "msgpack, as Flax writes it", "a.safetensors"),
    "old.bin": (
        lambda: saved({"embeddings": torch.from_numpy(Y)}, _use_new_zipfile_serialization=False),
        "a pickle, which is never loaded: a file of torch.save before 1.6",
        "old-again.pt",
    ),
}
"""Files by name: their content, what they are said to be, and what the advice makes."""


@pytest.mark.parametrize("name", CONVERTED)
def test_the_advice_makes_a_file_that_is_opened(name: str) -> None:
    content, what, made = CONVERTED[name]
    Path(name).write_bytes(content())
    words = refused(name)
    assert f"{name}: found {what}" in words
    if made == "old-again.pt":
        words = words.partition(", or tensors saved")[0]
    followed(words)
    found = diag.open_subject(made).embeddings
    assert found is not None
    np.testing.assert_allclose(found, Y, rtol=1e-6)


def test_rows_longer_than_what_is_looked_at() -> None:
    wide = np.random.default_rng(0).normal(size=(3, 9000))
    np.savetxt("a.csv", wide, delimiter=",")
    words = refused("a.csv")
    assert "a table of text (CSV)" in words
    assert "header=None" in words


def test_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    Path("a.npy.zst").write_bytes(pa.compress(npy(), "zstd", asbytes=True))
    words = refused("a.npy.zst")
    assert "a file packed by zstd" in words
    followed(words)
    np.testing.assert_array_equal(diag.open_subject("a.npy").embeddings, Y)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_program_of_torchscript_gives_its_weights() -> None:
    Path("a.pt").write_bytes(script())
    words = refused("a.pt")
    assert "found a program of TorchScript; expected its weights, for --adapter" in words
    followed(words)
    assert "linear.weight" in torch.load("a-weights.pt", weights_only=True)


def test_what_stands_in_the_place_of_a_file() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for name in ("a.safetensors", "a.onnx", "a.npy", "a.zip", "a.pt", "a.parquet", "a"):
        Path(name).write_bytes(pointer)
        words = refused(name)
        assert "found a git-LFS pointer" in words
        assert words.endswith(f"git -C . lfs pull --include {name}")
        Path(name).write_bytes(b"")
        assert "found an empty file" in refused(name)
        Path(name).write_bytes(b"\n<!DOCTYPE html>\n<html><body>Sign in, please</body></html>")
        words = refused(name)
        assert "found a web page" in words
        assert f"curl -L -o {name} ADDRESS" in words


def test_tensorflow_and_rllib() -> None:
    Path("exported").mkdir()
    Path("exported/saved_model.pb").write_bytes(b"\x08\x01\x12\x02ab")
    expected = "python -m tf2onnx.convert --saved-model exported --output exported.onnx"
    for name in ("exported", "exported/saved_model.pb"):
        words = refused(name)
        assert "SavedModel of TensorFlow" in words
        assert words.endswith(expected), words
    Path("frozen.pb").write_bytes(b"\x0a\x02ab")
    assert "tf2onnx.convert --graphdef frozen.pb" in refused("frozen.pb")
    Path("result/learner_group/learner/rl_module/default_policy").mkdir(parents=True)
    Path("result/rllib_checkpoint.json").write_text("{}")
    state = {"encoder.weight": Y, "pi.weight": Y[:, :2]}
    Path("result/learner_group/learner/rl_module/default_policy/module_state.pkl").write_bytes(
        pickle.dumps(state)
    )
    words = refused("result")
    assert "a folder with a checkpoint of RLlib" in words
    followed(words)
    given = Supplied(adapter="tests.test_sources_recognised:encoder")
    made = "result/learner_group/learner/rl_module/default_policy/module_state.safetensors"
    assert diag.open_subject(made, given).encoder is not None


def test_a_checkpoint_of_orbax() -> None:
    Path("orbax").mkdir()
    Path("orbax/_CHECKPOINT_METADATA").write_text("{}")
    words = refused("orbax")
    assert "a folder with a checkpoint of Orbax" in words
    checkpoint = pytest.importorskip("orbax.checkpoint")
    Path("orbax/_CHECKPOINT_METADATA").unlink()
    checkpoint.PyTreeCheckpointer().save(Path("orbax").resolve(), {"params": {"embeddings": Y}}, force=True)
    words = refused("orbax")
    followed(words)
    np.testing.assert_array_equal(diag.open_subject("orbax.safetensors").embeddings, Y)


@pytest.mark.parametrize("pickled", [pickle.dumps({"agent": {"a": Y, "b": {"c": Y}}})])
def test_mappings_in_mappings_become_names_with_dots(pickled: bytes) -> None:
    """As DreamerV3 saves its agent."""
    Path("latest.ckpt").write_bytes(pickled)
    followed(refused("latest.ckpt"))
    assert "2 names (agent.a, agent.b.c)" in refused("latest.safetensors")


def test_damaged_files_are_named_or_left_to_their_opener() -> None:
    rng, told = np.random.default_rng(0), list[str]()
    for content in (saved(WEIGHTS), npy(), gzip.compress(npy()), csv(True), json.dumps([1]).encode()):
        for trial in range(30):
            damaged = bytearray(content)
            del damaged[rng.integers(1, len(damaged)) :]
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
            name = ("a", "a.pt", "a.npy", "a.zip", "a.safetensors", "a.bin")[trial % 6]
            Path(name).write_bytes(damaged)
            looked_at = Content(name)
            formats.held_by(looked_at)
            foreign_files.foreign_of(looked_at)
            try:
                diag.open_subject(name)
            except ValueError as error:
                told.append(str(error))
    assert len(told) > 50
    assert not any("\n" in words for words in told)
    for name in ("a{b}.csv", "a{0.csv", "a{path}.pkl"):  # in which nothing is filled
        Path(name).write_bytes(csv(True) if name.endswith("csv") else pickle.dumps(Y))
        assert f"'{name}'" in refused(name)


# --- Ready embeddings beside what makes them --------------------------------------------------------------


@pytest.mark.parametrize("base_is_ready", [True, False])
def test_an_array_beside_a_program(
    base_is_ready: bool, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = files.flipping(rng)
    pairs = files.pairs(tmp_path / "pairs.npz", rng)
    programs = files.both(files.onnx, tmp_path, weights)
    arrays = files.embeddings(pairs, weights)
    ready = 0 if base_is_ready else 1
    np.save("ready.npy", arrays[ready])
    names = [str(p) for p in programs]
    names[ready] = "ready.npy"
    status = cli.run(["compare-embeddings", *names, "--pairs", str(pairs)])
    words = capsys.readouterr().err.strip()
    assert status == 2
    assert "ready embeddings beside" in words
    assert len(words.splitlines()) == 1
    followed(words)
    names[1 - ready] = str(Path(names[1 - ready]).with_suffix(".npy"))
    assert diag.compare(*names).relation == "flipped"


def test_zips_of_other_things_say_what_was_expected() -> None:
    with zipfile.ZipFile("a.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(SubjectError, match=r"without data and policy\.pth"):
        diag.open_subject("a.zip")
