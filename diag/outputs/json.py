"""A result as the documented JSON."""

from __future__ import annotations

import json
from typing import Any, Protocol


class HasTree(Protocol):
    """Anything that a diagnosis returns."""

    def to_tree(self) -> dict[str, Any]: ...


def render(result: HasTree) -> str:
    """Indented JSON; every number in it is finite."""
    return json.dumps(result.to_tree(), indent=2, allow_nan=False, ensure_ascii=False)
