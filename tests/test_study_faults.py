"""Studies where something goes wrong: stopped at an awkward moment, changed behind their back, misplaced."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from diag.commands.app import run as diag_run
from diag.commands.progress import progress_bar
from diag.studies import StudyError
from diag.studies.folder import Folder
from diag.studies.run import run_study
from diag.studies.study import read_study
from tests.short_studies import here, silent, weights
from trainers import checkpoint as files
from trainers.pool import Todo, Told

SHORT = (
    *("bases=1", "transfers=3", "keep=0.5", "data.steps=300"),
    *("train.updates=20", "transfer.updates=20", "train.log_every=20", "transfer.log_every=20"),
)


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


@pytest.mark.long
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


class Killed(BaseException):
    """As if the process ended here."""


def test_a_training_begun_anew_may_be_stopped_again_before_it_ends(out: Path) -> None:
    before = weights(out)
    path = out / "main/freeze-dynamics/base0/seed1.safetensors"
    path.unlink()
    Path(f"{path}.resume").unlink()

    def stopped(todo: Todo, jobs: int, told: Told) -> bool:
        for item in todo.items.values():
            todo.work(item, lambda value: None, partial(next, iter([False] * 15), True))
        return False

    assert not go_on(out, engine=stopped)
    assert files.read(path).header.step == 15
    assert len(Folder(out).results()) == 3 * 2  # its rows are gone until it is there again
    assert go_on(out)
    assert weights(out) == before


@pytest.mark.long
def test_measures_are_kept_training_by_training(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diag.studies.measure as measuring

    shutil.rmtree(out / "results")
    measured, count = measuring.measured, 0

    def mortal(*args: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count > 5:  # two of the base, two of a transfer, one of the next
            raise Killed
        return measured(*args)

    monkeypatch.setattr(measuring, "measured", mortal)
    with pytest.raises(Killed):
        go_on(out)
    assert len(Folder(out).done()) == 2
    monkeypatch.setattr(measuring, "measured", measured)
    assert go_on(out)
    assert len(Folder(out).done()) == 4


def test_the_first_and_the_last_made_anew_leave_those_between_alone(out: Path) -> None:
    for seed in (0, 2):
        (out / f"main/freeze-dynamics/base0/seed{seed}.safetensors").unlink()
    assert go_on(out)
    assert len(Folder(out).done()) == 4


def test_names_with_dots_do_not_meet(tmp_path: Path) -> None:
    from diag.studies.pieces import pieces_of

    rules = '[[rules]]\ncomponent = "*"\naction = "copy"\n'
    for name in ("c", "b.c"):
        (tmp_path / f"{name}.toml").write_text(rules)
    (tmp_path / "dots.toml").write_text(
        'bases = 1\n[variants.a]\nplans = ["b.c.toml"]\n'
        '[variants."a.b"]\nplans = ["c.toml"]\nset.train.learning_rate = 1e-3\n'
    )
    pieces, _ = pieces_of(read_study(str(tmp_path / "dots.toml")), "/x", lambda *which: False, 1, "cpu")
    assert len(pieces) == 4
    assert len({p.key for p in pieces}) == len({p.part(0) for p in pieces}) == 4


def test_an_early_checkpoint_that_was_changed_is_found(out: Path) -> None:
    folder = out / "main/freeze-dynamics/base0"
    early = folder / "seed1.step10.safetensors"
    early.write_bytes((folder / "seed0.step10.safetensors").read_bytes())
    with pytest.raises(StudyError, match=r"seed1\.step10\.safetensors: found a checkpoint that was changed"):
        go_on(out)
    early.unlink()
    assert go_on(out)


@pytest.mark.long
def test_a_base_that_came_back_as_another_is_found(out: Path) -> None:
    path = out / "main/base/seed0.safetensors"

    def elsewhere(todo: Todo, jobs: int, told: Told) -> bool:
        """A machine whose last bits are others."""
        here(todo, jobs, told)
        saved = files.read(path)
        files.save(path, saved.header, {n: t + 1e-6 for n, t in saved.tensors.items()})
        part = out / "results/main+base+seed0.parquet"
        table = pd.read_parquet(part)
        table.loc[table["final"], "sha256"] = files.file_sha256(path)
        table.to_parquet(part)
        return True

    path.unlink()
    Path(f"{path}.resume").unlink()
    for _ in range(2):
        with pytest.raises(StudyError, match=r"found a transfer of another base than .*base/seed0"):
            go_on(out, engine=elsewhere)
    for seed in range(3):
        for suffix in ("", ".resume"):
            (out / f"main/freeze-dynamics/base0/seed{seed}.safetensors{suffix}").unlink()
    assert go_on(out)
    assert len(Folder(out).done()) == 4


def test_a_crash_while_a_training_is_dropped_leaves_one_that_can_be_gone_on_with(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, unlink = out / "main/freeze-dynamics/base0", Path.unlink
    (folder / "seed1.safetensors").unlink()
    (folder / "seed1.step10.safetensors").unlink()

    def mortal(path: Path, missing_ok: bool = False) -> None:
        if path.name == "seed1.safetensors.resume":
            raise Killed
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", mortal)
    with pytest.raises(Killed):
        go_on(out)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert go_on(out)
    assert len(Folder(out).done()) == 4


@pytest.mark.long
def test_a_checkpoint_under_anothers_name_is_not_measured(out: Path) -> None:
    folder = out / "main/freeze-dynamics/base0"
    shutil.rmtree(out / "results")
    early = folder / "seed1.step10.safetensors"
    early.write_bytes((folder / "seed0.step10.safetensors").read_bytes())
    with pytest.raises(files.CheckpointError, match=r"seed1\.step10\.safetensors: found step 10 of seed 0"):
        go_on(out)
    early.unlink()
    assert go_on(out)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('component = "encodr"\naction = "reset"', "unknown component 'encodr/*'"),
        ('component = "encoder"\naction = "ensemble"', "have no inputs for an ensemble"),
    ],
)
def test_plans_that_cannot_be_are_refused_before_a_base_is_trained(
    tmp_path: Path, rule: str, words: str
) -> None:
    rules = f'[[rules]]\ncomponent = "*"\naction = "copy"\n[[rules]]\n{rule}\n'
    (tmp_path / "odd.toml").write_text(rules)
    (tmp_path / "mine.toml").write_text('plans = ["odd.toml"]')
    with pytest.raises(StudyError) as caught:
        read_study(str(tmp_path / "mine.toml"))
    assert "variant 'main': plan 'odd'" in str(caught.value)
    assert words in str(caught.value)
