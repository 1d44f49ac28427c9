"""Files and configurations that mean harm: refused in one line, or read; nothing else happens.

A few hundred of the attacks that ``benchmarks/attack.py`` makes by the ten thousand, values and bytes that
hypothesis thinks of, what earlier attacks found, and whether the judge of all of them would notice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diag
from diag.commands import app as cli
from diag.subject import Subject, SubjectError
from tests.attacks import judge as judging
from tests.attacks import pickles, programs
from tests.attacks.attack import Attack, Role, role_of
from tests.attacks.checkpoints import OURS, joined, parts
from tests.attacks.damage import STARTS
from tests.attacks.judge import Judge
from tests.attacks.kinds import KINDS, attack
from tests.attacks.seeds import ACCEPTED, DATA, policy
from tests.attacks.trees import places
from tests.harmful_files import repacked, saved

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux counts it")

SAMPLE, APART = 12, 13
"""Of each kind, so many attacks, and how far they are apart."""

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("attack"))


def refused_or_read(judge: Judge, made: Attack, whole: bool = False) -> str:
    found = judge.judge(made, whole)
    assert found.outcome != "violation", found.words
    return f"{found.outcome}: {found.words}"


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_some_are_refused_and_none_does_harm(judge: Judge, kind: str) -> None:
    told = [
        refused_or_read(judge, attack(kind, APART * number, judge.seeds, seed=1), whole=number % 4 == 0)
        for number in range(SAMPLE)
    ]
    assert sum(words.startswith("refused") for words in told) > 3


def test_whole_files_are_read(judge: Judge) -> None:
    """So that what is refused is refused for its damage."""
    for name, content in judge.seeds.items():
        if not name.startswith("base"):
            assert refused_or_read(judge, Attack(name, content, role_of(name))).startswith("accepted")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def checkpoint(judge: Judge, header: str) -> bytes:
    outer, data = parts(judge.seeds["transfer.safetensors"])
    outer["__metadata__"][OURS] = header
    return joined(json.dumps(outer).encode(), data)


def header_of(judge: Judge) -> Any:
    return json.loads(parts(judge.seeds["transfer.safetensors"])[0]["__metadata__"][OURS])


TREES: dict[str, tuple[str, Role, Callable[[Judge], Any], Callable[[Judge, str], bytes]]] = {
    "ours": ("transfer.safetensors", "subject", header_of, checkpoint),
    "safetensors": (
        "transfer.safetensors",
        "subject",
        lambda judge: parts(judge.seeds["transfer.safetensors"])[0],
        lambda judge, text: joined(text.encode(), parts(judge.seeds["transfer.safetensors"])[1]),
    ),
    "policy": ("policy.zip", "subject", lambda judge: DATA, lambda judge, text: policy(1, text.encode())),
    "baseline": ("accepted.json", "baseline", lambda judge: ACCEPTED, lambda judge, text: text.encode()),
}
"""File, role, the tree in it, and the file of another tree's JSON."""


@pytest.mark.parametrize("name", TREES)
@given(data=st.data())
@quick
def test_any_value_may_stand_anywhere(judge: Judge, name: str, data: st.DataObject) -> None:
    file, role, tree_of, made_of = TREES[name]
    tree = json.loads(json.dumps(tree_of(judge)))
    inside, key = data.draw(st.sampled_from(list(places(tree))))
    inside[key] = data.draw(VALUES)
    refused_or_read(judge, Attack(file, made_of(judge, json.dumps(tree)), role))


NAMES = (
    "a.npy",
    "a.npz",
    "a.safetensors",
    "a.pt",
    "a.parquet",
    "a.onnx",
    "a.zip",
    "a.pt2",
    "a",
    "accepted.json",
)


@given(st.sampled_from(NAMES), st.sampled_from(STARTS), st.binary(max_size=100))
@quick
def test_any_bytes_may_stand_in_a_file(judge: Judge, name: str, start: bytes, rest: bytes) -> None:
    assert refused_or_read(judge, Attack(name, start + rest, role_of(name))).startswith("refused")


@given(st.text(max_size=60), st.integers(0, 20))
@quick
def test_any_text_may_stand_in_a_configuration(judge: Judge, words: str, line: int) -> None:
    lines = judge.seeds["pyproject.toml"].decode().splitlines()
    lines.insert(line, words)
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    refused_or_read(judge, Attack("pyproject.toml", content, "config"))


