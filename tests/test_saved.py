"""Results read back from their JSON: nothing is lost, and what is no result is refused in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

import diag
from diag.comparisons.picture import MOST_NUMBERS, Picture
from diag.outputs.json import render, unsaved
from diag.outputs.registry import RENDERERS, html, page, text
from diag.saved.error import FormError
from diag.saved.kinds import MEMBER, RESULTS, ResultError, _digest, left_out, load
from diag.saved.typed import NOT_SAVED, decode, encode
from diag.shown import Shown
from tests import shown
from tests.commands import run

DESCRIPTIONS = {"description", "file_description", "subject"}
"""Kinds that say what a file is: whoever has it can ask again."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    return shown.results(tmp_path_factory.mktemp("saved"))


def again(result: Any, folder: Path) -> Any:
    place = folder / "result.json"
    place.write_text(render(result))
    return load(place)


def test_every_kind_of_result_is_saved() -> None:
    assert set(RESULTS) == set(RENDERERS) - DESCRIPTIONS


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_result_read_back_is_the_one_that_was_saved(
    results: dict[str, Shown], kind: str, tmp_path: Path
) -> None:
    result = results[kind]
    back = again(result, tmp_path)
    assert type(back) is type(result)
    assert render(back) == render(result)
    assert text(back, True) == text(result, True)
    assert repr(back) == repr(result)
    assert left_out(back) == []


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_its_page_is_that_of_the_one_that_was_saved(
    results: dict[str, Shown], kind: str, tmp_path: Path
) -> None:
    assert html(again(results[kind], tmp_path), True) == html(results[kind], True)


def test_the_documented_json_stays_as_it_is(results: dict[str, Shown]) -> None:
    for kind in RESULTS:
        tree = json.loads(render(results[kind]))
        assert list(tree)[-1] == MEMBER
        del tree[MEMBER]
        assert tree == results[kind].to_tree()


def test_a_picture_too_large_is_thinned_and_the_page_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 3))
    found = diag.compare(base, base * [1, -1, 1])
    n = MOST_NUMBERS // 2 + 10
    large = rng.normal(size=(n, 2))
    whole = replace(found, picture=Picture(large, large, {"side": large[:, 0] > 0}, None, None, "side"))
    back = again(whole, tmp_path)
    assert back.picture.of == n
    assert n / 3 < len(back.picture.base) <= MOST_NUMBERS / 4
    assert len(back.picture.base) == len(back.picture.transfer) == len(back.picture.variables["side"])
    (words,) = left_out(back)
    assert f"{n:,}" in words
    assert f"{len(back.picture.base):,}" in words
    assert render(again(back, tmp_path)) == render(back)


def test_what_cannot_be_saved_costs_nobody_the_documented_json(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=(20, 2))
    found = diag.compare(base, base)
    dates = np.array(["2026-11-28"] * 20, dtype="datetime64[D]")
    whole = replace(found, picture=replace(found.picture, variables={"day": dates}))
    tree = json.loads(render(whole))
    assert {name: tree[name] for name in tree if name != MEMBER} == whole.to_tree()
    with pytest.raises(ResultError, match=r"could not be saved .*datetime64.*its documented JSON is whole"):
        again(whole, tmp_path)


def test_what_would_be_refused_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = np.random.default_rng(0).normal(size=(400, 2))
    found = diag.compare(base, base)
    monkeypatch.setattr("diag.saved.kinds.MOST_BYTES", len(render(found)) - 1)
    tree = json.loads(render(found))
    assert {name: tree[name] for name in tree if name != MEMBER} == found.to_tree()
    with pytest.raises(ResultError, match=r"could not be saved .*more than .* bytes"):
        again(found, tmp_path)
    pair = [str(tmp_path / name) for name in ("a.npy", "b.npy")]
    for place in pair:
        np.save(place, base)
    _, _, told = run(capsys, "compare-embeddings", *pair, f"--json={tmp_path / 'b.json'}")
    assert "cannot read this result back: its file would have more than" in told
    assert unsaved(render(found)).startswith("its file would have more")


def test_what_can_be_read_back_has_no_word_on_it(results: dict[str, Shown]) -> None:
    told = {kind: unsaved(render(one)) for kind, one in results.items() if kind not in DESCRIPTIONS}
    assert set(told.values()) == {""}


def test_a_repair_knows_its_chosen_fit_again(results: dict[str, Shown], tmp_path: Path) -> None:
    back = again(results["repair"], tmp_path)
    assert any(fit is back.chosen for fit in back.fits)
    assert back.parameters is back.map is back.embedding is None


# ---- what is no result


