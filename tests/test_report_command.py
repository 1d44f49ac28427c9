"""``diag report``: saved results shown again, alone, together, and with the folder of a study."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
from diag.commands import app as cli
from diag.outputs.combined import ERROR, WORST, Part, combined, summary
from diag.outputs.registry import html, page, text
from diag.saved.kinds import MEMBER, _digest, may_hold_result
from reports import Page, Section, render
from tests.commands import commands, options, run
from tests.study_frames import made
from tests.test_html import outline


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two saved results, of which one is in a folder below, and JSON that is none."""
    folder = tmp_path_factory.mktemp("origin")
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 2))
    for name, values in (("base", base), ("flipped", -base), ("same", base)):
        np.save(folder / f"{name}.npy", values)
    below = folder / "below"
    below.mkdir()
    b, f, s = (str(folder / f"{name}.npy") for name in ("base", "flipped", "same"))
    assert cli.run(["compare-embeddings", b, f, f"--json={folder / 'compared.json'}"]) == 0
    assert cli.run(["check", b, s, f"--json={below / 'checked.json'}"]) == 0
    (folder / "other.json").write_text('{"a": 1}')
    (folder / "broken.json").write_text("{")
    return folder


@pytest.fixture
def saved(origin: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(origin, tmp_path, dirs_exist_ok=True))


def statuses(saved: Path) -> str:
    """The statuses of the two results, the worse first."""
    compared = json.loads((saved / "compared.json").read_text())["verdict"]["status"]
    checked = json.loads((saved / "below" / "checked.json").read_text())["outcome"]
    return ", ".join(f"1 {one}" for one in sorted([compared, checked], key=WORST.index))


