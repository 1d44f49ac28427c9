"""What is evaluated repeats itself: draws are held fixed and said, all else that differs is refused."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import diag
from diag.checks.losses import losses_of
from diag.forecasts import ForecastError
from diag.landscapes import plane
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.repeatable import SAME, UnsteadyError, examined
from diag.sources.supplied import Supplied
from diag.sources.torch_losses import from_module
from diag.subject import Subject, SubjectError
from tests import source_files as files

N = 200


class Autoencoder(nn.Module):
    """A variational autoencoder of six numbers, which samples at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x: Tensor) -> Tensor:
        mean, log = self.encoder(x).chunk(2, 1)
        found: Tensor = self.decoder(mean + torch.randn_like(mean) * (log / 2).exp())
        return found


class Stateful(nn.Module):
    """A module that adds what ``change`` makes of it, and so may change itself."""

    def __init__(self, change: Callable[[Any, Tensor], Any], dropout: float = 0.0) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(6, 2), nn.Dropout(dropout)
        self.change, self.calls = change, 0
        self.register_buffer("seen", torch.zeros(()))
        self.own = torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(x)
        return found + self.change(self, found)


def counted(module: Any, x: Tensor) -> float:
    module.calls += 1
    return 0.01 * module.calls


def remembered(module: Any, x: Tensor) -> float:
    module.seen += 1
    return 0.0


def replaced(module: Any, x: Tensor) -> float:
    module.seen = module.seen + 1
    return 0.0


def cached(module: Any, x: Tensor) -> Tensor:
    """A buffer that is filled at the first call, and then stays."""
    if not module.seen:
        module.seen = torch.ones(())
    seen: Tensor = module.seen
    return seen


def drawn_by_itself(module: Any, x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=module.own)


def reconstruction(model: Any, batch: Tensor) -> dict[str, Tensor]:
    return {"reconstruction": (model(batch) - batch).square().sum(1)}


def squared(model: Any, batch: Tensor) -> dict[str, Tensor]:
    return {"squared": model(batch).square().sum(1)}


