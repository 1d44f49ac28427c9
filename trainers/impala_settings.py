"""Settings of IMPALA: how it acts, its net, losses, optimiser, and budgets in frames; the paper's by default.

The defaults are those of Espeholt et al. (arXiv 1802.01561, appendix D) as the paper on frozen embeddings
uses them: it changes nothing but a fully connected layer after the LSTM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic

from trainers.residual import Centring
from trainers.settings import MOST_UPDATES, Phase, Positive, Rate, Settings, Tree, Units

Kernel = Annotated[int, pydantic.Field(gt=0, le=64, strict=True)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Weight = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]


class Acting(Tree):
    """How frames are gathered: environments side by side, some steps of each for an update."""

    environments: Annotated[int, pydantic.Field(gt=0, le=2**14, strict=True)] = 32
    """Environments, all of one process: an update's batch is one unroll of each."""
    unroll: Annotated[int, pydantic.Field(gt=0, le=1000, strict=True)] = 20
    """Steps of each environment for an update."""
    renewed_every: Annotated[int, pydantic.Field(gt=0, le=1000, strict=True)] = 1
    """Updates between copies of the trained weights into those that act. At 1 frames are on policy, and
    V-trace corrects nothing; at k they lag by up to k − 1 updates, as distributed actors do."""


class Model(Tree):
    """The encoder of single pictures, and the head of LSTM, dense layer, policy and value."""

    net: Literal["residual", "strided"] = "residual"
    filters: Annotated[tuple[Units, ...], pydantic.Field(min_length=1, max_length=8)] = (16, 32, 32)
    """Filters of the residual net's sections; of no use to the other."""
    convs: Annotated[tuple[tuple[Units, Kernel, Kernel], ...], pydantic.Field(min_length=1, max_length=8)] = (
        (16, 4, 2),
        (32, 3, 2),
    )
    """Filters, kernel and stride of each of the strided net's convolutions; of no use to the other."""
    embedding: Units = 256
    lstm: Units = 256
    dense: Units = 256
    """Units of the layer between the LSTM and policy and value, which the paper on frozen embeddings adds."""
    feedback: bool = True
    """Whether the LSTM also reads the last action and the last reward, as in Espeholt et al., figure 3."""
    centring: Centring = "none"
    """What pictures of 0 … 1 have subtracted: nothing (``none``), a ``half``, or their mean (``picture``)."""


class Loss(Tree):
    """V-trace's constants, and weights of the terms ``policy`` (1), ``value`` and ``entropy``."""

    discount: Share = 0.99
    value: Weight = 0.5
    """Weight of half the squared error of the value model."""
    entropy: Weight = 0.01
    """Weight of the negative entropy of the policy."""
    reward_clip: Weight = 1.0
    """Rewards are clipped to ± this in training; 0 leaves them. Logged returns are never clipped."""
    rho_bar: Rate = 1.0
    """Largest importance ratio in targets and advantages."""
    c_bar: Rate = 1.0
    """Largest importance ratio in traces."""


class Optimiser(Tree):
    """The optimiser, and the largest norm of the gradient that it is given (summed over a batch's steps)."""

    method: Literal["rmsprop", "adam"] = "rmsprop"
    decay: Share = 0.99
    """RMSprop's decay of mean squares; Adam has its own two."""
    epsilon: Rate = 0.01
    """Added to the root of the mean square."""
    clip: Rate = 40.0


class Evaluation(Tree):
    """Episodes that are played to judge a checkpoint."""

    episodes: Annotated[int, pydantic.Field(gt=0, le=10**5, strict=True)] = 100
    """As the paper averages each number over 100 episodes."""


class ImpalaPhase(Phase):
    """One phase: the look of its world, and its budget in frames (environment steps).

    ``updates`` follow from ``frames``, rounded up to whole updates. Where ``updates`` are given they count,
    and ``frames`` follow.
    """

    of_length: ClassVar[tuple[str, ...]] = (*Phase.of_length, "frames")
    algorithm: str = "v-trace"
    frames: Annotated[int, pydantic.Field(gt=0, le=10**12, strict=True)] = 5_000_000
    updates: Annotated[int, pydantic.Field(ge=0, le=MOST_UPDATES, strict=True, exclude=True)] = 0
    save_every: Positive = 200
    log_every: Positive = 5
    """Updates from one point of the curves, with the mean return of the episodes that ended, to the next."""
    variant: str = "default"
    """Look of the world: ``train``'s is the source task, ``transfer``'s the target task."""
    learning_rate: Rate = 6e-4


class ImpalaSettings(Settings):
    """Everything that, with a seed, determines a run of IMPALA."""

    system: Literal["impala"] = "impala"
    world_settings: Mapping[str, Any] = {}
    """Settings of the world that differ from its own, such as ``{ colour = false }`` for Catch in grey; both
    phases have them."""
    acting: Acting = Acting()
    model: Model = Model()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    evaluation: Evaluation = Evaluation()
    train: ImpalaPhase = ImpalaPhase()
    transfer: ImpalaPhase = ImpalaPhase()

    @property
    def frames_of_update(self) -> int:
        """Environment steps of one update."""
        return self.acting.environments * self.acting.unroll

    @pydantic.model_validator(mode="after")
    def _budgets(self) -> Self:
        for name in ("train", "transfer"):
            phase, of_update = getattr(self, name), self.frames_of_update
            budget: dict[str, Any] = {"updates": phase.updates or -(-phase.frames // of_update)}
            if phase.updates:
                budget["frames"] = phase.updates * of_update
            self.__dict__[name] = phase.model_copy(update=budget)
        return self
