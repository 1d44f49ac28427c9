"""Tables of a study's measures, a row for each checkpoint, and of its curves, kept as Parquet part files.

A study's folder holds ``results/*.parquet`` and ``curves/*.parquet``. Each training has a part of its own
in either, written when it is done, whole or not at all; reading takes all parts and, where a row stands in
two, the later part's.

``results`` has a row for each checkpoint that was kept, of bases and transfers alike:

====================  ========  ==================================================================
column                type      what
====================  ========  ==================================================================
``variant``           str       the variant of the settings, ``main`` where the study names none
``phase``             str       ``base`` or ``transfer``
``plan``              str       the transfer plan's name, empty for bases
``base_seed``         int64     the seed of the base
``seed``              int64     the transfer's seed; a base's own
``step``              int64     updates done
``updates``           int64     updates in all: the budget
``final``             bool      whether it is the last checkpoint, ``step == updates``
``path``              str       the checkpoint, relative to the study's folder
``sha256``            str       its hash
``finite``            bool      whether its weights are; where not, all that follows is missing
``states``            float64   states of the world (missing for bases, as all that compares)
``success_states``    float64    so many must lie nearest to their own base state
``own_states``        float64   so many do
``succeeded``         boolean   whether those are enough
``relation``          str|None  the verdict's relation; None: undecided
``status``            str|None  the verdict's status
``axes``              str       negated axes, ``0,1``
``agreement``         float64   share of the resamples that agree on the relation
``l2``                float64   mean L2 distance of paired embeddings
``l2_relative``       float64   the same over the base's spread
``flip``              float64   the flip metric
``r2_<rung>``         float64   held-out R² of each rung of the ladder (``r2_identity``, …)
``r2_shifted_<rung>`` float64   the same with an offset (``identity``, ``signs``, ``permutation``)
``cka``               float64   CKA without its bias of paired embeddings, blind to flips and turns
``variance_ratio``    float64   the transfer's variance over the base's
``loss_total``        float64   on its own task, every state and action alike: the weighted sum
``loss_<term>``       float64   each term of it
``gradient_norm``     float64   the total's gradient in the trained parameters, norm
``mended_loss``       float64   the total after the best orthogonal map was folded into the encoder
                                (missing where the encoder's last layer is not known to be linear)
``mended_escape``     float64   escape height on the straight line to that mended copy
``score``             float64   mean return on its own task, of systems that act (missing for others)
``code``              str|None  the code that measured it (:mod:`diag.studies.code`); None: before it said so
====================  ========  ==================================================================

``curves`` is long: ``variant, phase, plan, base_seed, seed, update, term, loss`` (training losses, averaged
over the updates since the point before).
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from diag.studies import StudyError
from probes import RUNGS, SHIFTED
from trainers.checkpoint import write_atomically

KEY = ("variant", "phase", "plan", "base_seed", "seed", "step")
"""Columns that tell rows of ``results`` apart."""

TRAINING = KEY[:-1]
"""Columns that tell trainings apart."""

CELL = ("variant", "plan", "base_seed")
"""Columns that tell the cells of the final table apart: transfers of one base under one plan."""

CURVE_KEY = (*TRAINING, "update", "term")
"""Columns that tell rows of ``curves`` apart."""

COLUMNS = (
    *KEY,
    *("updates", "final", "path", "sha256", "finite"),
    *("states", "success_states", "own_states", "succeeded", "relation", "status", "axes", "agreement"),
    *("l2", "l2_relative", "flip", "cka"),
    *(f"r2_{rung}" for rung in RUNGS),
    *(f"r2_shifted_{rung}" for rung in SHIFTED),
    *("variance_ratio", "loss_total", "gradient_norm", "mended_loss", "mended_escape", "score", "code"),
)
"""The columns of ``results``, but for the loss terms, which follow."""

_TYPES: dict[str, Any] = {
    **dict.fromkeys(
        ("variant", "phase", "plan", "path", "sha256", "relation", "status", "axes", "code"), "object"
    ),
    **dict.fromkeys(("base_seed", "seed", "step", "updates"), "int64"),
    **dict.fromkeys(("final", "finite"), "bool"),
    "succeeded": "boolean",
}


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of ``results`` as a frame of the documented types, missing columns filled."""
    table = pd.DataFrame(list(rows))
    terms = sorted(str(column) for column in table if column not in COLUMNS)
    table = table.reindex(columns=[*COLUMNS, *terms])
    return table.astype({str(column): _TYPES.get(str(column), "float64") for column in table})


def write_part(folder: Path, name: str, table: pd.DataFrame) -> None:
    """One part file, whole or not at all; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    write_atomically(folder / f"{name}.parquet", content.getvalue())


def read_parts(folder: Path, key: Sequence[str]) -> pd.DataFrame:
    """All part files of a folder, the later part's row where a key stands in two; raises StudyError."""
    parts = sorted(folder.glob("*.parquet"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    tables = [table for part in parts if len(table := read_part(part, key))]
    if not tables:
        return pd.DataFrame(columns=list(key))
    return pd.concat(tables, ignore_index=True).drop_duplicates(list(key), keep="last", ignore_index=True)


def read_part(part: Path, key: Sequence[str]) -> pd.DataFrame:
    """One part file; raises :class:`StudyError` where it is none."""
    try:
        table = pd.read_parquet(part)
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise StudyError(f"{part}: found no Parquet file of a study ({words}); delete it") from None
    missing = [column for column in key if column not in table]
    if missing:
        raise StudyError(f"{part}: found no column {missing[0]!r}, expected a part of a study; delete it")
    return table


def leave_only(folder: Path, key: Sequence[str], trainings: Collection[tuple[Any, ...]]) -> None:
    """Take out of the parts of a folder the rows of all other trainings."""
    for part in sorted(folder.glob("*.parquet")):
        table = read_part(part, key)
        kept = [row in trainings for row in table[list(TRAINING)].itertuples(index=False, name=None)]
        if not any(kept):
            part.unlink()
        elif not all(kept):
            write_part(folder, part.stem, table[kept])
