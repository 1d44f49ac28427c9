"""Names of files for a page's title: the shortest ends of their paths that tell them apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath

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
