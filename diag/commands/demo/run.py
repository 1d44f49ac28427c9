"""The demo: a page from shipped checkpoints at once, then transfers trained on this machine, within a time.

Everything is written as it is made, so that a second run of the same command goes on where the first was
stopped. What does not fit into the time is left out, and the page says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, inf
from pathlib import Path
from time import monotonic

import pandas as pd

from diag.commands.demo.measured import Shown, best_first, exact_mirror, mean_losses, shown
from diag.commands.demo.page import Shipped, Trained, headline, page, table
from diag.commands.demo.shipped import NAMES, shipped
from diag.commands.progress import in_percent
from diag.landscapes.landscape import landscape
from diag.outputs.layout import Column, filled
from diag.outputs.layout import table as layout_table
from diag.sources import open_subject
from diag.studies.outlook import seconds_an_update
from diag.subject import Subject
from diag.wording import about
from trainers.checkpoint import read, write_atomically
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import Settings
from trainers.settings import preset as read_preset

TRANSFER_SEEDS = tuple(range(6))
"""Seeds of the transfers at each learning rate."""

RATES = {
    "low": ("transfer.learning_rate=3e-4", "transfer.decay=0.85"),
    "high": ("transfer.learning_rate=5e-4", "transfer.decay=0.82"),
}
"""First learning rates of the transfers, and how they fall every 1,000 updates, to about 1e-5 both. Most
stay mirrored at the low one and most land at the high one, so that every processor shows both."""

RATE = "transfer.learning_rate"
"""The setting that, where a person gives it, takes the place of both rates."""

FINISH = 20.0
"""Seconds kept for comparing the transfers and drawing the page, once they are trained."""

SLACK = 1.15
"""Factor on a forecast from a second of training: two processes at work slow each other down a little."""

Say = Callable[[str], None]
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Demo:
    """One run of the demo: where it writes, what it trains, and how it speaks."""

    out: Path
    settings: Settings
    assignments: Sequence[str]
    """The settings that a person changed, which are in ``settings`` already."""
    bases: tuple[int, ...]
    """Seeds of bases that are trained from scratch after the shipped one's transfers."""
    minutes: float
    """The time that the transfers of the shipped base keep to."""
    jobs: int
    overwrite: bool
    say: Say
    progress: Progress
    began: float = field(default_factory=monotonic)
    left_out: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """The page."""
        return self.out / "index.html"

    @property
    def left(self) -> float:
        """Seconds that are left of the time."""
        return 60 * self.minutes - (monotonic() - self.began)

    def run(self) -> Path:
        """Make the pages, and return their path; raises what its parts raise."""
        first = self.shipped
        self._write(first, [])
        self.say(_first_words(first))
        self.say(f"Look at {self.place}: it was there after {monotonic() - self.began:.0f} s.\n")
        trained: list[Trained] = []
        if self.minutes > 0:
            base = self.out / "shipped" / "base.safetensors"
            trained += self._transfers(base, "the shipped base", self.out / "transfers", self.left)
            self._write(first, trained)
        for seed in self.bases:
            self._base(seed)
            path = self.out / "base" / f"seed{seed}.safetensors"
            trained += self._transfers(path, f"base {seed}", self.out / f"transfers-of-base{seed}", inf)
            self._write(first, trained)
        self.say(self._last_words(trained))
        return self.place

    @cached_property
    def shipped(self) -> Shipped:
        """The shipped checkpoints, copied beside the page and diagnosed."""
        folder = self.out / "shipped"
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name}.safetensors" for name in NAMES}
        for name, path in paths.items():
            shutil.copyfile(shipped(name), path)
        base = open_subject(paths["base"])
        with self.progress("the checkpoints that come with transfer-diag", 100) as advance:
            step = in_percent(advance)
            wall = landscape(paths["mirrored"], paths["matched"], base=base, quick=True, progress=step)
        transfers = [
            shown("matched.safetensors", base, paths["matched"]),
            shown("mirrored.safetensors", base, paths["mirrored"]),
        ]
        return Shipped(mean_losses(base), transfers, exact_mirror(base), wall)

    def _write(self, first: Shipped, trained: Sequence[Trained]) -> None:
        write_atomically(self.place, page(first, trained, self.left_out).encode())

    def _base(self, seed: int) -> None:
        run = Run(self.settings, (seed,), str(self.out / "base"))
        self._train(run, f"base {seed}", inf)

    def _transfers(self, base: Path, name: str, folder: Path, seconds: float) -> list[Trained]:
        """Train and measure transfers of a base at every rate; nothing where none could be finished.

        ``seconds`` are shared evenly among the rates.
        """
        began, shown_ones = monotonic(), list[Shown]()
        subject = open_subject(base)
        for number, (rate, settings) in enumerate(self.rates.items(), 1):
            end = began + seconds * number / len(self.rates) - FINISH
            run = Run(settings, TRANSFER_SEEDS, str(folder / rate), named_plan("freeze-dynamics"), str(base))
            words = f"transfers of {name}{f', {rate} rate' if rate else ''}"
            shown_ones += self._at_one_rate(run, words, rate, subject, end)
        if not shown_ones:
            return []
        result = Trained(name, mean_losses(subject), shown_ones, tuple(self.rates.values()))
        rows = table([*best_first(shown_ones), self.shipped.mirror], result.base_loss)
        self.say(f"\n{_rows_in_words(rows)}")
        return [result]

    @property
    def rates(self) -> dict[str, Settings]:
        """The settings of each group of transfers, by the name of its rate; of one group without a name."""
        if any(one.partition("=")[0].strip() == RATE for one in self.assignments):
            return {"": self.settings}
        return {name: self.settings.with_overrides(changed) for name, changed in RATES.items()}

    def _at_one_rate(self, run: Run, words: str, rate: str, base: Subject, end: float) -> list[Shown]:
        """Train as many transfers as can be until ``end``, and measure those that are done."""
        seeds, whole = self._fitting(run, words, end)
        if len(seeds) < len(run.seeds):
            minutes = ceil((len(self.rates) * (whole + FINISH) + FINISH) / 60)
            self._leave_out(
                f"{len(run.seeds) - len(seeds)} of {len(run.seeds)} {words} are not trained: all of them "
                f"would take {about(whole)} on this machine as busy as it is, and the demo keeps to "
                f"{self.minutes:g} minutes. `diag demo --minutes {minutes}` trains them too."
            )
        if not seeds:
            return []
        run = replace(run, seeds=seeds)
        self._train(run, f"{len(seeds)} {words}", end)
        done = [s for s in seeds if read(run.path(s)).header.step == run.phase.updates]
        if len(done) < len(seeds):
            self._leave_out(
                f"{len(seeds) - len(done)} of {len(seeds)} {words} were stopped when their time was up, "
                "with some updates to go; the same command goes on with them."
            )
        return [shown(f"{rate} rate {s}" if rate else f"transfer {s}", base, run.path(s)) for s in done]

    def _fitting(self, run: Run, words: str, end: float) -> tuple[tuple[int, ...], float]:
        """The seeds that can be trained until ``end``, and the seconds that all of them would take."""
        members = prepare(run, resume=not self.overwrite, overwrite=self.overwrite)
        if not members:
            return run.seeds, 0.0
        updates = max(run.phase.updates - m.step for m in members)
        each = ceil(len(members) / self.jobs)
        seconds = whole = SLACK * updates * seconds_an_update(run, each)
        self.say(f"Training {len(members)} {words} on this machine: {about(seconds)}.")
        while each > 0 and seconds > end - monotonic():
            each -= 1
            seconds = SLACK * updates * seconds_an_update(run, each) if each else inf
        finished = set(run.seeds) - {m.seed for m in members}
        fitting = {m.seed for m in members[: each * self.jobs]}
        return tuple(s for s in run.seeds if s in finished | fitting), whole

    def _train(self, run: Run, what: str, end: float) -> None:
        """Train a run's seeds, until ``end`` at most; raises KeyboardInterrupt where a person stops it."""
        with run.alone():
            members = prepare(run, resume=not self.overwrite, overwrite=self.overwrite)
            if not members:
                return
            with self.progress(what, sum(run.phase.updates - m.step for m in members)) as advance:

                def late() -> bool:
                    return monotonic() > end

                if not execute(run, members, self.jobs, advance, late) and not late():
                    raise KeyboardInterrupt

    def _leave_out(self, sentence: str) -> None:
        self.left_out.append(sentence)
        self.say(filled(sentence, "", ""))

    def _last_words(self, trained: Sequence[Trained]) -> str:
        lines = ["", *(filled(headline(t), "", "") for t in trained), f"Look at {self.place}"]
        if trained:
            ends = best_first(trained[0].transfers)
            first, last = ends[0].comparison, ends[-1].comparison
            lines += [
                "Look closer:",
                f"  diag compare-embeddings {last.base.path} {last.transfer.path}",
                f"  diag landscape {last.transfer.path} {first.transfer.path}",
            ]
            if ends[-1].outcome == "mirrored":
                lines.append(
                    f"  diag repair {last.base.path} {last.transfer.path} -o {self.out}/mended.safetensors"
                )
        if not self.bases:
            lines.append(
                "  diag demo --bases 0     trains a base from scratch too, and twelve transfers of it"
            )
        return "\n".join([*lines, f"{monotonic() - self.began:.0f} s in all."])


