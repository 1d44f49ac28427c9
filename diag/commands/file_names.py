"""Names on a command line -> the base and the transfers that they stand for: files, patterns and folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path

from diag.commands.output_files import UsageError
from diag.wording import plural

CHECKPOINTS = "seed*.safetensors"
"""Checkpoints that diag train and diag transfer write; ``seed0.step500.safetensors`` is an early step."""

EARLY = ".step"

SHOWN = 3
"""Names of a folder's files that are told one by one."""


def base_and_transfers(names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """The base and its transfers, once each and in order; ``say`` is told what was taken and left out.

    A pattern stands for the files that match it, whether the shell expands it or not; a folder among the
    transfers for the last checkpoints in it. The base itself is left out of the transfers where others are
    there. Raises UsageError for a pattern or a folder that stands for nothing.
    """
    files: list[str] = []
    for place, name in enumerate(names):
        if place and Path(name).is_dir():
            files += _in_folder(name, say)
        elif Path(name).exists() or not any(c in name for c in "*?["):
            files.append(name)
        else:
            files += _matching(name, place == 0)
    others = [name for name in files[1:] if not _same(name, files[0])]
    if others and len(others) < len(files) - 1:
        say(f"{files[0]}: the base itself is among the transfers, and is left out of them")
        files[1:] = others
    return [*files[:1], *dict.fromkeys(files[1:])]


def _in_folder(name: str, say: Callable[[str], None]) -> list[str]:
    files = sorted(Path(name).glob(CHECKPOINTS), key=lambda file: _counted(file.name))
    taken = [file for file in files if EARLY not in file.name and file.is_file()]
    if not taken:
        raise UsageError(_without_checkpoints(name))
    listed = ", ".join(file.name for file in taken)
    if len(taken) > SHOWN:
        listed = f"{taken[0].name} to {taken[-1].name}"
    early = f"; {len(files) - len(taken)} of early steps left out" if len(files) > len(taken) else ""
    say(f"{name}: took {len(taken)} checkpoint{'s' if len(taken) > 1 else ''}, {listed}{early}")
    return [str(file) for file in taken]


def _without_checkpoints(name: str) -> str:
    """Contents of a folder without last checkpoints, and a pattern for those files that can be read."""
    from diag.sources.formats import SUFFIXES

    files = [
        file for file in sorted(Path(name).iterdir()) if file.is_file() and not file.name.startswith(".")
    ]
    endings = Counter(file.suffix for file in files).most_common()
    found = f"{name}: found a folder without seed<N>.safetensors, as diag transfer writes them"
    if not files:
        return f"{found}, and without any other file; expected files of transfers"
    listed = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in endings[:SHOWN])
    more = ", …" if len(endings) > SHOWN else ""
    found += f", but with {plural(len(files), 'other file')} ({listed}{more})"
    readable = [ending for ending, _ in endings if ending.lower() in SUFFIXES]
    if not readable:
        return f"{found}; expected files of transfers"
    return f"{found}; expected a pattern such as '{Path(name) / f'*{readable[0]}'}'"


def _counted(name: str) -> list[tuple[int, str]]:
    """A key that sorts seed10 after seed9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _matching(pattern: str, of_base: bool) -> list[str]:
    matches = sorted(glob(pattern, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
    if not matches:
        raise UsageError(f"{pattern}: found no file that matches, expected at least one")
    plain = [match for match in matches if Path(match).is_file() and not match.endswith(".resume")]
    if of_base and len(plain) != 1:
        raise UsageError(f"{pattern}: found {len(plain)} files that match, expected one base")
    return plain


def _same(name: str, base: str) -> bool:
    try:
        return Path(name).samefile(base)
    except OSError:
        return False
