"""A result as the documented JSON, with the result itself in the last line, from which it is read back."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Protocol

from diag.saved import kinds
from diag.saved.kinds import MEMBER, saved

LONE = re.compile("[\ud800-\udfff]")


class HasTree(Protocol):
    """Anything that a diagnosis returns."""

    kind: ClassVar[str]

    def to_tree(self) -> dict[str, Any]: ...


def render(result: HasTree) -> str:
    """Indented JSON; every number in it is finite.

    Its last member, in one line, is what :func:`diag.load` reads the result from. A file's name that is no
    UTF-8 comes as lone surrogates, which are escaped: nothing could write them.
    """
    tree = result.to_tree()
    text = json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False)
    held = saved(result, tree)
    if held is None:
        return _escaped(text)
    whole = _with(text, held)
    # What is refused when it is read is not written; the documented JSON is.
    return whole if len(whole.encode()) <= kinds.MOST_BYTES else _with(text, kinds.too_large(result.kind))


def unsaved(text: str) -> str:
    """Why the result cannot be read back from what :func:`render` wrote; empty where it can."""
    line = text[text.rfind("\n", 0, text.rfind("\n")) + 1 :].removesuffix("}").strip()
    if len(line) > 2000 or not line.startswith(f'"{MEMBER}"'):
        return ""
    return str(json.loads(line.partition(": ")[2]).get("reason", ""))


def _with(text: str, held: dict[str, Any]) -> str:
    """The documented JSON with what is saved in its last line."""
    line = json.dumps(held, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return _escaped(f'{text.removesuffix("}").rstrip()},\n  "{MEMBER}": {line}\n}}')


def _escaped(text: str) -> str:
    return LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
