"""compare-embeddings on rollouts, episodes, rows that are not finite, grids, and data that are not held."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import diag
from diag.commands import app as cli
from diag.comparisons import pairing
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.sources import array_files
from diag.subject import SubjectError
from probes import ProbeError
from tests.test_nulls import walk

Array = NDArray[np.float64]
Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, array: object) -> str:
        np.save(tmp_path / f"{name}.npy", np.asarray(array))
        return str(tmp_path / f"{name}.npy")

    return write


@pytest.fixture
def flip(save: Save, rng: np.random.Generator) -> tuple[str, str, Array]:
    y = rng.normal(size=(300, 3))
    return save("base", y), save("flip", y * [1, -1, 1] + 0.1 * rng.normal(size=y.shape)), y


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.run(["compare-embeddings", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_rows_with_nan_are_refused_with_their_number_or_left_out(
    save: Save, flip: tuple[str, str, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    base, _, y = flip
    x = -y
    x[[4, 9]] = np.nan
    bad = save("bad", x)
    status, out, err = run(capsys, base, bad)
    assert (status, out) == (2, "")
    found = f"diag: {bad}: found 2 of 300 rows with NaN or infinity; expected finite numbers"
    assert err == f"{found}, or --drop-nonfinite\n"
    status, out, _ = run(capsys, base, bad, "--drop-nonfinite", "--json")
    tree = json.loads(out)
    assert (status, tree["verdict"]["relation"], tree["dropped"], tree["rows"]) == (0, "flipped", 2, 298)
    assert tree["warnings"] == ["2 rows with NaN or infinity were left out"]
    x[:] = np.inf
    assert run(capsys, base, save("worse", x), "--drop-nonfinite")[0] == 2


def test_a_margin_from_known_good_transfers(
    save: Save, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    y = rng.normal(size=(300, 3))
    base = save("base", y)

    def stretched(by: float) -> Array:
        return np.asarray(y * [1, 1, by] + 0.05 * rng.normal(size=y.shape))

    good = [save(f"good{i}", stretched(by)) for i, by in enumerate((1.5, 1.6, 1.55))]
    transfer = save("transfer", stretched(1.5))
    strict = diag.compare(base, transfer)
    assert (strict.verdict.status, strict.margin, strict.margin_source[:11]) == ("fail", 0.05, "the default")
    found = diag.compare(base, transfer, good=good)
    assert found.relation == "matched"
    assert found.margin > 0.05
    assert found.gap is not None
    assert found.gap <= found.margin
    assert "from 3 known-good transfers" in text(found)
    assert diag.compare(base, save("far", stretched(3.0)), good=good).relation != "matched"
    options = [part for one in good for part in ("--good", one)]
    assert json.loads(run(capsys, base, transfer, *options, "--json")[1])["margin"]["gap"] == found.gap
    assert run(capsys, base, transfer, *options[:4])[2].startswith(
        "diag: 2 known-good transfers, expected at"
    )
    assert run(capsys, base, transfer, *options, "--margin", "0.1")[0] == 2


def test_episodes_are_resampled_and_exchanged_whole(
    save: Save, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unrelated rollouts: row by row, their CKA looks far from chance; by episodes it does not."""
    x, y = walk(1000, 3, 0.9, rng), walk(1000, 3, 0.9, rng)
    base, transfer, labels = save("base", y), save("transfer", x), save("episodes", np.arange(1000) // 50)
    apart = diag.compare(base, transfer)
    whole = diag.compare(base, transfer, episodes=labels)
    assert (apart.grouping, whole.grouping, whole.states) == ("states", "episodes", 20)
    assert apart.measures["cka"].p is not None
    assert apart.measures["cka"].p < 1e-3
    assert whole.measures["cka"].p is not None
    assert whole.measures["cka"].p > 0.01
    for name in ("l2", "cka"):
        near, wide = apart.measures[name], whole.measures[name]
        assert wide.high - wide.low > 1.2 * (near.high - near.low)  # type: ignore[operator]
    one = diag.compare(base, transfer, rollout=True)
    assert one.grouping == "blocks of a rollout"
    assert one.measures["cka"].p > 0.01  # type: ignore[operator]
    assert "rollout blocks" in text(one)
    assert run(capsys, base, transfer, "--rollout", "--episodes", labels)[0] == 2
    status, _, err = run(capsys, base, transfer, "--episodes", save("short", np.arange(5)))
    assert (status, "expected (1000,), one for each row" in err) == (2, True)
    assert run(capsys, base, transfer, "--episodes", save("real", np.zeros(1000)))[0] == 2
    assert run(capsys, base, transfer, "--episodes", "nothing.npy")[0] == 2


def test_an_archive_can_name_its_episodes(tmp_path: Path, rng: np.random.Generator) -> None:
    y = rng.normal(size=(200, 2))
    episodes = np.array([f"episode {i // 10}" for i in range(200)])
    np.savez(tmp_path / "base.npz", embeddings=y, episodes=episodes)
    np.savez(tmp_path / "transfer.npz", values=-y, episodes=episodes)
    found = diag.compare(tmp_path / "base.npz", tmp_path / "transfer.npz")
    assert (found.relation, found.grouping, found.states) == ("flipped", "episodes", 20)
    np.savez(tmp_path / "other.npz", embeddings=-y, episodes=episodes[::-1])
    with pytest.raises(SubjectError, match="found other episodes"):
        diag.compare(tmp_path / "base.npz", tmp_path / "other.npz")
    np.savez(tmp_path / "wrong.npz", embeddings=-y, episodes=episodes[:3])
    with pytest.raises(SubjectError, match="episodes of <U"):
        diag.compare(tmp_path / "base.npz", tmp_path / "wrong.npz")


def test_checkpoints_have_no_episodes(examples: Path) -> None:
    with pytest.raises(SubjectError, match="found episodes for a checkpoint"):
        diag.compare(examples / "base.safetensors", examples / "matched.safetensors", rollout=True)


def test_grids_are_compared_by_channels_in_words(save: Save, rng: np.random.Generator) -> None:
    y = rng.normal(size=(80, 4, 4, 3))
    base = save("base", y)
    found = diag.compare(base, save("negated", y * [1, 1, -1]))
    assert found.verdict.summary.startswith(
        "Flipped: the base's embedding, but channel 2 is negated (R² 1.00"
    )
    assert "  channels" in text(found)
    mirrored = diag.compare(base, save("mirrored", y[:, :, ::-1] * [1, -1, 1]))
    assert mirrored.relation == "permuted"
    assert "but channel 1 is negated and the grid is mirrored left to right (R²" in mirrored.verdict.summary
    assert "act on channels" in html(mirrored)
    tree = json.loads(render(mirrored))
    assert (tree["channels"], tree["grid"]) == (True, "mirrored left to right")


def test_large_arrays_are_read_once_and_say_the_same(
    flip: tuple[str, str, Array],
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, transfer, y = flip
    held = diag.compare(base, transfer)
    monkeypatch.setattr(pairing, "STREAMED_NUMBERS", 100)
    monkeypatch.setattr(array_files, "MAPPED_BYTES", 100)
    read = diag.compare(base, transfer)
    assert (read.relation, read.verdict.axes, read.base.sha256) == ("flipped", (1,), held.base.sha256)
    for name in ("l2", "cka", "cka_debiased", "cca", "procrustes"):
        assert read.measures[name].value == pytest.approx(held.measures[name].value)
    assert read.measures["nearest_own"].reason == "too many rows to hold side by side"
    assert "Flipped" in text(read)
    x = y.copy()
    x[7] = np.nan
    bad = save("bad", x)
    status, _, err = run(capsys, base, bad)
    assert (status, "1 of 300 rows have NaN or infinity" in err) == (2, True)
    assert diag.compare(base, bad, drop_nonfinite=True).dropped == 1
    assert diag.compare(base, transfer, rollout=True).measures["cka"].p is None
    near = [save(f"near{i}", y * 1.2 + 0.1 * np.random.default_rng(i).normal(size=y.shape)) for i in range(3)]
    assert diag.compare(base, transfer, good=near).margin > 0.03
    with pytest.raises(SubjectError, match="for the second time"):
        diag.compare(base, transfer, good=[near[0], near[1], near[1]])
    with pytest.raises(SubjectError, match="found the transfer itself"):
        diag.compare(base, transfer, good=[transfer, near[1], near[2]])
    with pytest.raises(SubjectError, match="found a transfer that is flipped"):
        diag.compare(base, near[0], good=[transfer, near[1], near[2]])
    (Path(base).parent / "cut.npy").write_bytes(Path(base).read_bytes()[:-8])
    with pytest.raises(SubjectError, match="no whole numpy file"):
        diag.compare(base, Path(base).parent / "cut.npy")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[object()]] * 20), "pickled objects"),
        (np.zeros((20, 0)), "shape (20, 0)"),
        (np.zeros((1, 3)), "1 rows"),
        (np.zeros((301, 3)), "301 rows"),
        (np.full((300, 3), "x"), "<U1 values"),
    ],
)
def test_bad_arrays_get_one_line(
    flip: tuple[str, str, Array], save: Save, capsys: pytest.CaptureFixture[str], array: Array, words: str
) -> None:
    base, _, _ = flip
    if len(array) == 1:
        base = save("one", np.zeros((1, 3)) + 1)
    status, out, err = run(capsys, base, save("bad", array))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_what_cannot_be_fitted_is_no_evidence_against_a_match(rng: np.random.Generator) -> None:
    """Too few states for an affine map: nothing that was fitted does better, so nothing failed."""
    y = rng.normal(size=(100, 64))
    found = diag.compare(y, y + 0.3 * rng.normal(size=y.shape))
    assert (found.verdict.status, found.relation) == ("inconclusive", None)
    assert diag.compare(y, 0.3 * rng.normal(size=y.shape) - y).verdict.status == "fail"


