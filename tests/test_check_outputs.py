"""The gate for people: the terminal, GitHub's annotations and summary, and the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

import diag
from diag.checks.result import Checked, Gate
from diag.comparisons.result import Comparison
from diag.outputs import check_github, check_html, check_text
from diag.outputs.check_words import in_tree, source_root
from diag.outputs.registry import html, text
from probes import Measure
from reports import render
from reports.checks import against_limits
from tests.conftest import EXAMPLES
from tests.gates import (
    ACCEPTED,
    FAILED,
    FINE,
    MIXED,
    NASTY,
    NOTHING,
    UNDECIDED,
    UNREAD,
    UNSURE,
    WARNED,
    checked,
    finding,
    gate,
    passed,
    unread,
)
from tests.test_html import outline
from trainers.safe_text import plain


def failing(count: int) -> list[Checked]:
    return [checked(f"runs/t/{i}.safetensors", finding(message=f"number {i}")) for i in range(count)]


# -- the terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "tag"),
    [
        (gate(FINE), "PASS"),
        (gate(FINE, WARNED), "WARN"),
        (MIXED, "FAIL"),
        (gate(UNDECIDED), "INCONCLUSIVE"),
        (gate(FAILED, UNREAD), "ERROR"),
        (gate(), "ERROR"),
    ],
)
def test_the_headline_says_the_outcome(result: Gate, tag: str) -> None:
    assert check_text.render(result).startswith(f"{tag}  {result.summary[:40]}")
    assert check_text.brief(result) == f"{tag.lower()}  {result.summary}"


def test_it_is_one_line_when_all_is_well() -> None:
    transfers = [checked(f"runs/t/{i}.safetensors", passed(), passed("r2")) for i in range(4)]
    assert check_text.render(gate(*transfers)) == "PASS  Of 4 transfers 4 passed."
    verbose = check_text.render(gate(*transfers), verbose=True)
    assert all(f"  PASS  runs/t/{i}.safetensors" in verbose for i in range(4))


def test_what_did_not_pass_has_its_number_and_its_limits_line() -> None:
    shown = check_text.render(MIXED)
    assert "fail  r2: R² is 0.59 [0.4, 0.73]; wanted at least 0.8 (diag.toml:12)" in shown
    assert "relative L2" not in shown
    assert "relative L2" in check_text.render(MIXED, verbose=True)
    outcomes = re.findall(r"^  ([A-Z]+) +runs", shown, re.MULTILINE)
    assert outcomes == ["FAIL", "INCONCLUSIVE", "WARN"]
    assert "1 finding accepted by the baseline accepted.json" in shown


def test_a_default_limit_is_named() -> None:
    default = checked("t.npy", finding(file=None, line=None))
    assert "(default check.r2.min)" in check_text.render(gate(default))


@pytest.mark.parametrize(("strict", "status"), [(True, 4), (False, 0)])
def test_what_cannot_be_decided_says_the_exit_status(strict: bool, status: int) -> None:
    result = gate(UNDECIDED, strict=strict)
    assert result.exit_status == status
    assert f"exit status {status}" in check_text.render(result)


def test_errors_come_first_with_their_reason() -> None:
    shown = check_text.render(gate(FAILED, NOTHING, UNREAD))
    places = [shown.index(words) for words in ("no check could be run: no embeddings", "a text file", "r2:")]
    assert places == sorted(places)


def test_an_undecided_check_that_only_warns_is_told_where_there_is_nothing_else() -> None:
    both = checked("t.npy", passed(), *UNSURE.findings)
    assert "cka" not in check_text.render(gate(both))
    assert "inconclusive  cka" in check_text.render(gate(UNSURE))


def test_an_error_names_its_file_once() -> None:
    result = gate(unread("a.npy", "a.npy: found 5 bytes; expected an array"))
    ((_, _, message),) = commands(check_github.annotations(result))
    assert message == "a.npy: found 5 bytes; expected an array"
    assert check_text.render(result).count("a.npy") == 1


def test_what_was_left_out_and_warned_of_is_said_once() -> None:
    skipped = finding("probe", "skipped", "no variables", measure=None, limit=None)
    transfers = [
        replace(checked(f"{i}.npy", passed(), skipped), warnings=("rows dropped",) * (i < 2))
        for i in range(3)
    ]
    shown = check_text.render(gate(*transfers, WARNED, warnings=("old baseline",)))
    assert shown.count("not checked: probe of 0.npy, 1.npy, 2.npy: no variables") == 1
    assert "warning: old baseline" in shown
    assert shown.count("warning: rows dropped (2 of 4 transfers)") == 1
    assert "skipped  probe: no variables" in check_text.render(gate(*transfers), verbose=True)


@given(NASTY, NASTY, st.booleans())
@example("重み" * 40 + ".npy", "埋め込み " * 30, True)
@settings(deadline=None)
def test_lines_are_at_most_80_cells_or_one_word(path: str, message: str, verbose: bool) -> None:
    pairs = [checked(path, finding(message=message)), unread(path, message), checked(path, passed())]
    for line in check_text.render(gate(*pairs), verbose).split("\n"):
        # A word that is longer than a line is not broken: it has one of its own.
        assert cell_len(line) <= 80 or len(line.split()) == 1
        assert line.isprintable()


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1))
@settings(deadline=None)
def test_wrapping_loses_nothing(word: str) -> None:
    words = f"{word} {word} {word * 9}"
    assert "".join("".join(check_text.wrapped(words, "  ", "    ")).split()) == "".join(words.split())


def test_the_common_names_call_these() -> None:
    assert text(MIXED, True) == check_text.render(MIXED, True)
    assert html(gate()) == render(check_html.page(gate()))


# -- GitHub ------------------------------------------------------------------------------------------------


def commands(written: str) -> list[tuple[str, dict[str, str], str]]:
    """Workflow commands as the runner reads them: kind, properties, message."""
    found = []
    for line in re.split(r"\r\n|\r|\n", written) if written else []:
        assert line.startswith("::")
        head, message = line[2:].split("::", 1)
        kind, _, properties = head.partition(" ")
        known = dict(p.split("=", 1) for p in properties.strip().split(",") if p)
        for code, own in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            known = {name: value.replace(code, own) for name, value in known.items()}
        for code, own in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            message = message.replace(code, own)
        found.append((kind, known, message))
    return found


def test_annotations_stand_on_the_limits_line_worst_first() -> None:
    found = commands(check_github.annotations(gate(*MIXED.checked, UNREAD)))
    assert [kind for kind, *_ in found] == ["error", "error", "warning", "notice"]
    assert found[0][1] == {"file": UNREAD.transfer, "title": "not checked"}
    assert found[1][1] == {"file": "diag.toml", "line": "12", "title": "r2: fail"}
    assert found[1][2] == f"{FAILED.transfer}: R² is 0.59 [0.4, 0.73]; wanted at least 0.8"
    assert found[3][1]["file"] == UNDECIDED.transfer


def test_all_well_and_what_is_accepted_have_no_annotation() -> None:
    assert check_github.annotations(gate(FINE, ACCEPTED)) == ""


def test_no_transfer_is_an_error() -> None:
    assert [kind for kind, *_ in commands(check_github.annotations(gate()))] == ["error"]


@pytest.mark.parametrize("pair", [UNDECIDED, UNSURE])
@pytest.mark.parametrize(("strict", "kind"), [(True, "error"), (False, "notice")])
def test_what_fails_the_gate_is_an_error(pair: Checked, strict: bool, kind: str) -> None:
    assert [k for k, *_ in commands(check_github.annotations(gate(pair, strict=strict)))] == [kind]


def test_ten_of_a_kind_and_how_many_more() -> None:
    found = commands(check_github.annotations(gate(*failing(25), WARNED)))
    assert [kind for kind, *_ in found] == ["error"] * 10 + ["warning"]
    assert found[8][2].endswith("number 8")
    assert found[9][2].endswith("number 9 (and 15 more: the step's summary has all of them)")


@given(NASTY, NASTY, NASTY)
@example("a:b,c%2C.npy", "100%0A\r\n::error::no", "d=e:,.toml")
@settings(deadline=None)
def test_annotations_read_back(path: str, message: str, config: str) -> None:
    pair = checked(path, finding(message=message, file=config))
    ((kind, known, read),) = commands(check_github.annotations(gate(pair)))
    assert (kind, known["line"], known["title"]) == ("error", "12", "r2: fail")
    assert read == plain(f"{path}: {message}")
    assert known["file"] == plain(in_tree(config, source_root()) or config)


def test_files_are_told_from_the_repositorys_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    ((_, known, _),) = commands(check_github.annotations(gate(FAILED)))
    assert known["file"] == "sub/diag.toml"
    ((_, known, _),) = commands(check_github.annotations(gate(unread("/elsewhere/a.npy"))))
    assert known["file"] == "/elsewhere/a.npy"


def cells(summary: str) -> list[list[str]]:
    """The rows of a summary's table as a Markdown reader sees them, tags left out."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(summary):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and token.level == 4:
            parts = token.children or []
            rows[-1].append("".join(p.content for p in parts if p.type != "html_inline"))
    return rows


