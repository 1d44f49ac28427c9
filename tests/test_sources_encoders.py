"""Encoders that are shown pairs: ONNX, torch.export, modules and weights with an adapter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands import app as cli
from diag.outputs.json import render
from diag.sources import exported, torch_encoder
from diag.sources.pairs import tasks_of
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError
from tests import source_files as files
from tests.source_files import Weights
from tests.test_sources import told

ADAPTERS = """
import torch
from diag.subject import Subject
from tests.source_files import Plain

def plain(weights, opening):
    module = Plain(weights["linear.weight"].numpy().T)
    module.load_state_dict(weights)
    return module

def several(weights, opening):
    class Two(torch.nn.Module):
        def forward(self, x):
            return {"raw": x, "embedding": plain(weights, opening)(x)}
    return Two()

class Own:
    def embed(self, parameters, observations):
        assert parameters == {}
        return plain(self.weights, None)(observations.float())

def subject(weights, opening):
    own = Own()
    own.weights = weights
    return Subject(opening.path, opening.sha256, encoder=own, frozen=(), returns=None)

def broken(weights, opening):
    return weights["nothing"]

def leaving(weights, opening):
    raise SystemExit(0)

def number(weights, opening):
    return 3

def flat(weights, opening):
    class Flat(torch.nn.Module):
        def forward(self, x):
            return x.sum(1)
    return Flat()