@pytest.fixture(autouse=True)
def generators_begin_at_a_known_place() -> None:
    """So that a test of chance is the same each time."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)


def standing() -> tuple[float, float, float]:
    """The next number of each generator: the same ones before and after what leaves no trace."""
    at = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    found = float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002
    torch.set_rng_state(at[0])
    np.random.set_state(at[1])  # noqa: NPY002
    random.setstate(at[2])
    return found


@pytest.mark.parametrize(
    ("draw", "called"),
    [
        (lambda: torch.randn(3), "torch.randn"),
        (lambda: torch.distributions.Normal(torch.zeros(3), 1.0).rsample(), "torch.normal_"),
        (lambda: torch.zeros(3).uniform_(), "torch.uniform_"),
        (lambda: np.random.rand(3), "from numpy's global one"),  # noqa: NPY002
        (lambda: np.array([random.random()]), "from Python's random"),
        (lambda: torch.rand(3) + random.random(), "torch.rand, from Python's random"),
    ],
    ids=["torch", "distribution", "in place", "numpy", "python", "both"],
)
def test_a_global_generator_is_held_and_left_as_it_stood(draw: Callable[[], Any], called: str) -> None:
    before = standing()
    chance = examined(draw)
    assert chance is not None
    assert (chance.drawn_by, chance.matters) == (called, True)
    held = chance.hold(draw)
    assert np.array_equal(held(), held())
    assert standing() == before
    assert not np.array_equal(draw(), draw())


def test_what_is_drawn_for_nothing_is_held_without_a_word() -> None:
    chance = examined(lambda: torch.rand(3) * 0)
    assert chance is not None
    assert not chance.matters


@pytest.mark.parametrize(("share", "repeats"), [(0.1 * SAME, True), (10 * SAME, False)])
def test_rounding_is_no_difference(share: float, repeats: bool) -> None:
    """Kernels on several threads: the last bits of a sum differ from call to call."""
    calls = iter(range(10))

    def summed() -> Tensor:
        return torch.tensor([100.0, 1.0]) * (1 + share * next(calls))

    if repeats:
        assert examined(summed) is None
        return
    with pytest.raises(UnsteadyError, match="another result each time for the same input"):
        examined(summed)


@pytest.mark.parametrize("wrap", [list, np.array, lambda x: (torch.tensor(x), "a word"), lambda x: {"y": x}])
def test_results_of_every_kind_are_compared(wrap: Callable[[list[float]], Any]) -> None:
    assert examined(lambda: wrap([1.0, 2.0])) is None
    turns = iter([1.0, 2.0])
    with pytest.raises(UnsteadyError, match=r"by up to 1, where the largest number is 3"):
        examined(lambda: wrap([next(turns), 3.0]))


def test_numbers_that_are_not_finite_repeat_themselves_too() -> None:
    assert examined(lambda: {"loss": torch.tensor([float("nan"), float("inf"), 1.0])}) is None
    turns = iter([float("inf"), float("-inf")])
    with pytest.raises(UnsteadyError, match="finite in one alone"):
        examined(lambda: torch.tensor(next(turns)))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            Stateful(counted),
            r"another result each time for the same input \(by up to 0\.01, .* state from call",
        ),
        (Stateful(drawn_by_itself), r"keeps a generator of its own \('own' of the Stateful\)"),
        (Stateful(remembered), r"own buffers change when it is evaluated: seen of the Stateful"),
        (Stateful(replaced), r"own buffers change when it is evaluated: seen of the Stateful"),
        (
            nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)),
            r"change when .* running_mean of '1' \(BatchNorm1d\).*in training mode; .*\.eval\(\)",
        ),
        (
            nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.01)),
            r"dropout left on: '1' \(Dropout\) in training mode; expected evaluation mode: call \.eval\(\)",
        ),
        (
            nn.GRU(6, 3, 2, dropout=0.5, batch_first=True),
            r"dropout left on: the GRU in training mode",
        ),
    ],
    ids=["counts", "own generator", "in place", "replaced", "batch norm", "dropout", "gru"],
)
def test_what_does_not_repeat_itself_is_refused_with_the_reason(module: nn.Module, words: str) -> None:
    x, before = torch.randn(64, 5, 6) if isinstance(module, nn.GRU) else torch.randn(64, 6), standing()
    held = copy.deepcopy(module.state_dict())

    def evaluate() -> Tensor:
        found = module(x)
        return found[0] if isinstance(found, tuple) else found

    with torch.no_grad(), pytest.raises(UnsteadyError, match=words):
        examined(evaluate)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, held[name])
    assert standing() == before


def test_a_cache_that_is_filled_once_is_no_change() -> None:
    module, x = Stateful(cached).eval(), torch.ones(3, 6)
    assert examined(lambda: module(x)) is None


def test_dropout_that_no_mode_turns_off_is_named() -> None:
    def evaluate() -> Tensor:
        return functional.dropout(torch.ones(64, 4), 0.5)

    with pytest.raises(UnsteadyError, match=r"torch\.nn\.functional\.dropout .* training=self\.training"):
        examined(evaluate)


# --- Losses of a module -----------------------------------------------------------------------------------


def copies(model: nn.Module, losses: Any, apart: float = 1e-6) -> tuple[Subject, Subject]:
    """A module and a copy of it that is off by so much, as subjects."""
    other, x = copy.deepcopy(model), torch.randn(N, 6)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += apart * torch.randn_like(parameter)
    return from_module(model, losses, x, name="a"), from_module(other, losses, x, name="b")


def test_a_loss_that_samples_has_no_wall_of_its_own_noise() -> None:
    """Scores of 13.4, 12.7 and 12.5 for one checkpoint, and a height of 2.01 to its copy, without this."""
    model = Autoencoder()
    before = copy.deepcopy(model.state_dict())
    a, b = copies(model, reconstruction)
    stands = standing()
    found = diag.landscape(a, b, points=5, quick=True)
    height = found.barrier["escape"]
    at = found.routes["raw"].losses["total"]
    assert found.verdict.status == "pass"
    assert height.value is not None
    assert height.high is not None
    # The copy's own rise is some 1e-6 of the loss.
    assert height.high < 1e-4 * at.max()
    assert at.max() - at.min() < 1e-4 * at.max()
    words = next(w for w in found.warnings if "torch.randn_like" in w)
    assert "a: its losses draw random numbers" in words
    assert "seed 0" in words
    for rendered in (
        render(found),
        " ".join(text(found).split()),
        html(found),
    ):
        assert "draw random numbers (torch.randn_like)" in rendered
    assert standing() == stands
    assert model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_another_seed_draws_anew() -> None:
    model = Autoencoder()
    a, b = copies(model, reconstruction)
    one, other = (diag.landscape(a, b, points=3, quick=True, seed=seed) for seed in (0, 1))
    starts = [float(found.routes["raw"].losses["total"][0]) for found in (one, other)]
    assert abs(starts[0] - starts[1]) > 1e-3 * starts[0]
    assert any("seed 1" in words for words in other.warnings)


def test_every_way_to_evaluate_meets_the_same_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends, curvature, and a plane whose rows are taken by several processes."""
    monkeypatch.setattr(plane, "WORTH_PROCESSES", 0.0)
    a, b = copies(Autoencoder(), reconstruction, apart=0.1)
    with torch.no_grad():
        assert a.objective is not None
        assert a.parameters is not None
        batch = a.tasks.batch("target", N, 0).batch  # type: ignore[union-attr]
        own = float(a.objective.losses(a.parameters, batch)["reconstruction"].mean())
    one = diag.landscape(a, b, points=3, quick=True, random_plane=True, steps=3, jobs=1)
    many = diag.landscape(a, b, points=3, curve_steps=2, random_plane=True, steps=3, jobs=2)
    rows = [found.planes[0].losses["target"]["total"] for found in (one, many)]
    np.testing.assert_array_equal(rows[0], rows[1])
    middle = rows[0][1, 1]
    ends = one.routes["raw"].losses["total"][[abs(one.routes["raw"].t - t).argmin() for t in (0, 1)]]
    # One draw, summed in single precision by other routes.
    assert middle == pytest.approx(own, rel=1e-5)
    assert ends[0] == pytest.approx(own, rel=1e-5)
    seat, curve = many.seats[0].sharpness, many.routes["curve"].losses["total"]
    assert seat.loss == pytest.approx(own, rel=1e-5)
    assert curve[0] == pytest.approx(own, rel=1e-5)
    # A step promises what its gradient and curvature say, and keeps to it: they are of the same draw.
    assert seat.step is not None
    assert seat.step.found == pytest.approx(seat.step.predicted, rel=0.5)