def test_one_file_is_the_page_that_html_would_have_been(
    origin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = diag.compare(origin / "base.npy", origin / "flipped.npy")
    for more, static in (([], False), (["--static"], True)):
        status, out, _ = run(capsys, "report", str(origin / "compared.json"), "-o", "-", *more)
        assert status == 0
        assert out.rstrip("\n") == html(result, static).rstrip("\n")


def test_without_a_page_the_texts_are_printed(origin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compared, checked = str(origin / "compared.json"), str(origin / "below" / "checked.json")
    result = diag.compare(origin / "base.npy", origin / "flipped.npy")
    assert run(capsys, "report", compared)[1] == f"{result}\n"
    assert text(result, True) in run(capsys, "report", compared, checked, "--verbose")[1]
    _, out, _ = run(capsys, "report", compared, checked, "-q")
    assert [line.partition(": ")[0] for line in out.splitlines()] == [compared, checked]


def test_pictures_in_characters_are_drawn_of_saved_results_too(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared, checked = str(saved / "compared.json"), str(saved / "below" / "checked.json")
    _, out, _ = run(capsys, "report", compared, checked, "--picture")
    assert out.count("┌─ base ") == 1
    assert "┌─ base " not in run(capsys, "report", compared)[1]
    status, _, told = run(capsys, "report", compared, "--picture", "-o", "-")
    assert (status, "found --picture with --out" in told) == (2, True)


def test_several_are_one_page_with_an_index(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = saved / "all.html"
    status, out, told = run(capsys, "report", str(saved), "-o", str(place), "--static")
    assert status == 0, told
    assert out == f"report: {place}\n"
    content = place.read_text("utf-8")
    found = outline(content)
    assert "<script" not in content
    assert f"2 results: {statuses(saved)}." in content
    titles = " ".join(found.words)
    for words in ("below/checked.json", "compared.json", "compare-embeddings"):
        assert words in titles
    assert "other.json" not in content


def test_a_result_of_a_folder_that_cannot_be_read_has_a_row(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (saved / "newer.json").write_text('{"schema_version": 9, "diagnosis": "x", "saved": {}}')
    (saved / ".hidden.json").write_text((saved / "compared.json").read_text())
    status, _, told = run(capsys, "report", str(saved), "-o", str(saved / "all.html"), "--static")
    assert status == 0
    assert "newer.json: found schema_version 9" in told
    content = (saved / "all.html").read_text()
    assert f"3 results: 1 error, {statuses(saved)}." in content
    assert ".hidden.json" not in content
    status, out, told = run(capsys, "report", str(saved))
    assert status == 0
    assert "newer.json" in told
    assert "newer.json" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["other.json"], "other.json: found JSON without schema_version"),
        (["broken.json"], "broken.json: found no JSON"),
        (["nothing.json"], "nothing.json: No such file"),
        (["compared.json", "other.json", "-o", "p.html"], "other.json: found JSON without"),
        (["empty"], "empty: found no saved results, expected files that --json=FILE"),
        (["compared.json", "--static"], "found --static without --out"),
        (["compared.json", "-o", "compared.json"], "compared.json: found a name of JSON"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    saved: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(saved)
    (saved / "empty").mkdir()
    status, out, told = run(capsys, "report", *arguments)
    assert status == 2
    assert out == ""
    assert words in told
    assert told.count("\n") == 1
    assert not (saved / "p.html").exists()


def test_the_folder_of_a_study_gives_its_report_and_what_was_saved_there(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made({0: 3, 1: 0}, 6, points=3, early=()).report()
    (saved / "study.json").write_text("{}")
    monkeypatch.setattr("diag.studies.reading.report_of", lambda folder: whole)
    status, _, told = run(capsys, "report", str(saved), "-o", str(saved / "all.html"), "--static")
    assert status == 0, told
    content = (saved / "all.html").read_text()
    found = " ".join(outline(content).words)
    places = [found.index(words) for words in (str(saved), "below/checked.json", "compared.json")]
    assert places == sorted(places)
    assert page(whole).verdict in " ".join(found.split())


@pytest.mark.parametrize("name", ["below/checked.json", "new.json", "base.npy", "link.html"])
def test_a_page_takes_the_place_of_no_result(
    saved: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (saved / "link.html").symlink_to(saved / "below" / "checked.json")
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    status, _, told = run(capsys, "report", str(saved), "-o", str(saved / name))
    assert status == 2
    assert "found a name of JSON" in told or "found an input of this command" in told
    assert before == {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}


def test_a_page_in_its_folder_is_made_anew(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(capsys, "report", str(saved), "-o", str(saved / "all.html"), "--static")[0] == 0


def test_too_many_are_refused_before_they_are_read(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diag.commands.report.MOST_PARTS", 1)
    monkeypatch.setattr("diag.saved.kinds.tree_in", lambda path: pytest.fail("read"))
    status, _, told = run(capsys, "report", str(saved))
    assert (status, "found 2 saved results, expected 1 in a page" in told) == (2, True)


def test_other_json_is_not_parsed(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def noted(path: str) -> dict[str, int]:
        parsed.append(Path(path).name)
        return {"saved": 1}

    monkeypatch.setattr("diag.saved.kinds.tree_in", noted)
    assert run(capsys, "report", str(saved))[0] == 0
    assert parsed == ["checked.json", "compared.json"]


def test_a_name_across_two_pieces_is_found(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(1, 40):
        monkeypatch.setattr("diag.saved.kinds._PIECE", size)
        (saved / "x.json").write_text('{"schema_version": 1, "saved": {}}')
        assert may_hold_result(str(saved / "x.json"))
        assert not may_hold_result(str(saved / "other.json"))


def test_what_the_system_does_not_read_has_a_row(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("diag.saved.kinds.whole", refused)
    status, _, told = run(capsys, "report", str(saved), "-o", str(saved / "all.html"), "--static")
    assert status == 0
    assert told.count("Permission denied") == 2


def forged(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a result, and its digest with it."""
    tree = json.loads(place.read_text())
    held = tree.pop(MEMBER)
    change(held["result"])
    tree[MEMBER] = {**held, "sha256": _digest(tree, held["kind"], held["result"])}
    place.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["picture"].update(colour="nothing"),
        lambda result: result["picture"]["base"].update(shape=[80]),
        lambda result: result["base"].update(path="\udc80.npy") if "path" in result["base"] else None,
    ],
)
def test_what_cannot_be_rendered_has_a_row(
    saved: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object]
) -> None:
    forged(saved / "compared.json", change)
    page = ["-o", str(saved / "all.html")]
    status, _, told = run(capsys, "report", str(saved), *page)
    assert status == 0, told
    if "cannot be rendered" not in told:  # it is rendered as it is
        assert "1 error" not in (saved / "all.html").read_text()
        return
    assert "compared.json: found a comparison that cannot be rendered" in (saved / "all.html").read_text()
    (saved / "all.html").unlink()
    status, _, told = run(capsys, "report", str(saved / "compared.json"), *page)
    assert status == 2
    assert told.count("\n") == 1
    assert "compared.json: found a comparison that cannot be rendered" in told


def test_two_of_one_title_are_told_apart_by_their_files() -> None:
    same = replace(small("t2 against b2", "pass", "v"), kind="compare-embeddings")
    whole = combined([Part("a.json", same), Part("below/b.json", same), Part("c.json", small("x", "", "v"))])
    words = outline(render(whole, live=False)).words
    for name in ("compare-embeddings, a.json", "compare-embeddings, below/b.json"):
        assert words.count(name) == 2  # in the index, and above its title
        assert f"{name}: t2 against b2" in words


def test_every_command_that_makes_pages_makes_static_ones() -> None:
    pages = {name for name, command in commands().items() if "--html" in options(command)}
    assert pages <= {name for name, command in commands().items() if "--static" in options(command)}
    assert {"check", "study report", "study forecast", "layers"} <= pages


def test_static_belongs_to_a_page(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(saved / "base.npy"), str(saved / "flipped.npy")]
    for command in ("compare-embeddings", "check"):
        status, _, told = run(capsys, command, *files, "--static")
        assert status == 2
        assert "found --static without --html, expected a page that is to be static" in told
        place = saved / f"{command}.html"
        run(capsys, command, *files, "--html", str(place), "--static")
        assert "<script" not in place.read_text()
        run(capsys, command, *files, "--html", str(place))
        assert "<script" in place.read_text()


# ---- several pages as one


def small(title: str, status: str, verdict: str) -> Page:
    return Page(title, status, verdict, [("base", "b.npy")], [Section("Measures", ["Words."])], "the footer")


def test_a_combined_page_has_the_worst_status_and_every_part() -> None:
    parts = [
        Part("a.json", small("one", "pass", "It landed.")),
        Part("b.json", small("two", "warn", "It is near.")),
        Part("c.json", small("three", "", "A study.")),
    ]
    whole = combined(parts)
    assert whole.status == "warn"
    assert whole.verdict == "3 results: 1 warn, 1 pass, 1 without a judgement."
    assert [part.title for part in whole.parts] == ["one", "two", "three"]
    assert whole.parts[0].facts == [("file", "a.json"), ("base", "b.npy")]
    found = outline(render(whole, live=False))
    words = " ".join(" ".join(found.words).split())
    # The index has each verdict before the first part begins.
    assert words.count("It landed.") == 2
    assert words.index("A study.") < words.index("Measures")
    assert found.addresses.count("#part-2") == 2
    ids = re.findall(r' id="([^"]+)"', render(whole, live=False))
    assert len(set(ids)) == len(ids)


def test_a_part_that_could_not_be_read_has_a_row_alone() -> None:
    whole = combined([Part("a.json", problem="a.json: found nothing"), Part("b", small("x", "pass", "v"))])
    assert whole.status == ERROR
    assert [(part.title, len(part.sections)) for part in whole.parts] == [("a.json", 0), ("x", 1)]
    assert summary([]) == "0 results: ."


def test_names_from_files_cannot_leave_their_place(saved: Path) -> None:
    name = "<script>alert(1)</script>\x1b.json"
    content = render(combined([Part(name, small("x", "pass", name))]), live=False)
    assert "<script" not in content
    assert "\x1b" not in content


def test_a_saved_result_names_its_kind(saved: Path) -> None:
    tree = json.loads((saved / "compared.json").read_text())
    assert tree[MEMBER]["kind"] == "comparison"