def test_the_summary_has_a_row_a_transfer() -> None:
    summary = check_github.step_summary(gate(*MIXED.checked, UNREAD, config="diag.toml"))
    rows = cells(summary)
    assert rows[0] == ["outcome", "transfer", "found"]
    assert [r[0] for r in rows[1:]] == ["error", "fail", "inconclusive", "warn", "pass", "pass"]
    assert rows[2][1:] == [FAILED.transfer, f"fail r2: {FAILED.findings[0].message} (diag.toml:12)"]
    assert rows[1][2] == UNREAD.error
    assert "diag check: error" in summary
    assert "Exit status 2" in summary


@given(NASTY, NASTY)
@example("a|b`c`<d>.npy", "**bold** [link](x) $x$ \\| ~~no~~ <img src=x> | `")
@settings(deadline=None)
def test_summary_cells_read_back(path: str, message: str) -> None:
    pair = checked(path, finding(message=message, limit=None))
    rows = cells(check_github.step_summary(gate(pair)))
    assert len(rows) == 2
    # Markdown drops spaces at a cell's ends.
    assert rows[1][1].strip() == plain(path).strip()
    assert rows[1][2].strip() == f"fail r2: {plain(message)}".strip()


def test_a_long_summary_is_cut_whole_rows_at_a_time() -> None:
    pairs = [checked(f"{i}.npy", finding(message="x" * 9000)) for i in range(200)]
    summary = check_github.step_summary(gate(*pairs))
    assert 800_000 < len(summary.encode()) < 2**20
    shown = len(cells(summary)) - 1
    assert f"{200 - shown} more transfers are left out" in summary


