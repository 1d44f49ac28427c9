"""Studies: what a file says, what a folder keeps, and that nothing that stops one changes its numbers."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from diag.commands.app import run as diag_run
from diag.studies import StudyError
from diag.studies.folder import FORMAT, Folder
from diag.studies.pieces import pieces_of
from diag.studies.run import run_study
from diag.studies.study import Study, read_study, study_names
from diag.studies.table import COLUMNS, KEY, frame
from tests.short_studies import SHORT, here, silent, weights
from trainers import checkpoint as files
from trainers.pool import Todo
from trainers.run import RunError


def done(study: Study, out: Path, **options: Any) -> Path:
    assert run_study(study, out, **{"engine": here, "jobs": 2, "progress": silent, **options})
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short study of two bases with three transfers each."""
    return done(read_study("tiny", SHORT), tmp_path_factory.mktemp("study") / "one")


def test_a_study_leaves_a_row_for_every_checkpoint_and_the_curves(finished: Path) -> None:
    results, curves = Folder(finished).results(), Folder(finished).curves()
    assert len(results) == (2 + 6) * 3
    assert not results.duplicated(list(KEY)).any()
    assert set(COLUMNS) <= set(results)
    assert results["final"].sum() == 8
    transfers = results[results["phase"] == "transfer"]
    numbers = ["own_states", "l2", "r2_identity", "r2_orthogonal", "loss_total", "mended_loss"]
    assert transfers[numbers].notna().all(axis=None)
    assert (transfers["mended_escape"] >= 0).all()
    assert (transfers["gradient_norm"] > 0).all()
    assert set(curves["term"]) == {"transition", "bound", "entropy_random", "entropy_successive"}
    assert len(curves) == 8 * 4 * 2
    for row in results.to_dict("records"):
        saved = files.read(finished / row["path"])
        assert (saved.sha256, saved.header.step, saved.header.seed) == (
            row["sha256"],
            row["step"],
            row["seed"],
        )


def test_a_row_says_what_compare_embeddings_says(finished: Path) -> None:
    import diag

    results = Folder(finished).results()
    row = results[results["final"] & (results["phase"] == "transfer")].iloc[0]
    base = finished / f"main/base/seed{row['base_seed']}.safetensors"
    found = diag.compare(base, finished / row["path"])
    assert row["own_states"] == found.own_states
    assert row["l2"] == found.measures["l2"].value
    assert row["r2_signs"] == found.ladder[1].r2.value
    assert row["status"] == found.verdict.status


def test_the_mended_copy_is_the_fit_folded_in_and_the_way_there_is_straight(finished: Path) -> None:
    import torch

    import diag
    import probes
    from diag.embed import embedding
    from diag.studies.measure import measured
    from diag.subject import SAMPLES
    from diag.units.last_layer import folded
    from trainers.plan import named_plan

    base = diag.open_subject(finished / "main/base/seed0.safetensors")
    subject = diag.open_subject(finished / "main/freeze-dynamics/base0/seed1.safetensors")
    row = measured(subject, base, named_plan("freeze-dynamics"))
    x, y = embedding(subject), embedding(base)
    found = probes.fit("orthogonal", x, y)
    assert subject.parameters is not None
    assert subject.objective is not None
    assert subject.tasks is not None
    mended = folded(subject.parameters, "encoder/4", found)
    batch = subject.tasks.batch("target", SAMPLES, 0).batch

    def total(parameters: Mapping[str, torch.Tensor]) -> float:
        assert subject.objective is not None
        losses = subject.objective.losses(parameters, batch)
        return sum(w * float(losses[t].mean()) for t, w in subject.objective.terms.items())

    assert row["mended_loss"] == pytest.approx(total(mended), rel=1e-5)
    line = [
        total({n: torch.lerp(subject.parameters[n], mended[n], t) for n in mended})
        for t in torch.linspace(0, 1, 21)
    ]
    assert row["mended_escape"] == pytest.approx(max(line) - line[0], abs=1e-5)


@pytest.mark.long
def test_stacks_and_processes_change_nothing(finished: Path, tmp_path: Path) -> None:
    from trainers.pool import run_all

    other = done(read_study("tiny", SHORT), tmp_path / "two", engine=run_all, jobs=3)
    assert weights(other) == weights(finished)
    columns = [c for c in COLUMNS if c not in ("sha256",)]
    one, two = (Folder(f).results().sort_values(list(KEY)).reset_index(drop=True) for f in (finished, other))
    pd.testing.assert_frame_equal(one[columns], two[columns])


