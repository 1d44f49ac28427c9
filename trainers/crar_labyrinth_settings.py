"""Settings of CRAR in labyrinths: its data, nets, losses, and how it is evaluated, by default the paper's."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from trainers.crar_terms import Constants, CrarPhase, Optimiser
from trainers.settings import Positive, Rate, Settings, Tree, Units

Term = Literal["transition", "reward", "discount", "bound", "entropy_random", "entropy_successive", "q"]


class LabyrinthData(Tree):
    """The random steps that a run trains on, collected once."""

    steps: Annotated[int, pydantic.Field(gt=0, le=10**7, strict=True)] = 200_000
    limited: bool = True
    """Whether an episode is cut short after the world's most steps, as the paper's text has it; else the
    last key alone ends it, as in training by its public files. 200,000 steps are of 4,091 labyrinths with
    the limit, and of 533 without."""


class ConvModel(Tree):
    """Planes of the embedding, and widths of the nets, by default the paper's."""

    planes: Units = 3
    encoder: tuple[Units, Units, Units] = (8, 16, 32)
    transition: tuple[Units, Units, Units, Units, Units] = (16, 32, 64, 32, 16)
    heads: tuple[Units, Units, Units, Units] = (16, 32, 16, 4)
    """Filters of the models of reward, discount and Q, and the units of their dense layers."""
    dense: tuple[Units, Units, Units] = (200, 50, 20)


class LabyrinthLoss(Constants):
    """The loss terms in the order of their optimiser steps, and their constants."""

    terms: Annotated[tuple[Term, ...], pydantic.Field(min_length=1)] = (
        "transition",
        "reward",
        "discount",
        "bound",
        "entropy_random",
        "entropy_successive",
        "q",
    )
    entropy_successive_divisor: Rate = 1.0
    """The learning rate (or, summed, the weight) of ``entropy_successive`` is divided by this."""
    target_every: Positive = 1000
    """Updates between copies of the trained nets into those that Q's target is taken with."""


class Evaluation(Tree):
    """When and how the agent's returns are taken during training."""

    every: Positive = 1
    """Points of the loss curves (``log_every`` updates each) between two with returns; the last has them."""
    depths: Annotated[
        tuple[Annotated[int, pydantic.Field(ge=0, le=12, strict=True)], ...], pydantic.Field(max_length=8)
    ] = (0,)
    """Depths that it plans to; 0 is Q alone. The paper has 0, 1, 3 and 6, which takes 250 times as long."""
    episodes: Annotated[int, pydantic.Field(gt=0, le=10**5, strict=True)] = 64
    explore: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.1
    """ε: the share of steps that are random."""
    seed: Annotated[int, pydantic.Field(ge=0, strict=True)] = 0
    """Seed of the labyrinths that are played, the same ones each time."""


class LabyrinthSettings(Settings):
    """Everything that, with a seed, determines a run of CRAR in labyrinths."""

    system: Literal["crar"] = "crar"
    world: str = "labyrinth"
    data: LabyrinthData = LabyrinthData()
    model: ConvModel = ConvModel()
    loss: LabyrinthLoss = LabyrinthLoss()
    optimiser: Optimiser = Optimiser()
    evaluation: Evaluation = Evaluation()
    train: CrarPhase = CrarPhase()
    transfer: CrarPhase = CrarPhase()
