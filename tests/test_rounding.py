"""No diagnosis hangs on a last bit: inputs that differ by rounding have one relation, status and axes.

Another processor rounds otherwise, so this asks for what another processor would show: every word and every
count of a result stays, and every number moves by no more than the nudge explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import diag
from diag.landscapes.heights import Draws, barrier
from diag.sources.systems import crar
from tests.conftest import EXAMPLES
from tests.gated import embedded
from tests.landscapes import SHORT_WAY
from trainers import checkpoint as files

pytestmark = pytest.mark.numeric

Floats = NDArray[np.float64]

ULPS = 2
"""Units in the last place by which a number is nudged at most, either way."""

MOVED = 1e-6
"""How far a number of a result may move, absolutely and relatively, for a nudge in double precision (1e-16):
resampled R² and artanh near 1 keep about half of the digits."""

MOVED_SINGLE = 2e-3
"""…for one in single precision (1e-7) of every weight of an encoder: embeddings move by some 1e-6, and one in
a thousand resamples may choose otherwise."""

NAMES = ("path", "sha256", "warnings")
"""What tells one file from another, and is no finding."""

BASE, MIRRORED, MATCHED = (EXAMPLES / f"{name}.safetensors" for name in ("base", "mirrored", "matched"))


def nudged(x: Floats, seed: int) -> Floats:
    """Every number a few units in the last place away."""
    return x + np.spacing(x) * np.random.default_rng(seed).integers(-ULPS, ULPS + 1, x.shape)


def nudged_file(path: Path, folder: Path, seed: int) -> Path:
    """A checkpoint with every weight of its encoder a few units in the last place away.

    What was frozen is copied to the bit on any processor, and is what says that it was frozen.
    """
    known, random = files.read(path), torch.Generator().manual_seed(seed)
    tensors = dict(known.tensors)
    for name in [n for n in tensors if n.startswith("encoder/")]:
        steps = torch.randint(-ULPS, ULPS + 1, tensors[name].shape, generator=random)
        tensors[name] = tensors[name] + torch.from_numpy(np.spacing(tensors[name].numpy())) * steps
    files.save(folder / path.name, known.header, tensors)
    return folder / path.name


def leaves(tree: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a result's JSON with its place."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key not in NAMES:
                yield from leaves(value, f"{at}/{key}")
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from leaves(value, f"{at}/{number}")
    else:
        yield at, tree


def assert_same(one: Any, other: Any, moved: float = MOVED) -> None:
    """Words and counts of two results are equal, numbers nearly so."""
    ours, theirs = (dict(leaves(found.to_tree())) for found in (one, other))
    assert ours.keys() == theirs.keys()
    different = {
        place: (value, theirs[place])
        for place, value in ours.items()
        if (
            theirs[place] != pytest.approx(value, abs=moved, rel=moved)
            if isinstance(value, float)
            else theirs[place] != value
        )
    }
    assert different == {}


TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
SHEAR = np.array([[1.0, 1.2, 0.0], [0.0, 0.4, 0.0], [0.0, 0.7, 1.6]])

CHANGES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "matched": lambda y, noise: y + noise,
    "flipped": lambda y, noise: y * [1, -1, 1] + noise,
    "permuted": lambda y, noise: y[:, [1, 0, 2]] + noise,
    "rotated": lambda y, noise: y @ TURN + noise,
    "rescaled": lambda y, noise: 3 * y @ TURN + noise,
    "affine": lambda y, noise: y @ SHEAR + noise,
    "collapsed": lambda y, noise: np.outer(y[:, 0], [0.6, 0.3, 0.1]) + 0.1 * noise,
    "unrelated": lambda y, noise: 20 * noise,
}


def embeddings(relation: str, noise: float = 0.03) -> tuple[Floats, Floats]:
    """(72, 3) a base's embedding and a transfer's, of 48 states of which half are seen twice."""
    rng = np.random.default_rng(3)
    states = np.concatenate([np.arange(48), np.arange(0, 48, 2)])
    y = rng.normal(size=(48, 3)) * [1.0, 0.8, 0.6]
    return y[states], CHANGES[relation](y, noise * rng.normal(size=(48, 3)))[states]


def lattice() -> tuple[Floats, Floats]:
    """A mirrored grid of rooms beside an axis that is constant: everything ties with something."""
    rooms = np.array([(a, b) for a in range(-3, 4) for b in range(-2, 3)], np.float64) * [0.1, 0.3]
    y = np.column_stack([rooms, np.full(len(rooms), 0.7)])
    return y, y * [-1.0, 1.0, 1.0]


def copied_axis() -> tuple[Floats, Floats]:
    """Two axes that hold the same, swapped with a third: as good one way as the other."""
    y = embeddings("matched")[0][:, [0, 0, 1]]
    return y, y[:, [2, 1, 0]]


@pytest.mark.parametrize("relation", CHANGES)
def test_compare_on_arrays(relation: str) -> None:
    y, x = embeddings(relation)
    found = diag.compare(y, x)
    assert (found.relation, found.states) == (relation, 48)
    assert_same(found, diag.compare(nudged(y, 1), nudged(x, 2)))


@pytest.mark.parametrize("relation", ["matched", "flipped", "permuted", "rotated"])
def test_compare_where_nothing_is_left_over(relation: str) -> None:
    """An exact image of the base: every larger map is as exact, and every score is 1 but for rounding."""
    y, x = embeddings(relation, noise=0.0)
    found = diag.compare(y, x)
    assert found.relation == relation
    assert_same(found, diag.compare(nudged(y, 1), nudged(x, 2)))


@pytest.mark.parametrize("made", [lattice, copied_axis])
def test_compare_where_everything_ties(made: Callable[[], tuple[Floats, Floats]]) -> None:
    y, x = made()
    found = diag.compare(y, x)
    for seed in range(2):
        assert_same(found, diag.compare(nudged(y, seed), nudged(x, seed + 10)))


@pytest.mark.parametrize("more", [{"rollout": True}, {"episodes": np.repeat(np.arange(20)[::-1], 20)}])
def test_compare_on_rollouts(more: dict[str, Any]) -> None:
    steps = np.random.default_rng(1).normal(size=(401, 2))
    y = steps[1:] + 0.5 * steps[:-1]
    x = y * [1, -1] + 0.1 * np.random.default_rng(2).normal(size=y.shape)
    found = diag.compare(y, x, **more)
    assert found.relation == "flipped"
    assert_same(found, diag.compare(nudged(y, 1), nudged(x, 2), **more))


@pytest.mark.parametrize("path", [MIRRORED, MATCHED])
def test_compare_on_checkpoints(path: Path, tmp_path: Path) -> None:
    found = diag.compare(BASE, path)
    assert_same(found, diag.compare(BASE, nudged_file(path, tmp_path, 1)), MOVED_SINGLE)


def test_probe() -> None:
    x = embeddings("rotated")[1]
    variables = {"column": x[:, 0], "room": np.where(x[:, 1] > 0, "left", "right")}
    found = diag.probe(x, variables=variables, projection="pca")
    again = diag.probe(nudged(x, 2), variables=variables, projection="pca")
    assert_same(found, again)
    for one, other in zip(found.columns, again.columns, strict=True):
        assert one.projections[0].points == pytest.approx(other.projections[0].points, abs=MOVED)


def test_probe_of_a_lattice() -> None:
    """Clusters of a grid are as good one way as another, and an axis that is constant is no signal."""
    y, _ = lattice()
    variables = {"row": (np.round(y[:, 0] * 10)).astype(int).astype(str), "height": y[:, 1]}
    found = diag.probe(y, variables=variables, projection="pca")
    assert_same(found, diag.probe(nudged(y, 1), variables=variables, projection="pca"))


@pytest.mark.parametrize(
    ("relation", "noise"),
    [("flipped", 0.0), ("rotated", 0.03), ("affine", 0.0), ("collapsed", 0.03), ("unrelated", 0.03)],
)
def test_repair_on_arrays(relation: str, noise: float) -> None:
    """Of exact maps the smallest, whatever rounding leaves of each."""
    y, x = embeddings(relation, noise)
    found, again = diag.repair(y, x), diag.repair(nudged(y, 1), nudged(x, 2))
    assert_same(found, again)


def test_check_on_arrays() -> None:
    pairs = [embeddings(relation) for relation in ("matched", "flipped")]
    gate, again = (
        diag.check(
            embedded(change(pairs[0][0], 1), "base"),
            *(embedded(change(x, 2), f"t{number}") for number, (_, x) in enumerate(pairs)),
        )
        for change in (lambda x, seed: x, nudged)
    )
    assert [c.outcome for c in gate.checked] == ["pass", "fail"]
    said = [[(f.name, f.outcome, f.word) for c in g.checked for f in c.findings] for g in (gate, again)]
    assert said[0] == said[1]
    for one, other in zip(gate.checked, again.checked, strict=True):
        for ours, theirs in zip(one.findings, other.findings, strict=True):
            if ours.measure is not None and ours.measure.value is not None:
                assert theirs.measure is not None
                assert theirs.measure.value == pytest.approx(ours.measure.value, abs=MOVED)


def test_forecast(tmp_path: Path) -> None:
    found = diag.forecast(MIRRORED)
    again = diag.forecast(nudged_file(MIRRORED, tmp_path, 1), base=BASE)
    assert_same(found, again, MOVED_SINGLE)


def test_of_two_walls_that_are_as_high_the_first_is_named() -> None:
    t = np.linspace(0, 1, 9)
    for last_bit in (-1e-16, 0.0, 1e-16):
        curve = np.array([0.1, 0.5, 0.9, 0.5, 0.2, 0.5, 0.9 * (1 + last_bit), 0.5, 0.1])
        halves = {"total": np.tile(curve, (1, 2, 9, 1))}
        found = barrier(t, {"total": curve}, Draws({"total": halves["total"][0, 0]}, halves, 9))
        assert [height.at for height in found.values()] == [0.25] * 3


def test_landscape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdict, and the heights of every route."""
    monkeypatch.setattr(crar, "WAY", SHORT_WAY)
    options: dict[str, Any] = {"quick": True, "samples": 124, "points": 11, "task": "target"}
    found = diag.landscape(MIRRORED, MATCHED, **options)
    again = diag.landscape(nudged_file(MIRRORED, tmp_path, 1), MATCHED, **options)
    assert again.verdict.status == found.verdict.status
    assert found.routes.keys() == again.routes.keys()
    for name, route in found.routes.items():
        for kind, height in route.barrier.items():
            there = again.routes[name].barrier[kind]
            for ours, theirs in zip(
                (height.value, height.low, height.high), (there.value, there.low, there.high), strict=True
            ):
                assert theirs == pytest.approx(ours, abs=MOVED_SINGLE, rel=MOVED_SINGLE)
