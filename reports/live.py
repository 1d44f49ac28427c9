"""Live charts: Vega's library, packed once into a page that shows any, and the specifications of its charts.

The library is bundled by vl-convert, which takes a second; it is kept, packed, in the user's cache folder.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs
import vl_convert

from reports.drawings import VEGA_LITE

# The page's own script calls it when a chart comes near the window.
_SNIPPET = "window.vegaEmbed = vegaEmbed;"


def packed(text: str) -> str:
    """A text, gzipped, in letters that cannot end the element that they stand in.

    >>> packed("a") == packed("a")
    True
    """
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def specifications(specs: Sequence[dict[str, Any]]) -> str:
    """The charts' specifications in their order, packed."""
    return packed(json.dumps(specs, allow_nan=False, separators=(",", ":")))


@cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, packed; from the cache folder if it is there."""
    place = _kept()
    try:
        return place.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        pass
    made = packed(vl_convert.javascript_bundle(_SNIPPET, vl_version=VEGA_LITE))
    # A folder that cannot be written costs the next page a second, and nothing else.
    with contextlib.suppress(OSError):
        _keep(place, made)
    return made


def _kept() -> Path:
    folder = platformdirs.user_cache_path("transfer-diag", appauthor=False)
    return folder / f"vega-lite-{VEGA_LITE}-{version('vl-convert-python')}.b64"


def _keep(place: Path, text: str) -> None:
    """The whole file or none: another process may be reading."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(name).replace(place)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