def trained(model: Any, batch: Tensor) -> dict[str, Tensor]:
    model.train()
    return squared(model, batch)


def trained_after(model: Any, batch: Tensor) -> dict[str, Tensor]:
    """As many validate: the mode is put back at the end, whatever it was before."""
    found = squared(model, batch)
    model.train()
    return found


@pytest.mark.parametrize("losses", [trained, trained_after])
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), r"dropout left on: '1' \(Dropout\) in training mode; .* no \.train\(\) in them"),
        (nn.BatchNorm1d(3), r"running_mean of '1' \(BatchNorm1d\).*training mode; .* no \.train\(\) in them"),
    ],
    ids=["dropout", "batch norm"],
)
def test_losses_that_put_the_module_into_training_mode_are_refused(
    layer: nn.Module, words: str, losses: Any
) -> None:
    with pytest.raises(SubjectError, match=words):
        from_module(nn.Sequential(nn.Linear(6, 3), layer), losses, torch.randn(N, 6))


def test_a_loss_with_a_generator_of_its_own_is_refused_by_name() -> None:
    noise = torch.Generator().manual_seed(1)

    def losses(model: Any, batch: Tensor) -> dict[str, Tensor]:
        return squared(model, batch + torch.randn(batch.shape, generator=noise))

    with pytest.raises(
        SubjectError, match=r"model: found another result .* of its own \('noise'\); expected"
    ):
        from_module(nn.Linear(6, 2), losses, torch.randn(N, 6))
    with pytest.raises(SubjectError, match=r"another result each time .* state from call to call"):
        from_module(Stateful(counted), squared, torch.randn(N, 6))


def test_a_counter_in_a_buffer_is_lost_after_each_call_of_a_copy() -> None:
    """The copy runs on buffers that are lent to it: what is written there matters to nobody."""
    model = Stateful(remembered)
    a, b = copies(model, squared, apart=0.1)
    assert not [w for w in diag.landscape(a, b, points=3, quick=True).warnings if "buffer" in w]
    assert model.seen == 0


def test_losses_of_the_gate_are_those_of_one_draw() -> None:
    a, b = copies(Autoencoder(), reconstruction)
    stands = standing()
    found = [losses_of(subject, N, 0) for subject in (a, a, b)]
    totals = [one.terms["total"].mean() for one in found if one is not None]
    assert totals[0] == totals[1]
    assert totals[2] == pytest.approx(totals[0], rel=1e-4)
    assert found[0] is not None
    assert "torch.randn_like" in found[0].warnings[0]
    gate = diag.check(a, b)
    assert any("a: its losses draw random numbers" in words for words in gate.checked[0].warnings)
    assert standing() == stands


