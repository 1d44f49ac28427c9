"""Repairing embeddings without an encoder: a map, and the mended rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diag.comparisons.compare import compare
from diag.comparisons.pairing import Pair, matrix, pair_of
from diag.comparisons.result import Comparison
from diag.repairs.asked import Asked, RepairError, known_rows, r2_as_it_is
from diag.repairs.fits import Few, Fit, few_pairs, fits, ranked
from diag.repairs.planes import as_planes, on_planes
from diag.repairs.result import Repair, Stage
from diag.repairs.verdict import left_alone, verdict_of, writes
from diag.result import FileRef
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError
from probes import UNTURNED, Floats, Map

MOST_FITTED = 20_000
"""Most rows that maps are fitted to: more would tell no more."""


def repaired(base: Subject, transfer: Subject, asked: Asked, supplied: Supplied = NOTHING) -> Repair:
    """The repair of ready embeddings (n, d), or of planes; raises SubjectError or RepairError.

    Of planes, maps of channels that are the same at every place are tried before maps of all numbers.
    """
    out, seed = asked.out, asked.seed
    if out is not None and out.suffix != ".npy":
        raise RepairError(f"{out}: expected a name ending in .npy for mended embeddings")
    pair = pair_of(base, transfer, None, False, False, supplied)
    x, y = matrix(pair.transfer), matrix(pair.base)
    compared = compare(base, transfer, seed=seed, supplied=supplied)
    stages = [Stage("before", compared, r2_as_it_is(x, y), {})]
    known = known_rows(len(x), min(asked.pairs or len(x), MOST_FITTED), seed)
    tried: tuple[Fit, ...] = ()
    chosen, few, moved, one, written, verdict = None, None, x, None, None, left_alone(stages[0])
    if compared.relation != "matched" or asked.force:
        kinds = list(_kinds(pair, compared))
        every = [(kind, kind.fits(known, seed)) for kind in kinds]
        tried = ranked([one for _, found in every for one in found])
        if not tried:
            raise SubjectError(transfer.path, f"{len(known)} pairs", "more of them, for a map")
        chosen = tried[0]
        kind = next(kind for kind, found in every if chosen in found)
        few, one = kind.few(chosen, known, seed), kind.whole(chosen.map)
        moved = one(x)
        # All columns are meant: the files' own were looked at above, or named by a person.
        named = Supplied(columns=("*",), channels=supplied.channels)
        folded = compare(*(v.reshape(pair.base.shape) for v in (y, moved)), seed=seed, supplied=named)
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
        map=one,
    )


@dataclass(frozen=True)
class _Kind:
    """Maps of all numbers, or maps of channels that are the same at every place."""

    suffix: str
    """What follows the name of a map."""
    x: Floats
    y: Floats
    """(n, d), or planes (n, channels, height, width)."""
    whole: Callable[[Map], Callable[[Floats], Floats]]
    """A map of this kind as one of rows (n, d)."""

    def fits(self, known: NDArray[np.int64], seed: int) -> tuple[Fit, ...]:
        """All fits to the known pairs, by their full names."""
        found = fits(self.x[known], None, self.y[known], seed=seed)
        return tuple(replace(fit, name=fit.name + self.suffix) for fit in found)

    def few(self, chosen: Fit, known: NDArray[np.int64], seed: int) -> Few | None:
        """The fewest pairs that would do for the chosen fit."""
        plain = replace(chosen, name=chosen.name.removesuffix(self.suffix))
        return few_pairs(plain, self.x[known], None, self.y[known], seed=seed)


def _kinds(pair: Pair, compared: Comparison) -> Iterator[_Kind]:
    """Maps of channels, the smaller ones, where a grid is not mirrored; and maps of all numbers."""
    found = compared.by_channel
    if found is not None and compared.grid == UNTURNED:
        shape, layout = pair.transfer.shape[1:], found.layout

        def whole(fit: Map) -> Callable[[Floats], Floats]:
            mapped = on_planes(fit, layout)
            return lambda rows: mapped(rows.reshape(-1, *shape)).reshape(len(rows), -1)

        x, y = (as_planes(v, layout) for v in (pair.transfer, pair.base))
        yield _Kind(" of channels", x, y, whole)
    yield _Kind("", matrix(pair.transfer), matrix(pair.base), lambda fit: fit)


def _save(out: Path, values: NDArray[np.float64]) -> None:
    from trainers.checkpoint import write_atomically

    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    write_atomically(out, content.getvalue())
