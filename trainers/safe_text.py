"""Names and words from files, made harmless: one line, nothing that steers a terminal, no endless reading."""

from __future__ import annotations

import errno
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

MAGIC_BYTES = 64
"""Bytes at the start of a file that tell its kind."""

MOST_HEADER = 2**24
"""Bytes that the header of a safetensors file may have: 50 kB are usual, some MB with the
curves of a long training. Reading JSON takes up to twenty times as much memory."""

MOST_TENSORS = 2**16
"""Most tensors of a file: each costs a kilobyte of bookkeeping."""

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxstring, _BRIEF.maxlong = 3, 8, 8, 80, 40


def plain(words: str) -> str:
    """Words from a file, with what could steer a terminal escaped.

    >>> plain("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def one_line(words: object, most: int = 1000) -> str:
    """Words of any origin as one line of at most so many characters, the rest left out."""
    # An escaped character takes at most ten; the rest is cut off before it is escaped.
    text = plain(" ".join(str(words)[: 10 * most].split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def value(anything: Any) -> str:
    """A value out of a file as Python writes it, with ``...`` for what is long or deep.

    >>> value([1, [[[[2]]]], 10**400])
    '[1, [[[...]]], 100000000000000000...0000000000000000000]'
    """
    return one_line(_BRIEF.repr(anything), 200)


def in_words(path: str) -> str:
    """A path in an error's line: only its end where it is longer than any name needs.

    >>> in_words("runs/a\\n.npy")
    'runs/a\\\\n.npy'
    """
    text = plain(path[-1000:])
    return text if len(path) <= 1000 else f"…{text}"


def no_ordinary_file(path: str | os.PathLike[str]) -> str | None:
    """``a device or a pipe``, which need not end; None for files, folders and what is not there."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "a device or a pipe"


def whole(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """A file's bytes, or the first ``most``: never more than its size says, so that reading ends.

    Raises OSError, also for devices and pipes, or ValueError for a path with a null in it.
    """
    if special := no_ordinary_file(path):
        raise OSError(errno.EINVAL, special, os.fspath(path))
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return file.read(size if most is None else min(size, most))