# --- Encoders ---------------------------------------------------------------------------------------------

ADAPTERS = """
import torch
from diag.subject import Subject
from tests.source_files import Plain

class Around(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.plain = Plain(weights["linear.weight"].numpy().T)
        self.plain.load_state_dict(weights)
        self.drop, self.norm, self.calls = torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3), 0

class Sampling(Around):
    def forward(self, x):
        return self.plain(x) + 0.001 * torch.randn(len(x), 3)

class Dropping(Around):
    def forward(self, x):
        return self.drop(self.plain(x))

class Always(Around):
    def forward(self, x):
        return torch.nn.functional.dropout(self.plain(x), 0.5)

class Norming(Around):
    def forward(self, x):
        return self.norm(self.plain(x))

class Counting(Around):
    def forward(self, x):
        self.calls += 1
        return self.plain(x) + self.calls

class Own:
    def __init__(self, module):
        self.module = module
    def embed(self, parameters, observations):
        return self.module(observations.float()).detach()

def sampling(weights, opening):
    return Sampling(weights)

def dropping(weights, opening):
    return Dropping(weights)  # which is put into evaluation mode

def always(weights, opening):
    return Always(weights)

def counting(weights, opening):
    return Counting(weights)

def left_on(weights, opening):
    return Subject(opening.path, opening.sha256, encoder=Own(Dropping(weights)), frozen=())

def norming(weights, opening):
    return Subject(opening.path, opening.sha256, encoder=Own(Norming(weights)), frozen=())
"""


