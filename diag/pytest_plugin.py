"""pytest plugin: run the gate inside a project's own test suite.

pytest finds this plugin where transfer-diag is installed. A marker checks a pair before the test's own
lines::

    @pytest.mark.transfer(base="base.safetensors", transfer="runs/*.safetensors")
    def test_transfer_landed(transfer_gate):
        assert transfer_gate.checked[0].comparison.relation == "matched"

and the fixture ``check_transfer`` checks files that the test itself made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from diag.checks.result import Gate

MARKER = "transfer"
ALLOWED = ("base", "transfer", "config", "strict", "baseline", "supplied")

Judged: TypeAlias = "tuple[Gate | None, str]"
"""A gate's result, None where it could not be run, and why the test fails; no words where it passes."""

_JUDGED = pytest.StashKey[Judged]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--diag-config``."""
    parser.addoption(
        "--diag-config",
        metavar="FILE",
        help="diag.toml or pyproject.toml with the limits of transfers (default: that above the tests)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, for ``--strict-markers`` and ``--markers``."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(base, transfer, config=None, strict=False, baseline=None, supplied=None): check a "
        "transfer (or several: a pattern, or a list) against limits before the test, as diag check does",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Run the gate of a marked test before its body, as part of it: a failed transfer is a failed test."""
    if item.get_closest_marker(MARKER) is not None and (words := _of_item(item)[1]):
        pytest.fail(words, pytrace=False)


@pytest.fixture
def transfer_gate(request: pytest.FixtureRequest) -> Gate | None:
    """Result of the gate of a test marked ``transfer``: a :class:`diag.checks.result.Gate`.

    A test that reads it has a gate that passed: otherwise the test fails before its first line.
    """
    if request.node.get_closest_marker(MARKER) is None:
        unmarked = "a test without @pytest.mark.transfer(base=…, transfer=…)"
        pytest.fail(f"transfer_gate: found {unmarked}", pytrace=False)
    return _of_item(request.node)[0]


@pytest.fixture
def check_transfer(request: pytest.FixtureRequest) -> Callable[..., Gate]:
    """``check_transfer(base, *transfers, **options)``: :func:`diag.check`, and the test fails where it does.

    The limits are those of ``--diag-config``, else of the configuration above the tests, else the defaults;
    ``config=`` replaces them.
    """

    def run(base: Any, *transfers: Any, **options: Any) -> Gate:
        gate, words = _judged(request.config, base, transfers, options)
        if gate is None or words:
            pytest.fail(words, pytrace=False)
        return gate

    return run


def _of_item(item: pytest.Item) -> Judged:
    """Run the gate of a marked test, once, and return its result."""
    marker = item.get_closest_marker(MARKER)
    assert marker is not None
    if _JUDGED not in item.stash:
        item.stash[_JUDGED] = _judged(item.config, *_arguments(marker))
    return item.stash[_JUDGED]


def _arguments(marker: pytest.Mark) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    named = dict(zip(("base", "transfer"), marker.args, strict=False)) | dict(marker.kwargs)
    unknown = [name for name in named if name not in ALLOWED]
    if unknown or len(marker.args) > 2 or not {"base", "transfer"} <= named.keys():
        given = f"{unknown[0]!r}" if unknown else ", ".join(named) or "nothing"
        pytest.fail(f"@pytest.mark.transfer: found {given}, expected base=…, transfer=…", pytrace=False)
    base, transfer = named.pop("base"), named.pop("transfer")
    transfers = tuple(transfer) if isinstance(transfer, list | tuple) else (transfer,)
    return base, transfers, {name: value for name, value in named.items() if value is not None}


def _judged(
    config: pytest.Config, base: Any, transfers: tuple[Any, ...], options: Mapping[str, Any]
) -> Judged:
    from diag.checks.check import check
    from diag.checks.config import find
    from diag.commands.exit_status import is_bad_input
    from diag.outputs.registry import text

    chosen = dict(options)
    if "config" not in chosen:
        given = config.getoption("--diag-config")
        chosen["config"] = Path(given) if given is not None else find(config.rootpath)
    try:
        first = _expanded(config, base)
        if len(first) != 1:
            return None, f"{base}: found {len(first)} files, expected one base"
        gate = check(first[0], *(file for one in transfers for file in _expanded(config, one)), **chosen)
    except ValueError as error:
        if not is_bad_input(error):
            raise
        return None, f"diag: {error}"
    return gate, "" if gate.exit_status == 0 else text(gate)


def _expanded(config: pytest.Config, name: Any) -> list[Any]:
    """A path, or the files that a pattern matches, below pytest's root; anything else as it is."""
    from diag.checks import CheckError

    if not isinstance(name, str | Path):
        return [name]
    place = config.rootpath / name
    if place.is_relative_to(Path.cwd()):
        place = place.relative_to(Path.cwd())
    if place.exists() or not any(c in str(name) for c in "*?["):
        return [place]
    matches = sorted(glob(str(place), recursive=True))  # noqa: PTH207 (a pattern may be absolute)
    if not matches:
        raise CheckError(f"{name}: found no file that matches, expected at least one")
    return [Path(match) for match in matches]