OPERATIONS = (
    *(bytes([code]) for code in b"()02Rabehlstu}]\x81\x85\x86\x87\x88\x89N"),
    *(
        b"q\0",
        b"q\1",
        b"h\0",
        b"h\1",
        b"K\2",
        pickles.EMPTY,
        pickles.GOOD,
        pickles.storage(90),
        pickles.text("a"),
    ),
    *(pickles.called(*names) for names in pickles.CALLS[:20]),
)


@given(st.lists(st.sampled_from(OPERATIONS), max_size=12))
@quick
def test_any_pickle_may_name_the_tensors(judge: Judge, program: list[bytes]) -> None:
    refused_or_read(judge, Attack("state.pt", indexed(b"".join(program))))


def indexed(program: bytes) -> bytes:
    """A file of torch.save whose index is this program."""
    return repacked(saved({"a": TENSOR()}), data_pkl=b"\x80\x02" + program + b".")


def TENSOR() -> Any:  # noqa: N802
    import torch

    return torch.ones(30, 3)


def with_header(edit: Callable[[Any], object]) -> Callable[[Judge], Attack]:
    def make(judge: Judge) -> Attack:
        tree = header_of(judge)
        edit(tree)
        return Attack("transfer.safetensors", checkpoint(judge, json.dumps(tree)))

    return make


def array(shape: tuple[int, ...]) -> bytes:
    import io

    import numpy as np

    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).normal(size=shape))
    return content.getvalue()


RULES = [{"component": "*", "action": "copy", "parameters": f"*{i}"} for i in range(20_000)]

FOUND: dict[str, tuple[Callable[[Judge], Attack], str]] = {
    "a step beyond floats": (with_header(lambda t: t.update(step=10**400)), "found step 1000"),
    "a world of a long name": (
        with_header(lambda t: t["settings"].update(world="x" * 10**6)),
        "unknown world 'xxx",
    ),
    "widths without end": (
        with_header(lambda t: t["settings"]["model"].update(encoder=[65536] * 10**5)),
        "at most 64 items",
    ),
    "widths beyond the file": (
        with_header(lambda t: t["settings"]["model"].update(encoder=[65536] * 64)),
        "expected shape (65536, ",
    ),
    "rules without end": (
        with_header(lambda t: t.update(plan={"name": "p", "rules": RULES})),
        "at most 1000 items",
    ),
    "a header without end": (
        lambda judge: Attack("a.safetensors", joined(b"{" + b" " * 2**25 + b"}", b"")),
        "no whole safetensors file",
    ),
    "tensors without end": (
        lambda judge: Attack("a.safetensors", joined(b'{"a":{"data_offsets":[]}' * 70_000, b"")),
        "more than 65536 tensors",
    ),
    "a method's name on a mapping": (
        lambda judge: Attack("a.pt", indexed(pickles.attribute("items", pickles.whole(1)))),
        "a mapping with attributes of its own (items)",
    ),
    "a key of a million million parts": (
        lambda judge: Attack("a.pt", indexed(b"}" + pickles.doubled(40) + pickles.GOOD + b"s")),
        "a tuple in place of a word",
    ),
    "a call of a million million parts": (
        lambda judge: Attack("a.pt", indexed(pickles.listed(40) + b")R")),
        "a list in place of a call",
    ),
    "a tensor made anew": (
        lambda judge: Attack("a.pt", indexed(pickles.GOOD + pickles.group(pickles.storage(90)) + b"b")),
        "a tuple in place of a dict",
    ),
    "a pipe as configuration": (
        lambda judge: Attack("diag.toml", role="config", make=os.mkfifo),
        "a device or a pipe",
    ),
    "a pipe as pairs": (lambda judge: Attack("a.npz", role="pairs", make=os.mkfifo), "a device or a pipe"),
    "a pipe as baseline": (
        lambda judge: Attack("a.json", role="baseline", make=os.mkfifo),
        "a device or a pipe",
    ),
    "a name that is too long": (
        lambda judge: Attack("a.npy", opened="x" * 300 + ".npy"),
        "file name too long",
    ),
    "a null in a name": (lambda judge: Attack("a.toml", role="config", opened="a\0.toml"), "null"),
    "a name that a terminal obeys": (
        lambda judge: Attack("\x1b[2J\n.npy"),
        r"\x1b[2J\n.npy: found an empty file",
    ),
    "other dimensions without end": (
        lambda judge: Attack("a.npy", array((30, 50_000))),
        "50000 dimensions, of 30 rows",
    ),
    "a program of 32 GiB": (
        lambda judge: Attack("a.onnx", programs.filled([2**30, 2**3])),
        "it asks for more than 4 GiB of memory",
    ),
    "functions that call each other for ever": (
        lambda judge: Attack("a.onnx", programs.called(40, 2)),
        "more than 32768 operations",
    ),
    "functions that call each other too deep": (
        lambda judge: Attack("a.onnx", programs.called(3000, 1)),
        "functions more than 64 deep",
    ),
    "a program for all rows there are": (
        lambda judge: Attack("a.onnx", programs.typed("FLOAT", [2**40, programs.WIDTH])),
        "a program for 1099511627776 rows at once",
    ),
    "a terabyte of nothing": (
        lambda judge: Attack(
            "a.npz", make=lambda place: os.truncate(os.open(place, os.O_CREAT | os.O_RDWR), 2**40)
        ),
        "no whole numpy file",
    ),
}
"""What earlier attacks did harm with, and the words that it gets now."""


