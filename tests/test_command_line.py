"""What holds for every command: how files are read, where outputs go, what errors advise, what help shows."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.commands.file_options import FileOptions
from diag.commands.output_files import UsageError, with_places
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests.commands import READING, commands, options, run
from tests.conftest import EXAMPLES

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


ROOT = Path(__file__).parent.parent


RAISED_BY = {
    "diag/sources": READING,
    "diag/sources/description.py": ("probe",),  # what a file lacks for each diagnosis, in diag show
    "diag/subject.py": READING,
    "diag/embed.py": READING,
    "diag/comparisons/compare.py": ("compare-embeddings",),
    "diag/comparisons/pairing.py": ("compare-embeddings",),
    "diag/probing": ("probe",),
    "diag/landscapes": ("landscape",),
    "diag/landscapes/landscape.py": ("landscape",),
    "diag/repairs": ("repair",),
    "diag/repairs/repair.py": ("repair",),
    "diag/checks": ("check",),
    "diag/checks/check.py": ("check",),
    "diag/studies": ("study run",),
    "diag/studies/events.py": ("study report",),
    "diag/studies/forecasting.py": ("study forecast",),
    "diag/forecasts": ("study forecast",),
    "diag/forecasts/forecast.py": ("forecast",),
    "trainers": ("train crar", "transfer"),
}
"""Which commands a part of the project speaks to when it refuses something."""


NOT_OURS = {"--upload-pack", "--include", "--inputs", "--outputs", "--saved-model", "--graphdef"}


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two files of embeddings, in the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.normal(size=(40, 2))
    np.save("a.npy", y)
    np.save("b.npy", y + 0.01 * rng.normal(size=y.shape))
    return "a.npy", "b.npy"


# --- One path for one's own files --------------------------------------------------------------------------


def test_every_field_of_supplied_is_an_option() -> None:
    assert [field.name for field in fields(FileOptions)] == [field.name for field in fields(Supplied)]


@pytest.mark.parametrize("name", READING)
def test_every_command_that_reads_files_reads_them_alike(name: str) -> None:
    parameters = {p.name for p in commands()[name].params}
    assert {field.name for field in fields(FileOptions)} <= parameters


def test_arrays_are_mended_from_the_command_line(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str]
) -> None:
    np.save("mirrored.npy", np.load(arrays[1]) * [1, -1])
    status, out, _ = run(capsys, "repair", arrays[0], "mirrored.npy", "-o", "mended.npy", "--json")
    assert status == 0
    assert json.loads(out)["verdict"]["status"] == "pass"
    assert np.abs(np.load("mended.npy") - np.load(arrays[0])).max() < 0.1  # noise of 0.01


# --- An error advises only what its command has ------------------------------------------------------------


def _words(path: Path) -> set[str]:
    """The options that a module's strings name, docstrings aside."""
    tree = ast.parse(path.read_text())
    loose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in loose:
            found |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", node.value))
    return found - NOT_OURS


@pytest.mark.parametrize("part", RAISED_BY)
def test_errors_advise_only_what_their_command_has(part: str) -> None:
    known = commands()
    others = [other for other in RAISED_BY if other.startswith(part) and other != part]
    every = (file for package in ("diag", "trainers") for file in (ROOT / package).rglob("*.py"))
    names = [file.relative_to(ROOT).as_posix() for file in every]
    files = [ROOT / n for n in names if n.startswith(part) and not n.startswith(tuple(others))]
    assert files
    for file in files:
        for word in _words(file):
            for name in RAISED_BY[part]:
                assert word in options(known[name]), f"{file.relative_to(ROOT)} advises {word} to diag {name}"


def test_numbers_that_are_not_finite_are_advised_to_leave_out_where_that_can_be(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str]
) -> None:
    broken = np.load(arrays[1])
    broken[3] = np.nan
    np.save("broken.npy", broken)
    assert "--drop-nonfinite" in run(capsys, "compare-embeddings", arrays[0], "broken.npy")[2]
    for command in (["check", arrays[0], "broken.npy"], ["repair", arrays[0], "broken.npy", "-o", "m.npy"]):
        status, _, err = run(capsys, *command)
        assert status == 2
        assert "expected finite numbers" in err
        assert "--drop-nonfinite" not in err


# --- Outputs -----------------------------------------------------------------------------------------------


