"""Checks that rest on a comparison of the two embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from diag.checks import SettingError
from diag.checks.compared import INFORMATION, BlindCheck, EmbeddingCheck, ReadCheck, other_widths
from diag.checks.judging import Found, State, absent, judged
from diag.checks.kind import Level, Positive, Share
from diag.comparisons.conclusion import LIVING
from diag.comparisons.result import Comparison
from probes import Measure

Known = Literal["matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated"]


class RelationCheck(EmbeddingCheck):
    """Relation of the transfer's embedding to the base's (docs/measures.md)."""

    name: ClassVar[str] = "relation"
    asks: ClassVar[str] = "how does the embedding relate to the base's?"
    limited_by: ClassVar[tuple[str, ...]] = ("allow",)

    allow: Annotated[tuple[Known, ...], Field(min_length=1, strict=False)] = Field(
        ("matched",), description="Relations that pass"
    )

    def of(self, result: Comparison) -> Iterator[Found]:
        verdict, free = result.verdict, result.frozen == ()
        state: State
        words = verdict.summary.removesuffix(".")
        if verdict.relation is None and free:
            state, words = "good", f"{words}; {INFORMATION}"
        elif verdict.relation is None:
            # It fails because it is surely not matched, although no relation can be named.
            state = "bad" if verdict.status == "fail" and set(self.allow) == {"matched"} else "unsure"
        elif verdict.relation in self.allow:
            # Deformation and states out of place have checks of their own.
            state = "odd" if verdict.relation == "matched" and verdict.axes else "good"
        else:
            state = "good" if free else "bad"
        yield Found(self.name, state, words, limit="allow", word=verdict.relation or "")


class R2Check(ReadCheck):
    """R² of the identity: how much of the base's variance the transfer's embedding explains as it is."""

    name: ClassVar[str] = "r2"
    asks: ClassVar[str] = "R² of the transfer's embedding to the base's, without any map"
    limited_by: ClassVar[tuple[str, ...]] = ("min",)

    min: Annotated[float, Field(le=1)] = Field(
        0.8, description="Least R² that passes; transfers that landed have 0.97 or more (docs/results.md)"
    )

    def held(self, result: Comparison) -> Iterator[Found]:
        r2 = result.ladder[0].r2
        if (widths := other_widths(result)) is not None:
            r2 = Measure.undefined(widths)
        words = "R² of the transfer's embedding to the base's"
        yield judged(self.name, words, r2, "min", least=self.min)


class L2Check(ReadCheck):
    """Mean L2 distance of paired embeddings, as a share of the base's spread."""

    name: ClassVar[str] = "l2"
    asks: ClassVar[str] = "mean L2 distance over the base's spread"
    limited_by: ClassVar[tuple[str, ...]] = ("max",)

    max: Positive = Field(
        0.35,
        description="Largest distance that passes; at R² 0.97, as landed transfers have, it is at most 0.17",
    )

    def held(self, result: Comparison) -> Iterator[Found]:
        if (widths := other_widths(result)) is not None:
            yield absent(self.name, widths)
        else:
            distance = result.measures["l2_relative"]
            yield judged(self.name, "the relative L2 distance", distance, "max", most=self.max)


class StatesCheck(ReadCheck):
    """Number of states that lie nearest to their own base state; where every state is listed."""

    name: ClassVar[str] = "states"
    asks: ClassVar[str] = (
        "how many states lie nearest to their own base state? (worlds that list their states)"
    )
    limited_by: ClassVar[tuple[str, ...]] = ("min",)
    default: ClassVar[str] = "as many as the world asks for"

    level: Level = "warn"
    min: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Least number that passes (unset: as many as the world asks for)"
    )

    def held(self, result: Comparison) -> Iterator[Found]:
        own = result.own_states
        wanted = self.min if self.min is not None else result.success_states
        if own is None or wanted is None:
            yield absent(self.name, "no world says how many states must lie nearest to their own")
            return
        if result.rows != result.states:
            yield absent(self.name, f"{result.states} states stand in {result.rows} rows, not once each")
            return
        if wanted > result.states:
            words = f"found {wanted} states wanted, expected at most the {result.states} that there are"
            raise SettingError(f"check.{self.name}.min", words)
        state: State = "good" if own >= wanted else "bad"
        words = (
            f"{own} of {result.states} states lie nearest to their own base state, at least {wanted} wanted"
        )
        measure = Measure(float(own))
        yield Found(self.name, state, words, measure=measure, limit="min", instead=result.success_states)


class CollapseCheck(ReadCheck):
    """Whether the embedding keeps the base's variance, its effective rank, and its living units.

    A unit lives where a rectifier cuts the embedding and lets something of it pass. That is held even where
    nothing frozen reads the embedding: no reader can learn from a dead unit; it is then a warning at most.
    """

    name: ClassVar[str] = "collapse"
    asks: ClassVar[str] = "variance, effective rank and, before a rectifier, living units over the base's"
    limited_by: ClassVar[tuple[str, ...]] = ("min_variance", "min_rank", "min_living")

    min_variance: Share = Field(0.5, description="Least share of the base's variance that passes")
    min_rank: Share = Field(0.7, description="Least share of the base's effective rank that passes")
    min_living: Share = Field(
        LIVING,
        description="Least share of the base's living units that passes, where there is a rectifier",
    )

    def of(self, result: Comparison) -> Iterator[Found]:
        yield from super().of(result)
        if "living_ratio" not in result.measures:
            return
        words, living = "the transfer's units that are ever above 0, over the base's", "living_ratio"
        found = judged(
            self.name, words, result.measures[living], "min_living", least=self.min_living, of="living"
        )
        yield replace(found, state="odd") if result.frozen == () and found.state == "bad" else found

    def held(self, result: Comparison) -> Iterator[Found]:
        words, kept = "the transfer's variance over the base's", result.measures["variance_ratio"]
        yield judged(self.name, words, kept, "min_variance", least=self.min_variance, of="variance")
        words, rank = "the transfer's effective rank over the base's", result.rank_ratio
        yield judged(self.name, words, rank, "min_rank", least=self.min_rank, of="rank")


class CkaCheck(BlindCheck):
    """Linear CKA without its bias: blind to flips, sees what is lost."""

    name: ClassVar[str] = "cka"
    asks: ClassVar[str] = "CKA, which is blind to flips"
    measure: ClassVar[str] = "cka_debiased"
    called: ClassVar[str] = "CKA"


class CcaCheck(BlindCheck):
    """Mean canonical correlation: blind to every linear map, sees what is lost."""

    name: ClassVar[str] = "cca"
    asks: ClassVar[str] = "mean canonical correlation, which is blind to every linear map"
    measure: ClassVar[str] = "cca"
    called: ClassVar[str] = "CCA"
