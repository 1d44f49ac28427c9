"""Pictures in characters: what they show, how wide they are, and when they are drawn."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

import diag
from diag.comparisons.result import Comparison, Picture
from diag.outputs.compare_picture import render as embeddings
from diag.outputs.landscape_picture import render as slice_of
from diag.outputs.terminal import LEAST, can_show, framed, limits_of
from tests.commands import run

FRAME = "┌─ base "


@pytest.fixture(scope="module")
def compared() -> Comparison:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 2))
    return diag.compare(base, base * [-1, 1])


def panels(picture: str) -> tuple[list[str], list[str]]:
    """The rows of the two panels, without their frames."""
    rows = [line.strip() for line in picture.splitlines() if line.strip().startswith("│")]
    width = (len(rows[0]) - 5) // 2
    return [row[1 : 1 + width] for row in rows], [row[-1 - width : -1] for row in rows]


def test_a_mirrored_transfer_is_drawn_mirrored(compared: Comparison) -> None:
    points = np.array([[-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-0.5, 0.2]])
    drawn = replace(compared, picture=Picture(points, points * [-1, 1]))
    base, transfer = panels(embeddings(drawn))
    assert sum(row.count(" ") for row in base) < sum(map(len, base))
    # A point stands in one of two cells of its mirror image, as a cell is half open.
    for ours, theirs in zip(base, transfer, strict=True):
        columns = [i for i, mark in enumerate(ours) if mark != " "]
        mirrored = [len(theirs) - 1 - i for i, mark in enumerate(theirs) if mark != " "]
        assert len(columns) == len(mirrored)
        assert np.abs(np.subtract(sorted(columns), sorted(mirrored))).max(initial=0) <= 1
        assert sorted(ours.replace(" ", "")) == sorted(theirs.replace(" ", ""))


def test_states_bear_the_marks_of_their_categories(compared: Comparison) -> None:
    points = np.array([[-1.0, 0.0], [1.0, 0.0]])
    rooms = {"room": np.array(["left", "right"])}
    drawn = embeddings(replace(compared, picture=Picture(points, points, rooms, None, None, "room")))
    base, _ = panels(drawn)
    (row,) = [row for row in base if row.strip()]
    assert row.split() == ["o", "x"]
    assert "room: o left, x right." in drawn


def test_without_categories_marks_are_quarters_of_the_base(compared: Comparison) -> None:
    points = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    base, transfer = panels(embeddings(replace(compared, picture=Picture(points, points * [-1, 1]))))
    assert [row.split() for row in base if row.strip()] == [["+", "*"], ["o", "x"]]
    assert [row.split() for row in transfer if row.strip()] == [["*", "+"], ["x", "o"]]


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rng = np.random.default_rng(1)
    for picture in (
        Picture(rng.normal(size=(5000, 4)), rng.normal(size=(5000, 4))),
        Picture(np.zeros((3, 1)), np.zeros((3, 1))),
        Picture(np.array([[np.nan, 0.0], [1e8, 1.0]]), np.array([[0.0, 0.0], [0.0, np.inf]])),
    ):
        drawn = embeddings(replace(compared, picture=picture))
        assert max(map(cell_len, drawn.splitlines())) <= min(max(columns, 40), 120)


# ---- the slice


def wall(t: Any, loss: Any) -> Any:
    route = SimpleNamespace(t=np.asarray(t, float), losses={"total": np.asarray(loss, float)})
    return SimpleNamespace(routes={"raw": route}, task="target")


def test_the_highest_point_between_the_ends_is_marked() -> None:
    t = np.linspace(-0.2, 1.2, 29)
    loss = 1 - (2 * t - 1) ** 2 / 2
    drawn = slice_of(wall(t, loss))
    rows = [line for line in drawn.splitlines() if "│" in line]
    (peak,) = [number for number, row in enumerate(rows) if "▲" in row]
    assert peak <= 2
    assert abs(rows[peak].index("▲") - len(rows[peak]) // 2) <= 4
    assert (
        "A, at t = 0: 0.500. B, at t = 1: 0.500. ▲, the highest between them, at t = 0.50: 1.00."
        in " ".join(drawn.split())
    )
    assert sum("A" in row for row in rows) == sum("B" in row for row in rows) == 1


def test_gaps_and_what_is_far_beyond_the_ends_are_told() -> None:
    t = np.linspace(-0.2, 1.2, 15)
    loss = np.where(t < -0.05, 1e6, np.where(t > 1.05, np.nan, 1 + t))
    drawn = " ".join(slice_of(wall(t, loss)).split())
    assert "cut off" in drawn
    assert "at t = 1.00: 2." in drawn
    assert "nothing to draw" in slice_of(wall(t, np.full(15, np.nan)))
    assert "at t = 0.00: 3." in " ".join(slice_of(wall(t, np.full(15, 3.0))).split())


def test_a_frame_bears_its_title_whole_or_cut() -> None:
    from diag.outputs.terminal import canvas

    lines = framed(canvas(12, 3, (0, 0, 1, 1)), "a title that is long\n")
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith("┌─ a title ")
    assert limits_of(np.array([np.nan]), np.array([2.0, 2.0])) == pytest.approx((-0.04, 0.0, 1.04, 4.0))


# ---- when


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("columns", "term", "encoding", "shown"),
    [
        (LEAST, "xterm", "utf-8", True),
        (LEAST - 1, "xterm", "utf-8", False),
        (100, "dumb", "utf-8", False),
        (100, "xterm", "ascii", False),
        (100, "xterm", "latin-1", False),
    ],
)
def test_it_is_drawn_where_it_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, columns: int, term: str, encoding: str, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", term)
    assert can_show(Terminal(io.BytesIO(), encoding=encoding)) is shown
    assert not can_show(io.StringIO())


@pytest.fixture
def arrays(tmp_path: Path) -> list[str]:
    base = np.random.default_rng(0).normal(size=(40, 2))
    places = [str(tmp_path / name) for name in ("base.npy", "transfer.npy")]
    for place, values in zip(places, (base, -base), strict=True):
        np.save(place, values)
    return places


def test_pipes_and_json_have_none_unasked(arrays: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare-embeddings", *arrays]
    plain = run(capsys, *command)[1]
    assert FRAME not in plain
    asked = run(capsys, *command, "--picture")[1]
    assert asked.startswith(plain.rstrip("\n"))
    assert FRAME in asked
    assert FRAME in run(capsys, *command, "-q", "--picture")[1]
    assert FRAME not in run(capsys, *command, "--json")[1]
    for option in ("--json", "--html=-"):
        status, out, told = run(capsys, *command, "--picture", option)
        assert (status, out) == (2, "")
        assert "which all print to standard output; expected one of them" in told


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of another kind")
def test_a_terminal_has_one_unless_it_is_not_wanted(arrays: list[str]) -> None:
    def printed(*options: str, columns: int = 90) -> str:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "diag", "compare-embeddings", *arrays, *options]
        with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
            os.close(theirs)
            content = b""
            try:
                while more := os.read(ours, 2**16):
                    content += more
            except OSError:  # the other end is closed: all was read
                pass
            assert process.wait(timeout=120) == 0
        os.close(ours)
        return content.decode()

    assert FRAME in printed()
    assert FRAME not in printed("--no-picture")
    assert FRAME not in printed(columns=LEAST - 1)
