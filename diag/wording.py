"""Numbers as English words: a count with its noun, a share, a p-value, a time, a list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath

from trainers.safe_text import plain


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun in the right number; ``many`` where it is not ``one`` with an s.

    >>> plural(1, "dimension"), plural(1240, "state"), plural(2, "loss", "losses")
    ('1 dimension', '1,240 states', '2 losses')
    """
    return f"{count:,} {noun(count, one, many)}"


def noun(count: int, one: str, many: str | None = None) -> str:
    """The noun for a count, without the count.

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
    """A time in words, in its two largest units.

    >>> duration(42.3), duration(200), duration(5025), duration(600), duration(7200)
    ('42 s', '3 min 20 s', '1 h 24 min', '10 min', '2 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _units(whole, "min", "s")
    return _units(round(whole / 60), "h", "min")


def _units(count: int, large: str, small: str) -> str:
    """A count of small units as large and small ones, 60 to one; a part that is 0 is left out."""
    many, few = divmod(count, 60)
    return f"{many} {large} {few} {small}" if few else f"{many} {large}"


def about(seconds: float) -> str:
    """An estimated time in words, rounded as an estimate should be.

    >>> about(4), about(75), about(620), about(5500), about(200_000)
    ('about 4 s', 'about 1 min 15 s', 'about 10 min', 'about 1 h 30 min', 'about 56 h')
    """
    step = next(step for most, step in ROUNDED if seconds < most)
    return f"about {duration(step * round(seconds / step))}"


ROUNDED = ((90, 1), (600, 5), (3600, 60), (36_000, 300), (float("inf"), 3600))
"""Pairs (limit, step) in seconds: estimates below the limit are rounded to multiples of the step."""


def percent_interval(value: float | None, low: float | None, high: float | None, digits: int = 0) -> str:
    """A share with its interval, in percent; a dash where there is no number.

    >>> percent_interval(0.136, 0.047, 0.333), percent_interval(0.136, 0.047, 0.333, digits=1)
    ('14% [5%, 33%]', '13.6% [4.7%, 33.3%]')
    >>> percent_interval(None, None, None)
    '–'
    """
    if value is None or low is None or high is None:
        return "–"
    return f"{value:.{digits}%} [{low:.{digits}%}, {high:.{digits}%}]"


SIGNIFICANT = 0.05
"""The usual level of a p-value: words say what a p-value below it shows, and its digits agree with them."""

P_ROUNDING = 1e-9
"""Share of two p-values that they differ by through rounding alone."""


def p_value(p: float | None, floor: float | None = None) -> str:
    """A p-value to three decimals, or to as many more as show on which side of 0.05 it lies; a dash for none.

    ``floor`` is the least that its permutations could give: there, the p-value is that or any less.

    >>> p_value(0.0431), p_value(1e-9), p_value(None), p_value(0.01, floor=0.01)
    ('0.043', '< 0.001', '–', '≤ 0.010')
    >>> p_value(0.0496), p_value(0.05), p_value(0.05003)
    ('0.0496', '0.050', '0.05003')
    """
    if p is None:
        return "–"
    if p < 0.0005:
        return "< 0.001"
    decimals = 3
    while _side(float(f"{p:.{decimals}f}")) != _side(p):
        decimals += 1
    words = f"{p:.{decimals}f}"
    # What equals the floor but for rounding is at it.
    return f"≤ {words}" if floor is not None and p <= floor * (1 + P_ROUNDING) else words


def significant(p: float) -> bool:
    """Whether a p-value is below the usual level, and not only by rounding."""
    return p < SIGNIFICANT * (1 - P_ROUNDING)


def _side(p: float) -> tuple[bool, bool]:
    """Whether a p-value is below, and whether it is above, the usual level by more than rounding."""
    return significant(p), p > SIGNIFICANT * (1 + P_ROUNDING)


def p_relation(p: float) -> str:
    """A p-value with ``=`` or ``<`` before it, as it follows the letter p in a sentence.

    >>> p_relation(0.0312), p_relation(1e-9), p_relation(0.0496)
    ('= 0.031', '< 0.001', '= 0.0496')
    """
    words = p_value(p)
    return words if words.startswith("<") else f"= {words}"


def short_names(paths: Sequence[str]) -> list[str]:
    """Paths without the folders and the ending that they share; in full where only that tells two apart.

    >>> short_names(["runs/t/a.npy", "runs/t/b.npy"]), short_names(["x/a.npy"]), short_names(["a", "a"])
    (['a', 'b'], ['a'], ['a', 'a'])
    >>> short_names(["runs/one/seed0.npy", "runs/two/seed0.npy"])
    ['one/seed0', 'two/seed0']
    """
    places = [PurePath(path) for path in paths]
    try:
        shared = os.path.commonpath([place.parent for place in places])
        short = [str(place.relative_to(shared)) if shared else str(place) for place in places]
    except ValueError:
        return list(map(plain, paths))
    endings = {place.suffix for place in places}
    if len(endings) == 1:
        short = [name.removesuffix(*endings) for name in short]
    return list(map(plain, short if len(set(short)) == len(set(paths)) else paths))
