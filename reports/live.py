"""Live charts: Vega's library, packed once into a page that shows any, and the specifications of its charts.

The library is bundled by vl-convert, which takes a second; it is kept, packed, in the user's cache folder.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import tempfile
import zlib
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
    if (kept := _whole(place)) is not None:
        return kept
    script = vl_convert.javascript_bundle(_SNIPPET, vl_version=VEGA_LITE)
    made = packed(script)
    # A folder that cannot be written costs the next page a second, and nothing else.
    with contextlib.suppress(OSError):
        _keep(place, f"{_digest(script.encode())}\n{made}")
    return made


def _kept() -> Path:
    """The file of the cache: all that decides what the library is stands in its name."""
    folder = platformdirs.user_cache_path("transfer-diag", appauthor=False)
    snippet = _digest(_SNIPPET.encode())[:12]
    return folder / f"vega-lite-{VEGA_LITE}-{version('vl-convert-python')}-{snippet}.b64"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _whole(place: Path) -> str | None:
    """The packed library in a file, below its script's digest; None where it is another, or damaged."""
    try:
        digest, _, letters = place.read_text("ascii").partition("\n")
        script = gzip.decompress(base64.b64decode(letters, validate=True))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return letters if script and _digest(script) == digest else None


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
