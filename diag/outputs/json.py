"""A result as the documented JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

LONE = re.compile("[\ud800-\udfff]")


class HasTree(Protocol):
    """Anything that a diagnosis returns."""

    def to_tree(self) -> dict[str, Any]: ...


def render(result: HasTree) -> str:
    """Indented JSON; every number in it is finite.

    A file's name that is no UTF-8 comes as lone surrogates, which are escaped: nothing could write them.
    """
    text = json.dumps(result.to_tree(), indent=2, allow_nan=False, ensure_ascii=False)
    return LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
