"""repair: lead a failed transfer back into its base's embedding space, and say whether it got there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from diag.comparisons.pairing import undroppable
from diag.repairs.asked import Asked, Progress, RepairError, asks_to_train
from diag.repairs.fits import FEWEST, Method
from diag.repairs.result import Mode, Repair
from diag.sources import Source, opened, same_file
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import SubjectError
from trainers.threads import one_thread

if TYPE_CHECKING:
    from diag.repairs.search import How


def repair(
    base: Source,
    transfer: Source,
    *,
    out: str | os.PathLike[str] | None = None,
    pairs: int | None = None,
    method: Method | None = None,
    unpaired: How | None = None,
    train: int | str = 0,
    mode: Mode = "paired",
    force: bool = False,
    overwrite: bool = False,
    supplied: Supplied = NOTHING,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Repair:
    """Mend the embedding of a transfer, and write the mended checkpoint to ``out`` (or nothing, if None).

    A map that leads the transfer's embedding to the base's is fitted to paired states (all, or ``pairs`` of
    them drawn at random), chosen by its R² on held-out pairs, and folded into the encoder's last linear
    layer; ``method`` keeps to maps of the embedding (``map``) or to that layer anew (``last-layer``).
    ``unpaired`` needs no pairs: signed permutations, or rotations by the gradient, are judged by the frozen
    models' losses after training on from each, and ``train`` says for how many updates between them.

    ``supplied`` is what files of arrays alone do not say, such as which column is a key.

    Nothing is trained unless ``train`` asks: it goes on for so many updates, or a share of the transfer's
    own such as ``"5%"``: in ``paired`` mode with the distances of pairs beside the losses, in ``task`` mode
    as the transfer was trained. After a stop, the same call continues. Nothing but the encoder moves.

    Checkpoints of diag transfer are mended whole; arrays of embeddings (n, d) by maps alone, and ``out`` is
    then a ``.npy`` of the mended rows. For torch modules see :mod:`diag.repairs.modules`.

    A transfer that is matched already is left as it is, unless ``force``. What does not get there (status
    ``fail`` or ``inconclusive``) is not written. Raises SubjectError, CheckpointError, ProbeError or
    RepairError for bad input; ``out`` is replaced only with ``overwrite``.
    """
    place = None if out is None else Path(os.fspath(out))
    left = opened(base, "base array", supplied, "source")
    right = opened(transfer, "transfer array", supplied, "target")
    for taken in (left.path, right.path):
        if place is not None and (same_file(taken, str(place)) or Path(taken) == place):
            raise RepairError(f"{place}: found an input of this repair, expected another file to write")
    if place is not None and not place.parent.is_dir():
        raise RepairError(f"{place}: found no folder {place.parent}, expected one to write to")
    if place is not None and place.exists() and not overwrite:
        raise RepairError(f"{place}: already there; --overwrite replaces it")
    if unpaired is not None and (pairs is not None or method is not None):
        raise RepairError("found pairs, or a method that needs them, and --unpaired; expected one of them")
    if pairs is not None and pairs < FEWEST:
        raise RepairError(f"--use {pairs}: expected at least {FEWEST}")
    asked = Asked(place, pairs, method, unpaired, train, mode, force, overwrite, seed, device)
    trains = asks_to_train(train)
    with one_thread(), undroppable():
        if left.embeddings is not None or right.embeddings is not None:
            if unpaired is not None or trains or method == "last-layer":
                raise SubjectError(right.path, "embeddings without an encoder", "a checkpoint to train on")
            from diag.repairs.arrays import repaired as of_arrays

            return of_arrays(left, right, asked, supplied)
        if unpaired is not None and not trains:
            raise RepairError(
                "found --unpaired without --train: maps are told apart by training on from each of them; "
                "expected --train 5% beside it"
            )
        from diag.repairs.checkpoints import repaired

        for handed in (supplied.pairs, supplied.source_env, supplied.target_env):
            if handed is not None:
                expected = "none: a checkpoint is mended on its own world's states (--use K takes some)"
                raise SubjectError(os.fspath(handed), "observations for a checkpoint's encoder", expected)
        return repaired(left, right, asked, progress or (lambda done, of: None))
