"""Names and words out of files as errors and results show them: short, with control characters escaped."""

from __future__ import annotations

from collections.abc import Iterable

from trainers.safe_text import one_line, plain


def line(error: BaseException | str) -> str:
    """An error's message, or words from a file, as one short line with control characters escaped."""
    return one_line(error, 200) or type(error).__name__


def shown(name: object) -> str:
    """A name out of a file, cut to 80 characters and with control characters escaped."""
    words = str(name)
    return plain(words) if len(words) <= 80 else f"{plain(words[:80])}…"


def listed(names: Iterable[object]) -> str:
    """Names out of a file, the first ten of them."""
    every = [shown(name) for name in names]
    return ", ".join(every[:10]) + (f" and {len(every) - 10} more" if len(every) > 10 else "")