@pytest.mark.long
def test_seeds_bases_and_plans_may_be_added_and_nothing_is_done_twice(finished: Path, tmp_path: Path) -> None:
    out = done(read_study("tiny", [*SHORT, "bases=1", "transfers=1"]), tmp_path / "grown")
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    done(read_study("tiny", SHORT), out)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert weights(out) == weights(finished)
    done(read_study("tiny", [*SHORT, "bases=1", "plans=fine-tune"]), out)
    assert [p.name for p in Folder(out).study().variants[0].plans] == ["freeze-dynamics", "fine-tune"]
    assert len(Folder(out).done()) == 2 + 6 + 2 * 3  # the folder's study has both bases


@pytest.mark.long
def test_variants_that_train_their_bases_alike_share_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "simple-maze-summed"\nbases = 1\ntransfers = 1\n'
        "[variants.slow]\nset.transfer.learning_rate = 1e-4\n"
        "[variants.fast]\nset.transfer.learning_rate = 1e-3\n"
        "[variants.other]\nset.train.learning_rate = 1e-3\n"
    )
    study = read_study(str(path), SHORT[:3])
    out = done(study, tmp_path / "out")
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("base/seed0.safetensors"))
    assert found == ["other/base/seed0.safetensors", "slow/base/seed0.safetensors"]
    kept = Folder(out).results()
    assert len(kept[kept["final"] & (kept["phase"] == "transfer")]) == 3
    origins = {
        v: files.read(out / v / "freeze-dynamics/base0/seed0.safetensors").header.base["identity"]  # type: ignore[index]
        for v in ("slow", "fast", "other")
    }
    assert origins["slow"] == origins["fast"] != origins["other"]


def test_pieces_are_even_and_fill_the_processes() -> None:
    nothing: Callable[..., bool] = lambda *which: False  # noqa: E731
    pieces, after = pieces_of(read_study("simple-maze"), "/x", nothing, 2, "cpu")
    assert [len(p.run.seeds) for p in pieces] == [1, 1, 22, 22]
    assert all(after[p.key] == [f"main/base/seeds{p.base_seed}-{p.base_seed}"] for p in pieces[2:])
    pieces, _ = pieces_of(read_study("tiny", ["bases=1"]), "/x", nothing, 3, "cpu")
    assert [len(p.run.seeds) for p in pieces] == [1, 1, 1, 2]
    pieces, _ = pieces_of(read_study("simple-maze"), "/x", nothing, 4, "cpu")
    assert [len(p.run.seeds) for p in pieces] == [1, 1, 11, 11, 11, 11]
    pieces, _ = pieces_of(read_study("simple-maze"), "/x", nothing, 1, "cuda")
    assert [len(p.run.seeds) for p in pieces] == [2, 22, 22]
    assert len({p.key for p in pieces}) == len(pieces)


@pytest.mark.long
def test_a_base_that_diverges_takes_its_transfers_with_it_and_nothing_else(tmp_path: Path) -> None:
    study = read_study("tiny", [*SHORT, "transfers=2"])
    out = tmp_path / "out"
    done(read_study("tiny", [*SHORT, "transfers=1", "bases=1"]), out)
    path = out / "main/base/seed0.safetensors"
    saved = files.read(path)
    broken = {n: t * float("nan") for n, t in saved.tensors.items()}
    header = replace(saved.header, metrics={**saved.header.metrics, "finite": False})
    files.save(path, header, broken)
    part = out / "results/main+base+seed0.parquet"
    table = pd.read_parquet(part)
    table.loc[table["final"], "sha256"] = files.file_sha256(path)
    table.to_parquet(part)
    for transfer in (out / "main/freeze-dynamics/base0").iterdir():
        transfer.unlink()  # of the base as it was
    done(study, out)
    results = Folder(out).results()
    lost = results[results["final"] & ~results["finite"]]
    assert lost[lost["phase"] == "transfer"][["base_seed", "seed"]].to_numpy().tolist() == [[0, 0], [0, 1]]
    assert len(Folder(out).done()) == 2 + 4
    done(study, out)


