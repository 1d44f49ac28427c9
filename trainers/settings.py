"""The settings tree of a training run: names, types, limits and meanings, one place for all of them.

The same names serve on the command line (``--set train.updates=300``), in a recipe's TOML file and in
a checkpoint's header.

>>> settings = preset("simple-maze")
>>> settings.with_overrides(["train.updates=300"]).train.updates
300
>>> settings.with_overrides(["train.update=300"])
Traceback (most recent call last):
    ...
trainers.settings.SettingsError: unknown setting 'train.update'; did you mean 'train.updates'?
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self

import pydantic

from trainers.safe_text import value

Algorithm = Literal["separate", "shared", "summed"]
"""How the loss terms are descended: one optimiser step per term at the parameters that the step before
left (``separate``, the paper's); every term's gradient at one point, then all the steps (``shared``);
one gradient of the weighted sum (``summed``)."""

Term = Literal["transition", "reward", "discount", "bound", "entropy_random", "entropy_successive"]

MOST_UPDATES, MOST_UNITS = 10**9, 2**16
"""More than any machine here could do or hold: beyond them a number is a slip of the keyboard."""

Positive = Annotated[int, pydantic.Field(gt=0, le=MOST_UPDATES, strict=True)]
Units = Annotated[int, pydantic.Field(gt=0, le=MOST_UNITS, strict=True)]
Widths = Annotated[tuple[Units, ...], pydantic.Field(max_length=64)]
Rate = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class SettingsError(ValueError):
    """A setting that is unknown or out of range; the message names it and what was expected."""


class _Tree(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(_Tree):
    """The transitions that a run trains on, collected once with a random policy."""

    steps: Annotated[int, pydantic.Field(gt=0, le=10**7, strict=True)] = 5000
    episode_steps: Positive = 500


class Model(_Tree):
    """Hidden widths of the fully connected nets (tanh), and the size of the embedding."""

    embedding: Units = 2
    encoder: Widths = (200, 100, 50, 10)
    transition: Widths = (10, 30, 30, 10)
    reward: Widths = (10, 50, 20)
    discount: Widths = (10, 50, 20)


class Loss(_Tree):
    """The loss terms in the order of their optimiser steps, and their constants."""

    terms: Annotated[tuple[Term, ...], pydantic.Field(min_length=1)] = (
        "transition",
        "reward",
        "discount",
        "bound",
        "entropy_random",
        "entropy_successive",
    )
    discount: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9
    """Target of the discount model where the episode goes on."""
    entropy_scale: Rate = 5.0
    """C_d in exp(−C_d·‖x − x'‖)."""
    entropy_successive_divisor: Rate = 5.0
    """The learning rate (or, summed, the weight) of ``entropy_successive`` is divided by this."""

    @pydantic.field_validator("terms")
    @classmethod
    def _distinct(cls, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        if len(set(terms)) != len(terms):
            raise ValueError("names a term twice")
        return terms


class Optimiser(_Tree):
    """RMSprop, and how many transitions a step sees."""

    rho: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.9
    epsilon: Rate = 1e-4
    clip: Rate = 1.0
    batch: Annotated[int, pydantic.Field(ge=2, le=MOST_UNITS, strict=True)] = 32


class Phase(_Tree):
    """One phase of training: on the source task (``train``) or on the target task (``transfer``)."""

    algorithm: Algorithm = "separate"
    updates: Positive = 160_000
    learning_rate: Rate = 5e-4
    decay: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    """The learning rate is multiplied by this every ``decay_every`` updates."""
    decay_every: Positive = 5000
    save_every: Positive = 5000
    """Updates between checkpoints: what a crash can cost."""
    log_every: Positive = 1000
    """Updates averaged into one point of the loss curves."""


class Settings(_Tree):
    """Everything that, with a seed, determines a run."""

    preset: str
    world: str
    data: Data = Data()
    model: Model = Model()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    train: Phase = Phase()
    transfer: Phase = Phase()

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Settings from nested mappings; raises :class:`SettingsError`."""
        try:
            return cls.model_validate(tree)
        except pydantic.ValidationError as error:
            raise SettingsError(_in_words(error, setting_names())) from None

    def with_overrides(self, assignments: Iterable[str]) -> Self:
        """These settings with ``name=value`` assignments applied; raises :class:`SettingsError`."""
        tree = self.model_dump(mode="json")
        for assignment in assignments:
            name, value = assigned(assignment)
            if name not in setting_names():
                raise SettingsError(unknown_name("setting", name, setting_names()))
            if name == "preset":
                raise SettingsError("'preset' names where settings come from: use --preset")
            *path, leaf = name.split(".")
            node = tree
            for key in path:
                node = node[key]
            node[leaf] = [value] if isinstance(node[leaf], list) and not isinstance(value, list) else value
        return self.from_tree(tree)


def assigned(assignment: str) -> tuple[str, Any]:
    """Name and value of ``name=value``: a TOML value where it is one, otherwise the text itself.

    Words so need no quotes. Raises :class:`SettingsError`.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"expected NAME=VALUE, found {assignment!r}")
    try:
        return name.strip(), tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or more digits than Python reads
        return name.strip(), [part.strip() for part in text.split(",")] if "," in text else text.strip()


def setting_names() -> list[str]:
    """The dotted names of all settings, in the order of the tree."""
    return list(dotted_names(Settings))


def dotted_names(model: type[pydantic.BaseModel], prefix: str = "") -> Iterable[str]:
    """The dotted names of all leaves of a tree of settings, in order."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            yield from dotted_names(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist, with the nearest that does."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"


def _in_words(error: pydantic.ValidationError, known: Iterable[str]) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(part for part in first["loc"] if isinstance(part, str))
    if first["type"] == "extra_forbidden":
        return unknown_name("setting", name, known)
    found = first.get("input")
    return f"setting {name!r}: {first['msg']} (found {value(found)})"


def preset_names() -> list[str]:
    """The recipes that ship with the package."""
    folder = resources.files("trainers.recipes")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def preset(name: str) -> Settings:
    """The settings of a named recipe; raises :class:`SettingsError` with the nearest match."""
    if name not in preset_names():
        raise SettingsError(unknown_name("preset", name, preset_names()))
    text = resources.files("trainers.recipes").joinpath(f"{name}.toml").read_text("utf-8")
    return Settings.from_tree({"preset": name, **tomllib.loads(text)})