def test_long_episodes_are_rows_enough_to_fit(rng: np.random.Generator) -> None:
    y = rng.normal(size=(4000, 16))
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    labels = np.arange(4000) // 200
    assert diag.compare(y, y @ turn + 0.1 * rng.normal(size=y.shape), episodes=labels).relation == "rotated"
    assert diag.compare(y, y + 0.3 * rng.normal(size=y.shape), episodes=labels).relation == "matched"
    with pytest.raises(SubjectError, match="found 2 episodes; expected at least 8"):
        diag.compare(y, -y, episodes=np.arange(4000) // 2000)


def test_a_good_transfer_is_inside_the_margin_of_excellent_ones(rng: np.random.Generator) -> None:
    y = rng.normal(size=(400, 3))
    one, *good = (y + 0.05 * rng.normal(size=y.shape) for _ in range(4))
    found = diag.compare(y, one, good=good)
    assert (found.verdict.status, found.relation) == ("pass", "matched")


def test_a_negated_axis_of_little_variance_is_a_warning(rng: np.random.Generator) -> None:
    y = rng.normal(size=(300, 4)) * [10, 1, 1, 1]
    found = diag.compare(y, y * [1, -1, 1, 1] + 0.05 * rng.normal(size=y.shape))
    assert (found.verdict.status, found.relation, found.verdict.axes) == ("warn", "matched", (1,))
    assert "axis 1, of little variance, is negated" in found.verdict.summary


def test_half_precision_tensors(rng: np.random.Generator) -> None:
    import torch

    y = torch.from_numpy(rng.normal(size=(100, 3)))
    assert diag.compare(y.bfloat16(), -y.bfloat16()).relation == "flipped"


def test_options_that_contradict_each_other(base_embedding: Array) -> None:
    with pytest.raises(ProbeError, match="expected one of them"):
        diag.compare(base_embedding, -base_embedding, margin=0.1, good=[base_embedding] * 3)
    with pytest.raises(ProbeError, match="episodes and one rollout"):
        diag.compare(base_embedding, -base_embedding, rollout=True, episodes=np.arange(200))
