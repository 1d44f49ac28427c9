"""Subject: the one interface between a trained system and every diagnosis.

A subject is a bundle of capabilities. A source (a file format, an adapter) offers what it can; a
diagnosis asks for what it needs with :func:`require`, and the error names what is missing and what
would supply it. Nothing here mutates a model: parameters are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from diag.shown import Shown
from trainers.safe_text import in_words, one_line

if TYPE_CHECKING:
    from torch import Tensor

    from diag.units.symmetry import Units

Parameters: TypeAlias = Mapping[str, "Tensor"]
"""Named parameters, ``component/parameter``, as a checkpoint holds them."""

SAMPLES = 1240
"""Default number of transitions that losses are computed on: ten rounds of the simple maze's states and
actions."""

Task: TypeAlias = str
"""``source`` or ``target``."""


class SubjectError(ValueError):
    """A file, or a pair of them, that a diagnosis cannot use: ``path``, ``found``, ``expected``.

    Its message is one line of bounded length, whatever the file says.
    """

    def __init__(self, path: str, found: str, expected: str) -> None:
        self.path, self.found, self.expected = path, one_line(found), one_line(expected)
        super().__init__(f"{in_words(path)}: found {self.found}; expected {self.expected}")


class Encoder(Protocol):
    """Observations to embeddings."""

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, *shape) of observations (n, *shape)."""
        ...


@dataclass(frozen=True)
class Sampled:
    """Data to take losses on, with the group (state or episode) that each of its n samples belongs to."""

    batch: Any
    groups: NDArray[np.int64]


class Objective(Protocol):
    """The losses that training descends; differentiable in the parameters where gradients are enabled."""

    terms: Mapping[str, float]
    """Each term's weight in the total."""
    constants: Mapping[str, Any]
    """Other values that two objectives must share for their losses to be the same function."""

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)}."""
        ...


@runtime_checkable
class Widening(Protocol):
    """An objective of networks that may have more inputs in one file than in another, as a meta-model has."""

    def widened(self, parameters: Parameters, other: Parameters) -> Parameters:
        """The same function by parameters of the other's shapes: it has the inputs, and does not listen."""
        ...


@runtime_checkable
class LatentObjective(Protocol):
    """An objective that sees observations only through their embeddings."""

    def embeddings(self, parameters: Parameters, batch: Any) -> Tensor:
        """The embeddings (n, *shape) that the losses of a batch are taken from."""
        ...

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)} from given embeddings instead."""
        ...


@runtime_checkable
class StackedObjective(Protocol):
    """An objective that takes many parameters at once faster than one after another."""

    @property
    def at_once(self) -> int:
        """Preferred batch of parameter sets: more gain nothing, and memory stays flat."""
        ...

    def losses_many(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (k, n)} of parameters that each have a leading axis of k."""
        ...


