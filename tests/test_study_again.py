"""Studies say which code measured their rows, and measure again what another one did."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from diag.commands.app import run
from diag.studies.again import left_of, measure_again
from diag.studies.code import UNKNOWN, code_version
from diag.studies.folder import Folder
from diag.studies.reading import report_of
from diag.studies.run import run_study
from diag.studies.study import read_study
from diag.studies.table import KEY
from tests.short_studies import SHORT, here, silent

ROWS = (1 + 2) * 3
"""Of one base and two transfers, at two early steps and at the end."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("again") / "study"
    study = read_study("tiny", [*SHORT, "bases=1", "transfers=2"])
    assert run_study(study, out, engine=here, jobs=1, progress=silent)
    return out


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


def aged(folder: Path, name: str, code: str | None) -> Path:
    """Let another version of the code have measured one training, with other numbers."""
    part = folder / "results" / f"{name}.parquet"
    table = pd.read_parquet(part).assign(l2=99.0, loss_total=-1.0)
    (table.drop(columns="code") if code is None else table.assign(code=code)).to_parquet(part, index=False)
    return part


def rows(folder: Path) -> pd.DataFrame:
    return Folder(folder).results().sort_values(list(KEY)).reset_index(drop=True)


def test_every_row_says_which_code_measured_it(trained: Path) -> None:
    assert set(rows(trained)["code"]) == {code_version()}
    assert left_of(Folder(trained)).rows == 0
    assert left_of(Folder(trained), every=True).rows == ROWS
    assert dict(report_of(trained).facts.measured_by) == {code_version(): ROWS}


@pytest.mark.parametrize("code", ["0.0.9+deadbeef", None])
@pytest.mark.parametrize("name", ["main+base+seed0", "main+freeze-dynamics+base0+seed1"])
def test_what_another_version_measured_is_measured_again(folder: Path, name: str, code: str | None) -> None:
    before = rows(folder)
    aged(folder, name, code)
    report = report_of(folder)
    assert dict(report.facts.measured_by) == {code_version(): ROWS - 3, code or UNKNOWN: 3}
    for words in (str(report), report._repr_html_()):
        assert (code or UNKNOWN) in words
        assert "diag study measure" in words
    left = measure_again(Folder(folder), engine=here, jobs=1, progress=silent)
    assert left is not None
    assert (left.rows, left.gone) == (3, 0)
    pd.testing.assert_frame_equal(rows(folder), before)
    assert "diag study measure" not in str(report_of(folder))


def test_rows_whose_checkpoints_are_gone_stay_and_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aged(folder, "main+freeze-dynamics+base0+seed0", "0.0.9+deadbeef")
    gone = folder / "main/freeze-dynamics/base0/seed0.step10.safetensors"
    gone.unlink()
    assert run(["study", "measure", str(folder), "-j", "1"]) == 0
    assert "1 row stays as it was: its checkpoint, or its base's, is gone" in capsys.readouterr().out
    after = rows(folder)
    stale = after[after["code"] == "0.0.9+deadbeef"]
    assert stale["path"].tolist() == ["main/freeze-dynamics/base0/seed0.step10.safetensors"]
    assert stale["l2"].tolist() == [99.0]
    assert (folder / "report.html").is_file()


def test_a_stop_leaves_whole_trainings_and_the_same_call_goes_on(folder: Path) -> None:
    before = rows(folder)
    for name in ("main+base+seed0", "main+freeze-dynamics+base0+seed0"):
        aged(folder, name, "0.0.9+deadbeef")

    def stopped(todo: object, jobs: int, told: object) -> bool:
        for item in todo.items.values():  # type: ignore[attr-defined]
            budget = iter([False, True])
            todo.work(item, lambda done: None, lambda budget=budget: next(budget))  # type: ignore[attr-defined]
            break
        return False

    assert measure_again(Folder(folder), engine=stopped, jobs=1, progress=silent) is None
    assert left_of(Folder(folder)).rows == 6
    assert measure_again(Folder(folder), engine=here, jobs=1, progress=silent) is not None
    pd.testing.assert_frame_equal(rows(folder), before)


def test_no_study_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "measure", str(tmp_path)]) == 2
    assert "expected a folder of diag study run" in capsys.readouterr().err
