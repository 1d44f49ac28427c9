"""Embeddings of planes: what was done to channels and grid is named, and what was not is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import diag
import probes
from diag.commands.app import run as command
from diag.comparisons.verdict import cycles
from diag.outputs.json import render
from diag.outputs.registry import html, text
from probes._spatial import GRIDS, grids_of

pytestmark = pytest.mark.numeric

Array = NDArray[np.float64]
SIGNS = np.array([1.0, -1.0, 1.0])[:, None, None]


def planes(n: int = 120, side: int = 4) -> Array:
    """Embeddings (n, 3, side, side) whose channels and tiles hang together, with a wall that stands still."""
    rng = np.random.default_rng(0)
    mixed = np.einsum(
        "nchw,cd->ndhw", rng.normal(size=(n, 3, side, side)), [[1, 0.3, 0], [0, 1, 0], [0.2, 0, 1]]
    )
    near = mixed + 0.4 * np.roll(mixed, 1, 3)
    return np.asarray(near + rng.normal(size=(3, side, side)))


def noisy(x: Array, share: float = 0.15) -> Array:
    return x + share * x.std() * np.random.default_rng(9).normal(size=x.shape)


def mixing() -> Array:
    return np.asarray(np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0])


PLANTED: dict[str, tuple[Callable[[Array], Array], str, str]] = {
    "nothing": (lambda y: y, "matched", "Matched: the transfer lies in the base's embedding space"),
    "a flip": (lambda y: y * SIGNS, "flipped", "but channel 1 is negated (R²"),
    "two flips": (lambda y: y * -SIGNS, "flipped", "but channels 0 and 2 are negated (R²"),
    "a swap": (lambda y: y[:, [2, 1, 0]], "permuted", "but channels 0 and 2 are swapped (R²"),
    "a circle": (lambda y: y[:, [1, 2, 0]], "permuted", "but channels 0, 1 and 2 are exchanged in turn (R²"),
    "a signed swap": (
        lambda y: y[:, [0, 2, 1]] * -SIGNS,
        "permuted",
        "but channels 1 and 2 are swapped and channels 0 and 1 are negated (R²",
    ),
    "a mirror": (lambda y: y[..., ::-1], "permuted", "but the grid is mirrored left to right (R²"),
    "a turn": (lambda y: np.rot90(y, 1, (2, 3)), "permuted", "but the grid is turned by 90° (R²"),
    "a mirror of a flip": (
        lambda y: (y * SIGNS)[:, :, ::-1],
        "permuted",
        "but channel 1 is negated and the grid is mirrored top to bottom (R²",
    ),
    "all at once": (
        lambda y: (y[:, [1, 0, 2]] * SIGNS)[..., ::-1],
        "permuted",
        "but channels 0 and 1 are swapped, channel 0 is negated and the grid is mirrored left to right (R²",
    ),
    "a turn of channels": (
        lambda y: np.einsum("nchw,cd->ndhw", y, mixing())[..., ::-1],
        "rotated",
        "but its channels are turned or reflected together and the grid is mirrored left to right (R²",
    ),
    "a mixture": (
        lambda y: np.einsum("nchw,cd->ndhw", y, [[1, 2, 0], [0, 1, 0], [0, 0, 3.0]]),
        "affine",
        "but its channels are mixed by a linear map (R²",
    ),
    "a displacement": (lambda y: y + 3 * SIGNS, "affine", "but its channels are displaced (R²"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_planted_is_named(what: str) -> None:
    plant, relation, words = PLANTED[what]
    y = planes()
    found = diag.compare(y, noisy(plant(y)))
    assert found.relation == relation, found.verdict.summary
    assert found.channels
    assert found.agreement > 0.9
    assert words in found.verdict.summary


UNPLANTED: dict[str, Callable[[Array], Array]] = {
    "something else": lambda y: np.random.default_rng(7).normal(size=y.shape),
    "other states": lambda y: y[np.random.default_rng(7).permutation(len(y))],
    "one tile": lambda y: np.broadcast_to(y[:, :, :1, :1] * [[[1e-4]]], y.shape) + y.mean(0),
    "a constant": lambda y: np.broadcast_to(y.mean(0), y.shape),
}


@pytest.mark.parametrize("what", UNPLANTED)
def test_what_is_unrelated_or_collapsed_is_no_map_of_channels(what: str) -> None:
    y = planes(400)
    found = diag.compare(y, UNPLANTED[what](y))
    assert found.relation in ("unrelated", "collapsed", None)
    assert (found.relation == "collapsed") == (what in ("one tile", "a constant"))
    assert found.by_channel is not None
    if what not in ("one tile", "a constant"):
        assert all((found.by_channel.best(grid).value or 0) < 0.1 for grid in found.by_channel.ladders)


def test_r2_of_channels_is_the_flat_one_where_the_map_is_the_same() -> None:
    """Identity has nothing to fit, and signs of one channel are 16 signs: R² is the same."""
    y = planes()
    x = noisy(y * SIGNS)
    flat = probes.ladder(x, y)
    found = probes.channel_ladders(x, y)
    assert found.layout == "channels first"
    assert (found.height, found.width, found.channels) == (4, 4, (3, 3))
    for rung in ("identity", "signs"):
        assert found.ladder[rung].r2.value == pytest.approx(flat[rung].r2.value, abs=1e-12)  # type: ignore[index]
    flipped = found.ladder["signs"].map
    assert flipped is not None
    assert flipped.signs == (1, -1, 1)


def test_a_linear_map_of_channels_against_least_squares() -> None:
    """The map fitted to all states, and the symmetry that it needs, by numpy's own least squares."""
    y = planes()
    x = noisy(np.einsum("nchw,cd->ndhw", y, mixing())[:, :, ::-1])
    found = probes.channel_ladders(x, y)
    assert found.grid == "mirrored top to bottom"
    seen, wanted = (np.moveaxis(v, 1, -1).reshape(-1, 3) for v in (x[:, :, ::-1], y))
    beside = np.hstack([seen, np.ones((len(seen), 1))])
    solution = np.linalg.lstsq(beside, wanted, rcond=None)[0]
    affine = found.ladder["affine"].map
    assert affine is not None
    np.testing.assert_allclose(affine.matrix, solution[:3], atol=1e-9)
    np.testing.assert_allclose(affine.offset, solution[3], atol=1e-9)


