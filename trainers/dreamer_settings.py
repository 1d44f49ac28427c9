"""Settings of Dreamer: its tasks, recorded data, nets, losses, and acting; by default the fourth paper's.

What that paper leaves open is DreamerV2's (Hafner et al., arXiv 2010.02193, appendix D), or what a public
DreamerV2 for MinAtar uses; docs/dreamer.md says which is which.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic

from trainers.codecs import Kind as CodecKind
from trainers.imagination import Estimator
from trainers.rssm import Kind as LatentKind
from trainers.settings import Phase, Positive, Rate, Settings, Tree, Units, Widths

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Weight = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], pydantic.Field(min_length=1, max_length=64)]
Side = Annotated[int, pydantic.Field(gt=0, le=4096, strict=True)]
Length = Annotated[int, pydantic.Field(ge=2, le=10_000, strict=True)]
Count = Annotated[int, pydantic.Field(ge=0, le=10**9, strict=True)]


class Tasks(Tree):
    """What the world shows as source and as target: looks of ``world`` (or games), several at once."""

    source: Names = ("asterix", "breakout", "freeway", "seaquest")
    target: Names = ("space_invaders",)


class Data(Tree):
    """The recorded data of world-model training: files made once, and found by their recipe."""

    folder: str = "recorded"
    """Folder of the files, which a run makes unless they are there."""
    steps: Annotated[int, pydantic.Field(gt=0, le=10**9, strict=True)] = 400_000
    """Rows of all looks together."""
    policies: Names = ("random",)
    """The policies that act in turn: ``random``, or ``dqn<share>``, a Q-network after that share in percent
    of its training, such as ``dqn25``."""
    switch_every: Positive = 100
    """Steps of an environment between draws of the policy that acts."""
    environments: Side = 16
    """Environments of each look, side by side."""
    dqn_steps: Positive = 200_000
    """Steps of each look that Q-networks learn from, where a policy names one."""
    seed: Annotated[int, pydantic.Field(ge=0, le=2**53, strict=True)] = 0
    """Seed of the recording, which is the same for every seed of a run."""


class Model(Tree):
    """Latent state, encoder, decoder and heads."""

    latents: LatentKind = "categorical"
    groups: Units = 32
    """Categoricals, or Gaussian numbers."""
    classes: Units = 32
    """Classes of each categorical; 1 for Gaussian latents."""
    deterministic: Units = 256
    """With 32×32 latents these are the 1,280 numbers that the fourth paper analyses."""
    hidden: Units = 256
    norm: bool = True
    """Whether the GRU's gates are layer-normalised, as in DreamerV2."""
    codec: CodecKind = "grid"
    widths: Widths = (8, 16, 32, 64)
    """Filters of the four convolutions, or units of an ``mlp``'s layers. The paper's embedding is 2×2×64."""
    heads: Widths = (100, 100, 100)
    """Hidden units of the models of reward and discount, of the actor and of the critic."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.latents == "gaussian" and self.classes != 1:
            raise ValueError(f"Gaussian latents have 1 class each (model.classes is {self.classes})")
        if self.latents == "categorical" and self.classes < 2:
            raise ValueError("categoricals need 2 classes or more (model.classes)")
        return self


class Loss(Tree):
    """Weights and constants of the losses."""

    image: Literal["gaussian", "bernoulli"] = "gaussian"
    """Likelihood of a picture's numbers: of deviation 1 (DreamerV2's), or of chances (cells of 0 and 1)."""
    image_weight: Weight = 1.0
    """Weight of the picture's loss. For a state's numbers: the inverse of their assumed variance."""
    reward_weight: Weight = 1.0
    discount_weight: Weight = 1.0
    kl_weight: Weight = 0.1
    balance: Share = 0.8
    """α of KL balancing: the prior's share."""
    free_nats: Weight = 0.0
    """Least mean KL that is descended, 3 in Dreamer's first version."""
    discount: Share = 0.995
    """γ of returns."""
    mixing: Share = 0.95
    """λ of λ-returns."""
    entropy: Weight = 1e-3
    """η of the actor's entropy."""
    estimator: Estimator = "reinforce"
    """How the actor's gradient is had: from its chances, or through the model's dynamics."""
    target_every: Positive = 100
    """Updates between copies of the critic into the one that returns are taken with."""


class Batches(Tree):
    """Sizes of batches and of imagined steps."""

    sequences: Side = 50
    length: Length = 50
    starts: Count = 0
    """States that imagined steps start from, drawn from a batch's; 0 takes them all."""
    horizon: Annotated[int, pydantic.Field(gt=0, le=1000, strict=True)] = 10


class Acting(Tree):
    """How the agent gathers experience."""

    environments: Side = 8
    """Environments side by side."""
    every: Positive = 1
    """Updates between steps of all environments."""
    prefill: Positive = 5000
    """Random steps before the first update, all environments' together."""
    capacity: Annotated[int, pydantic.Field(gt=0, le=10**8, strict=True)] = 100_000
    """Rows that are remembered."""
    noise: Weight = 0.0
    """Standard deviation of what is added to continuous actions for exploration."""


class Evaluation(Tree):
    """How an agent's returns are judged after training."""

    episodes: Annotated[int, pydantic.Field(gt=0, le=10**5, strict=True)] = 20


class DreamerPhase(Phase):
    """One phase of training, and its optimisers (Adam) with their learning rates."""

    algorithm: Literal["recorded", "agent"] = "recorded"
    """``recorded`` trains the world model alone, on recorded data; ``agent`` acts, and trains all."""
    updates: Positive = 280_000
    save_every: Positive = 1000
    log_every: Positive = 100
    model_rate: Rate = 2e-4
    actor_rate: Rate = 4e-5
    critic_rate: Rate = 1e-4
    epsilon: Rate = 1e-5
    clip: Rate = 100.0
    """Largest norm of a gradient."""

    @property
    def cost(self) -> float:
        """Cost of an update, in updates of the world model alone."""
        return 1.0 if self.algorithm == "recorded" else 2.0


class DreamerSettings(Settings):
    """Everything that, with a seed, determines a run of Dreamer."""

    system: Literal["dreamer"] = "dreamer"
    world: str = "minatar"
    tasks: Tasks = Tasks()
    data: Data = Data()
    model: Model = Model()
    loss: Loss = Loss()
    batches: Batches = Batches()
    acting: Acting = Acting()
    evaluation: Evaluation = Evaluation()
    train: DreamerPhase = DreamerPhase()
    transfer: DreamerPhase = DreamerPhase(algorithm="agent", updates=100_000)

    def of_bases(self) -> dict[str, Any]:
        """Not the target task; and where bases learn from recorded data, nothing of how agents act."""
        tree = super().of_bases()
        del tree["tasks"]["target"]
        if self.train.algorithm == "recorded":
            del tree["acting"], tree["evaluation"]
        return tree