thing = 3
"""


@pytest.fixture
def weights(rng: np.random.Generator) -> tuple[Weights, Weights]:
    return files.flipping(rng)


@pytest.fixture
def pairs(rng: np.random.Generator, tmp_path: Path) -> Path:
    return files.pairs(tmp_path / "pairs.npz", rng)


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of adapters in the working directory."""
    (tmp_path / "my_adapters.py").write_text(ADAPTERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    yield "my_adapters"
    sys.modules.pop("my_adapters", None)


@pytest.mark.parametrize(
    ("write", "supplied"),
    [
        (files.onnx, Supplied()),
        (files.state_dict, Supplied(adapter="my_adapters:plain")),
        (files.state_tensors, Supplied(adapter="my_adapters:plain")),
        (files.state_dict, Supplied(adapter="my_adapters:several")),
        (files.state_dict, Supplied(adapter="my_adapters:subject")),
    ],
    ids=["onnx", "pt", "safetensors", "several", "subject"],
)
def test_an_encoder_compares_as_its_embeddings_do(
    write: Callable[[Path, Weights], Path],
    supplied: Supplied,
    weights: tuple[Weights, Weights],
    pairs: Path,
    adapters: str,
    tmp_path: Path,
) -> None:
    base, transfer = files.both(write, tmp_path, weights)
    supplied = replace(supplied, pairs=pairs)
    found = diag.compare(base, transfer, supplied=supplied)
    assert (found.relation, found.verdict.axes) == ("flipped", (1,))
    assert list(found.picture.variables) == ["room"]
    points = [found.picture.base.astype(np.float32), found.picture.transfer.astype(np.float32)]
    for one, expected in zip(points, files.embeddings(pairs, weights), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)
    ready = diag.compare(*points, unfrozen=found.frozen == () or None)
    # Rows can always be mended; of these encoders only some have a last layer that a map is folded into.
    mends = ["`diag repair` does" in one.conclusion for one in (ready, found)]
    mirrored = ready.outcome == "mirrored"
    assert mends == [mirrored, mirrored and found.foldable]
    assert told(replace(found, conclusion=ready.conclusion)) == told(ready)
    assert json.loads(render(found))["verdict"]["axes"] == [1]


@pytest.mark.filterwarnings("ignore")  # of torch.export's own
def test_programs_of_torch_export_need_trust(
    weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path
) -> None:
    base, transfer = files.both(files.exported, tmp_path, weights)
    with pytest.raises(SubjectError, match=r"a program of torch\.export; expected --trust-pickle"):
        diag.compare(base, transfer, supplied=Supplied(pairs))
    trusting = Supplied(pairs, trust_pickle=True)
    assert diag.compare(base, transfer, supplied=trusting).verdict.axes == (1,)
    base.write_bytes(base.read_bytes()[:500])
    with pytest.raises(SubjectError, match=r"no program of torch\.export that can be loaded"):
        diag.open_subject(base, trusting)


def test_a_whole_module_needs_trust(weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path) -> None:
    for name, w in zip("ab", weights, strict=True):
        torch.save(files.Plain(w), tmp_path / f"{name}.pt")
    a, b = tmp_path / "a.pt", tmp_path / "b.pt"
    with pytest.raises(SubjectError, match=r"a pickle that calls tests.source_files.Plain, which is never"):
        diag.compare(a, b, supplied=Supplied(pairs))
    assert diag.compare(a, b, supplied=Supplied(pairs, trust_pickle=True)).verdict.axes == (1,)


@pytest.mark.parametrize("batch", ["n", 1, 7, 60, 100])
def test_a_fixed_number_of_rows_is_kept_to(
    batch: int | str, weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path
) -> None:
    """60 rows in parts of the program's own size, the last one filled up."""
    subject = diag.open_subject(
        files.onnx(tmp_path / "a", weights[0], batch=batch), Supplied(pairs), "source"
    )
    assert subject.encoder is not None
    seen = torch.from_numpy(np.load(pairs)["source"])
    found = subject.encoder.embed({}, seen).numpy()
    np.testing.assert_allclose(found, files.embeddings(pairs, weights)[0], atol=1e-5)


def test_memory_stays_flat_however_many_rows(
    weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_encoder, "PART_BYTES", 16 * 13)
    seen = torch.from_numpy(np.load(pairs)["source"])
    assert [len(part) for part in torch_encoder.in_parts(seen)] == [13, 13, 13, 13, 8]
    program = diag.open_subject(files.onnx(tmp_path / "a", weights[0])).encoder
    module = torch_encoder.ModuleEncoder(files.Plain(weights[0]), "m")
    assert program is not None
    for encoder in (program, module):
        found = encoder.embed({}, seen).numpy()
        np.testing.assert_allclose(found, files.embeddings(pairs, weights)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "dtype", "fits"),
    [
        ("FLOAT", "float64", True),
        ("FLOAT", "uint8", True),
        ("DOUBLE", "float32", True),
        ("FLOAT16", "float32", True),
        ("UINT8", "uint8", True),
        ("INT64", "int32", True),
        ("UINT8", "float32", False),
        ("UINT8", "int64", False),
        ("STRING", "float32", False),
    ],
)
def test_observations_become_the_type_of_the_input(
    kind: str, dtype: str, fits: bool, weights: tuple[Weights, Weights], tmp_path: Path
) -> None:
    seen = np.random.default_rng(0).integers(0, 9, (40, 4)).astype(dtype)
    np.savez(tmp_path / "pairs.npz", source=seen, target=seen)
    given = Supplied(tmp_path / "pairs.npz")
    base, transfer = files.both(lambda p, w: files.onnx(p, w, kind=kind), tmp_path, (weights[0], -weights[0]))
    if fits:
        assert diag.compare(base, transfer, supplied=given).verdict.axes == (0, 1, 2)
        return
    with pytest.raises(SubjectError, match=f"found observations of {dtype}|found an input of tensor.string"):
        diag.compare(base, transfer, supplied=given)


