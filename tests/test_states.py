"""Which rows are one state: equal within rounding, whatever the processor, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import probes
from probes._states import SAME, numbered, numbered_rows, row_keys, typical

pytestmark = pytest.mark.numeric

Floats = NDArray[np.float64]


def visits(rng: np.random.Generator, count: int, rows: int) -> NDArray[np.int64]:
    """(rows,) which of so many states is visited, numbered by appearance."""
    return numbered(np.concatenate([np.arange(count), rng.integers(count, size=rows - count)]))


@pytest.mark.parametrize("dimensions", [1, 2, 40])
@pytest.mark.parametrize("rounding", [0.0, 1e-16, 1e-7, 6e-7])
def test_rounding_parts_no_state(dimensions: int, rounding: float, rng: np.random.Generator) -> None:
    index = visits(rng, 31, 500)
    seen = rng.normal(size=(31, dimensions))[index]
    noisy = seen + rounding * rng.uniform(-1, 1, seen.shape)
    assert np.array_equal(probes.states(noisy), index)
    assert np.array_equal(probes.states(1e3 + noisy, -1e-6 * noisy), index)


def test_states_that_differ_are_apart(rng: np.random.Generator) -> None:
    """By as little as ten times the tolerance, in one column of many."""
    x = np.repeat(rng.normal(size=(20, 30)), 2, axis=0)
    x[1::2, 7] += 10 * SAME * typical(x)
    assert np.array_equal(probes.states(x), np.arange(40))


def test_no_cell_has_an_edge(rng: np.random.Generator) -> None:
    """Wherever the value lies, a rounding to either side of it is the same state."""
    values = np.concatenate([np.arange(-20, 20) * SAME * 100, rng.normal(size=200)])
    x = np.stack([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)], 1).reshape(-1, 1)
    assert np.array_equal(probes.states(x), np.repeat(np.arange(len(values)), 3))


def test_a_continuum_does_not_chain() -> None:
    """Rows closer than rounding all along stay apart, unless they are equal in double precision."""
    line = np.linspace(0, 1, 50_000)[:, None] * [[1.0, -2.0]]
    assert np.array_equal(probes.states(line), np.arange(50_000))
    twice = np.concatenate([line, line * (1 + 1e-15)])
    assert np.array_equal(probes.states(twice), np.tile(np.arange(50_000), 2))


def test_one_outlier_hides_no_difference(rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 2))
    x[17] *= 1e9
    assert np.array_equal(probes.states(x), np.arange(100))


def test_constants_and_a_constant_beside_what_moves(rng: np.random.Generator) -> None:
    constant = np.full((30, 2), 0.1) * (1 + 2e-16 * rng.integers(-2, 3, (30, 2)))
    assert not probes.states(constant).any()
    assert not probes.states(np.zeros((30, 2))).any()
    y = rng.normal(size=(30, 2))[visits(rng, 10, 30)]
    assert np.array_equal(probes.states(constant, y), probes.states(y))


def test_what_one_of_two_tells_apart_is_apart(rng: np.random.Generator) -> None:
    x, y = np.repeat(rng.normal(size=(10, 3)), 4, axis=0), np.tile(rng.normal(size=(20, 3)), (2, 1))
    both = [(a, b) for a, b in zip(np.repeat(np.arange(10), 4), np.tile(np.arange(20), 2), strict=True)]
    expected = numbered([10 * b + a for a, b in both])
    assert np.array_equal(probes.states(x, y), expected)


def test_names_do_not_matter(rng: np.random.Generator) -> None:
    labels = rng.integers(8, size=50)
    assert np.array_equal(numbered(labels), numbered([f"episode {7 - k}" for k in labels]))
    assert numbered([9, 2, 9, 5]).tolist() == [0, 1, 0, 2]


def test_keys_tell_equal_rows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2000, 3))
    x[:, 0] = 0.0
    keys = row_keys(x, x[:, :1])
    assert len(np.unique(keys)) == 2000
    x[:, 0] = -0.0
    assert np.array_equal(row_keys(x, x[:, :1]), keys)
    swapped = row_keys(x[:, ::-1], x[:, :1])
    assert not np.isin(swapped, keys).any()


def test_refusals(rng: np.random.Generator) -> None:
    with pytest.raises(probes.ProbeError, match="found 20 and 19 rows, expected pairs"):
        probes.states(np.ones((20, 2)), np.ones((19, 2)))
    with pytest.raises(probes.ProbeError, match="NaN"):
        probes.states(np.full((20, 2), np.nan))


def test_each_row_alone_where_there_is_one(rng: np.random.Generator) -> None:
    assert numbered_rows(np.ones((1, 2))).tolist() == [0]


def test_a_stream_deals_rows_alike_with_another_last_bit(rng: np.random.Generator) -> None:
    """Rows at the origin and in a lattice too; and equal rows meet in one block."""
    y = np.concatenate([np.zeros((50, 3)), rng.integers(-3, 4, (500, 3)) * 0.1, rng.normal(size=(2000, 3))])
    x = y * [1.0, -1.0, 1.0]

    def blocks(x: Floats, y: Floats) -> list[int]:
        stream = probes.Stream()
        stream.add(x, y)
        return [0 if block is None else block.n for block in stream._blocks]

    assert blocks(x, y) == blocks(x * (1 + 2e-16), y * (1 - 2e-16))
    y[-1] *= 1e9
    assert np.count_nonzero(blocks(x, y)) == 64  # one outlier does not heap the others together
    states = np.tile(rng.normal(size=(40, 3)), (50, 1)) * (1 + 1e-15 * rng.uniform(-1, 1, (2000, 3)))
    assert not np.any(np.array(blocks(states, -states)) % 50)


def test_a_rotation_leaves_what_holds_nothing(rng: np.random.Generator) -> None:
    y = np.column_stack([rng.normal(size=(40, 2)), np.full((40, 2), 0.7)])
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    found = probes.fit("orthogonal", np.column_stack([y[:, :2] @ turn, y[:, 2:]]), y)
    assert found.matrix is not None
    assert found.matrix[2:, 2:] == pytest.approx(np.eye(2))
    assert found.matrix[:2, :2] == pytest.approx(turn.T)


def test_of_axes_that_hold_the_same_none_changes_place() -> None:
    y = np.random.default_rng(4).normal(size=(40, 2))[:, [0, 0, 1]]
    for shifted in (False, True):
        found = probes.fit("permutation", y, y, shifted)
        assert (found.order, found.signs) == ((0, 1, 2), (1, 1, 1))


@pytest.mark.parametrize("shifted", [False, True])
def test_a_constant_axis_has_no_sign_of_its_rounding(shifted: bool, rng: np.random.Generator) -> None:
    """0.1 less the mean of many 0.1s is a last bit, of either sign."""
    y = np.column_stack([rng.normal(size=90), np.full(90, 0.1)])
    x = np.column_stack([y[:, 0], np.full(90, 0.7)])
    assert probes.fit("signs", x, y, shifted).signs == (1, 1)
    assert probes.fit("permutation", x, y, shifted).signs == (1, 1)


def test_neighbours_that_tie_share_the_last_places(rng: np.random.Generator) -> None:
    """In a lattice many rows are as far as the k-th; a turn rounds their distances anew."""
    x = np.array([(a, b) for a in range(8) for b in range(8)], np.float64)
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    for k in range(1, 12):
        assert probes.knn_overlap(x @ turn, x, k=k).value == pytest.approx(1.0)
    copies = np.repeat(rng.normal(size=(5, 2)), 20, axis=0)
    assert probes.knn_overlap(-copies, copies, k=10).value == pytest.approx(1.0)


def test_a_row_that_is_as_near_to_another_is_near_its_own() -> None:
    """Every state moved to the middle between itself and the next."""
    y = np.arange(12.0)[:, None] * [0.1, 0.3]
    found, own = probes.nearest_own(y + [0.05, 0.15], y)
    assert (found.value, bool(own.all())) == (1.0, True)
    assert probes.nearest_own(y + [0.051, 0.153], y)[1].sum() == 1
