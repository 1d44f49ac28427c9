"""A study's curves and measures as TensorBoard events."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from diag.studies import StudyError
from diag.studies.folder import Folder
from trainers.checkpoint import write_atomically

MEASURES = ("own_states", "l2", "r2_identity", "r2_orthogonal", "loss_total")
"""Columns of ``results`` that are written for each kept checkpoint."""


def write_events(folder: Path, out: Path) -> int:
    """One run of events for each training of a study, in ``out``; says how many. Raises StudyError.

    What stands there of an earlier call is replaced.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise StudyError("--events needs TensorBoard: pip install 'transfer-diag[tensorboard]'") from None
    kept = Folder(folder)
    kept.study()
    curves, results = kept.curves(), kept.results()
    of = ["variant", "phase", "plan", "base_seed", "seed"]
    rows = dict(list(results.groupby(of, dropna=False)))
    groups = list(curves.groupby(of, dropna=False))
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Written by a library as it goes: marked, so that what is replaced is only ever its own.
        write_atomically(out / ".transfer-diag", b"events of diag study report\n")
    except OSError as error:
        raise StudyError(f"{out}: cannot write there ({error.strerror or error})") from None
    for key, curve in groups:
        variant, phase, plan, base, seed = key
        name = f"base{base}" if phase == "base" else f"{plan}/base{base}/seed{seed}"
        home = out / str(variant) / name
        for old in home.glob("events.out.tfevents.*"):
            old.unlink()
        with SummaryWriter(str(home)) as writer:
            for point in curve.dropna(subset="loss").itertuples():
                writer.add_scalar(f"loss/{point.term}", point.loss, point.update)
            for row in rows.get(key, pd.DataFrame()).to_dict("records"):
                for measure in MEASURES:
                    if pd.notna(row[measure]):
                        writer.add_scalar(f"measure/{measure}", row[measure], row["step"])
    return len(groups)
