"""Numbers as English words: a count with its noun, a time, a list."""

from __future__ import annotations

from collections.abc import Sequence


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun in the right number; ``many`` where it is not ``one`` with an s.

    >>> plural(1, "dimension"), plural(1240, "state"), plural(2, "loss", "losses")
    ('1 dimension', '1,240 states', '2 losses')
    """
    return f"{count:,} {noun(count, one, many)}"


def noun(count: int, one: str, many: str | None = None) -> str:
    """The noun alone, for a count that stands elsewhere.

    >>> noun(1, "base"), noun(0, "base")
    ('base', 'bases')
    """
    return one if count == 1 else many or f"{one}s"


def listed(words: Sequence[str], none: str = "none") -> str:
    """Words joined as in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed([])
    ('a, b and c', 'a', 'none')
    """
    if not words:
        return none
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(42.3), duration(200), duration(5025)
    ('42 s', '3 min 20 s', '1 h 24 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min"