def test_images_go_through_as_they_are(tmp_path: Path, rng: np.random.Generator) -> None:
    """uint8 in, neither scaled nor turned."""
    seen = rng.integers(0, 256, (30, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "pairs.npz", source=seen, target=seen)

    def means(x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.uint8
        return x.float().mean((1, 2))

    own = Subject("a", "a", task="source", encoder=torch_encoder.ModuleEncoder(means, "a"), tasks=None)
    own = replace(own, tasks=tasks_of(Supplied(tmp_path / "pairs.npz")))
    found = diag.compare(own, replace(own, path="b", sha256="b"))
    assert found.relation == "matched"
    np.testing.assert_allclose(found.picture.base, seen.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "output", "words"),
    [
        (
            {"outputs": ("p", "q")},
            None,
            "found outputs p, q; expected --output NAME, or one called 'embedding'",
        ),
        ({"outputs": ("p", "q")}, "r", "found no output 'r'; expected one of p, q"),
        ({"outputs": ("embedding", "embeddings")}, None, "found outputs embedding, embeddings"),
        ({"inputs": ("x", "state")}, None, "found inputs x, state; expected one, for observations"),
        ({"outputs": ("p", "q")}, "q", None),
        ({"outputs": ("p", "embedding")}, None, None),
        ({"outputs": ("p", "embeddings")}, None, None),
        ({"outputs": ("p",)}, None, None),
    ],
)
def test_which_output_is_the_embedding(
    options: dict[str, tuple[str, ...]],
    output: str | None,
    words: str | None,
    weights: tuple[Weights, Weights],
    pairs: Path,
    tmp_path: Path,
) -> None:
    base, transfer = files.both(lambda p, w: files.onnx(p, w, **options), tmp_path, weights)  # type: ignore[arg-type]
    given = Supplied(pairs, output=output)
    if words is None:
        assert diag.compare(base, transfer, supplied=given).verdict.axes == (1,)
        return
    with pytest.raises(SubjectError, match=words):
        diag.compare(base, transfer, supplied=given)


def test_observations_of_another_shape(weights: tuple[Weights, Weights], tmp_path: Path) -> None:
    np.savez(tmp_path / "pairs.npz", source=np.ones((20, 2, 2)), target=np.ones((20, 2, 2)))
    base, transfer = files.both(files.onnx, tmp_path, weights)
    expected = r"base.onnx: found observations of shape \(2, 2\); expected \(4,\), the shape of its input x"
    with pytest.raises(SubjectError, match=expected):
        diag.compare(base, transfer, supplied=Supplied(tmp_path / "pairs.npz"))


def test_without_onnxruntime_the_extra_is_named(
    weights: tuple[Weights, Weights], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = files.onnx(tmp_path / "a", weights[0])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SubjectError, match=r"expected pip install 'transfer-diag\[onnx\]'"):
        diag.open_subject(place)
    monkeypatch.undo()
    monkeypatch.setattr(exported, "LEAST_RUNTIME", (99, 0))
    with pytest.raises(SubjectError, match=r"found onnxruntime .*; expected 99\.0 or newer"):
        diag.open_subject(place)


def test_an_onnx_file_reads_nothing_outside_of_its_folder(
    weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "within").mkdir(parents=True)
    for place in (tmp_path / "secret.bin", folder / "w.bin", folder / "within" / "w.bin"):
        place.write_bytes(weights[0].tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path)
    for data in ("w.bin", "within/w.bin"):
        place = files.onnx(folder / "a", weights[0], data=data)
        assert diag.open_subject(place).encoder is not None
    outside = ("../secret.bin", "within/../../secret.bin", str(tmp_path / "secret.bin"), "link.bin")
    for data in (*outside, "linked/secret.bin", "/dev/zero", "none.bin"):
        place = files.onnx(folder / "a", weights[0], data=data)
        with pytest.raises(SubjectError, match="no ONNX program that can be run"):
            diag.open_subject(place)


def test_damaged_programs_are_run_or_refused_in_words(
    weights: tuple[Weights, Weights], pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from diag.embed import embedded

    rng = np.random.default_rng(0)
    place = files.onnx(tmp_path / "a", weights[0])
    whole, said = place.read_bytes(), list[str]()
    for trial in range(150):
        content = bytearray(whole)
        if trial % 5 == 0:
            del content[rng.integers(len(content)) :]
        else:
            for at in rng.integers(len(content), size=1 + trial % 3):
                content[at] ^= 1 << rng.integers(8)
        place.write_bytes(content)
        try:
            subject = diag.open_subject(place, Supplied(pairs), "source")
            assert subject.tasks is not None
            embedded(subject, subject.tasks.paired_observations(None, 0))
        except SubjectError as error:
            said.append(str(error))
    assert len(said) > 50
    assert not any("\n" in words for words in said)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        (
            "my_adapters",
            "--adapter my_adapters: found no colon between two names; expected package.module:func",
        ),
        ("no_such_module:f", "ModuleNotFoundError in its import: No module named 'no_such_module'"),
        ("my_adapters:nothing", "--adapter my_adapters:nothing: found none; expected a function nothing in"),
        ("my_adapters:thing", "found no function; expected a function thing in my_adapters"),
        ("my_adapters:broken", r"KeyError in --adapter my_adapters:broken \(my_adapters.py:28\): 'nothing'"),
        ("my_adapters:leaving", "SystemExit in --adapter my_adapters:leaving"),
        (
            "my_adapters:number",
            "found a int from --adapter my_adapters:number; expected a diag.subject.Subject",
        ),
        ("my_adapters:flat", r"found an embedding of shape \(60,\); expected numbers \(60, ...\)"),
        ("bad_syntax:f", r"SyntaxError in its import"),
        ("bad_import:f", r"ZeroDivisionError in its import \(bad_import.py:2\)"),
    ],
)
def test_faults_of_an_adapter_get_one_line(
    adapter: str,
    words: str,
    adapters: str,
    weights: tuple[Weights, Weights],
    pairs: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "bad_syntax.py").write_text("def f(:")
    (tmp_path / "bad_import.py").write_text("\n1 / 0\n")
    base, transfer = files.both(files.state_dict, tmp_path, weights)
    with pytest.raises(SubjectError, match=words) as caught:
        diag.compare(base, transfer, supplied=Supplied(pairs, adapter=adapter))
    assert "\n" not in str(caught.value)