def test_every_diagnosis_takes_json_and_html() -> None:
    for name in (*READING, "forecast", "study report", "study forecast"):
        assert {"--json", "--html"} <= options(commands()[name]), name


def test_a_place_is_a_file_and_a_dash_is_standard_output(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str]
) -> None:
    shown = ("show", arrays[0])
    plain = run(capsys, *shown, "--json")
    assert plain[0] == 0
    assert json.loads(plain[1])["embeddings"] == [40, 2]
    assert run(capsys, *shown, "--json=-") == plain
    assert run(capsys, *shown, "--json", "-") == plain
    assert run(capsys, "show", "--json", arrays[0]) == plain
    status, out, _ = run(capsys, *shown, "--json=found.json")
    assert status == 0
    assert out.startswith("a.npy: embeddings")
    assert out.endswith("json: found.json\n")
    assert Path("found.json").read_text().rstrip("\n") == plain[1].rstrip("\n")
    status, page, _ = run(capsys, *shown, "--html", "-")
    assert status == 0
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    status, out, _ = run(capsys, *shown, "--html", "page.html", "--json")
    assert (status, out) == (0, plain[1])
    assert Path("page.html").read_text() == page
    status, out, _ = run(capsys, "compare-embeddings", *arrays, "--html", "-")
    assert status == 0
    assert out.startswith("<!doctype html>")
    status, out, _ = run(capsys, "check", *arrays, "--junit-xml", "-", "--sarif", "s.sarif")
    assert status == 0
    assert out.startswith("<?xml")
    assert json.loads(Path("s.sarif").read_text())["version"] == "2.1.0"
    status, out, _ = run(capsys, "check", "--write-config", "-")
    assert status == 0
    assert "[check" in out
    assert not Path("-").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare-embeddings", "a.npy", "b.npy", "--json", "--html", "-"], "--json and --html -"),
        (["check", "a.npy", "b.npy", "--sarif", "-", "--junit-xml", "-"], "expected one of them"),
        (["check", "a.npy", "b.npy", "--format", "github", "--html", "-"], "--format github"),
        (["check", "a.npy", "b.npy", "--format", "json", "--html", "-"], "--json and --html -"),
        (["check", "a.npy", "b.npy", "--format", "json", "--json=o.json"], "expected one of them"),
        (["check", "a.npy", "b.npy", "--sarif", "o", "--junit-xml", "o"], "one file for"),
        (["check", "a.npy", "b.npy", "--write-baseline", "-"], "expected a file"),
        (["check", "a.npy", "b.npy", "--json=a.npy"], "an input of this command"),
        (["compare-embeddings", "a.npy", "b.npy", "--json", "out.json"], "expected --json=out.json"),
        (["compare-embeddings", "a.npy", "b.npy", "--html", "nowhere/x.html"], "no folder nowhere"),
        (["repair", "a.npy", "b.npy", "-o", "-"], "expected a file to write"),
        (["repair", "a.npy", "b.npy", "-o", "m.npy", "--json=m.npy"], "the place of MENDED"),
        (["show", "a.npy", "--html", "a.npy"], "an input of this command"),
    ],
)
def test_outputs_that_contradict_each_other_are_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str], arguments: list[str], words: str
) -> None:
    before = sorted(Path().iterdir())
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


