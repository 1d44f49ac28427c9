"""Repairing a transfer's checkpoint: from the map that leads back to the file that is written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diag.comparisons.compare import compare
from diag.repairs.asked import (
    Asked,
    Progress,
    RepairError,
    asks_to_train,
    known_rows,
    r2_as_it_is,
    updates_of,
)
from diag.repairs.fits import Few, Fit, few_pairs, fits
from diag.repairs.planes import on_planes
from diag.repairs.result import Repair, Stage, StageName, Training
from diag.repairs.returns import Played, played
from diag.repairs.search import Search, search
from diag.repairs.system import Case, case_of, relayered
from diag.repairs.training import Known, clear, train_as_before, train_paired, written_header
from diag.repairs.verdict import left_alone, of_mirrored_grid, verdict_of, writes
from diag.result import FileRef, Verdict
from diag.subject import Subject, SubjectError
from diag.units.last_layer import folded
from probes import UNTURNED
from trainers import checkpoint as files
from trainers.run import check_device

WORK = ".training"
"""Suffix to the name of MENDED for the folder of a training that is not finished."""


def repaired(base: Subject, transfer: Subject, asked: Asked, report: Progress) -> Repair:
    """The repair of a checkpoint; raises SubjectError, CheckpointError, RunError or RepairError."""
    check_device(asked.device)
    case = case_of(base, transfer)
    budget = case.objective.budget
    updates = updates_of(asked.train, budget)
    if not updates and asks_to_train(asked.train):
        raise RepairError(f"--train {asked.train}: found less than one of {budget:,} updates, expected more")
    if asked.mode == "task" and (not updates or asked.unpaired):
        raise RepairError("found --mode task, expected --train N or 5% with it, and no --unpaired")
    work = _Work(case, base, transfer, asked, updates, report)
    before = work.stage("before", case.transfer, 0)
    compared = before.comparison
    idle = compared.frozen == () or (before.relation == "matched" and not asked.force)
    if case.of_planes and compared.grid != UNTURNED and not idle:
        idle, verdict = True, of_mirrored_grid(before)
    elif idle:
        verdict = left_alone(before)
    else:
        work.mend()
        verdict = verdict_of(before, work.stages[-1], work.chosen, work.search, work.training, asked.force)
    work.played = played(base, transfer, work.seen, asked.seed)
    written = None
    if asked.out is not None and not idle and writes(verdict, asked.force):
        work.write(asked.out, verdict)
        written = str(asked.out)
    if work.folder is not None:
        clear(work.folder, case.data_seed)
    embeds_by_map = work.chosen is not None and work.chosen.method == "map" and work.training is None
    return Repair(
        base=FileRef.of(base),
        transfer=FileRef.of(transfer),
        verdict=verdict,
        written=written,
        fits=work.fits,
        chosen=work.chosen,
        pairs=0 if work.chosen is None else len(work.known),
        of_pairs=len(work.y),
        few=work.few,
        search=work.search,
        training=work.training,
        stages=tuple(work.stages),
        seed=asked.seed,
        warnings=compared.warnings,
        parameters=work.parameters,
        embedding=case.judged_embedding(work.parameters),
        map=None
        if not embeds_by_map or work.chosen is None
        else on_planes(work.chosen.map)
        if case.of_planes
        else work.chosen.map,
        played=work.played,
    )


@dataclass
class _Work:
    """The state of a repair while it is made."""

    case: Case
    base: Subject
    transfer: Subject
    asked: Asked
    updates: int
    report: Progress
    stages: list[Stage] = field(default_factory=list)
    fits: tuple[Fit, ...] = ()
    chosen: Fit | None = None
    few: Few | None = None
    search: Search | None = None
    training: Training | None = None
    done: int = 0
    seen: list[tuple[str, Mapping[str, Tensor]]] = field(default_factory=list)
    """The stages' names and parameters."""
    played: Played | None = None

    def __post_init__(self) -> None:
        self.parameters: Mapping[str, Tensor] = self.case.transfer
        self.y = self.case.embedding(self.case.base, "source")
        self.known = known_rows(len(self.y), self.asked.pairs, self.asked.seed)
        out = self.asked.out
        self.folder = None if out is None or not self.updates else out.with_name(out.name + WORK)
        if self.folder is not None and self.asked.overwrite:
            clear(self.folder, self.case.data_seed)

    def mend(self) -> None:
        """Fold a map in, train on, and keep every stage."""
        mode = self.asked.mode
        if self.asked.unpaired is not None:
            self.search, self.parameters = search(
                self.case, self.asked.unpaired, self.updates, self.asked.seed, self.advance
            )
            mode = "task"
            every, own = self.search.updates, self.search.candidates[0].updates
        else:
            self._fold()
            if self.updates:
                self._train(self.updates)
            every = own = self.updates
        if every:
            budget = self.case.objective.budget
            self.training = Training(mode, every, budget, own)
            self.stage("trained", self.parameters, own)

    def _fold(self) -> None:
        hidden = self.case.hidden(self.case.transfer)
        hidden = None if hidden is None else hidden[self.known]
        x, y = self.case.embedding(self.case.transfer)[self.known], self.y[self.known]
        method, seed = self.asked.method, self.asked.seed
        self.fits = fits(x, hidden, y, method=method, seed=seed)
        if not self.fits:
            raise SubjectError(self.case.path, f"{len(y)} pairs", "more of them, for a map")
        self.chosen = self.fits[0]
        self.few = few_pairs(self.chosen, x, hidden, y, method=method, seed=seed)
        fold = folded if self.chosen.method == "map" else relayered
        self.parameters = fold(self.case.transfer, self.case.last, self.chosen.map)
        self.stage("folded", self.parameters, 0)

    def _train(self, updates: int) -> None:
        asked, start = self.asked, dict(self.parameters)
        if self.folder is not None:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise RepairError(f"{self.folder}: cannot write there ({error.strerror or error})") from None
        if asked.mode == "paired":
            pairs = np.zeros(len(self.y), bool)
            pairs[self.known] = True
            self.parameters = train_paired(
                self.case,
                start,
                Known(self.y.reshape(len(self.y), -1), pairs),
                updates,
                seed=asked.seed,
                device=asked.device,
                folder=self.folder,
                progress=self.advance,
            )
            return
        header = files.read(self.transfer.path).header
        with tempfile.TemporaryDirectory() as temporary:
            self.parameters = train_as_before(
                header,
                start,
                updates,
                device=asked.device,
                folder=self.folder or Path(temporary),
                progress=self.advance,
            )

    def advance(self, more: int) -> None:
        self.done += more
        self.report(min(self.done, self.updates), max(1, self.updates))

    def stage(self, name: StageName, parameters: Mapping[str, Tensor], updates: int) -> Stage:
        """Measure the embedding of these parameters, and append it to the stages."""
        identity = files.identity_of(parameters)
        now = self.transfer
        if name != "before":
            label = f"{self.transfer.label}, mended"
            path = str(self.asked.out or f"{self.transfer.path} (mended)")
            now = replace(
                now, parameters=parameters, identity=identity, sha256=identity, path=path, label=label
            )
        compared = compare(self.base, now, seed=self.asked.seed)
        x: NDArray[np.float64] = self.case.judged_embedding(parameters)
        y = self.case.judged_embedding(self.case.base, "source")
        losses = self.case.losses(parameters, "target")
        self.stages.append(Stage(name, compared, r2_as_it_is(x, y), losses, updates))
        self.seen.append((name, parameters))
        return self.stages[-1]

    def write(self, out: Path, verdict: Verdict) -> None:
        """The mended checkpoint: it still says which base and plan it is of, and that it was repaired."""
        header = files.read(self.transfer.path).header
        after = self.stages[-1]
        entry: dict[str, object] = {
            "transfer": {"path": self.transfer.path, "identity": self.transfer.identity},
            "status": verdict.status,
            "map": None if self.chosen is None else self.chosen.name,
            "pairs": 0 if self.chosen is None else len(self.known),
            "unpaired": self.asked.unpaired,
            "updates": 0 if self.training is None else self.training.own,
            "mode": None if self.training is None else self.training.mode,
            "seed": self.asked.seed,
            "own_states": after.own_states,
            "losses": dict(after.losses),
            "returns": None if self.played is None else self.played.to_tree(),
        }
        files.save(out, written_header(header, entry), self.parameters)
