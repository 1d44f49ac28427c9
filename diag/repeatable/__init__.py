"""Check that a model, a program or a loss repeats itself on the same input, before any number rests on it.

The model, program or loss is evaluated twice. If it draws from a global generator (torch's on CPU and CUDA,
numpy's, Python's), the generators start from one seed at every evaluation from then on, and the result says
so: numbers at two points then differ by the points, not by the luck of two draws. A model that draws because
it was left in training mode, changes itself, or differs for any other reason is refused.

Afterwards the caller's generators and the modules' buffers are as they were before. This costs two
evaluations (four for a model that draws): of an encoder on :data:`ROWS` rows, of a loss on its whole batch,
whose samples may read each other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from diag.repeatable.generators import TORCH, kept, moved, pinned, states
from diag.repeatable.observed import Observed, few, is_generator, observed
from diag.subject import Actor, Encoder, Objective, Parameters, Stateful, SubjectError

if TYPE_CHECKING:
    from torch import Tensor

Callee = TypeVar("Callee", bound=Callable[..., Any])

SEED = 0
"""Default seed at which generators are held."""

ROWS = 64
"""Number of observations that an encoder is examined with: dropout of one in a hundred, on a dozen units, is
almost sure to show, and thousands are embedded later."""

SAME = 1e-5
"""Largest difference of results that count as equal, as a share of the largest number in them: kernels on
several threads, and on a GPU, add in another order each time, which leaves some tens of float32's last bits
(6·10⁻⁸) on sums of thousands. A draw that matters to a verdict (5% of a loss, 0.05 of R²) is thousands of
times larger."""

LAST_BITS = 4
"""Largest difference in last places of a coarser type: half precision rounds once or twice more."""

EVALUATION = "evaluation mode: call .eval() on the model, and let nothing call .train() while it is evaluated"

ALWAYS_ON = "dropout that evaluation mode turns off: nn.Dropout, or F.dropout(x, p, training=self.training)"

STEADY = "the same result for the same input: no generator, and no state from call to call, of its own"


class UnsteadyError(ValueError):
    """A model that does not repeat itself: ``found`` says how, ``expected`` what would serve."""

    def __init__(self, found: str, expected: str) -> None:
        self.found, self.expected = found, expected
        super().__init__(f"found {found}; expected {expected}")


@dataclass(frozen=True)
class Chance:
    """Random numbers that a model draws, and the seed that they are held at."""

    drawn_by: str
    """Name of the drawing function, ``torch.randn_like``, or of the generator that was drawn from."""
    seed: int
    matters: bool
    """Whether the model's results differed from draw to draw."""

    def hold(self, call: Callee) -> Callee:
        """The function wrapped so that every call begins with each global generator at the seed."""

        def held(*args: Any, **kwargs: Any) -> Any:
            with pinned(self.seed):
                return call(*args, **kwargs)

        return held  # type: ignore[return-value]

    def words(self, path: str, what: str) -> str:
        """A warning that ``what``, such as ``its losses``, draws random numbers."""
        return (
            f"{path}: {what} draw random numbers ({self.drawn_by}). They are held fixed, the same ones at "
            f"every evaluation (seed {self.seed}): all numbers are for that one draw"
        )


def examined(
    evaluate: Callable[[], Any],
    *,
    remedy: str = EVALUATION,
    given: bool = False,
    keepers: tuple[Any, ...] = (),
    seed: int = SEED,
) -> Chance | None:
    """Evaluate twice: None if the results repeat, else the random numbers drawn, if they can be held.

    Args:
        evaluate: The function to examine, without arguments; gives a tensor, an array, or a mapping of them.
        remedy: Words on what to do if it is in training mode.
        given: Whether modules run on parameters and buffers that are given to them for each call.
        keepers: Functions and objects beside the modules that ran, which may keep a generator of their own.
        seed: Seed at which generators are held.

    Raises:
        UnsteadyError: its results differ for another reason than a global generator, or it was left in
            training mode, or changes its own buffers; and whatever ``evaluate`` raises.
    """
    with kept(), ExitStack() as undo:
        before = states()
        first, _ = _once(evaluate, undo)
        second, seen = _once(evaluate, undo)
        drew = moved(before, states())
        if not drew:
            _check_unchanged(seen, remedy, given)
            if (by := _difference(first, second)) is not None:
                raise UnsteadyError(_differs(by, "", _keepers(seen, keepers)), STEADY)
            return None
        with pinned(seed):
            third, seen = _once(evaluate, undo, closely=True)
        _check_untrained(seen, remedy)
        _check_unchanged(seen, remedy, given)
        with pinned(seed):
            fourth, seen = _once(evaluate, undo, closely=True)
        if (by := _difference(third, fourth)) is not None:
            held = f", though {' and '.join(drew)} started from the same seed"
            raise UnsteadyError(_differs(by, held, _keepers(seen, keepers)), STEADY)
        functions = [] if seen is None else [draw.function for draw in seen.draws]
        others = [f"from {name}" for name in drew if not (functions and name.startswith(TORCH[:5]))]
        matters = any(_difference(one, third) is not None for one in (first, second))
        return Chance(few(functions + others), seed, matters)