def test_both_layouts_say_the_same() -> None:
    y = planes()
    x = noisy((y[:, [1, 0, 2]] * SIGNS)[..., ::-1])
    first = probes.relation(x, y, layout="channels first")
    last = probes.relation(np.moveaxis(x, 1, -1), np.moveaxis(y, 1, -1), layout="channels last")
    assert (first.relation, first.axes, first.order, first.grid) == ("permuted", (0,), (1, 0, 2), last.grid)
    assert (last.axes, last.order) == (first.axes, first.order)
    assert first.rung is not None
    assert last.rung is not None
    assert first.rung.r2.value == pytest.approx(last.rung.r2.value, abs=1e-12)
    with pytest.raises(probes.ProbeError, match="layout is 'c', expected one of channels last, channels"):
        probes.relation(x, y, layout="c")  # type: ignore[arg-type]
    with pytest.raises(probes.ProbeError, match="expected four axes and one grid"):
        probes.channel_ladders(x[:, :, :2], y)
    with pytest.raises(probes.ProbeError, match="margin is 2"):
        probes.channel_ladders(x, y, margin=2)


def test_a_map_of_all_numbers_wins_where_it_does_much_better() -> None:
    """Each tile has signs of its own: maps of channels explain a part, of all numbers the whole."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(400, 3, 4, 4))
    signs = np.where(rng.random((3, 4, 4)) < 0.15, -1.0, 1.0)
    found = probes.relation(noisy(y * signs), y)
    assert (found.relation, found.channels) == ("flipped", False)
    assert found.axes == tuple(np.flatnonzero(signs.reshape(-1) < 0))
    assert found.by_channel is not None
    partly = found.by_channel.best("as it is").value
    assert partly is not None
    assert 0.3 < partly < 0.8
    assert found.flat is None


def test_the_symmetries_of_a_rectangle_and_a_line_are_fewer() -> None:
    assert grids_of(3, 3) == tuple(GRIDS)
    assert grids_of(3, 5) == tuple(GRIDS)[:4]
    assert grids_of(1, 5) == ("as it is", "mirrored left to right")
    assert grids_of(5, 1) == ("as it is", "mirrored top to bottom")
    here = np.arange(16.0).reshape(1, 4, 4, 1)
    for name, turn in GRIDS.items():
        there = GRIDS[probes.BACK.get(name, name)](turn(here))
        np.testing.assert_array_equal(there, here, err_msg=name)


def test_large_grids_have_their_likeliest_symmetry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    y = planes()
    monkeypatch.setattr("probes._channels.MOST_CLIMBED", 1)
    found = probes.channel_ladders(noisy(y[..., ::-1]), y)
    assert list(found.ladders) == ["as it is", "mirrored left to right"]
    assert found.grid == "mirrored left to right"
    assert list(probes.channel_ladders(noisy(y), y).ladders) == ["as it is"]


def test_axes_that_change_places_are_told_by_their_circles() -> None:
    assert cycles((2, 0, 1, 3)) == [(0, 1, 2)]
    assert cycles((0, 1)) == []


def test_the_evidence_stands_in_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = planes()
    for name, values in (("base", y), ("transfer", noisy(y[..., ::-1] * SIGNS))):
        np.save(tmp_path / f"{name}.npy", values)
    found = diag.compare(tmp_path / "base.npy", tmp_path / "transfer.npy")
    assert "cannot be folded" in found.conclusion
    shown = text(found)
    assert "mirrored left to right" in shown
    assert "number by number, as it is" in shown
    assert "diag repair" not in shown
    whole = html(found)
    assert "Channels and the grid" in whole
    assert "100% of the resamples choose the same symmetry" in whole
    tree = json.loads(render(found))
    assert tree["grid"] == tree["grids"]["best"] == "mirrored left to right"
    rows = {row["grid"]: row for row in tree["grids"]["by_grid"]}
    assert len(rows) == 8
    best = rows["mirrored left to right"]["best"]
    assert 0.9 < best["low"] <= best["value"] <= best["high"] <= 1
    assert rows["as it is"]["best"]["high"] < 0.2
    assert tree["ladder_flat"][1]["transform"] == "signs"
    arguments = ["compare-embeddings", *(str(tmp_path / f"{n}.npy") for n in ("base", "transfer"))]
    assert command([*arguments, "--channels", "last"]) == 0
    assert "grid of 3 × 4" in capsys.readouterr().out
    np.save(tmp_path / "flat.npy", y.reshape(len(y), -1))
    np.save(tmp_path / "more.npy", -y.reshape(len(y), -1))
    assert (
        command([*arguments[:1], *[str(tmp_path / "flat.npy")], *arguments[2:], "--channels", "first"]) == 2
    )
    assert "with --channels; expected a grid of channels" in capsys.readouterr().err
