"""Short names of files: as much of each path as tells it from the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from trainers.safe_text import plain


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


def against(base: str, transfer: str) -> str:
    """A page's title for a transfer and its base.

    >>> against("runs/base.npy", "runs/seed0.npy")
    'seed0 against base'
    >>> against("base.npy", "/tmp/runs/seed0.npy")
    'seed0 against base'
    """
    paths = [base, transfer]
    short = short_names(paths)
    if short == list(map(plain, paths)):  # one is relative and one is not: as many last parts as differ
        parts = [Path(path).with_suffix("").parts for path in paths]
        for count in range(1, min(map(len, parts)) + 1):
            tails = ["/".join(part[-count:]) for part in parts]
            if tails[0] != tails[1]:
                short = list(map(plain, tails))
                break
    return f"{short[1]} against {short[0]}"
