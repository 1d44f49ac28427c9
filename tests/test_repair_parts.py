"""The parts of a repair: fits to arrays and modules, the search without pairs, training side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import diag
from diag.repairs import search as searching
from diag.repairs.anchored import Anchored
from diag.repairs.asked import RepairError
from diag.repairs.fits import EQUAL, Fit, Method, _ranked, few_pairs, fits
from diag.repairs.modules import mended
from diag.repairs.system import case_of
from diag.subject import SubjectError
from probes import Map, Measure
from tests.conftest import EXAMPLES, short, train
from tests.test_repair import BASE, BENT, last_layer, transfer_of_base
from trainers import checkpoint as files


@pytest.fixture(autouse=True)
def _short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets matter little to the embeddings here, and a few steps show what there is to see."""
    monkeypatch.setattr(searching, "MAP_STEPS", 20)


def test_arrays_are_led_back(base_embedding: np.ndarray, rng: np.random.Generator, tmp_path: Path) -> None:
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved = base_embedding @ turn + 0.5
    out = tmp_path / "mended.npy"
    found = diag.repair(base_embedding, moved, out=out)
    assert found.chosen is not None
    assert (found.chosen.name, found.verdict.status) == ("orthogonal", "pass")
    assert found.map is not None
    assert np.allclose(found.map(moved), base_embedding)
    assert np.allclose(np.load(out), base_embedding)
    assert found.few is not None
    assert found.few.pairs.value == 4  # three dimensions and an offset
    assert found.to_tree()["map"]["map"]["matrix"][0][0] == pytest.approx(turn.T[0, 0])


def test_of_maps_that_do_equally_well_the_smaller_is_taken() -> None:
    """Whatever rounding leaves of either, and in whatever order more than two lie."""

    def fit(name: str, r2: float | None) -> Fit:
        return Fit(name, "map", Measure(r2), Map())

    def ranked(**scores: float | None) -> list[str]:
        return [one.name for one in _ranked([fit(*score) for score in scores.items()])]

    assert ranked(signs=1 - 3e-13, permutation=1 - 1e-13, affine=1.0) == ["signs", "permutation", "affine"]
    assert ranked(signs=1.0, permutation=1 - 1e-13, affine=1.0) == ["signs", "permutation", "affine"]
    assert ranked(identity=None, signs=0.5, affine=0.9) == ["affine", "signs", "identity"]
    assert ranked(signs=0.9 - 10 * EQUAL, affine=0.9) == ["affine", "signs"]


def test_unrelated_arrays_are_not(
    base_embedding: np.ndarray, rng: np.random.Generator, tmp_path: Path
) -> None:
    out = tmp_path / "mended.npy"
    found = diag.repair(base_embedding, rng.permutation(base_embedding), out=out)
    assert found.verdict.status == "fail"
    assert not out.exists()


def test_what_arrays_cannot_do(base_embedding: np.ndarray, tmp_path: Path) -> None:
    mirrored = -base_embedding
    with pytest.raises(RepairError, match=r"\.npy"):
        diag.repair(base_embedding, mirrored, out=tmp_path / "mended.safetensors")
    with pytest.raises(SubjectError, match="without an encoder"):
        diag.repair(base_embedding, mirrored, train=5)
    with pytest.raises(SubjectError, match="without an encoder"):
        diag.repair(base_embedding, mirrored, unpaired="gradient")


def test_the_best_on_held_out_pairs_comes_first(base_embedding: np.ndarray, rng: np.random.Generator) -> None:
    """A stretched copy needs the affine map; of a handful of noisy pairs it would fit the noise."""
    stretched = base_embedding * [2.0, 1.0, 0.2]
    assert fits(stretched, None, base_embedding)[0].name == "affine"
    noisy = -base_embedding[:7] + 0.5 * rng.normal(size=(7, 3))
    assert fits(noisy, None, base_embedding[:7])[0].name != "affine"


def test_a_last_layer_beats_maps_of_a_bent_embedding(rng: np.random.Generator) -> None:
    hidden = np.tanh(rng.normal(size=(60, 8)))
    y = hidden @ rng.normal(size=(8, 2))
    bent = hidden @ rng.normal(size=(8, 2))
    best = fits(bent, hidden, y)[0]
    assert best.method == "last-layer"
    assert best.r2.value is not None
    assert best.r2.value > 0.99
    assert np.allclose(best.map(hidden), y, atol=0.2)
    few = few_pairs(best, bent, hidden, y)
    assert few is not None
    assert few.pairs.value is not None
    assert 5 <= few.pairs.value <= 20


def test_too_few_pairs_leave_no_score(base_embedding: np.ndarray) -> None:
    found = fits(-base_embedding[:3], None, base_embedding[:3])
    assert found[0].name == "signs"
    assert found[0].r2.value == pytest.approx(1.0)
    assert few_pairs(found[0], -base_embedding[:3], None, base_embedding[:3]) is None


