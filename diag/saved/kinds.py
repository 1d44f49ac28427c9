"""Saved results in files: what ``--json`` writes beside the documented JSON, and the result read back.

The classes of results are named, not imported, and looked up by the kind that the file says.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

from diag.saved.error import FormError
from diag.saved.typed import decode, encode, fields_saved
from trainers.safe_text import in_words, one_line, whole
from trainers.safe_text import value as in_brief

SCHEMA_VERSION = 1
"""Version of the documented JSON."""

FORMAT = 1
"""Version of the form in which results are saved."""

MOST_BYTES = 2**28
"""Bytes that a saved result may have: those of large studies have some ten million."""

_PIECE = 2**20

MEMBER = "saved"
"""Name of the member that holds the saved result."""

RESULTS: Mapping[str, str] = {
    "calibration": "diag.checks.result:Calibration",
    "check": "diag.checks.result:Gate",
    "comparison": "diag.comparisons.result:Comparison",
    "environment_metrics": "diag.studies.environments.result:EnvironmentMetrics",
    "forecast": "diag.forecasts.result:Forecast",
    "landscape": "diag.landscapes.result:Landscape",
    "landscape_pairs": "diag.landscapes.pairs_result:LandscapePairs",
    "layers": "diag.layerwise.result:LayersCompared",
    "probe": "diag.probing.result:Probed",
    "repair": "diag.repairs.result:Repair",
    "sources": "diag.sourcing.result:SourcesCompared",
    "study": "diag.studies.result:StudyReport",
    "study_forecast": "diag.forecasts.result:ForecastReport",
}
"""``module:class`` of each kind of result that is saved (:attr:`diag.shown.Shown.kind`).

What ``diag show`` says of a file is not: whoever has the file can ask again.
"""


class HasKind(Protocol):
    """A result: it knows its kind."""

    kind: ClassVar[str]


class ResultError(ValueError):
    """A file that holds no result which can be read back: ``path``, ``found``, ``expected``."""

    def __init__(self, path: str, found: str, expected: str) -> None:
        self.path, self.found, self.expected = path, one_line(found), one_line(expected)
        super().__init__(f"{in_words(path)}: found {self.found}; expected {self.expected}")


def saved(result: HasKind, documented: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a result is read back from, beside its documented JSON; None for a kind that is not saved.

    A result with something in it that no type of ours describes, such as dates among a caller's variables,
    costs nobody the documented JSON: why it is not saved stands in the result's place.
    """
    if result.kind not in RESULTS:
        return None
    try:
        held = encode(result, type(result))
    except FormError as error:
        return {"format": FORMAT, "kind": result.kind, "reason": str(error)}
    digest = _digest(documented, result.kind, held)
    return {"format": FORMAT, "kind": result.kind, "sha256": digest, "result": held}


def too_large(kind: str) -> dict[str, Any]:
    """What is written in the place of a result whose file could not be read back."""
    return {"format": FORMAT, "kind": kind, "reason": f"its file would have more than {MOST_BYTES:,} bytes"}


def _digest(documented: Mapping[str, Any], kind: str, held: Any) -> str:
    """Digest of all that a file says, however it is laid out: a slip of an editor is told from the result."""
    content = json.dumps([documented, kind, held], separators=(",", ":"))
    return hashlib.sha256(content.encode("ascii")).hexdigest()


def load(path: str | os.PathLike[str]) -> Any:
    """The result that ``--json`` of a command wrote to a file, as the call of the same name returned it.

    Arrays too large to be saved whole are thinned (:func:`left_out` tells), and what only serves further
    computing is left out: tensors, and maps that are functions. Raises ResultError for a file that holds no
    result, one of a newer version, or one that was changed; OSError where it cannot be read.

    ``diag.load("compared.json").relation`` is then that of the comparison.
    """
    name = os.fspath(path)
    return result_in(tree_in(name), name)


def tree_in(path: str) -> Any:
    """The JSON in a file; raises ResultError for what is none, OSError for what cannot be read."""
    content = whole(path, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ResultError(path, f"more than {MOST_BYTES:,} bytes", "a result as --json writes it")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ResultError(path, "no JSON", "a result as --json of a command writes it") from None


def may_hold_result(path: str) -> bool:
    """Whether a file's bytes name what every saved result has; raises OSError. It is read piece by piece."""
    missing = {f'"{name}"'.encode() for name in (MEMBER, "schema_version")}
    longest = max(map(len, missing))
    with Path(path).open("rb") as file:
        end = b""
        while missing and (piece := file.read(_PIECE)):
            end += piece
            missing = {name for name in missing if name not in end}
            end = end[-longest:]
    return not missing


def holds_result(tree: Any) -> bool:
    """Whether a file's JSON says that it has a saved result, of whatever version."""
    return isinstance(tree, dict) and MEMBER in tree


def result_in(tree: Any, path: str) -> Any:
    """The result in a file's JSON, as :func:`load` gives it; raises ResultError."""
    if not isinstance(tree, dict) or "schema_version" not in tree:
        raise ResultError(path, "JSON without schema_version", "a result as --json of a command writes it")
    if MEMBER not in tree:
        if "diagnosis" not in tree:
            words = "the description of a file"
            raise ResultError(path, words, "the result of a diagnosis; diag show makes a page of a file")
        older = f"JSON of {in_brief(tree['diagnosis'])} without the result that it was made from"
        raise ResultError(path, older, "that of this version; make it anew with the same command and --json")
    version, held = tree["schema_version"], tree[MEMBER]
    if type(version) is not int or version > SCHEMA_VERSION:
        words = f"schema_version {SCHEMA_VERSION}; a newer transfer-diag made it"
        raise ResultError(path, f"schema_version {in_brief(version)}", words)
    if not isinstance(held, dict):
        raise ResultError(path, f"{MEMBER}: {in_brief(held)}", "a saved result")
    if held.get("format") != FORMAT or type(held["format"]) is not int:
        newer = isinstance(held.get("format"), int) and held["format"] > FORMAT
        words = f"a result saved in form {in_brief(held.get('format'))}"
        raise ResultError(path, words, f"form {FORMAT}{'; a newer transfer-diag made it' if newer else ''}")
    kind = held.get("kind")
    if not isinstance(kind, str) or kind not in RESULTS:
        raise ResultError(path, f"a result of kind {in_brief(kind)}", f"one of {', '.join(RESULTS)}")
    if "reason" in held:
        words = f"a {kind} that could not be saved ({in_brief(held['reason'])})"
        raise ResultError(path, words, "a saved result; its documented JSON is whole")
    module, name = RESULTS[kind].split(":")
    documented = {name: value for name, value in tree.items() if name != MEMBER}
    try:
        if held.get("sha256") != _digest(documented, kind, held.get("result")):
            words = f"a {kind} that was changed after it was saved"
            raise ResultError(path, words, "one as --json wrote it")
        result = decode(held.get("result"), getattr(import_module(module), name))
    except FormError as error:
        words = f"a {kind} with another content: {error}"
        raise ResultError(path, words, "one that this version saved, unchanged") from None
    except RecursionError:
        raise ResultError(path, f"a {kind} too deep to read", "one that was saved") from None
    return result


def left_out(result: Any) -> list[str]:
    """What a result that was read back lacks of the one that was saved, in words, each said once."""
    return list(dict.fromkeys(_lacking(result)))


def _lacking(value: Any) -> Iterator[str]:
    if is_dataclass(value):
        words = getattr(value, "left_out", None)
        if isinstance(words, str):
            yield words
        for one, _ in fields_saved(type(value)):
            yield from _lacking(getattr(value, one.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _lacking(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _lacking(item)
