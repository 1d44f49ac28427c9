"""A result as the documented JSON, with the result itself in the last line, from which it is read back."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Protocol

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
    if (held := saved(result, tree)) is not None:
        line = json.dumps(held, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        text = f'{text.removesuffix("}").rstrip()},\n  "{MEMBER}": {line}\n}}'
    return LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