def test_a_map_is_appended_where_it_cannot_be_folded() -> None:
    turned = Map(matrix=np.array([[0.0, 1.0], [1.0, 0.0]]), offset=np.array([0.5, 0.0]))
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    for encoder in (nn.Sequential(nn.Linear(3, 2), nn.Tanh()), nn.Sequential(nn.Linear(3, 2, bias=False))):
        expected = encoder(x).flip(1) + torch.tensor([0.5, 0.0])
        moved = mended(encoder, turned, 2)
        assert torch.allclose(moved(x), expected, atol=1e-6)
        assert isinstance(moved, nn.Sequential)
        assert isinstance(moved[-1], nn.Linear)
    nested = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))
    before = nested(x)
    assert torch.allclose(mended(nested, turned, 2)(x), before.flip(1) + torch.tensor([0.5, 0.0]), atol=1e-6)
    assert torch.equal(nested(x), before)
    with pytest.raises(ValueError, match="expected 5"):
        mended(nested, turned, 5)


def test_without_pairs_an_exact_mirror_image_is_told(tmp_path: Path) -> None:
    mirror = transfer_of_base(tmp_path / "mirror.safetensors", **last_layer((-1.0, 1.0)))
    found = diag.repair(BASE, mirror, unpaired="permutations", train=120)
    assert found.search is not None
    assert found.search.tried == 8
    assert found.search.candidates[0].words == "negated: 0"
    assert found.search.separated
    assert found.search.near
    assert found.verdict.status == "pass"
    assert found.training is not None
    assert found.training.updates == found.search.updates <= 120
    assert found.chosen is None


def test_without_pairs_what_cannot_be_told_is_said_so(tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    found = diag.repair(BASE, BENT, unpaired="permutations", train=10, out=out)
    assert found.verdict.status == "inconclusive"
    assert found.verdict.summary.startswith("Cannot tell without pairs, and not written")
    assert not out.exists()
    forced = diag.repair(BASE, BENT, unpaired="permutations", train=10, out=out, force=True)
    assert forced.verdict.status == "inconclusive"
    assert out.exists()


def test_before_training_a_bent_embedding_loses_least_as_it_is() -> None:
    """Why candidates have to be trained on before they are compared."""
    case = case_of(diag.open_subject(BASE), diag.open_subject(BENT))
    tried, maps = searching._maps(case, "permutations", 0)
    losses = searching._losses(
        case,
        case.embedding(case.transfer),
        torch.stack([torch.from_numpy(m.matrix).float() for m in maps if m.matrix is not None]),
        torch.stack([torch.from_numpy(m.offset).float() for m in maps if m.offset is not None]),
    )
    assert tried == len(maps) == 8
    assert searching.in_words(maps[int(losses.argmin())]) == "as it is"


def test_the_gradient_keeps_to_rotations_and_reflections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "RESTARTS", 8)
    case = case_of(diag.open_subject(BASE), diag.open_subject(BENT))
    tried, maps = searching._maps(case, "gradient", 0)
    assert tried == 9
    matrices = np.stack([m.matrix for m in maps if m.matrix is not None])
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(2), atol=1e-4)
    assert {round(float(np.linalg.det(m))) for m in matrices} == {-1, 1}


def test_many_dimensions_need_pairs_or_the_gradient(tmp_path: Path) -> None:
    settings = short("train.updates=2", "transfer.updates=2", "model.embedding=7")
    train(tmp_path / "base", settings, (0,))
    base = tmp_path / "base" / "seed0.safetensors"
    train(tmp_path / "transfer", settings, (0,), base)
    with pytest.raises(SubjectError, match="at most 6"):
        diag.repair(
            base, tmp_path / "transfer" / "seed0.safetensors", unpaired="permutations", train=2, force=True
        )


def test_words_for_maps() -> None:
    zero = np.zeros(2)
    assert searching.in_words(Map(matrix=np.eye(2), offset=zero)) == "as it is"
    assert searching.in_words(Map(matrix=np.diag([-1.0, 1.0]), offset=zero)) == "negated: 0"
    swapped = Map(matrix=np.array([[0, 1.0], [-1.0, 0]]), offset=zero)
    assert searching.in_words(swapped) == "axes in the order -1, +0"
    assert searching.in_words(Map(matrix=np.full((2, 2), 0.5), offset=zero)) == "0.50 0.50; 0.50 0.50"


def test_a_member_does_not_depend_on_the_others() -> None:
    case = case_of(diag.open_subject(BASE), diag.open_subject(BENT))
    y = case.embedding(case.base, "source")
    other = dict(files.read(EXAMPLES / "matched.safetensors").tensors)
    known = np.ones((2, 31), bool)
    alone = Anchored(case.objective, [case.transfer], y[None], known[:1], 10, data_seeds=[0])
    both = Anchored(case.objective, [case.transfer, other], np.stack([y, y]), known, 10, data_seeds=[0, 1])
    for _ in range(10):
        alone.update()
        both.update()
    for name, tensor in alone.member(0).items():
        assert torch.allclose(tensor, both.member(0)[name], atol=1e-6)


@pytest.mark.parametrize("method", ["map", "last-layer", None])
def test_inputs_that_are_constant_but_for_rounding_explain_nothing(method: Method | None) -> None:
    """Under some kernels their rounding made maps of NaN, and the best of the fits could not be told."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(31, 2))
    for noise in (0.0, 1e-17, 1e-16):
        x = 0.7 + noise * rng.normal(size=(31, 2))
        hidden = -0.3 + noise * rng.normal(size=(31, 10))
        for fit in fits(x, hidden, y, method=method):
            assert fit.r2.value is None or np.isfinite(fit.r2.value)
            assert fit.r2.value is None or fit.r2.value < 0.1
