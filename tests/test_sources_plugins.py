"""Sources that other packages bring: the one that the docs build, and those that are broken."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.commands import app as cli
from diag.sources import plugins
from diag.sources.supplied import Supplied
from diag.subject import SubjectError

DOCS = Path(__file__).parent.parent / "docs" / "sources.md"

BROKEN = """
import diag.subject
from pathlib import Path

def fails(opening):
    return {}["nothing"]

def refuses(opening):
    raise diag.subject.SubjectError(opening.path, "nothing of mine", "a file of mine")

def other(opening):
    return opening.path

value = 3
"""


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    plugins._installed.cache_clear()
    yield
    plugins._installed.cache_clear()


def install(
    folder: Path, package: str, code: str, entries: dict[str, str], module: str | None = None
) -> None:
    """What an installer leaves of a package: its module, and its metadata beside it."""
    (folder / f"{module or package}.py").write_text(code)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n"
    )
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(["[diag.sources]", *lines]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_the_source_that_the_docs_build_works_and_has_thirty_lines(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = tomllib.loads(blocks("toml")[0])
    (code,) = [block for block in blocks("python") if block.startswith("# diag_linear.py\n")]
    assert len(code.strip().splitlines()) - 1 <= 30  # the first names the file
    install(site, "diag_linear", code, about["project"]["entry-points"]["diag.sources"])
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 2))
    paths = [tmp_path / "base.linear", tmp_path / "transfer.linear"]
    for path, sign in zip(paths, (1, -1), strict=True):
        path.write_text(json.dumps({"weights": (weights * [1, sign]).tolist(), "bias": [0.5, sign * 0.5]}))
    seen = rng.normal(size=(50, 2, 3))
    np.savez(tmp_path / "pairs.npz", source=seen, target=seen)
    pairs = ["--pairs", str(tmp_path / "pairs.npz")]
    assert cli.run(["compare-embeddings", *map(str, paths), *pairs, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"]["relation"], found["verdict"]["axes"]) == ("flipped", [1])
    paths[1].write_text("{}")
    assert cli.run(["compare-embeddings", *map(str, paths), *pairs]) == 2
    assert "found no linear encoder (KeyError); expected weights and bias" in capsys.readouterr().err


def test_the_adapter_of_the_docs_works(site: Path, tmp_path: Path) -> None:
    import torch

    (code,) = [block for block in blocks("python") if block.startswith("# mynets.py")]
    (site / "mynets.py").write_text(code)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Tanh())
    for name, sign in (("a", 1), ("b", -1)):
        weights = {f"encoder.{key}": sign * value for key, value in net.state_dict().items()}
        torch.save(weights | {"head.weight": torch.ones(2)}, tmp_path / f"{name}.pt")
    seen = np.random.default_rng(0).normal(size=(90, 8, 8))
    np.savez(tmp_path / "pairs.npz", source=seen, target=seen)
    given = Supplied(tmp_path / "pairs.npz", adapter="mynets:encoder")
    found = diag.compare(tmp_path / "a.pt", tmp_path / "b.pt", supplied=given)
    assert found.verdict.axes == tuple(range(8))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("my_source:fails", r"KeyError in the source .mine of my-package \(my_source.py:6\): 'nothing'"),
        ("my_source:refuses", "a.mine: found nothing of mine; expected a file of mine"),
        (
            "my_source:other",
            "found a str from the source .mine of my-package; expected a diag.subject.Subject",
        ),
        ("my_source:value", "found no function as the source .mine of my-package"),
        ("my_source:nothing", "AttributeError in the source .mine of my-package, on import"),
        ("no_such_source:f", "No module named 'no_such_source'"),
    ],
)
def test_a_broken_source_gets_one_line(entry: str, words: str, site: Path, tmp_path: Path) -> None:
    install(site, "my_package", BROKEN, {"mine": entry}, module="my_source")
    (tmp_path / "a.mine").write_text("x")
    with pytest.raises(SubjectError, match=words) as caught:
        diag.open_subject(tmp_path / "a.mine")
    assert "\n" not in str(caught.value)


ARRAYS = """
import numpy as np
from diag.sources.arrays import from_array

def open_file(opening):
    return from_array(np.ones((9, {columns})), opening.path)
"""


def test_the_longest_suffix_wins_whatever_its_case(site: Path, tmp_path: Path) -> None:
    install(site, "short", ARRAYS.format(columns=1), {"gz": "short:open_file"})
    install(site, "long", ARRAYS.format(columns=2), {"states.gz": "long:open_file"})
    for name, columns in (("a.gz", 1), ("a.STATES.gz", 2)):
        (tmp_path / name).write_text("x")
        subject = diag.open_subject(tmp_path / name, task="target")
        assert subject.embeddings is not None
        assert (subject.embeddings.shape, subject.task) == ((9, columns), "target")
    (tmp_path / "a.other").write_text("x")
    with pytest.raises(ValueError, match=r"\.zip, .*\.gz"):
        diag.open_subject(tmp_path / "a.other")


def test_two_sources_of_one_suffix_are_an_error_that_names_both(site: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        install(site, name, ARRAYS.format(columns=1), {"mine": f"{name}:open_file"})
    (tmp_path / "a.mine").write_text("x")
    with pytest.raises(
        SubjectError, match=r"sources for .mine in (one and two|two and one); expected one of"
    ):
        diag.open_subject(tmp_path / "a.mine")


def test_no_source_replaces_our_own_in_silence(site: Path, tmp_path: Path, examples: Path) -> None:
    install(site, "mine", ARRAYS.format(columns=1), {"parquet": "mine:open_file", "npy": "mine:open_file"})
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(SubjectError, match=r"a source for \.parquet in mine beside diag's own"):
        diag.open_subject(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", np.zeros((20, 3)))
    assert diag.open_subject(tmp_path / "a.npy").label == "embeddings (20, 3)"
    assert diag.open_subject(examples / "base.safetensors").task == "source"