def run_demo(
    out: Path,
    *,
    preset: str,
    assignments: Sequence[str],
    bases: Sequence[int],
    minutes: float,
    jobs: int,
    overwrite: bool,
    say: Say,
    progress: Progress,
) -> Path:
    """Run the demo into the folder ``out`` and return the page's path; raises what its parts raise."""
    settings = read_preset(preset).with_overrides(assignments)
    return Demo(
        out, settings, tuple(assignments), tuple(bases), minutes, jobs, overwrite, say, progress
    ).run()


COLUMNS = ("transfer", "ended", "in place", "loss", "CKA", "R²", "R² mirrored")
"""The columns of the page's table that a terminal has room for."""


def _first_words(first: Shipped) -> str:
    landed, mirrored = best_first(first.transfers)
    lead = (
        f"Two transfers of one base, both with small losses ({landed.loss:.3f} and {mirrored.loss:.3f}): one "
        "landed, one is mirrored. The last row but one shows that CKA is 1.00 for a mirror image."
    )
    rows = table([*best_first(first.transfers), first.mirror], first.base_loss)
    return f"{filled(lead, '', '')}\n\n{_rows_in_words(rows)}\n"


def _rows_in_words(rows: pd.DataFrame) -> str:
    """A table for a terminal: names on the left, numbers on the right."""
    cells = [[str(value) for value in rows[name]] for name in COLUMNS]
    columns = [
        Column(name, max(len(name), *map(len, column)) + 2, "<" if place < 2 else ">")
        for place, (name, column) in enumerate(zip(COLUMNS, cells, strict=True))
    ]
    return "\n".join(layout_table(columns, list(zip(*cells, strict=True))))
