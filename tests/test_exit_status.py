"""Exceptions as exit statuses: whatever a package of ours raises for bad input is told as such."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pydantic
import pytest

from diag.commands import app as cli
from diag.commands.exit_status import PACKAGES, is_bad_input
from diag.subject import SubjectError

ROOT = Path(__file__).parent.parent


def own_errors() -> Iterator[tuple[str, str]]:
    """The (module, name) of every class in the packages whose name ends with Error."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    yield module, node.name


ERRORS = sorted(own_errors())


@pytest.mark.parametrize(("module", "name"), ERRORS)
def test_every_error_of_ours_is_told_on_one_line_with_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    kind = getattr(import_module(module), name)
    assert issubclass(kind, ValueError | OSError)
    if issubclass(kind, OSError):  # told as every OSError is
        return
    error = kind.__new__(kind, "x.npy: found\nnothing")
    assert is_bad_input(error)

    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("diag.sources.description.show", refused)
    assert cli.run(["show", "x.npy"]) == 2
    assert capsys.readouterr().err == "diag: x.npy: found nothing\n"


def test_there_are_errors_of_every_package_that_reads_or_measures() -> None:
    assert {module.partition(".")[0] for module, _ in ERRORS} >= {"diag", "probes", "trainers"}


def _not_a_number() -> Exception:
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(int).validate_python("one")
    return caught.value


@pytest.mark.parametrize(
    "error", [ValueError("x"), np.linalg.LinAlgError("x"), KeyError("x"), UnicodeError("x"), _not_a_number()]
)
def test_errors_of_libraries_are_faults_of_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("diag.sources.description.show", broken)
    assert cli.run(["show", "x.npy"]) == 3
    assert capsys.readouterr().err.startswith(f"diag: internal error: {type(error).__name__}: ")


def test_a_kind_of_our_error_that_another_package_defines_is_bad_input_too() -> None:
    class OthersError(SubjectError):
        pass

    assert OthersError.__module__.partition(".")[0] == "tests"
    assert is_bad_input(OthersError("x.npy", "nothing", "something"))