def test_nothing_is_written_where_one_output_fails(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diag.outputs import check_sarif

    def broken(gate: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(check_sarif, "render", broken)
    before = sorted(Path().iterdir())
    assert run(capsys, "check", *arrays, "--junit-xml", "j.xml", "--sarif", "s.sarif", "--json")[:2] == (
        3,
        "",
    )
    assert sorted(Path().iterdir()) == before


def test_a_json_without_a_place_keeps_its_hands_off_what_follows() -> None:
    assert with_places(["check", "--json", "a", "--", "--json"]) == ["check", "--json=-", "a", "--", "--json"]
    assert with_places(["--json=x"]) == ["--json=x"]
    assert with_places([]) == []
    with pytest.raises(UsageError, match=r"--json=x\.json"):
        with_places(["--json", "x.json"])


def test_the_page_of_a_forecast_and_of_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, _ = run(capsys, "forecast", BASE, "--html", str(page))
    assert status == 0
    assert f"report: {page}" in out
    found, text = diag.forecast(BASE), page.read_text()
    assert f"{found.probability.value:.0%}" in text
    assert found.verdict.summary in text
    assert all(words in text for words in ("inconclusive", "320 transfers", "share matched"))
    status, page_out, _ = run(capsys, "show", BASE, "--html", "-")
    assert status == 0
    assert "38,682" in page_out
    assert 'id="library"' not in page_out  # no chart, and so no library for charts


# --- Names -------------------------------------------------------------------------------------------------


def test_a_pattern_leaves_the_base_out_whether_the_shell_expands_it_or_not(
    capsys: pytest.CaptureFixture[str], arrays: tuple[str, str]
) -> None:
    quoted = run(capsys, "check", "a.npy", "*.npy")
    expanded = run(capsys, "check", "a.npy", "a.npy", "b.npy")
    assert quoted == expanded
    assert quoted[0] == 0
    assert "a.npy: the base itself is among the transfers, and is left out" in quoted[2]
    # Alone it is a mistake.
    for only in ("a.npy", "a*.npy"):
        status, _, err = run(capsys, "check", "a.npy", only)
        assert status == 2
        assert "the base itself" in err


def test_a_folder_stands_for_its_last_checkpoints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "t0"
    folder.mkdir()
    for name in ("seed2", "seed10", "seed0.step30", "other"):
        shutil.copy(MATCHED, folder / f"{name}.safetensors")
    (folder / "seed2.safetensors.resume").write_bytes(b"no checkpoint")
    only = ("--set", "check.loss_ratio.level=off", "--set", "check.probe.level=off")
    status, out, err = run(capsys, "check", BASE, str(folder), "--json", *only)
    assert status == 0
    taken = [Path(one["transfer"]["path"]).name for one in json.loads(out)["checked"]]
    assert taken == ["seed2.safetensors", "seed10.safetensors"]
    assert f"{folder}: took 2 checkpoints, seed2.safetensors, seed10.safetensors; 1 of early steps" in err


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "and without any other file; expected files of transfers"),
        (
            ("a.npy", "b.npy", "c.json"),
            "3 other files (2 .npy, 1 .json); expected a pattern such as '{}/*.npy'",
        ),
        (("a.PT", "notes.txt", "more.txt"), "(2 .txt, 1 .PT); expected a pattern such as '{}/*.PT'"),
        (
            ("seed0.step30.safetensors",),
            "1 other file (1 .safetensors); expected a pattern such as '{}/*.safe",
        ),
        (
            ("a.txt", "b.md", "c", "d.log"),
            "4 other files (1 .txt, 1 .md, 1 without an ending, …); expected files of",
        ),
    ],
)
def test_a_folder_without_checkpoints_is_told_by_what_is_in_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    for name in (*names, ".hidden"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "runs").mkdir()
    status, _, err = run(capsys, "check", BASE, str(tmp_path))
    assert status == 2
    assert "found a folder without seed<N>.safetensors, as diag transfer writes them, " in err
    assert words.format(tmp_path) in err


# --- Ctrl-C ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", BASE], "nothing was written"),
        (["landscape", BASE, MIRRORED], "--quick takes far less"),
        (["landscape", BASE, MIRRORED, "--random-plane"], "--save DIR"),
        (["landscape", BASE, MIRRORED, "--random-plane", "--save", "{0}"], "goes on with them"),
        (["repair", BASE, MIRRORED, "-o", "{0}"], "begins anew"),
        (["repair", BASE, MIRRORED, "-o", "{0}", "--train", "5%"], "goes on with what is trained"),
        (["check", BASE, MIRRORED], "nothing was written"),
        (["demo", "--out", "{0}"], "goes on with it"),
    ],
)
def test_ctrl_c_says_what_was_kept(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    words: str,
) -> None:
    import diag.checks.run
    import diag.commands.demo.run

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place in ("sources.description.show", "landscapes.landscape.landscape", "repairs.repair.repair"):
        monkeypatch.setattr(f"diag.{place}", interrupted)
    monkeypatch.setattr(diag.checks.run, "check", interrupted)
    monkeypatch.setattr(diag.commands.demo.run, "run_demo", interrupted)
    status, out, err = run(capsys, *(a.format(tmp_path / "new") for a in arguments))
    assert (status, out) == (130, "")
    assert err.startswith("diag: stopped; ")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_subject_error_names_the_option_that_supplies_what_is_missing() -> None:
    with pytest.raises(SubjectError, match="from_module"):
        diag.landscape("examples/base.safetensors", np.zeros((3, 2)))  # type: ignore[arg-type]
