"""Studies where something goes wrong: stopped at an awkward moment, changed behind their back, misplaced."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from diag._progress import progress_bar
from diag.cli import run as diag_run
from diag.studies import StudyError
from diag.studies.folder import Folder
from diag.studies.run import run_study
from diag.studies.study import read_study
from trainers import checkpoint as files

SHORT = (
    *("bases=1", "transfers=3", "keep=0.5", "data.steps=300"),
    *("train.updates=20", "transfer.updates=20", "train.log_every=20", "transfer.log_every=20"),
)


@contextmanager
def silent(total: int) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def here(work: Any, items: Any, jobs: int, told: Any, after: Any = None, attempts: int = 1) -> bool:
    """An engine in this process."""
    for key, item in items.items():
        work(item, lambda value, key=key: told(key, value), lambda: False)  # type: ignore[misc]
    return True


def go_on(out: Path, *overrides: str, **options: Any) -> bool:
    study = read_study("tiny", [*SHORT, *overrides])
    return run_study(study, out, **{"engine": here, "jobs": 1, "progress": silent, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of one base with three transfers."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert go_on(out)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy of it in a place with a difficult name."""
    return Path(shutil.copytree(whole, tmp_path / "ein Ort, süß" / "out"))


def weights(folder: Path) -> dict[str, str]:
    found = sorted(folder.rglob("*.safetensors"))
    return {p.relative_to(folder).as_posix(): files.read(p).identity for p in found}


def test_where_only_measures_are_left_progress_does_not_divide_by_nothing(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in (out / "results").iterdir():
        part.unlink()
    (out / "main/freeze-dynamics/base0/seed1.step10.safetensors").unlink()  # and one is begun anew
    assert go_on(out, progress=lambda total: progress_bar("study", total, quiet=False))
    assert len(Folder(out).done()) == 4


def test_what_a_kill_left_before_the_study_was_named_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / ".study.json.ab12.part").write_text("{")
    (tmp_path / ".DS_Store").write_text("")
    assert Folder(tmp_path).claim(read_study("tiny", SHORT)) == Folder(tmp_path).study()


def test_places_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="file: found a file, expected a folder"):
        go_on(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(StudyError, match="on Linux and macOS"):
        go_on(tmp_path / "new")


def test_a_dry_run_refuses_what_a_run_refuses_and_counts_what_a_run_does(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def dry(*overrides: str) -> int:
        settings = [part for setting in (*SHORT, *overrides) for part in ("--set", setting)]
        return diag_run(["study", "run", "tiny", "--out", str(out), "--dry-run", *settings])

    assert dry("transfer.updates=30") == 2
    assert "transfer.updates = 20; expected 30" in capsys.readouterr().err
    (out / "main/freeze-dynamics/base0/seed2.safetensors").unlink()
    assert dry("transfers=1") == 0  # the folder's study has three
    assert "to do: 1 trainings" in capsys.readouterr().out
