"""Short names of files: as much of each path as tells it from the others."""

from __future__ import annotations

from pathlib import Path

from diag.wording import short_names as short_names
from trainers.safe_text import plain


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
