"""Repairing embeddings without an encoder: a map, and the mended rows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diag.comparisons.compare import compare
from diag.comparisons.pairing import matrix, pair_of
from diag.repairs.asked import Asked, RepairError, known_rows, r2_as_it_is
from diag.repairs.fits import Fit, few_pairs, fits
from diag.repairs.result import Repair, Stage
from diag.repairs.verdict import left_alone, verdict_of, writes
from diag.result import FileRef
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError

MOST_FITTED = 20_000
"""Most rows that maps are fitted to: more would tell no more."""


def repaired(base: Subject, transfer: Subject, asked: Asked) -> Repair:
    """The repair of ready embeddings (n, d), flattened; raises SubjectError or RepairError."""
    out, seed = asked.out, asked.seed
    if out is not None and out.suffix != ".npy":
        raise RepairError(f"{out}: expected a name ending in .npy for mended embeddings")
    pair = pair_of(base, transfer, None, False, False)
    x, y = matrix(pair.transfer), matrix(pair.base)
    compared = compare(base, transfer, seed=seed)
    stages = [Stage("before", compared, r2_as_it_is(x, y), {})]
    known = known_rows(len(x), min(asked.pairs or len(x), MOST_FITTED), seed)
    tried: tuple[Fit, ...] = ()
    chosen, few, moved, written, verdict = None, None, x, None, left_alone(stages[0])
    if compared.relation != "matched" or asked.force:
        tried = fits(x[known], None, y[known], seed=seed)
        if not tried:
            raise SubjectError(transfer.path, f"{len(known)} pairs", "more of them, for a map")
        chosen = tried[0]
        few, moved = few_pairs(chosen, x[known], None, y[known], seed=seed), chosen.map(x)
        # All columns are meant: the files' own were looked at above, or named by a person.
        folded = compare(y, moved, seed=seed, supplied=Supplied(columns=("*",)))
        stages.append(Stage("folded", folded, r2_as_it_is(moved, y), {}))
        verdict = verdict_of(stages[0], stages[-1], chosen, None, None, asked.force)
        if out is not None and writes(verdict, asked.force):
            _save(out, moved.reshape(len(moved), *pair.base.shape[1:]))
            written = str(out)
    return Repair(
        base=FileRef.of(base),
        transfer=FileRef.of(transfer),
        verdict=verdict,
        written=written,
        fits=tried,
        chosen=chosen,
        pairs=0 if chosen is None else len(known),
        of_pairs=len(x),
        few=few,
        search=None,
        training=None,
        stages=tuple(stages),
        seed=seed,
        warnings=compared.warnings,
        embedding=moved,
        map=None if chosen is None else chosen.map,
    )


def _save(out: Path, values: NDArray[np.float64]) -> None:
    from trainers.checkpoint import write_atomically

    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    write_atomically(out, content.getvalue())