@pytest.mark.parametrize("name", FOUND)
def test_what_once_did_harm(judge: Judge, name: str) -> None:
    make, words = FOUND[name]
    told = refused_or_read(judge, make(judge), whole=True)
    assert told.startswith("refused")
    assert words in told


def test_a_name_that_is_no_utf8_is_written_in_every_form(judge: Judge) -> None:
    made = Attack("\udcff.npy", judge.seeds["array.npy"])
    assert refused_or_read(judge, made, whole=True).startswith("accepted")


COMMANDS = (
    "cut short",
    "checkpoint headers",
    "archives",
    "pickles",
    "configurations",
    "baselines",
    "no plain files",
    "names",
)


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_command_says_it_in_one_line(
    judge: Judge,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = 0
    for number in range(1, 40, 2):
        made = attack(kind, number, judge.seeds, seed=2)
        if judge.judge(made, whole=True).outcome != "refused":
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        status = cli.run(["check", *judge.arguments(made, made.placed(folder))])
        err = capfd.readouterr().err
        assert status == 2
        assert err.startswith("diag: ")
        assert err.endswith("\n")
        assert err[:-1].isprintable()
        refused += 1
        if refused == 2:
            break
    assert refused == 2


def test_a_process_of_its_own_says_it_too(judge: Judge, tmp_path: Path) -> None:
    made = Attack("\udcff\x1b[2J.safetensors", judge.seeds["transfer.safetensors"][:-9])
    command = [Path(sys.executable).parent / "diag", "check", *judge.arguments(made, made.placed(tmp_path))]
    run = subprocess.run(list(map(os.fsencode, command)), capture_output=True, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(b"diag: ")
    assert run.stderr.endswith(b"\n")
    assert run.stderr.decode()[:-1].isprintable()
    assert b"Traceback" not in run.stdout + run.stderr


def _raising(error: Exception) -> Callable[[], object]:
    def raising() -> None:
        raise error

    return raising


HARM: dict[str, tuple[Callable[[], object], str]] = {
    "an error of the program": (_raising(KeyError("a")), "KeyError at test_attack.py"),
    "an error of two lines": (_raising(judging.configs.CheckError("a")), "does not name the file"),
    "a file": (lambda: Path("owned").touch(), "files made"),
    "a file elsewhere": (lambda: Path("../../owned").touch(), "files made"),
    "a file for a while": (lambda: [Path("owned").touch(), Path("owned").unlink()], "open for writing"),
    "a command": (lambda: os.system("true"), "os.system"),
    "a process": (lambda: subprocess.run(["true"]), "subprocess.Popen"),
    "a secret": (lambda: Path("/etc/passwd").read_text(), "read: '/etc/passwd'"),
    "words": (lambda: print("words"), "printed: 'words'"),
    "words of C": (lambda: os.write(2, b"words"), "printed: 'words'"),
    "a warning": (lambda: warnings.warn("words", stacklevel=1), "warned: words"),
    "memory": (lambda: bytearray(2 * judging.MEMORY), "MemoryError"),
    "memory, told as a refusal": (
        _raising(SubjectError("array.npy", "Unable to allocate 3 GiB", "less")),
        "memory ran out",
    ),
    "time": (lambda: time.sleep(9), "not done after 1 s"),
}
"""What opening a file must not do, and how the judge tells it."""


@pytest.mark.parametrize("name", HARM)
def test_the_judge_sees_harm(
    judge: Judge, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    harm, words = HARM[name]

    def opened(path: str, *more: Any) -> Subject:
        harm()
        return Subject(path, "")

    monkeypatch.setattr(diag, "open_subject", opened)
    monkeypatch.setattr(judging, "PATIENCE", 1)
    found = judge.judge(Attack("array.npy", judge.seeds["array.npy"]))
    for made in (judge.folder / "owned", judge.folder.parent / "owned"):
        made.unlink(missing_ok=True)
    assert found.outcome == "violation"
    assert words in found.words