def changed(change: Callable[[dict[str, Any]], object], folder: Path, signed: bool = False) -> Path:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 2))
    tree = json.loads(render(diag.compare(base, -base)))
    change(tree)
    if signed and isinstance(held := tree.get(MEMBER), dict):
        documented = {name: value for name, value in tree.items() if name != MEMBER}
        held["sha256"] = _digest(documented, held["kind"], held["result"])
    place = folder / "changed.json"
    place.write_text(json.dumps(tree))
    return place


def of_result(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda tree: tree[MEMBER]["result"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree.pop(MEMBER), "without the result that it was made from"),
        (lambda tree: tree.pop("schema_version"), "JSON without schema_version"),
        (
            lambda tree: tree.update(schema_version=2),
            "schema_version 2; expected schema_version 1; a newer",
        ),
        (lambda tree: tree.update(schema_version="1"), "found schema_version '1'"),
        (
            lambda tree: tree[MEMBER].update(format=2),
            "form 2; expected form 1; a newer transfer-diag",
        ),
        (lambda tree: tree[MEMBER].update(format=True), "form True; expected form 1"),
        (
            lambda tree: tree[MEMBER].update(kind="weather"),
            "kind 'weather'; expected one of calibration,",
        ),
        (lambda tree: tree[MEMBER].update(kind=["check"]), "kind ['check']"),
        (lambda tree: tree.update(saved=[]), "saved: []"),
        (lambda tree: tree[MEMBER]["result"].pop("agreement"), "agreement: found nothing"),
        (of_result("agreements", 1), "a field 'agreements'"),
        (of_result("agreement", 10**400), "agreement: found 100"),
        (of_result("agreement", "most"), "agreement: found 'most', expected a number"),
        (of_result("outcome", "elsewhere else"), "outcome: found 'elsewhere else', expected landed or near"),
        (of_result("channels", 1), "channels: found 1, expected true or false"),
        (of_result("dimensions", [1, 2, 3]), "dimensions: found 3 values, expected 2"),
        (of_result("measures", []), "measures: found [], expected an object"),
        (of_result("picture", {"base": {"type": "<f8", "shape": [-1]}}), "picture.base.shape"),
        (
            of_result("picture", {"base": {"type": "<f8", "shape": [10**15], "base64": ""}}),
            "picture.base: found 0 values, expected 1000000000000000",
        ),
        (of_result("picture", {"base": {"type": "O", "shape": [1], "base64": ""}}), "picture.base.type"),
        (of_result("picture", {"base": {"type": "<f8", "shape": [1], "base64": "?"}}), "picture.base.base64"),
        *(
            (of_result("picture", {"base": {"type": "<f8", "shape": shape, "base64": ""}}), "picture.base: ")
            for shape in ([0, 10**30], [0] * 70)
        ),
    ],
)
def test_another_content_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    place = changed(change, tmp_path, signed=True)
    with pytest.raises(ResultError) as told:
        load(place)
    line = str(told.value)
    assert line.startswith(f"{place}: found ")
    assert words in line
    assert "\n" not in line
    assert len(line) < 1500


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["verdict"].update(status="pass"),
        of_result("agreement", 0.123),
        of_result("picture", {"base": {"type": "<f8", "shape": [0, 10**30], "base64": ""}}),
    ],
)
def test_a_file_that_was_changed_is_told_before_it_is_decoded(
    change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match="a comparison that was changed after it was saved"):
        load(changed(change, tmp_path))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"NaN", b"[]", b"3"])
def test_what_is_no_json_of_ours_is_refused(content: bytes, tmp_path: Path) -> None:
    place = tmp_path / "x.json"
    place.write_bytes(content)
    with pytest.raises(ResultError, match=r"found (no JSON|JSON without schema_version)"):
        load(place)


def test_a_description_is_told_from_a_result(results: dict[str, Shown], tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="diag show makes a page of a file"):
        again(results["description"], tmp_path)


def test_whatever_is_changed_is_seen(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=(20, 2))
    content = render(diag.compare(base, -base))
    place = tmp_path / "x.json"
    rng = np.random.default_rng(1)
    refused = 0
    for at in rng.integers(0, len(content), 300).tolist():
        letter = chr(int(rng.integers(32, 127)))
        place.write_text(content[:at] + letter + content[at + 1 :])
        if json.loads(content) == _parsed(place):  # white space, or the same letter
            load(place)
            continue
        with pytest.raises(ResultError):
            load(place)
        refused += 1
    assert refused > 200


def _parsed(place: Path) -> Any:
    try:
        return json.loads(place.read_text())
    except ValueError:
        return None


def test_another_layout_is_the_same_result(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=(20, 2))
    result = diag.compare(base, -base)
    place = tmp_path / "x.json"
    place.write_text(json.dumps(json.loads(render(result)), indent=7))
    assert render(load(place)) == render(result)


# ---- the codec


@dataclass(frozen=True)
class Inner:
    name: str
    value: float | None = None