def steady_encoder(
    encoder: Encoder, parameters: Parameters, observations: Tensor, path: str, *, seed: int = SEED
) -> tuple[Encoder, tuple[str, ...]]:
    """The encoder, its generators held where it draws; and warnings about that.

    Raises SubjectError, about ``path``, where it cannot be made to repeat itself.
    """
    some = observations[:ROWS]
    try:
        chance = examined(
            lambda: encoder.embed(parameters, some),
            remedy=getattr(encoder, "remedy", EVALUATION),
            keepers=(encoder,),
            seed=seed,
        )
    except UnsteadyError as error:
        told = getattr(encoder, "unsteady", lambda: None)()
        raise SubjectError(path, *(told or (error.found, error.expected))) from None
    if chance is None:
        return encoder, ()
    return HeldEncoder(encoder, chance), _said(chance, path, "its embeddings")


def steady_objective(
    objective: Objective, parameters: Parameters, batch: Any, path: str, *, seed: int = SEED
) -> tuple[Objective, tuple[str, ...]]:
    """The objective, its generators held where it draws; and warnings about that.

    Raises SubjectError, about ``path``, where it cannot be made to repeat itself.
    """
    if isinstance(objective, HeldObjective):  # examined before
        held = objective.at_seed(seed)
        return held, _said(held.chance, path, "its losses")
    try:
        chance = examined(
            lambda: objective.losses(parameters, batch),
            remedy=getattr(objective, "remedy", EVALUATION),
            given=getattr(objective, "lends", False),
            keepers=(objective,),
            seed=seed,
        )
    except UnsteadyError as error:
        raise SubjectError(path, error.found, error.expected) from None
    if chance is None:
        return objective, ()
    return HeldObjective(objective, chance), _said(chance, path, "its losses")


class HeldEncoder:
    """An encoder that draws random numbers, held to the same draw at each call."""

    def __init__(self, encoder: Encoder, chance: Chance) -> None:
        self.chance = chance
        self._embed = chance.hold(encoder.embed)

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, *shape) of observations (n, *shape)."""
        return self._embed(parameters, observations)


class HeldObjective:
    """An objective that draws random numbers, held to the same draw at every point; the rest is passed on.

    Points are taken one after another: many at once would share one stretch of random numbers.
    """

    METHODS = ("embeddings", "losses_at", "activations", "walk")
    """Names of the methods that an objective may offer beside its losses."""

    FACTS = ("units", "pinned", "follows", "discrete", "half")
    """Names of the attributes that an objective may have."""

    def __init__(self, objective: Objective, chance: Chance) -> None:
        self.chance, self.terms = chance, objective.terms
        self.constants: Mapping[str, Any] = objective.constants
        self._whole, self._losses = objective, chance.hold(objective.losses)
        for name in self.METHODS:
            if hasattr(objective, name):
                setattr(self, name, chance.hold(getattr(objective, name)))
        for name in self.FACTS:
            if hasattr(objective, name):
                setattr(self, name, getattr(objective, name))
        if isinstance(objective, Stateful):
            self.precise = lambda: HeldObjective(objective.precise(), chance)

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)}."""
        return self._losses(parameters, batch)

    def at_seed(self, seed: int) -> HeldObjective:
        """This objective, held to the draw from another seed."""
        return HeldObjective(self._whole, replace(self.chance, seed=seed))