@runtime_checkable
class StackedLatentObjective(Protocol):
    """A latent objective that takes many parameters, and embeddings for each, in one call."""

    def losses_at_many(self, parameters: Parameters, embeddings: Tensor, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (k, n)} of k parameters, stacked, at embeddings (k, n, d)."""
        ...


@runtime_checkable
class LastLinear(Protocol):
    """An encoder whose last layer is linear, so that a map of the embedding can be folded into it."""

    @property
    def last_linear(self) -> str:
        """Name of the last layer, with parameters ``<name>.weight`` (d, hidden) and ``<name>.bias`` (d,)."""
        ...

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor | None:
        """Inputs (n, hidden) of the last layer for observations (n, *shape); None if it is the only layer."""
        ...


@runtime_checkable
class LastConvolution(Protocol):
    """An encoder of planes whose last layer is a linear convolution of 1×1.

    A map of channels that is the same at every place can be folded into it.
    """

    @property
    def last_convolution(self) -> str:
        """Name of the last layer: ``<name>.weight`` (channels, hidden, 1, 1) and ``<name>.bias`` (channels,).

        Embeddings are (n, channels, height, width).
        """
        ...

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor | None:
        """Inputs (n, hidden, height, width) of the last layer for observations (n, *shape)."""
        ...


@runtime_checkable
class Unmendable(Protocol):
    """An encoder that no repair can lead back, and says why."""

    @property
    def unmendable(self) -> tuple[str, str]:
        """Error words (found, expected)."""
        ...


@runtime_checkable
class Rectified(Protocol):
    """An encoder that says whether whoever reads its embedding sees max(embedding, 0) alone.

    So it is where a rectifier follows the embedding, or is the encoder's last layer. A unit that is at or
    below 0 whatever is observed is then dead: nothing of it is read, and it has no gradient.
    """

    @property
    def rectified(self) -> bool:
        """Whether a rectifier follows, or came last."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """An encoder with a model of where actions lead in its embedding space."""

    def predict(self, parameters: Parameters, embeddings: Tensor) -> Tensor | None:
        """Expected next embeddings (n, actions, d) from embeddings (n, d); None without a model."""
        ...


@dataclass(frozen=True, eq=False)
class Foreseen:
    """What a model expects of k histories without seeing how they go on, beside what came.

    Every array is (k, 1 + H, …): the last row that the model saw, then H rows ahead. Losses are NaN from
    where an episode ended in between.
    """

    losses: Mapping[str, NDArray[np.float64]]
    """{term: (k, 1 + H)}; ``off`` is the sum of the absolute differences of a picture's numbers, 0 to 1."""
    kept: NDArray[np.float64]
    """(k, 1 + H) the same of who holds on to the last picture that was seen."""
    expected: NDArray[np.float32]
    """(k, 1 + H, c, h, w) pictures as the model expects them, numbers from 0 to 1."""
    came: NDArray[np.float32]
    """(k, 1 + H, c, h, w) pictures as they came."""


@runtime_checkable
class Foreseeing(Protocol):
    """An objective of a model that can go on without sight, from the first part of a history."""

    def foresee(self, parameters: Parameters, histories: Any) -> Foreseen:
        """Go on with each of some histories (:meth:`Remembered.histories`), drawing by their own noise."""
        ...


@runtime_checkable
class Remembered(Protocol):
    """Tasks with histories of play that a model can be held against."""

    def histories(self, task: Task, count: int, seed: int) -> Any:
        """So many histories as the task shows them; of worlds without paired looks, the target's for both."""
        ...