@dataclass(frozen=True)
class Outer:
    number: float
    count: int
    flag: bool
    word: Literal["a", "b"]
    pair: tuple[int, str]
    items: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    by_share: Mapping[float, tuple[float, ...]]
    anything: Any
    either: Inner | str | None = None
    seen: Sequence[int] = ()
    secret: object = field(default=None, metadata=NOT_SAVED)


FLOATS = st.floats(allow_nan=False)
WORDS = st.text(max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)
INNER = st.builds(Inner, WORDS, st.none() | FLOATS)
OUTER = st.builds(
    Outer,
    FLOATS,
    st.integers(),
    st.booleans(),
    st.sampled_from(["a", "b"]),
    st.tuples(st.integers(), WORDS),
    st.lists(INNER, max_size=3).map(tuple),
    st.dictionaries(WORDS, INNER, max_size=3),
    st.dictionaries(FLOATS, st.lists(FLOATS, max_size=3).map(tuple), max_size=3),
    PLAIN,
    st.none() | INNER | WORDS,
    st.lists(st.integers(), max_size=3).map(tuple),
)


@given(OUTER)
def test_what_is_encoded_is_decoded_as_it_was(value: Outer) -> None:
    tree = json.loads(json.dumps(encode(value, Outer), allow_nan=False))
    assert decode(tree, Outer) == value


@given(
    arrays_of.arrays(
        st.sampled_from(
            [np.float64, np.float32, np.int64, np.uint8, np.bool_, np.dtype(">f8"), np.dtype("U3")]
        ),
        arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_arrays_come_back_to_the_bit(values: NDArray[Any]) -> None:
    tree = json.loads(json.dumps(encode(values, NDArray[Any]), allow_nan=False))
    back = decode(tree, NDArray[Any])
    assert back.shape == values.shape
    assert back.dtype.kind == values.dtype.kind
    assert back.astype(values.dtype).tobytes() == values.tobytes()
    assert back.flags.writeable


def test_numbers_that_are_not_finite_come_back() -> None:
    for value in (math.nan, math.inf, -math.inf):
        tree = encode((value, {"x": value}), tuple[float, Any])
        json.dumps(tree, allow_nan=False)
        back = decode(tree, tuple[float, Any])
        assert repr(back) == repr((value, {"x": value}))


def test_tables_come_back_with_their_types_and_rows() -> None:
    table = pd.DataFrame({"n": [1, 2], "x": [0.5, np.nan], "word": ["a", None], "flag": [True, False]})
    table["mixed"] = pd.Series([1, "a"], dtype=object)
    for one in (table, table.set_axis([7, 3]), table[:0], pd.DataFrame()):
        back = decode(json.loads(json.dumps(encode(one, pd.DataFrame))), pd.DataFrame)
        pd.testing.assert_frame_equal(back, one)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (object(), Any),
        ({1, 2}, Any),
        ("a", float),
        (1.5, int),
        (Inner("a"), Outer),
        (None, tuple[int, ...]),
        ("ab", Sequence[str]),
        ([1], Mapping[str, int]),
        (np.array(["2026-11-28"], dtype="datetime64[D]"), NDArray[Any]),
        (pd.DataFrame({"when": pd.to_datetime(["2026-11-28"]).tz_localize("UTC")}), pd.DataFrame),
        (pd.DataFrame([[1]]), pd.DataFrame),
    ],
)
def test_what_a_type_does_not_describe_is_not_saved(value: object, hint: Any) -> None:
    with pytest.raises(FormError):
        encode(value, hint)


SQUARE = {"type": "<f8", "shape": [1, 1], "base64": "AAAAAAAA8D8="}


@pytest.mark.parametrize(
    ("tree", "hint"),
    [
        ({"type": "<f8", "shape": [0, 10**30], "base64": ""}, NDArray[Any]),
        ({"type": "<f8", "shape": [0] * 70, "base64": ""}, NDArray[Any]),
        ({"rows": 1, "index": SQUARE, "columns": []}, pd.DataFrame),
        ({"rows": 1, "index": None, "columns": [{"name": "a", "values": SQUARE}]}, pd.DataFrame),
        (
            {"rows": 1, "index": None, "columns": [{"name": "a", "values": {**SQUARE, "shape": []}}]},
            pd.DataFrame,
        ),
        ([[{"list": []}, 1]], dict[Any, int]),
    ],
)
def test_what_numpy_and_pandas_refuse_is_an_error_of_form(tree: Any, hint: Any) -> None:
    with pytest.raises(FormError):
        decode(tree, hint)


def test_a_page_says_what_a_saved_result_lacks() -> None:
    from diag.outputs.combined import with_lacks

    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 2))
    whole = page(diag.compare(base, -base))
    assert ("left out", "half of it") in with_lacks(whole, ["half of it"]).facts
    assert with_lacks(whole, []) == whole