def test_the_summary_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "summary.md"
    place.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    check_github.append_summary(MIXED)
    assert place.read_text(encoding="utf-8") == "before\n" + check_github.step_summary(MIXED)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(OSError):
        check_github.append_summary(MIXED)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    check_github.append_summary(MIXED)


# -- the page ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return diag.compare(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors")


def test_the_page_shows_every_pair_and_why(compared: Comparison) -> None:
    pictured = replace(FAILED, comparison=compared)
    page = html(gate(*MIXED.checked, pictured, pictured, UNREAD, baseline="accepted.json"))
    words = " ".join(outline(page).words)
    for one in (
        "Of 8 transfers 1 could not be checked, 3 failed",
        "✗ 0.59",
        "? 0.59",
        "(✓) 0.59",
        "diag.toml:12",
    ):
        assert one in words
    assert f"{UNREAD.transfer}: {UNREAD.error}" in words
    assert f"✗ r2: {FAILED.findings[0].message} (diag.toml:12)" in words
    assert page.count("<h2>a: fail</h2>") == 2
    assert "Others that did not pass" in words
    # The matrix, a picture of each pair that has embeddings, and the numbers against their limits.
    assert page.count("data-spec=") == 4
    assert f"diag check {FAILED.base} {FAILED.transfer}" in words
    assert [a for a in outline(page).addresses if not a.startswith(("data:", "#"))] == []


@pytest.mark.parametrize("result", [gate(), gate(UNREAD), gate(NOTHING), gate(FAILED), gate(FINE, FINE)])
def test_every_gate_has_a_page(result: Gate) -> None:
    words = " ".join(outline(html(result)).words)
    assert result.summary in words
    assert f"exit status {result.exit_status}" in " ".join(words.split())


def test_nothing_breaks_out_of_the_page() -> None:
    evil = "</script><script>alert(1)</script>\udcff"
    bad = finding("r2", message=evil, of=evil, file=evil)
    page = html(gate(checked(evil, bad, base=evil), unread(evil, evil), config=evil))
    assert "<script>alert" not in page
    page.encode()


def test_the_chart_shades_the_side_that_does_not_pass_and_cuts_outliers() -> None:
    rows = {"check": "r2", "title": "r2", "transfer": ["a", "b"], "value": [0.9, -40.0]}
    more = {"low": [0.8, -41.0], "high": [1.0, -39.0], "limit": 0.8, "better": "higher", "said": ""}
    spec = against_limits(pd.DataFrame({**rows, **more, "outcome": ["pass", "fail"]})).to_dict()
    shade, limit, _, points = spec["concat"][0]["layer"]
    drawn = {name: spec["datasets"][layer["data"]["name"]] for name, layer in (("s", shade), ("p", points))}
    least, most = points["encoding"]["x"]["scale"]["domain"]
    assert drawn["s"][0] == {"limit": 0.8, "edge": least}
    assert limit["encoding"]["x"]["field"] == "limit"
    assert -90 < least < drawn["p"][1]["value_at"] < drawn["p"][0]["value_at"] == 0.9 < most
    assert drawn["p"][1]["value_at"] > -40


def test_a_margin_is_no_place_on_the_axis() -> None:
    loss = finding("returns", measure=Measure(-3.0, -4.0, -2.0), limit=("margin", 0.1))
    spec = html(gate(checked("a.npy", loss)))
    assert "at least 0.1" not in spec
    assert "data-spec=" in spec


@given(st.lists(NASTY, unique=True))
@example([".", "..", "/", "a/../b.npy"])
def test_short_names_tell_apart(paths: list[str]) -> None:
    short = check_html.short_names(paths)
    assert len(set(short)) == len(set(map(plain, paths)))
    assert all(name.isprintable() for name in short)


def test_labels_of_two_transfers_differ() -> None:
    paths = [f"{kind}/{'deep/' * 9}seed0.npy" for kind in ("a", "b")]
    assert len(set(check_html._labels(check_html.short_names(paths)))) == 2
