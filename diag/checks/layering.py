"""The layers check: whether every layer of the transfer still shows the base's structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from diag.checks.judging import Found, absent, judged
from diag.checks.kind import Check, Level
from diag.checks.pair import Pair
from diag.layerwise.layers import layers
from diag.subject import Subject, Watched
from trainers.safe_text import plain


class LayersCheck(Check):
    """Debiased CKA of each layer of the transfer with the base's layer of the same name (docs/layers.md)."""

    name: ClassVar[str] = "layers"
    asks: ClassVar[str] = "debiased CKA of each layer with the base's layer of the same name"
    limited_by: ClassVar[tuple[str, ...]] = ("min_cka",)

    level: Level = "off"
    min_cka: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.8, description="Least CKA, without its bias, that a layer passes with"
    )
    only: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description='Patterns of the layers that are checked, such as "layer4*" (unset: all)'
    )

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        return not isinstance(subject.encoder, Watched)

    def measured(self, pair: Pair) -> Iterator[Found]:
        """Hold each layer's similarity against the limit."""
        result = layers(
            pair.base.subject, pair.transfer, only=self.only, relations=False, seed=pair.seed, maps=False
        )
        for warning in result.warnings:
            pair.say(warning)
        known = [one for one in result.layers if not one.is_input]
        if not known:
            yield absent(self.name, "no layer has a namesake in the base")
        for one in known:
            words = f"CKA of layer {plain(one.name)!r} with the base's"
            yield judged(self.name, words, one.cka, "min_cka", least=self.min_cka, of=one.name)