def test_observations_that_an_encoder_cannot_take_get_one_line(
    adapters: str, weights: tuple[Weights, Weights], tmp_path: Path
) -> None:
    np.savez(tmp_path / "pairs.npz", source=np.ones((20, 7)), target=np.ones((20, 7)))
    base, transfer = files.both(files.state_dict, tmp_path, weights)
    with pytest.raises(
        SubjectError, match=r"an encoder that fails on observations of torch.float64 \(20, 7\)"
    ):
        diag.compare(base, transfer, supplied=Supplied(tmp_path / "pairs.npz", adapter="my_adapters:plain"))


def test_the_same_from_the_command_line(
    adapters: str,
    weights: tuple[Weights, Weights],
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for write, options in (
        (files.onnx, []),
        (files.onnx, ["--output", "embedding"]),
        (files.state_dict, ["--adapter", "my_adapters:plain"]),
    ):
        paths = [str(path) for path in files.both(write, tmp_path, weights)]
        assert cli.run(["compare-embeddings", *paths, "--pairs", str(pairs), *options, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["verdict"]["relation"] == "flipped"
        assert cli.run(["compare-embeddings", *paths, *options]) == 2
        assert "found no tasks; expected --pairs FILE" in capsys.readouterr().err
    page = tmp_path / "pairs.npz"
    assert cli.run(["compare-embeddings", *paths, "--pairs", str(pairs), "--html", str(page)]) == 2
    assert "an input of this command" in capsys.readouterr().err


def test_an_onnx_file_longer_than_the_format_allows_is_not_read(tmp_path: Path) -> None:
    """A terabyte of nothing, which the runtime would read through for minutes."""
    with (tmp_path / "long.onnx").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SubjectError, match=r"found 1024 GiB; expected an \.onnx file of at most 2 GiB"):
        diag.open_subject(tmp_path / "long.onnx")
