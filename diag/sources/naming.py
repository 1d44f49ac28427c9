"""Decide by name which columns or arrays are the embedding, which order the rows, and which are neither.

A column ``step`` beside the dimensions is equal in both files by construction: taken for a dimension it
would make any two embeddings look alike. So what is called like bookkeeping is left out and told; a person
who means it to be a dimension names the columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from diag.sources.safe.names import listed, shown
from diag.sources.supplied import Supplied
from diag.subject import SubjectError

KEY = "embeddings"
"""Name of the array of embeddings in a file of several arrays."""

EPISODES = "episodes"
"""Name of the array that says each row's episode."""

RETURNS = "returns"
"""Name of the array of returns from episodes that the agent played on its own task."""

ORDER = (
    "step steps t timestep timesteps globalstep envstep episodestep frame frames frameid index idx row "
    "rows rowid rowindex rownumber sample sampleid state stateid obsid observationid episode episodeid ep "
    "epid unnamed0 level0 level1"
)
"""Names, in lower-case letters and digits alone, of columns that number rows or say their episodes."""

OTHERS = (
    "time timestamp datetime date id uid uuid key env envs envid envidx envindex envname environment seed "
    "seeds run runid trial worker workerid rank epoch iteration iter split fold batch batchid rollout "
    "rolloutid trajectory trajectoryid traj trajid done dones terminated truncated reward rewards action "
    "actions"
)
"""Names of further columns of rollouts that are no dimensions of an embedding."""

INDEX = re.compile(r"__index_level_\d+__")
"""Names that pandas gives to an index without one."""

OVERRIDE = "--columns NAMES takes others"


def is_bookkeeping(name: str) -> bool:
    """Whether a column's name says that it counts or labels rows."""
    return says_order(name) or _plain(name) in OTHERS.split()


def says_order(name: str) -> bool:
    """Whether a column's name says which row is which: two files of the same rows agree in it."""
    return _plain(name) in ORDER.split() or INDEX.fullmatch(name) is not None


@dataclass(frozen=True)
class Choice:
    """Use of each column of a table, or array of a file: embedding, key, order, or none."""

    embedding: tuple[str, ...]
    chosen: bool
    """Whether a person named the columns."""
    left_out: tuple[str, ...]
    key: tuple[str, ...]
    """The columns of the key that a person asked for."""
    order: tuple[str, ...]
    """The columns of :data:`left_out` that say the rows' order."""


def choice_of(
    names: Sequence[str], supplied: Supplied, path: str, index: Iterable[str] = (), what: str = "column"
) -> Choice:
    """Decide the use of each named column or array; raises SubjectError for names asked for that are missing.

    ``index`` are columns that hold a table's index, which are taken for nothing else but a key.
    """
    stored = set(index)
    key = _key_of(supplied.key, (*names, *stored), path, what)
    free = [name for name in names if name not in stored and name not in (EPISODES, RETURNS)]
    if supplied.columns:
        chosen = _matching(supplied.columns, [n for n in free if n not in key], path, what)
        left = tuple(n for n in free if n not in chosen and is_bookkeeping(n))
        return Choice(chosen, True, left, key, ())
    left = tuple(name for name in free if name != KEY and (is_bookkeeping(name) or name in key))
    embedding = (KEY,) if KEY in names else tuple(name for name in free if name not in left)
    return Choice(embedding, False, left, key, tuple(name for name in left if says_order(name)))


def _key_of(asked: str | None, names: Iterable[str], path: str, what: str) -> tuple[str, ...]:
    """The columns of a key, split at commas where it names several."""
    if asked is None:
        return ()
    there = list(dict.fromkeys(names))
    parts = (asked,) if asked in there else tuple(part.strip() for part in asked.split(","))
    for part in parts:
        if part not in there:
            expected = f"--key with one of {listed(there) or '(none)'}"
            raise SubjectError(path, f"no {what} {shown(part)!r}", expected)
    return parts


def _matching(asked: Sequence[str], names: Sequence[str], path: str, what: str) -> tuple[str, ...]:
    matching: list[str] = []
    for one in asked:
        own = [one] if one in names else [name for name in names if fnmatchcase(name, one)]
        if not own:
            expected = f"--columns with some of {listed(names) or '(none)'}"
            raise SubjectError(path, f"no {what} {shown(one)!r}", expected)
        matching += own
    return tuple(dict.fromkeys(matching))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def left_out_words(names: Mapping[str, None] | Sequence[str]) -> str:
    """A warning that says which columns were left out, and how to take them all the same."""
    one = len(names) == 1
    return (
        f"{'column' if one else 'columns'} {listed(names)} {'was' if one else 'were'} left out: "
        f"{'its name says that it counts or labels' if one else 'their names say that they count or label'} "
        f"rows ({OVERRIDE})"
    )
