"""Which columns are the embedding and which row is which: by name and key, and never by chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import diag
from diag.commands import app as cli
from diag.outputs.registry import html, text
from diag.sources.naming import is_bookkeeping, says_order
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests import source_files as files

Array = NDArray[np.float64]
Run = pytest.CaptureFixture[str]

ROWS = 60
NAMES = ["a", "b", "c"]
STEP = Supplied(key="step")


@pytest.fixture
def base(rng: np.random.Generator) -> Array:
    return rng.normal(size=(ROWS, 3)) * [1.0, 2.0, 0.5]


@pytest.fixture
def matched(base: Array, rng: np.random.Generator) -> Array:
    """A transfer in its place, but for noise."""
    return base + 0.01 * rng.normal(size=base.shape)


@pytest.fixture
def shuffled(rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(ROWS)


def frame(values: Array, **beside: Any) -> pd.DataFrame:
    """A table with the columns of :data:`NAMES`, behind what stands beside them."""
    return pd.DataFrame({**beside, **dict(zip(NAMES, values.T, strict=True))})


def saved(table: pd.DataFrame, place: Path, index: bool | None = None) -> Path:
    table.to_parquet(place, index=index)
    return place


def command(capsys: Run, *arguments: str) -> tuple[int, str, str]:
    status = cli.run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


# Columns -----------------------------------------------------------------------------------------------


def test_reordered_columns_are_aligned_by_name(base: Array, matched: Array, tmp_path: Path) -> None:
    """They came out as a permuted embedding."""
    other = frame(matched)[["c", "a", "b"]]
    places = saved(frame(base), tmp_path / "a.parquet"), saved(other, tmp_path / "b.parquet")
    for found in (diag.compare(*places), diag.compare(frame(base), other)):
        assert found.relation == "matched"
        assert found.columns is not None
        assert found.columns.taken == ("a", "b", "c")
        assert any("put into the order" in words and "by name" in words for words in found.warnings)
        assert found.measures["l2"].value == pytest.approx(diag.compare(base, matched).measures["l2"].value)


def test_other_columns_are_refused_by_name(base: Array, tmp_path: Path) -> None:
    left, right = frame(base), frame(base + 1).rename(columns={"c": "z"})
    with pytest.raises(SubjectError, match=r"found no column c and another z; expected the columns of"):
        diag.compare(left, right)
    found = diag.compare(left, right, supplied=Supplied(columns=("a", "b")))
    assert found.columns is not None
    assert (found.columns.taken, found.dimensions) == (("a", "b"), (2, 2))


@pytest.mark.parametrize(
    "name",
    [
        "step",
        "Env ID",
        "Unnamed: 0",
        "id",
        pytest.param("t", marks=pytest.mark.long),
        pytest.param("env_id", marks=pytest.mark.long),
        pytest.param("timestep", marks=pytest.mark.long),
        pytest.param("episode", marks=pytest.mark.long),
    ],
)
def test_a_flipped_transfer_beside_bookkeeping_is_flipped(name: str, base: Array, tmp_path: Path) -> None:
    """Beside such a column it was matched with R² 1.00, and the gate passed."""
    counted = np.arange(ROWS) * 1.5
    places = [
        saved(frame(y, **{name: counted}), tmp_path / f"{i}.parquet") for i, y in enumerate((base, -base))
    ]
    found, gate = diag.compare(*places), diag.check(*places)
    assert (found.relation, found.dimensions) == ("flipped", (3, 3))
    assert gate.outcome == "fail"
    assert found.columns is not None
    assert (found.columns.taken, found.columns.left_out) == (("a", "b", "c"), (name,))
    assert any("left out" in words and "--columns" in words for words in gate.checked[0].warnings)


def test_the_columns_are_told_everywhere(base: Array, matched: Array, tmp_path: Path) -> None:
    found = diag.compare(frame(base, step=range(ROWS)), frame(matched, step=range(ROWS)))
    told = {"taken": ["a", "b", "c"], "left_out": ["step"], "key": None}
    assert json.loads(json.dumps(found.to_tree()))["columns"] == told
    for words in (text(found), html(found)):
        assert "columns a, b, c; left out step" in words
    assert diag.compare(base, matched).to_tree()["columns"] is None


def test_whoever_names_columns_answers_for_them(base: Array, matched: Array) -> None:
    left, right = frame(base, t=matched[:, 0]), frame(matched, t=base[:, 0])
    found = diag.compare(left, right, supplied=Supplied(columns=("t", "[ab]")))
    assert found.columns is not None
    assert (found.columns.taken, found.columns.left_out) == (("t", "a", "b"), ())
    with pytest.raises(SubjectError, match=r"no column 'q\*'; expected --columns with some of t, a, b, c"):
        diag.compare(left, right, supplied=Supplied(columns=("q*",)))


def test_nothing_but_bookkeeping_is_no_embedding(tmp_path: Path) -> None:
    table = pd.DataFrame({"step": range(9), "t": np.arange(9) / 2})
    for one in (table, saved(table, tmp_path / "a.parquet")):
        with pytest.raises(SubjectError, match=r"found no column but step, t; expected .*--columns NAMES"):
            diag.compare(one, frame(np.ones((9, 3))))


def test_names_of_dimensions_are_no_bookkeeping() -> None:
    assert not any(
        map(is_bookkeeping, ["z0", "dim_1", "x", "y", "latent 3", "0", "embedding", "h_t", "key_4"])
    )
    assert all(
        map(is_bookkeeping, ["step", "STEP", "time_step", "envId", "seed", "__index_level_0__", "done"])
    )
    assert [says_order(name) for name in ("step", "t", "seed", "time", "env_id")] == [
        True,
        True,
        *[False] * 3,
    ]


# What the numbers show ---------------------------------------------------------------------------------


def beside(values: Array, column: Array) -> Array:
    return np.column_stack([values, column])


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_counter_without_a_name_is_refused(kind: type, base: Array, tmp_path: Path) -> None:
    counts = np.arange(ROWS) * 0.1
    left, right = beside(base, counts).astype(kind), beside(-base, 7 + 3 * counts).astype(kind)
    with pytest.raises(SubjectError, match="column 4, which goes by the same step from"):
        diag.compare(left, right)
    found = diag.compare(left, right, supplied=Supplied(columns=("*",)))
    assert found.dimensions == (4, 4)
    np.save(tmp_path / "a.npy", left)
    np.save(tmp_path / "b.npy", right)
    assert diag.check(tmp_path / "a.npy", tmp_path / "b.npy").outcome == "error"


def test_whole_numbers_that_are_equal_in_both_are_refused(base: Array) -> None:
    rooms = np.arange(ROWS) % 7 * 3.0
    with pytest.raises(SubjectError, match="column 4, which holds the same whole numbers"):
        diag.compare(beside(base, rooms), beside(-base, rooms))
    named = [frame(y).assign(room=rooms) for y in (base, -base)]
    with pytest.raises(SubjectError, match=r"column room, which holds the same .*--columns NAMES"):
        diag.compare(*named)


def test_fractions_that_are_equal_in_both_may_not_decide(base: Array, matched: Array, rng: Any) -> None:
    speed = 20 * rng.normal(size=ROWS)
    with pytest.raises(SubjectError, match=r"column 4, which equals .* the others alone are flipped"):
        diag.compare(beside(base, speed), beside(base * [1, -1, 1] + 0.01 * matched, speed))
    assert diag.compare(beside(base, speed), beside(matched, speed)).relation == "matched"


def test_what_is_equal_for_other_reasons_is_compared(base: Array, rng: np.random.Generator) -> None:
    """Constant units, exact mirror images, a frozen encoder, and codes of whole numbers."""
    dead = beside(base, np.zeros(ROWS))
    assert diag.compare(dead, beside(-base, np.zeros(ROWS))).relation == "flipped"
    assert diag.compare(base, base * [1, -1, 1]).relation == "flipped"
    found = diag.compare(beside(base, np.arange(ROWS)), beside(base, np.arange(ROWS)))
    assert found.relation == "matched"
    assert any("equal byte for byte" in words for words in found.warnings)
    codes = rng.integers(0, 9, (ROWS, 3))
    assert diag.compare(codes, codes * [1, -1, 1]).relation == "flipped"


def test_known_good_transfers_are_held_to_the_same(base: Array, matched: Array, rng: Any) -> None:
    def good(values: Array) -> pd.DataFrame:
        return frame(values)[["b", "c", "a"]]

    others = [good(base + s * rng.normal(size=base.shape)) for s in (0.01, 0.02, 0.03)]
    found = diag.compare(frame(base), frame(matched), good=others)
    plain = diag.compare(base, matched, good=[o[NAMES].to_numpy() for o in others])
    assert found.margin == pytest.approx(plain.margin)
    with pytest.raises(SubjectError, match="known-good array 1: found no column"):
        diag.compare(frame(base), frame(matched), good=[others[0], others[1].rename(columns={"a": "x"})])


# Rows --------------------------------------------------------------------------------------------------


def test_rows_are_aligned_by_the_index_that_pandas_stores(
    base: Array, matched: Array, shuffled: NDArray[np.int64], tmp_path: Path
) -> None:
    left, right = frame(base), frame(matched).iloc[shuffled]
    for index in (None, pd.Index([f"state {i}" for i in range(ROWS)], name="state")):
        if index is not None:
            left, right = left.set_axis(index), frame(matched).set_axis(index).iloc[shuffled]
        places = saved(left, tmp_path / "a.parquet"), saved(right, tmp_path / "b.parquet")
        for found in (diag.compare(*places), diag.compare(left, right), diag.compare(left, pa.table(right))):
            assert (found.relation, found.rows) == ("matched", ROWS)
            assert any("put into the order" in words for words in found.warnings)


def test_an_index_that_does_not_pair_is_refused(base: Array, matched: Array) -> None:
    left, right = frame(base), frame(matched)
    with pytest.raises(SubjectError, match=r"1 rows, told by .*, that .* lacks \(60\)"):
        diag.compare(left, right.set_axis(np.arange(1, ROWS + 1)))
    with pytest.raises(SubjectError, match=r"rows by the stored index, which .* lacks"):
        diag.compare(left.iloc[::-1], matched)
    repeated = np.arange(ROWS) // 2
    with pytest.raises(SubjectError, match="60 rows that share the stored index with another"):
        diag.compare(left.set_axis(repeated), right.set_axis(repeated[::-1]))
    assert diag.compare(left.set_axis(repeated), right.set_axis(repeated)).relation == "matched"
    assert diag.compare(left, matched).relation == "matched"


KEYED = {
    "Parquet": lambda place, arrays: saved(frame(arrays["embeddings"], step=arrays["step"]), place, False),
    "npz": files.npz,
    "safetensors": files.safetensors,
    "torch": files.saved,
}


@pytest.mark.parametrize("kind", KEYED)
def test_rows_are_aligned_by_a_key(
    kind: str, base: Array, matched: Array, shuffled: NDArray[np.int64], tmp_path: Path
) -> None:
    steps = np.arange(ROWS) * 4
    places = [
        KEYED[kind](tmp_path / f"{name}.parquet", {"embeddings": y[rows], "step": steps[rows]})
        for name, y, rows in (("a", base, np.arange(ROWS)), ("b", matched, shuffled))
    ]
    with pytest.raises(SubjectError, match=r"found step \d+ in row 0, where .* has 0; expected .*--key step"):
        diag.compare(*places)
    found = diag.compare(*places, supplied=STEP)
    assert (found.relation, found.rows) == ("matched", ROWS)
    assert found.columns is not None
    assert found.columns.key == "step"
    assert diag.check(*places, supplied=STEP).outcome == "pass"
    with pytest.raises(SubjectError, match=r"no (column|array) 'stepp'; expected --key with one of"):
        diag.compare(*places, supplied=Supplied(key="stepp"))


def test_keys_that_do_not_pair_are_refused(base: Array, matched: Array) -> None:
    steps = np.arange(ROWS)
    left = frame(base, step=steps)
    with pytest.raises(SubjectError, match=r"2 rows that share step with another \(0\)"):
        diag.compare(left, frame(matched, step=np.r_[0, 0, 2:ROWS]), supplied=STEP)
    late = frame(matched, step=steps + 10)
    with pytest.raises(
        SubjectError, match=r"10 rows, told by step, that base array lacks \(60\).*for the 50"
    ):
        diag.compare(left, late, supplied=STEP)
    with pytest.raises(SubjectError, match=r"5 rows, told by step, that transfer array lacks \(55\)"):
        diag.compare(left, frame(matched, step=steps).iloc[:55], supplied=STEP)
    with pytest.raises(SubjectError, match="an array without a name, and so no key"):
        diag.compare(left, matched, supplied=STEP)
    with pytest.raises(SubjectError, match="key 'step' missing in 1 rows"):
        diag.compare(left, frame(matched, step=np.r_[np.nan, 1:ROWS]), supplied=STEP)
    with pytest.raises(SubjectError, match="no key to find common rows by; expected --key NAME"):
        diag.compare(left, late, supplied=Supplied(common_rows=True))


def test_common_rows_are_compared_where_that_is_asked_for(base: Array, matched: Array) -> None:
    steps, episodes = np.arange(ROWS), np.arange(ROWS) // 5
    left = frame(base, step=steps, episodes=episodes)
    right = frame(matched, step=steps, episodes=episodes).iloc[::-1].iloc[10:]
    found = diag.compare(left, right, supplied=Supplied(key="step", common_rows=True))
    assert (found.relation, found.rows, found.states) == ("matched", 50, 10)
    assert "10 rows of base array were left out: the other file has no such key" in found.warnings
    given = diag.compare(
        left.drop(columns="episodes"),
        right.drop(columns="episodes"),
        episodes=episodes,
        supplied=Supplied(key="step", common_rows=True),
    )
    assert (given.states, given.measures["cka"].p) == (10, found.measures["cka"].p)


def test_several_columns_make_a_key(base: Array, matched: Array, shuffled: NDArray[np.int64]) -> None:
    where = {"episode": np.arange(ROWS) // 6, "step": np.arange(ROWS) % 6}
    left, right = frame(base, **where), frame(matched, **where).iloc[shuffled].reset_index(drop=True)
    found = diag.compare(left, right, supplied=Supplied(key="episode, step"))
    assert found.relation == "matched"
    with pytest.raises(SubjectError, match="60 rows that share step with another"):
        diag.compare(left, right, supplied=STEP)
    indexed = [one.set_index(["episode", "step"]) for one in (left, right)]
    assert diag.compare(*indexed).relation == "matched"


# Named arrays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [files.npz, files.safetensors, files.saved], ids=lambda w: w.__name__)
def test_which_of_several_arrays_is_the_embedding(write: files.Write, base: Array, tmp_path: Path) -> None:
    steps = np.arange(ROWS)
    place = write(tmp_path / "a", {"hidden": base, "step": steps, "episodes": steps // 4})
    subject = diag.open_subject(place)
    assert subject.embeddings is not None
    np.testing.assert_array_equal(subject.embeddings, base)
    assert subject.taken is not None
    assert (subject.taken.names, subject.taken.left_out) == (("hidden",), ("step",))
    two = write(tmp_path / "b", {"hidden": base, "memory": -base})
    with pytest.raises(SubjectError, match=r"hidden, memory"):
        diag.open_subject(two)
    chosen = diag.open_subject(two, Supplied(columns=("memory",)))
    assert chosen.embeddings is not None
    np.testing.assert_array_equal(chosen.embeddings, -base)
    apart = write(tmp_path / "c", dict(zip(NAMES, base.T.copy(), strict=True)))
    with pytest.raises(SubjectError, match="a, b, c"):
        diag.open_subject(apart)
    found = diag.compare(
        apart,
        write(tmp_path / "d", {n: base[:, NAMES.index(n)] for n in reversed(NAMES)}),
        supplied=Supplied(columns=tuple("abc")),
    )
    assert found.dimensions == (3, 3)
    assert found.relation == "matched"


def test_arrays_of_other_names_are_warned_of(base: Array, matched: Array, tmp_path: Path) -> None:
    places = files.npz(tmp_path / "a", {"hidden": base}), files.npz(tmp_path / "b", {"memory": matched})
    found = diag.compare(*places)
    assert any("'hidden' of" in words and "compared with 'memory' of" in words for words in found.warnings)


def test_weights_are_no_embeddings_for_a_counter_beside_them(tmp_path: Path) -> None:
    place = files.saved(tmp_path / "a", {"weight": np.ones((9, 3)), "step": np.array(5)})
    with pytest.raises(SubjectError, match="a state dict, with 2 names"):
        diag.open_subject(place)


def test_keys_and_columns_are_of_files_that_have_some(examples: Path) -> None:
    base = examples / "base.safetensors"
    with pytest.raises(SubjectError, match="found no key of rows; expected --key with"):
        diag.open_subject(base, STEP)
    with pytest.raises(SubjectError, match="found no columns with names; expected --columns with tables"):
        diag.open_subject(base, Supplied(columns=("*",)))


# Probes ------------------------------------------------------------------------------------------------


def probed(*sources: Any, **options: Any) -> diag.probing.result.Probed:  # type: ignore[name-defined]
    return diag.probe(*sources, projection="none", **options)


def score(found: Any, column: int = 0) -> float:
    value = found.measure(column, "speed").value
    assert value is not None
    return float(value)


def test_variables_are_aligned_by_key_and_by_index(
    base: Array, matched: Array, shuffled: NDArray[np.int64], tmp_path: Path
) -> None:
    """A variable that the embedding holds exactly is read in whatever order its rows stand."""
    steps, speed = np.arange(ROWS), base @ [1.0, 2.0, 3.0]
    np.savez(tmp_path / "known.npz", speed=speed[shuffled], step=steps[shuffled])
    left, right = frame(base, step=steps), frame(matched, step=steps).iloc[shuffled[::-1]]
    found = probed(left, right, variables=tmp_path / "known.npz", supplied=STEP)
    assert list(found.variables) == ["speed"]
    assert score(found) > 0.99
    assert score(found, 1) > 0.99
    with pytest.raises(SubjectError, match=r"known.npz: found step \d+ in row 0, where"):
        probed(left, variables=tmp_path / "known.npz")
    indexed = pd.DataFrame({"speed": speed}).iloc[shuffled]
    assert score(probed(frame(base), variables=indexed)) > 0.99
    assert score(probed(frame(base), variables={"speed": speed[shuffled]})) < 0.9
    told = found.to_tree()["embeddings"][0]["columns"]
    assert told == {"taken": NAMES, "left_out": ["step"], "key": "step"}
    assert "left out step" in text(found)


def test_variables_of_other_rows_are_refused_or_cut(base: Array) -> None:
    steps, speed = np.arange(ROWS), base @ [1.0, 2.0, 3.0]
    known = pd.DataFrame({"speed": speed, "step": steps}).iloc[5:]
    with pytest.raises(SubjectError, match="5 rows, told by step, that the variables lacks"):
        probed(frame(base, step=steps), variables=known, supplied=STEP)
    both = Supplied(key="step", common_rows=True)
    found = probed(frame(base, step=steps), variables=known, episodes=steps // 5, supplied=both)
    assert (found.rows, found.grouping) == (55, "episodes")
    assert score(found) > 0.99


# The command line --------------------------------------------------------------------------------------


def test_a_gate_beside_a_step_fails_with_one_line_for_what_was_left_out(
    base: Array, tmp_path: Path, capsys: Run
) -> None:
    places = [
        str(saved(frame(y, step=range(ROWS)), tmp_path / f"{n}.parquet"))
        for n, y in (("a", base), ("b", -base))
    ]
    status, out, _ = command(capsys, "check", *places)
    assert status == 1
    assert "left out" in out
    np.save(tmp_path / "a.npy", beside(base, np.arange(ROWS)))
    np.save(tmp_path / "b.npy", beside(-base, np.arange(ROWS)))
    status, out, err = command(capsys, "compare-embeddings", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "column 4, which goes by the same step" in err