class HeldActor:
    """An actor whose episodes begin with every global generator at one seed; afterwards each is put back."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def returns(self, parameters: Parameters, task: str, episodes: int, seed: int) -> Any:
        """Returns (episodes,) of episodes that are played on a task."""
        with pinned(seed):
            return self._actor.returns(parameters, task, episodes, seed)


def _said(chance: Chance, path: str, what: str) -> tuple[str, ...]:
    return (chance.words(path, what),) if chance.matters else ()


def _once(
    evaluate: Callable[[], Any], undo: ExitStack, *, closely: bool = False
) -> tuple[dict[str, Any], Observed | None]:
    """The evaluation's result as arrays by name, and what torch modules did, with their buffers put back."""
    if "torch" not in sys.modules:
        return _arrays(evaluate()), None
    with observed(closely=closely) as seen:
        undo.callback(seen.restore)
        return _arrays(evaluate()), seen


def _arrays(result: Any) -> dict[str, Any]:
    """Copies of the numeric parts of a result; other parts are left to whoever reads the result."""
    parts = result if isinstance(result, Mapping) else {"": result}
    if isinstance(result, tuple | list) and any(hasattr(part, "shape") for part in result):
        parts = dict(enumerate(result))
    arrays: dict[str, Any] = {}
    for name, value in parts.items():
        if hasattr(value, "detach"):
            # NumPy has no bfloat16; and an array that shares the tensor's memory would change with it.
            arrays[str(name)] = value.detach().cpu().clone()
        else:
            with suppress(ValueError, TypeError):  # rows of different lengths
                arrays[str(name)] = np.array(value)
    return arrays


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Words for how two results differ beyond rounding; None where they do not."""
    if one.keys() != other.keys():
        return f"{few(list(one))}, then {few(list(other))}"
    for name, value in one.items():
        again = other[name]
        if tuple(value.shape) != tuple(again.shape):
            return f"shape {tuple(value.shape)}, then {tuple(again.shape)}"
        a, b = _doubles(value), _doubles(again)
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return "numbers that are finite in one alone"
        most = float(np.abs(a[finite]).max(initial=0.0))
        by = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
        if by > most * max(SAME, LAST_BITS * _last_bit(value)):
            return f"by up to {by:.2g}, where the largest number is {most:.2g}"
    return None


def _doubles(value: Any) -> Any:
    if hasattr(value, "detach"):
        import torch

        value = (torch.view_as_real(value.resolve_conj()) if value.is_complex() else value).double().numpy()
    return np.asarray(value, np.float64) if value.dtype.kind in "fiub" else np.zeros(0)


def _last_bit(value: Any) -> float:
    """The relative size of one unit in the last place of a type; 0 for whole numbers."""
    if hasattr(value, "detach"):
        import torch

        return float(torch.finfo(value.dtype).eps) if value.is_floating_point() else 0.0
    return float(np.finfo(value.dtype).eps) if value.dtype.kind == "f" else 0.0


def _differs(by: str, held: str, keepers: list[str]) -> str:
    why = f": it keeps a generator of its own ({few(keepers)})" if keepers else ""
    return f"another result each time for the same input ({by}){held}{why}"


def _keepers(seen: Observed | None, others: tuple[Any, ...]) -> list[str]:
    """Words for the modules and variables that keep a generator of their own."""
    keepers = [] if seen is None else seen.own_generators()
    for one in others:
        known = dict(getattr(one, "__dict__", {}))
        names = getattr(getattr(one, "__code__", None), "co_freevars", ())
        for name, cell in zip(names, getattr(one, "__closure__", None) or (), strict=False):
            with suppress(ValueError):  # a cell that has no value yet
                known[name] = cell.cell_contents
        if seen is not None:
            keepers += [repr(name) for name, value in known.items() if is_generator(value)]
    return keepers


def _check_untrained(seen: Observed | None, remedy: str) -> None:
    """Raise UnsteadyError where dropout drew, or a layer that was in training mode."""
    if seen is None:
        return
    layers = [draw.layer for draw in seen.draws if draw.in_training and draw.layer is not None]
    drops = [draw for draw in seen.draws if draw.is_dropout]
    if layers:
        what = "dropout left on" if drops else "random numbers drawn in training mode"
        raise UnsteadyError(f"{what}: {few(layers)} in training mode", remedy)
    if drops:
        always = remedy if drops[0].function.startswith("aten.") else ALWAYS_ON
        raise UnsteadyError(f"dropout left on: {few([d.function for d in drops])} drops numbers", always)


def _check_unchanged(seen: Observed | None, remedy: str, given: bool) -> None:
    """Raise UnsteadyError where a module's own buffers changed."""
    if seen is not None and (changed := seen.changed(given=given)):
        mode = ", in training mode" if seen.training else ""
        raise UnsteadyError(
            f"a module whose own buffers change when it is evaluated: {few(changed)}{mode}", remedy
        )
