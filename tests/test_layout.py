"""Text in columns: the terminal's width, lines between words, tables that fold, statuses in colour."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from diag.commands.app import run
from diag.outputs.colour import painted
from diag.outputs.layout import NARROWEST, WIDEST, Column, folded, table, width, wrapped
from diag.wording import listed, plural
from tests import shown

WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=60)
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("columns", "found"), [("", 80), ("nonsense", 80), ("10", 40), ("72", 72), ("120", 120), ("400", 120)]
)
def test_the_width_is_that_of_the_terminal_within_bounds(
    columns: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert width() == found
    assert (NARROWEST, WIDEST) == (40, 120)


@given(WORDS, st.integers(40, 120))
def test_lines_break_between_words_only(words: list[str], room: int) -> None:
    lines = wrapped(" ".join(words), "  ", "    ", room)
    narrow = [word for word in words if cell_len(word) == len(word)]
    assert set(narrow) <= {word for line in lines for word in line.split()}
    for line in lines:
        assert cell_len(line) <= room or len(line.split()) == 1


@given(WORDS)
def test_wrapping_loses_nothing(words: list[str]) -> None:
    assert "".join("".join(wrapped(" ".join(words), "", "  ")).split()) == "".join(words)


def test_an_interval_stays_whole() -> None:
    assert wrapped("it is 0.5 [0.25, 0.75] of 1", "", "", 21) == ["it is 0.5", "[0.25, 0.75] of 1"]


def test_a_long_path_has_a_line_of_its_own() -> None:
    path = "runs/" + "deep/" * 20 + "seed0.safetensors"
    assert wrapped(f"against {path} as it was", "  ", "  ", 40) == ["  against", f"  {path}", "  as it was"]


def test_a_table_folds_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("", 16, "<"), Column("relation", 16, "<"), Column("R²", 12), Column("note", 6)]
    rows = [("before", "flipped", "-0.48", ""), ("after", "matched", "0.98", "1")]
    assert table(columns, rows) == [
        "                  relation                  R²  note",
        "  before          flipped                -0.48",
        "  after           matched                 0.98     1",
    ]
    monkeypatch.setenv("COLUMNS", "40")
    assert table(columns, rows) == [
        "  before",
        "    relation flipped; R² -0.48",
        "  after",
        "    relation matched; R² 0.98; note 1",
    ]
    assert folded("alone", []) == ["  alone"]


def test_plurals_and_lists() -> None:
    assert [plural(n, "base") for n in (0, 1, 2)] == ["0 bases", "1 base", "2 bases"]
    assert plural(1, "loss", "losses") == "1 loss"
    assert listed([], "no base") == "no base"


@pytest.mark.parametrize(
    ("settings", "colour"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_statuses_have_colours_on_a_terminal(
    settings: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    words = "FAIL  a\n  pass  b\nfailures  c\n    warn  d"
    told = "\x1b[1;31mFAIL\x1b[0m  a\n  \x1b[1;32mpass\x1b[0m  b\nfailures  c\n    \x1b[1;33mwarn\x1b[0m  d"
    assert painted(words, Terminal()) == (told if colour else words)
    assert painted(words, io.StringIO()) == words


def test_force_color_colours_a_pipe_but_no_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    base, mirrored, _ = shown.arrays(tmp_path)  # type: ignore[arg-type]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert run(["compare-embeddings", base, mirrored]) == 0
    assert capsys.readouterr().out.startswith("\x1b[1;31mFAIL\x1b[0m  Flipped")
    assert run(["compare-embeddings", base, mirrored, "--json"]) == 0
    assert "\x1b" not in capsys.readouterr().out