@pytest.fixture
def shown(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Pairs of observations; and a module of adapters in the working directory."""
    (tmp_path / "unsteady_adapters.py").write_text(ADAPTERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    yield files.pairs(tmp_path / "pairs.npz", rng)
    sys.modules.pop("unsteady_adapters", None)


def adapted(name: str, shown: Path, rng: np.random.Generator) -> Any:
    """The comparison of two files by an adapter; it leaves the generators where it found them."""
    paths = files.both(files.state_dict, shown.parent, files.flipping(rng))
    supplied = Supplied(pairs=shown, adapter=f"unsteady_adapters:{name}")
    # Not so the making of a network, whose weights are drawn before they are loaded.
    base, transfer = (
        diag.open_subject(p, supplied, t) for p, t in zip(paths, ("source", "target"), strict=True)
    )
    stands = standing()
    try:
        return diag.compare(base, transfer)
    finally:
        assert standing() == stands


def test_an_encoder_that_samples_is_held_and_said(shown: Path, rng: np.random.Generator) -> None:
    found = adapted("sampling", shown, rng)
    assert (found.relation, found.verdict.axes) == ("flipped", (1,))
    assert len([w for w in found.warnings if "its embeddings draw random numbers (torch.randn)" in w]) == 2
    for rendered in (render(found), " ".join(text(found).split()), html(found)):
        assert "draw random numbers (torch.randn)" in rendered
    assert json.loads(render(found))["warnings"] == list(found.warnings)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("always", r"dropout left on: torch\.nn\.functional\.dropout .* training=self\.training"),
        ("counting", r"another result each time for the same input"),
        ("left_on", r"dropout left on: 'drop' \(Dropout\) in training mode; .* call \.eval\(\)"),
        ("norming", r"running_mean of 'norm' \(BatchNorm1d\).* in training mode; .* call \.eval\(\)"),
    ],
)
def test_an_adapters_model_that_does_not_repeat_itself_is_refused(
    name: str, words: str, shown: Path, rng: np.random.Generator
) -> None:
    with pytest.raises(SubjectError, match=rf"\.pt: found .*{words}"):
        adapted(name, shown, rng)


def test_an_adapters_module_is_put_into_evaluation_mode(shown: Path, rng: np.random.Generator) -> None:
    assert not adapted("dropping", shown, rng).warnings


def program(path: Path, nodes: Callable[[Any], list[Any]]) -> Path:
    """An ONNX program of three numbers -> three: ``nodes`` from ``x`` to ``embedding``."""
    helper = pytest.importorskip("onnx.helper")
    from onnx import TensorProto, numpy_helper

    one, other = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "embedding"))
    held = [numpy_helper.from_array(np.array(v), n) for n, v in (("share", np.float32(0.5)), ("on", True))]
    graph = helper.make_graph(nodes(helper.make_node), "graph", [one], [other], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            lambda node: [node("Dropout", ["x", "share", "on"], ["embedding"])],
            r"dropout left on: exported in training mode.*; expected .* model\.eval\(\) before the export",
        ),
        (
            lambda node: [
                node("RandomNormalLike", ["x"], ["noise"]),
                node("Add", ["x", "noise"], ["embedding"]),
            ],
            r"draws random numbers \(RandomNormalLike\), different ones each time",
        ),
    ],
    ids=["dropout", "noise"],
)
def test_an_onnx_program_that_draws_is_refused_with_what_draws(
    nodes: Callable[[Any], list[Any]], words: str, shown: Path
) -> None:
    a, b = (program(shown.with_name(f"{name}.onnx"), nodes) for name in "ab")
    b.write_bytes(b.read_bytes() + b"\x1a\x00")  # a documentation string, so that it is another file
    with pytest.raises(SubjectError, match=words):
        diag.compare(a, b, supplied=Supplied(pairs=shown))


@pytest.mark.filterwarnings("ignore")  # of torch.export's own
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            nn.Dropout(0.5),
            r"dropout left on: aten\.dropout .*; expected .* model\.eval\(\) before the export",
        ),
        (
            nn.BatchNorm1d(3),
            r"buffers change .*running_mean.*; expected .* model\.eval\(\) before the export",
        ),
        (None, None),
    ],
    ids=["dropout", "batch norm", "samples"],
)
def test_a_program_of_torch_export_in_training_mode_is_refused(
    layer: nn.Module | None, words: str | None, shown: Path, rng: np.random.Generator
) -> None:
    rows = torch.export.Dim("rows", min=2, max=1024)
    paths = []
    for name, weights in zip("ab", files.flipping(rng), strict=True):
        module = nn.Sequential(files.Plain(weights), layer or Noise()).train(layer is not None)
        exported = torch.export.export(module, (torch.zeros(8, 4),), dynamic_shapes=({0: rows},))
        paths.append(shown.with_name(f"{name}.pt2"))
        torch.export.save(exported, paths[-1])
    supplied = Supplied(pairs=shown, trust_pickle=True)
    if words is not None:
        with pytest.raises(SubjectError, match=words):
            diag.compare(*paths, supplied=supplied)
        return
    found = diag.compare(*paths, supplied=supplied)
    assert found.verdict.axes == (1,)
    assert "draw random numbers (aten.randn_like)" in found.warnings[0]


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.001 * torch.randn_like(x)


# --- In somebody's training -------------------------------------------------------------------------------


def test_a_look_leaves_no_trace_in_training(capsys: pytest.CaptureFixture[str]) -> None:
    seen, base = torch.randn(40, 6), np.random.default_rng(0).normal(size=(40, 2))
    encoder = Stateful(lambda module, x: 0.001 * torch.randn_like(x)).eval()
    watch, stands = diag.watch(base, updates=10), standing()
    watch(4, lambda: encoder(seen))
    assert standing() == stands
    assert "torch.randn_like" in watch.warnings[0]
    watch(6, lambda: encoder(seen))
    assert len(watch.warnings) == 1
    assert capsys.readouterr().err.count("warning: ") == 1


def test_a_look_in_training_mode_is_refused_before_it_changes_the_model() -> None:
    seen, base = torch.randn(40, 6), np.random.default_rng(0).normal(size=(40, 2))
    model = nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2))
    held, stands = copy.deepcopy(model.state_dict()), standing()
    with pytest.raises(ForecastError, match=r"running_mean of '1' .* model\.eval\(\) before it is taken"):
        diag.watch(base, updates=10, quiet=True)(4, lambda: model(seen))
    assert all(torch.equal(t, held[name]) for name, t in model.state_dict().items())
    assert standing() == stands
    dropping = nn.Sequential(nn.Linear(6, 2), nn.Dropout(0.5))
    stands = standing()
    with pytest.raises(ForecastError, match=r"dropout left on: '1' \(Dropout\) .* model\.eval\(\) before"):
        diag.watch(base, updates=10, quiet=True)(4, lambda: dropping(seen))
    assert standing() == stands
    assert model.training
    assert dropping.training
