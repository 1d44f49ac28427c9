"""Numbers that the first paper published of its transfers, each with its place and its words.

G. van Driessel and V. François-Lavet, *Component Transfer Learning for Deep RL Based on Abstract
Representations*. The maze of section 5.1 has no rewards; distances and scores are of the labyrinths of 5.2,
whose embedding has 8 × 8 × 3 dimensions, so that only their ratio can stand beside another world's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A number, the section that has it, and what is said there."""

    value: float
    section: str
    words: str


@dataclass(frozen=True)
class PublishedRate:
    """Number of successes among the transfers of one base."""

    base: int
    count: int
    n: int
    section: str
    words: str


WORLD = "simple-maze"
"""The world of section 5.1."""

PAID = {"labyrinth": True, "labyrinth-small": False}
"""Worlds of section 5.2, and whether they are of the paper's own size."""

BASES = (
    PublishedRate(1, 3, 22, "5.1.2", "For base model one, 19 out of 22 transfers failed (90%)"),
    PublishedRate(2, 21, 22, "5.1.2", "for base model two only 1 out of 22 transfers failed (~5%)"),
)
"""Successes are what did not fail; 19 of 22 are 86%, not the paper's 90%. The section begins with 30
transfers and counts 44."""

BASES_DIFFER = Published(1e-4, "5.1.2", "p-value < 0.0001")
"""An upper bound; the paper does not name its test."""

BASE_UPDATES = Published(160_000, "5.1.1 fig. 5", "160000 (used as base model 1) steps")
TRANSFER_UPDATES = Published(80_000, "5.1.2 fig. 6", "the converged embedding space (step 80000)")
BASE_RATE = Published(5e-4, "5.1.1", "the default parameters (learning rate = 5 × 10⁻⁴)")
TRANSFER_RATE = Published(1e-4, "5.1.2", "the inverse environment (learning rate = 1 × 10⁻⁴)")

FIGURE_STEPS = {"base": (5_000, 20_000, 160_000), "transfer": (5_000, 20_000, 80_000)}
"""Figures 5, 6 and 7, from left to right."""

MOST_FAILURES_FLIPPED = Published(
    0.5, "5.1.2", "most of the failing transfers converge to this same […] (flipped)"
)
"""A lower bound: "most"."""

L2_SUCCESS = Published(1.1, "5.2.2", "bimodal, with successful transfers that have a loss around 1.1")
L2_FAILURE = Published(6.2, "5.2.2", "while it is around 6.2 for the failing transfers")

LOSSES_SIMILAR = "the losses are quite similar […] (only the transition loss is slightly bigger)"
LOSSES_SECTION = "A.1 fig. 13"

SCORE_FAILURE = Published(-5, "B", "the agent is not able to perform the task at all (score of -5)")
LABYRINTHS = Published(36, "5.2.1", "six base models […] For each base model, we ran six transfers")

SCORE_SUCCESS = Published(1, "5.2.1 fig. 8", "read off the figure: the best base models' transfers")

BASES_OF_SIX = {"always": 2, "never": 2}
"""Section 5.2.1: "some base models appear to always have a successful transfer (basemodel1 and basemodel2)",
and "do not have a single succeeding transfer (basemodel4 and basemodel5)"."""

LABYRINTH_RATE = Published(5e-4, "5.2.1", "the same as the training of the base model: 5 × 10⁻⁴")

LABYRINTH_LOSSES = "the reward, transition and q losses remain slightly higher"
LABYRINTH_LOSSES_SECTION = "B fig. 16"

APPROACHES = {
    "freeze-dynamics": "its own approach: as good as resetting the encoder",
    "reset-encoder": "helps to avoid a local minimum, but not in all cases",
    "fine-tune": "performs the best",
    "no-random-entropy": "on average better than learning from scratch",
    "delayed-structure": "the only one, but for fine-tuning, with some successes in all cases",
    "from-scratch": "low variance, second best",
}
"""What section 5.2.3 says of each approach, whose numbers figure 10 alone has."""

RATES = {1e-5: False, 5e-5: True, 1e-4: False, 5e-4: True, 1e-3: True, 5e-3: False}
"""Whether a learning rate's six transfers mostly succeed (appendix D, figure 18)."""

RATE_SETTING = "transfer.learning_rate"
