"""The finished transfers of studies as a forecast is fitted to them, and the report of one that is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from diag.forecasts import ForecastError
from diag.forecasts.base import base_features
from diag.forecasts.fit import FEWEST_BASES, Known
from diag.forecasts.judge import judge_of
from diag.forecasts.model import kind_of
from diag.forecasts.report import report_of
from diag.forecasts.result import ForecastReport, Outcome
from diag.sources import open_subject
from diag.studies.folder import Folder
from diag.studies.study import Study
from diag.studies.table import KEY
from diag.subject import Subject
from trainers.system import system_of
from trainers.threads import one_thread


def forecast_report(
    folders: Sequence[Path],
    outcome: Outcome = "matched",
    seed: int = 0,
    judge_seeds: Collection[int] = (),
    judge_on: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ForecastReport:
    """Fit a forecast to studies, and judge it on bases not fitted to; raises StudyError or ForecastError.

    As :func:`diag.forecasts.report.report_of` of what the folders know; with ``judge_on`` it is judged on
    these other studies.
    """
    with one_thread(), threadpool_limits(1):
        transfers = known(folders, outcome)
        if not judge_on:
            return report_of(transfers, judge_of(transfers, seed, judge_seeds), outcome, progress)
        both = known([*folders, *judge_on], outcome)
        return report_of(transfers, judge_of(both, seed, judge_seeds, judge_on), outcome, progress)


def known(folders: Sequence[Path], outcome: Outcome) -> Known:
    """Read the finished transfers with frozen models of some studies; raises StudyError, ForecastError.

    A transfer that diverged has not ended well. One whose base did, or that has no sound checkpoint on the
    way, is left out: there is nothing to forecast it from.
    """
    tables, names = [], []
    kinds: dict[str, None] = {}
    places: dict[str, Path] = {}
    for folder in dict.fromkeys(f.resolve() for f in folders):
        kept = Folder(folder)
        study, table = kept.study(), kept.results()
        transfers = _frozen(study, table)
        if transfers.empty:
            continue
        names.append(study.name)
        seen = set(transfers["variant"])
        kinds |= {
            kind_of(v.settings.world, v.settings.transfer.algorithm): None
            for v in study.variants
            if v.name in seen
        }
        owners = {v.name: study.base_of(v).name for v in study.variants}
        of = transfers["variant"].map(owners) + "/base" + transfers["base_seed"].astype(str)
        group = f"{folder.as_posix()}:" + of
        cell = transfers["variant"] + "/" + transfers["plan"] + "/" + transfers["seed"].astype(str)
        tables.append(transfers.assign(group=group, run=group + "/" + cell, folder=folder.as_posix()))
        owned = table[table["final"] & (table["phase"] == "base") & table["finite"]]
        for row in owned.to_dict("records"):
            places[f"{folder.as_posix()}:{row['variant']}/base{row['base_seed']}"] = folder / row["path"]
    if not tables:
        where = ", ".join(map(str, folders))
        raise ForecastError(f"{where}: found no transfer with frozen models, expected a study that has some")
    rows = pd.concat(tables).sort_values(list(KEY), kind="stable", ignore_index=True)
    bases = {group: _opened(places.get(group)) for group in dict.fromkeys(rows["group"])}
    rows["group"] = rows["group"].map(_same(bases))
    last = rows[rows["final"]].set_index("run")
    succeeded = last["succeeded"].astype("boolean").fillna(False)
    ended = succeeded if outcome == "succeeded" else last["relation"] == "matched"
    rows = rows[rows["run"].isin(last.index) & ~rows["final"] & rows["finite"]]
    rows = rows.assign(share=(rows["step"] / rows["updates"]).round(3)).drop_duplicates(["run", "share"])
    ended = ended[ended.index.isin(rows["run"])].astype(bool)
    groups = tuple(dict.fromkeys(rows["group"]))
    own = np.array([base_features(bases[g]) for g in groups]).reshape(len(groups), -1)
    result = Known(rows, ended, own, groups, tuple(names), tuple(kinds))
    _check(result, outcome)
    return result


def _check(transfers: Known, outcome: str) -> None:
    if transfers.rows.empty:
        raise ForecastError("found no checkpoints on the way, expected a study that keeps some")
    if not transfers.shares:
        raise ForecastError(
            f"found {len(transfers.groups)} bases with finished transfers, expected {FEWEST_BASES} or more"
        )
    if transfers.ended.nunique() < 2:
        end = "all" if transfers.ended.all() else "none"
        raise ForecastError(f"found {end} of {len(transfers.ended)} transfers {outcome}, expected both ends")


def _frozen(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of transfers with a frozen model beside the encoder."""
    if table.empty:
        return table
    pairs = set()
    for variant in study.variants:
        parameters = system_of(variant.settings).shapes()
        for plan in variant.plans:
            if set(plan.frozen_components(parameters)) - {"encoder"}:
                pairs.add((variant.name, plan.name))
    chosen = [pair in pairs for pair in zip(table["variant"], table["plan"], strict=True)]
    return table[(table["phase"] == "transfer") & np.array(chosen)]


def _opened(path: Path | None) -> Subject | None:
    """A base, where its checkpoint is to be had: a folder may be copied without."""
    try:
        return None if path is None else open_subject(path)
    except ValueError:
        return None


def _same(bases: Mapping[str, Subject | None]) -> dict[str, str]:
    """One name for a base that several studies trained alike: it must not be fitted to and judged on."""
    first: dict[str, str] = {}
    return {
        name: name if base is None or base.identity is None else first.setdefault(base.identity, name)
        for name, base in bases.items()
    }