@pytest.mark.parametrize(
    ("file", "overrides", "words"),
    [
        ("", ["bases=0"], "bases: found 0, expected at least 1"),
        ("", ["transfers=5-3"], "transfers: seeds '5-3': '5-3' is a range of nothing"),
        ("", ["base=3"], "unknown setting 'base'; did you mean 'bases'?"),
        ("", ["plans=freeze-dynamic"], "unknown plan 'freeze-dynamic'; did you mean 'freeze-dynamics'?"),
        ("", ["keep=0.5,2"], "keep.1: Input should be less than 1 (found 2.0)"),
        ("", ["variants=mein"], "unknown variant 'mein'; did you mean 'main'?"),
        ("", ["variants="], "variants: found '', expected names such as a,b"),
        ("", ["keep=soon"], "keep: found 'soon', expected shares such as 0.1,0.5"),
        ("base = 2", [], "unknown key 'base'; did you mean 'bases'?"),
        ("bases = -1", [], "bases: found -1, expected at least 1"),
        ("bases = true", [], "bases: Input should be a valid integer"),
        ('plans = ["fine-tune", "fine-tune"]', [], "found two plans 'fine-tune', expected each once"),
        ("plans = []", [], "plans: List should have at least 1 item"),
        ("[set]\ntrain.update = 3", [], "unknown setting 'train.update'; did you mean 'train.updates'?"),
        ("[set]\ntrain = 3", [], "setting 'train'"),
        ("[variants.a]\n[variants.b]", [], "variants 'a' and 'b' have the same settings"),
        ('[variants."../x"]', [], "variant '../x': expected a name of letters"),
        ("[variants.a]\nplan = 3", [], "unknown key 'plan'; did you mean 'plans'?"),
        (
            'plans = ["no-random-entropy"]\n[set]\nloss.terms = ["transition"]',
            [],
            "unknown loss term 'entropy_random'",
        ),
        ("bases = ", [], "not a TOML file"),
    ],
)
def test_studies_that_cannot_be(tmp_path: Path, file: str, overrides: list[str], words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(file)
    with pytest.raises(StudyError) as caught:
        read_study(str(path), overrides)
    assert words in str(caught.value)


def test_some_variants_alone_and_the_others_later(tmp_path: Path) -> None:
    whole = read_study("labyrinth-small")
    some = read_study("labyrinth-small", ["variants=scratch,main"])
    assert [v.name for v in some.variants] == ["main", "scratch"]
    assert all(v in whole.variants for v in some.variants)
    (tmp_path / "study.json").write_text(json.dumps({"format": FORMAT, "study": some.to_tree()}))
    joined = Folder(tmp_path).joined(whole)
    assert {v.name for v in joined.variants} == {v.name for v in whole.variants}
    assert all(joined.base_of(v).name in ("main", "scratch") for v in joined.variants)


def test_unknown_studies_and_files(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unknown study 'simple-mase'; did you mean 'simple-maze'"):
        read_study("simple-mase")
    with pytest.raises(StudyError, match="no such file"):
        read_study(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies_can_be_read_and_written(name: str) -> None:
    study = read_study(name)
    assert Study.from_tree(study.to_tree()) == study
    assert study.about


def test_a_folder_of_another_study_is_refused(finished: Path, tmp_path: Path) -> None:
    for overrides, words in (
        ([*SHORT, "transfer.updates=50"], "transfer.updates = 40; expected 50"),
        ([*SHORT, "keep=0.5"], "found a study of keep"),
    ):
        with pytest.raises(StudyError, match=words):
            done(read_study("tiny", overrides), finished)
    with pytest.raises(StudyError, match="found a study of name"):
        done(read_study("simple-maze"), finished)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"found other files and no study\.json"):
        done(read_study("tiny", SHORT), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lock"] == ["letter.txt"]


@pytest.mark.long
def test_a_checkpoint_that_was_changed_is_found_and_one_that_is_gone_is_made_again(tmp_path: Path) -> None:
    study = read_study("tiny", [*SHORT, "bases=1", "transfers=2"])
    out = done(study, tmp_path / "out")
    before = weights(out)
    path = out / "main/freeze-dynamics/base0/seed1.safetensors"
    path.write_bytes((out / "main/freeze-dynamics/base0/seed0.safetensors").read_bytes())
    with pytest.raises(StudyError, match=r"seed1.safetensors: found a checkpoint that was changed"):
        done(study, out)
    path.unlink()
    done(study, out)
    assert weights(out) == before
    path.unlink()
    path.with_suffix(".step10.safetensors").unlink()
    done(study, out)
    assert weights(out) == before


def test_damaged_tables_and_files_of_a_study(tmp_path: Path) -> None:
    study = read_study("tiny", [*SHORT, "bases=1", "transfers=1"])
    out = done(study, tmp_path / "out")
    part = next((out / "results").glob("*.parquet"))
    part.write_bytes(b"PAR1 no more")
    with pytest.raises(StudyError, match="found no Parquet file of a study"):
        Folder(out).results()
    part.unlink()
    done(study, out)
    for content in ("{", "[]", '{"format": 1}', '{"format": 2, "study": {}}'):
        (out / "study.json").write_text(content)
        with pytest.raises(StudyError, match=r"study\.json"):
            Folder(out).study()


def test_two_commands_cannot_run_in_one_folder(finished: Path) -> None:
    with Folder(finished).alone(), pytest.raises(StudyError, match="another command is running"):
        done(read_study("tiny", SHORT), finished)


def limited() -> None:
    """Files of at most 100 kB: what a full disk looks like, in this process and those it starts."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def command(out: Path, *options: str, updates: int) -> list[str]:
    words = [sys.executable, "-m", "diag", "study", "run", "tiny", "--out", str(out), *options, "-q"]
    return words + [
        part for setting in (*SHORT, "bases=1", f"train.updates={updates}") for part in ("--set", setting)
    ]


@pytest.mark.long
def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = subprocess.run(
        command(out, updates=40), preexec_fn=limited, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "main/base/seed0.step10.safetensors: File too large" in found.stderr
    assert not list(out.rglob("*.part"))
    assert diag_run(command(out, updates=40)[3:]) == 0


@pytest.mark.long
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert diag_run(command(whole, updates=1500)[3:]) == 0
    for number in (signal.SIGKILL, signal.SIGINT):
        running = subprocess.Popen(
            command(parts, "--jobs", "1", updates=1500), start_new_session=True, stderr=subprocess.PIPE
        )
        before = sum(p.stat().st_mtime_ns for p in parts.rglob("*.safetensors"))
        for _ in range(1200):
            if sum(p.stat().st_mtime_ns for p in parts.rglob("*.safetensors")) != before:
                break
            time.sleep(0.05)
        os.killpg(running.pid, number)
        _, words = running.communicate(timeout=60)
        assert running.returncode == (-9 if number == signal.SIGKILL else 130)
        assert number == signal.SIGKILL or b"the same command goes on" in words
    assert diag_run(command(parts, updates=1500)[3:]) == 0
    assert weights(parts) == weights(whole)


def _dies_once(item: tuple[str, str], tell: Callable[[int], None], stopped: Callable[[], bool]) -> None:
    name, folder = item
    tell(1)
    mark = Path(folder) / name
    if name == "dies" and not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "bad":
        raise OSError(28, "No space left on device", "/there")
    mark.write_text("done")


@pytest.mark.long
def test_a_lost_process_is_replaced_and_its_item_done(tmp_path: Path) -> None:
    from trainers.pool import run_all

    heard: list[str] = []
    items = {name: (name, str(tmp_path)) for name in ("dies", "lives", "waits")}
    after = {"waits": ["dies"]}
    assert run_all(Todo(_dies_once, items, after, attempts=2), 2, lambda key, value: heard.append(key))
    assert all((tmp_path / name).read_text() == "done" for name in items)
    assert sorted(heard) == ["dies", "dies", "lives", "waits"]
    (tmp_path / "dies").unlink()
    with pytest.raises(RunError, match=r"dies: its process was lost \(signal 9\)"):
        run_all(Todo(_dies_once, items), 1, lambda key, value: None)
    with pytest.raises(RunError, match="/there: No space left on device"):
        run_all(Todo(_dies_once, {"bad": ("bad", str(tmp_path))}), 1, lambda key, value: None)
    with pytest.raises(ValueError, match="wait for one another"):
        run_all(Todo(_dies_once, items, {"dies": ["waits"], "waits": ["dies"]}), 1, lambda key, value: None)


def test_rows_have_the_documented_types() -> None:
    rows = [
        {"variant": "a", "base_seed": 1, "seed": 2, "step": 3, "updates": 3, "final": True, "finite": True}
    ]
    table = frame(rows)
    assert list(table)[: len(COLUMNS)] == list(COLUMNS)
    assert table["succeeded"].isna().all()
    assert table["l2"].dtype == "float64"


def test_the_commands(finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert diag_run(["study", "list"]) == 0
    assert "simple-maze" in capsys.readouterr().out
    dry = ["study", "run", "simple-maze", "--out", str(tmp_path / "none"), "--dry-run"]
    assert diag_run(dry) == 0
    assert "to do: 46 trainings, 3,840,000 updates" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    assert diag_run(["study", "report", str(finished)]) == 0
    told = capsys.readouterr().out
    assert "2 bases" in told
    assert (finished / "report.html").read_text().startswith("<!doctype html>")
    assert diag_run(["study", "report", str(tmp_path)]) == 2
    assert "found no study.json" in capsys.readouterr().err
    assert diag_run(["study", "run", "tiny", "--out", str(tmp_path / "x"), "--address", "a:1"]) == 2
    assert "--address goes with --engine ray" in capsys.readouterr().err


def test_events_for_tensorboard(finished: Path, tmp_path: Path) -> None:
    from diag.studies.events import write_events

    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # a second call replaces the first's
        assert write_events(finished, tmp_path) == 8
    found = reader.EventAccumulator(str(tmp_path / "main/freeze-dynamics/base0/seed1"))
    found.Reload()
    curves = Folder(finished).curves()
    mine = curves[(curves["phase"] == "transfer") & (curves["base_seed"] == 0) & (curves["seed"] == 1)]
    wanted = mine[mine["term"] == "transition"][["update", "loss"]].to_numpy().tolist()
    assert [[e.step, pytest.approx(e.value)] for e in found.Scalars("loss/transition")] == wanted
    assert [e.step for e in found.Scalars("measure/own_states")] == [10, 20, 40]