@runtime_checkable
class Parted(Objective, Protocol):
    """Losses of a system whose components can be asked one by one, on histories that others are shown too."""

    main: str
    """The component that all others read: its answers are the embedding."""

    def answers(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """What each component says of n rows, {component: (n, d)}, in the order in which they run."""
        ...

    def heard(self, parameters: Parameters, batch: Any) -> tuple[Tensor, Tensor] | None:
        """Predictions (n,) of a component that reads copies of the bases', and without each (n, bases).

        A copy is left out by putting its mean in the place of what it says. None where nothing reads copies.
        """
        ...

    def earned(self, batch: Any) -> Tensor:
        """Rewards (n,) that came with a batch's rows; NaN where none can have come."""
        ...

    def sees(self, other: Parted) -> tuple[str, str] | None:
        """Error words (found, expected) where the other's observations or actions are not this one's."""
        ...


@runtime_checkable
class Redirected(Protocol):
    """Tasks of a base that can be shown another target of their world."""

    def to(self, look: str) -> TaskPair:
        """The same tasks with that target; raises SubjectError for one that the world does not have."""
        ...


class OwnTransitions(Protocol):
    """Transitions that k systems were trained on, a table for each, to train them on side by side."""

    @property
    def count(self) -> int:
        """Number of transitions in each table."""
        ...

    def losses(self, parameters: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (k, n, d) of all paired observations, and losses {term: (k, m)} at rows (k, m).

        Differentiable in the parameters, which have a leading axis of k.
        """
        ...


@runtime_checkable
class Retrainable(Protocol):
    """An objective with the transitions of its own training, so that it can be trained on further."""

    @property
    def budget(self) -> int:
        """Number of updates in the training of a transfer."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of transitions in a batch."""
        ...

    @property
    def data_seed(self) -> int:
        """Seed of the transitions that this system was trained on."""
        ...

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> OwnTransitions:
        """The transitions that transfers with these data seeds were trained on, as a task shows them."""
        ...


@runtime_checkable
class Layered(Protocol):
    """Networks whose hidden units can be told apart, and exchanged without changing what they compute."""

    units: tuple[Units, ...]
    """The layers of hidden units, and where each stands in the parameters."""

    def activations(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Outputs of each layer of units for a batch: {units.name: (n, size, ...)}."""
        ...


@dataclass(frozen=True)
class Layer:
    """One run of one layer inside an encoder, or the input of a layer."""

    name: str
    """What a reader knows it by: the module's own name, with the number of its call beyond the first."""
    part: str
    """The module's own name of the layer."""
    kind: str
    """The class of the layer: ``Conv2d``."""


def input_of(part: str) -> str:
    """The name of what a layer reads."""
    return f"input of {part}"


@runtime_checkable
class Watched(Protocol):
    """An encoder whose inner layers can be read on the way."""

    def watch(
        self,
        parameters: Parameters,
        observations: Tensor,
        see: Callable[[Layer, Tensor], None],
        inputs: Collection[str] = (),
        unread: Callable[[Layer, str], None] = lambda layer, what: None,
    ) -> None:
        """Run observations (n, *shape); ``see`` gets each layer, and its output (n, units, ...), in turn.

        ``inputs`` names layers whose input is handed on too, as a layer of its own. ``unread`` is told of
        layers that ran without a row for each observation, and of what they gave, in words.
        """
        ...

    def weights_of(self, parameters: Parameters, part: str) -> Mapping[str, Tensor]:
        """The layer's own parameters, by their names in it; none where it has none."""
        ...


@runtime_checkable
class Steps(Protocol):
    """The optimiser that training used: where it would go on to."""

    def walk(
        self, parameters: Parameters, task: Task, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
        """Train on from here m times, each with batches of its own.

        Each trained parameter's mean position (m, *shape) early and late on the way, and how many updates
        lie between the two.
        """
        ...


@dataclass(frozen=True)
class Follows:
    """State of one layer that follows from parameters, and is computed afresh where it is not given."""

    names: tuple[str, ...]
    """Names of the tensors that hold the state."""
    of: tuple[str, ...]
    """The parameters that determine the state; empty where the data matter too."""
    offsets: tuple[str, ...]
    """Names of parameters that hold the checkpoint's offsets from the state computed afresh."""
    what: Literal["spectral norm", "batch statistics"]
    where: str
    """The layer's name in the network."""


@runtime_checkable
class Stateful(Protocol):
    """An objective of a network with state beside its free weights.

    Its losses read all state that they are given among the parameters, and compute afresh what follows from
    others and is not given.
    """

    follows: tuple[Follows, ...]
    discrete: frozenset[str]
    """Names of the state that cannot be interpolated: integers, booleans, masks."""
    half: tuple[str, ...]
    """The types of less than four bytes that losses are computed in; none where there are none."""

    def precise(self) -> Objective:
        """These losses in float32, if they are computed in less."""
        ...


class Actor(Protocol):
    """A system that can act."""

    def returns(self, parameters: Parameters, task: Task, episodes: int, seed: int) -> NDArray[np.float64]:
        """Returns (episodes,) of episodes that are played on a task."""
        ...


@runtime_checkable
class SeededEpisodes(Protocol):
    """An actor whose episodes follow from their seed alone, but for what the agent does in them."""

    def episodes_played(self) -> str:
        """What its episodes are, in words.

        Where two actors say the same, episode i of a seed begins in the same hidden state for both and has
        the same chances, whatever the task shows: their returns are paired.
        """
        ...


@dataclass(frozen=True, eq=False)
class Film:
    """A handful of moments of one episode, as small pictures for people."""

    frames: NDArray[np.uint8]
    """(k, h, w, 3) red, green and blue."""
    captions: tuple[str, ...]
    """A few words under each frame."""
    summary: str
    """What happens, in a clause: ``takes both keys in 12 steps``."""


@runtime_checkable
class Filmed(Protocol):
    """An actor whose episodes can be drawn."""

    def film(self, parameters: Parameters, task: Task, episodes: int, number: int, seed: int) -> Film:
        """Episode ``number`` of those that ``returns`` plays with these numbers."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Paired observations: hidden states rendered by both tasks, with the state or episode of each row."""

    observations: Mapping[Task, Tensor]
    """{task: (n, *shape)}."""
    groups: NDArray[np.int64] | None
    """(n,) the state or episode of each row; None if unknown: rows that are embedded alike then count as one
    state."""
    grouping: Literal["states", "episodes"] = "states"
    """Whether a group is a state or an episode."""


class TaskPair(Protocol):
    """The source and the target task."""

    name: str

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """n paired observations; every state once where n is None and the states can be listed."""
        ...

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n transitions of a task under the policy that training data come from."""
        ...

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """Known facts of each paired state, {name: (n,)}, for colours and probes."""
        ...


@runtime_checkable
class Endless(Protocol):
    """Tasks with more states than can be listed, so that some can be fitted to and others judged by."""

    def further_pairs(self, n: int, seed: int) -> Pairs:
        """n paired observations of states apart from those of ``paired_observations(None, …)``."""
        ...


@runtime_checkable
class KnownPairs(Protocol):
    """Tasks that draw as many rows as are asked for, in any look of their world, and know facts of each."""

    def known_pairs(
        self, n: int | None, look: str | None, seed: int
    ) -> tuple[Pairs, Mapping[str, NDArray[Any]]]:
        """n paired observations and {fact: (n,)}; raises SubjectError for a look that the world has not."""
        ...


@runtime_checkable
class Coloured(Protocol):
    """Tasks that choose the variable by which pictures of their states are coloured."""

    @property
    def colour(self) -> str | None:
        """Name of one of the variables; None to leave the choice to the picture."""
        ...


@runtime_checkable
class OpenTasks(Protocol):
    """Tasks of a base that settle the source task alone: a transfer may be to one target task or another."""

    def leads_to(self, other: TaskPair) -> bool:
        """Whether other tasks are those of a transfer from this source task."""
        ...


def agree(tasks: TaskPair, shared: TaskPair) -> bool:
    """Whether tasks are the ``shared`` ones, or open to them."""
    return tasks.name == shared.name or (isinstance(tasks, OpenTasks) and tasks.leads_to(shared))


def settled(tasks: Sequence[TaskPair]) -> TaskPair:
    """The first tasks that settle both source and target; the first of all where none do."""
    return next((one for one in tasks if not isinstance(one, OpenTasks)), tasks[0])


def colour_of(tasks: TaskPair) -> str | None:
    """Name of the variable by which pictures of the tasks' states are coloured; None for no choice."""
    return tasks.colour if isinstance(tasks, Coloured) else None


@dataclass(frozen=True)
class Taken:
    """The named columns or arrays that ready embeddings were read from, and the key that tells rows apart."""

    names: tuple[str, ...]
    """The names of the columns, one a dimension, in order; or of the one array."""
    by_column: bool = False
    """Whether each dimension has a name of its own."""
    left_out: tuple[str, ...] = ()
    """Columns that were left out because their names say that they are no dimensions."""
    chosen: bool = False
    """Whether a person named the columns, who then answers for them."""
    key: str = ""
    """Words for the key that tells the rows apart; empty where nothing does."""
    keys: tuple[NDArray[Any], ...] = ()
    """The parts of the key, (n,) each, that together tell the rows apart."""
    asked: bool = False
    """Whether a person named the key; otherwise it is an index that the file stores."""
    common: bool = False
    """Whether rows that only one of two files has may be left out."""
    order: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """{name: (n,)} columns left out, such as ``step``, that have to agree where two files have the same
    rows."""


@dataclass(frozen=True, repr=False)
class Subject(Shown, kind="subject"):
    """One trained system, or ready embeddings; what a source could not supply is None."""

    path: str
    sha256: str
    task: Task | None = None
    """The task that the system was trained on."""
    parameters: Parameters | None = None
    encoder: Encoder | None = None
    """Encoder from observations to embeddings; also LastLinear, LastConvolution, Predictor, Rectified or
    Watched where it can."""
    objective: Objective | None = None
    """Losses of the system; also LatentObjective, StackedObjective, StackedLatentObjective, Layered, Steps or
    Retrainable where it can."""
    tasks: TaskPair | None = None
    embeddings: NDArray[Any] | None = None
    """Ready embeddings (n, ...), for sources without an encoder."""
    episodes: NDArray[Any] | None = None
    """(n,) the episode of each ready embedding, where the source says."""
    taken: Taken | None = None
    """The named columns or arrays that the ready embeddings were read from; None where nothing is named."""
    actor: Actor | None = None
    """The policy, where the source can run episodes."""
    returns: NDArray[np.float64] | None = None
    """(episodes,) returns on its own task that the source holds ready."""
    frozen: tuple[str, ...] | None = None
    """Components with frozen parameters that read the embedding; None where the source does not say."""
    plan: Mapping[str, str] | None = None
    """{parameter: what the transfer's plan did with it, in a word}; None where there is no plan."""
    identity: str | None = None
    """A hash of the parameters."""
    made_from: str | None = None
    """Identity of the base that the transfer was made from; None for a base."""
    base_path: str | None = None
    """Path from which the base was read when the transfer was made."""
    bases: tuple[tuple[str, str], ...] = ()
    """Path and identity of every base that the transfer was made from, the first of them included."""
    share: float | None = None
    """Fraction of training completed."""
    training: tuple[str, str] | None = None
    """World and algorithm of its training as a transfer, which a forecast's model has to know."""
    success_states: int | None = None
    """Number of states that must have their own base state nearest for a transfer to succeed."""
    withheld: tuple[str, str] | None = None
    """Error words (found, expected) where the subject offers less than its kind of file can."""
    notes: tuple[str, ...] = ()
    """Notes for readers of a result on how the file was read, a clause about the file each."""
    label: str = ""
    """A few words that say what the subject is."""

    @property
    def rectified(self) -> bool:
        """Whether a rectifier cuts the embedding before it is read; False where the encoder does not say."""
        return isinstance(self.encoder, Rectified) and self.encoder.rectified

    @property
    def offers(self) -> tuple[str, ...]:
        """Names of the capabilities that are there: ``parameters``, ``encoder``, …"""
        return tuple(name for name in CAPABILITIES if getattr(self, name) is not None)

    def shown_state(self) -> list[str]:
        return [self.label, f"offers {', '.join(self.offers) or 'nothing'}"]

    def shown_files(self) -> list[str]:
        return [self.path]


CAPABILITIES = {
    "parameters": "its parameters",
    "encoder": "an encoder, which embeds observations",
    "objective": "the losses that it was trained on",
    "tasks": "the tasks, with paired observations of the same states",
    "embeddings": "embeddings that are ready",
    "episodes": "the episode of each embedding",
    "actor": "a policy that can be run",
    "returns": "returns of episodes",
}
"""{capability: words for it}, all that a subject may offer."""

Capability = TypeVar("Capability")

_LOSSES = (
    "weights with --model, --inputs and --targets, or an --adapter that gives "
    "diag.sources.torch_losses.from_module(net, losses, batch)"
)

_SUPPLIERS = {
    "parameters": f"a checkpoint of diag train, or {_LOSSES}",
    "encoder": "a checkpoint of diag train, an exported program, or weights with --adapter",
    "objective": f"a checkpoint of a system with losses, such as one of diag train, or {_LOSSES}",
    "tasks": "--pairs FILE, --inputs FILE, two environments, or a checkpoint of diag train (it has tasks)",
    "layers": "weights with --model, which names their network, or a module by --adapter",
    "task": "a checkpoint that names its task",
    "losses at given embeddings": "a checkpoint of diag train, or another objective with losses_at",
    "share": "a checkpoint of diag transfer, which says how far its training is",
    "training": "a checkpoint of diag transfer, which says what it was trained by",
}


def require(subject: Subject, capability: str, value: Capability | None) -> Capability:
    """``value``, or a SubjectError that says which capability is missing and what would supply it."""
    if value is None:
        raise missing(subject, capability)
    return value


def missing(subject: Subject, capability: str) -> SubjectError:
    """The error that says which capability a subject lacks, and what would supply it."""
    if subject.withheld is not None:
        return SubjectError(subject.path, *subject.withheld)
    return SubjectError(subject.path, f"no {capability}", _SUPPLIERS[capability])
