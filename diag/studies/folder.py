"""A study's folder: which study it holds, what is done in it, and who is at work there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from diag.studies import StudyError
from diag.studies.study import Study, Variant
from diag.studies.table import CURVE_KEY, KEY, TRAINING, leave_only, read_parts
from trainers import checkpoint as files
from trainers import lock as locks
from trainers.plan import PlanError
from trainers.settings import SettingsError

FORMAT = 1

STUDY, SESSIONS = "study.json", "sessions.json"


def base_path(variant: Variant, seed: int) -> str:
    """A base's checkpoint, relative to the study's folder."""
    return f"{variant.name}/base/seed{seed}.safetensors"


@dataclass(frozen=True)
class Folder:
    """The folder of a study: its definition, tables, checkpoints and sessions."""

    root: Path

    def study(self) -> Study:
        """The study that it holds; raises :class:`StudyError`."""
        path = self.root / STUDY
        try:
            tree = json.loads(path.read_text("utf-8"))
            if tree["format"] != FORMAT:
                raise StudyError(f"{path}: found format {tree['format']!r}, expected {FORMAT}")
            return Study.from_tree(tree["study"])
        except FileNotFoundError:
            raise StudyError(f"{self.root}: found no {STUDY}, expected a folder of diag study run") from None
        except OSError as error:
            raise StudyError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        except StudyError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, SettingsError, PlanError) as error:
            words = " ".join(str(error).split())
            raise StudyError(f"{path}: found no study of this version ({words})") from None

    def claim(self, study: Study) -> Study:
        """Make it the study's folder, or check that it is; what is kept is the union of all that was run.

        Seeds, plans and variants may be added later, since no cell depends on another; what is the same
        must stay the same.
        """
        whole = self.joined(study)
        if not (self.root / STUDY).exists() or whole != self.study():
            self._keep(whole)
        return whole

    def joined(self, study: Study) -> Study:
        """The study that :meth:`claim` would keep, without writing it; raises as that does."""
        if not (self.root / STUDY).exists():
            # Hidden files are the lock, what a kill left of a first study.json, or a file manager's.
            if self.root.is_dir() and any(not p.name.startswith(".") for p in self.root.iterdir()):
                found = "other files and no study.json"
                raise StudyError(f"{self.root}: found {found}, expected an empty folder or a study's own")
            return study
        before = self.study()
        for key in ("name", "keep"):
            old, new = before.to_tree()[key], study.to_tree()[key]
            if old != new:
                raise StudyError(f"{self.root}: found a study of {key} {_short(old)}, expected {_short(new)}")
        return _merged(self.root, before, study)

    def _keep(self, study: Study) -> None:
        content = json.dumps({"format": FORMAT, "study": study.to_tree()}, indent=1)
        files.write_atomically(self.root / STUDY, content.encode())

    def results(self) -> pd.DataFrame:
        """Every row of ``results``; raises :class:`StudyError`."""
        return read_parts(self.root / "results", KEY)

    def curves(self) -> pd.DataFrame:
        """Every row of ``curves``; raises :class:`StudyError`."""
        return read_parts(self.root / "curves", CURVE_KEY)

    def done(self) -> set[tuple[str, str, str, int, int]]:
        """Trainings that are done, measured and untouched since: (variant, phase, plan, base seed, seed).

        A training whose last checkpoint is gone is done again. One that was changed, at any step, or whose
        base has other weights than the transfer began with raises :class:`StudyError`.
        """
        results = self.results()
        if results.empty:
            return set()
        trainings, origin_of = set(), self._origins()
        # Bases first, as a changed one would be blamed on its transfers; of each phase the last steps first.
        for row in results.sort_values(["phase", "final"], ascending=[True, False]).to_dict("records"):
            which = (row["variant"], row["phase"], row["plan"], row["base_seed"], row["seed"])
            if not row["final"] and which not in trainings:
                continue
            path = self.root / row["path"]
            if row["path"] and path.exists() and files.file_sha256(path) != row["sha256"]:
                remedy = "to have it trained again" if row["final"] else "to go on without it"
                raise StudyError(
                    f"{path}: found a checkpoint that was changed since its study trained it, expected "
                    f"SHA-256 {row['sha256'][:12]}…; delete it {remedy}"
                )
            if not row["final"] or (row["path"] and not path.exists()):
                continue
            if row["phase"] == "transfer":
                base = origin_of(row)
                if not row["path"] and (base is None or base.header.metrics.get("finite", True)):
                    continue  # given up, since its base had diverged, which that one has not
                if row["path"] and base is not None:
                    _check_origin(path, base)
            trainings.add(which)
        return trainings

    def _origins(self) -> Callable[[Mapping[Any, Any]], files.Checkpoint | None]:
        """A function from a transfer's row to its base as it is now, None where that is gone."""
        study = self.study()
        homes = {v.name: study.base_of(v) for v in study.variants}

        @cache
        def read(path: Path) -> files.Checkpoint | None:
            return files.read(path, finite=False) if path.exists() else None

        return lambda row: read(self.root / base_path(homes[row["variant"]], row["base_seed"]))

    def forget(self, done: Collection[tuple[Any, ...]]) -> None:
        """Take out the rows of what is to be done again, so that no later command takes them for its own."""
        if len(self.results()[list(TRAINING)].drop_duplicates()) > len(done):
            leave_only(self.root / "results", KEY, done)
            leave_only(self.root / "curves", CURVE_KEY, done)

    def sessions(self) -> list[dict[str, Any]]:
        """The commands that ran here and ended by themselves, an entry each."""
        try:
            entries = json.loads((self.root / SESSIONS).read_text("utf-8"))
        except (OSError, ValueError):
            return []
        kept = entries if isinstance(entries, list) else []
        return [session for session in kept if isinstance(session, dict)]

    def add_session(self, session: Mapping[str, Any]) -> None:
        content = json.dumps([*self.sessions(), session], indent=1)
        files.write_atomically(self.root / SESSIONS, content.encode())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other commands from running a study here meanwhile; raises :class:`StudyError`."""
        if self.root.exists() and not self.root.is_dir():
            raise StudyError(f"{self.root}: found a file, expected a folder, or none yet")
        with ExitStack() as held:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                held.enter_context(locks.alone([self.root / locks.NAME]))
            except locks.HeldError as error:
                holder = f" ({error.holder})" if error.holder else ""
                raise StudyError(f"{self.root}: another command is running a study there{holder}") from None
            except locks.NoLocksError as error:
                raise StudyError(f"studies run where files can be locked: {error}") from None
            except OSError as error:
                raise StudyError(f"{self.root}: cannot write there ({error.strerror or error})") from None
            yield


def _merged(root: Path, before: Study, study: Study) -> Study:
    variants = {v.name: v for v in before.variants}
    for variant in study.variants:
        old = variants.get(variant.name)
        if old is None:
            variants[variant.name] = variant
            continue
        _same(root, f"variant {variant.name!r}", old.to_tree()["settings"], variant.to_tree()["settings"])
        plans = {p.name: p for p in old.plans}
        for plan in variant.plans:
            if plan.name in plans:
                _same(root, f"plan {plan.name!r}", plans[plan.name].to_tree(), plan.to_tree())
            plans.setdefault(plan.name, plan)
        variants[variant.name] = type(variant)(
            variant.name,
            variant.settings,
            tuple(sorted({*old.bases, *variant.bases})),
            tuple(sorted({*old.transfers, *variant.transfers})),
            tuple(plans.values()),
        )
    return Study(before.name, study.about, before.keep, tuple(variants.values()))


def _check_origin(path: Path, base: files.Checkpoint) -> None:
    began = files.read(path, finite=False).header.base
    if began is None or began["identity"] != base.identity:
        raise StudyError(
            f"{path}: found a transfer of another base than {base.path} is now; delete it and its "
            f"{files.RESUME_SUFFIX} file to have it trained again"
        )


def _same(root: Path, what: str, old: Any, new: Any, place: str = "") -> None:
    """Raise StudyError at the first place where two trees differ; saving and logging may."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            if key not in ("save_every", "preset"):
                _same(root, what, old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif old != new:
        here = f"{what} with {place} = {_short(old)}"
        raise StudyError(f"{root}: found another study, {here}; expected {_short(new)} (take another --out)")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
