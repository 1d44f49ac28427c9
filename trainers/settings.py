"""Settings of a training run: names, overrides and presets; which fields there are is the system's affair.

The same names serve on the command line (``--set train.updates=300``), in a recipe's TOML file and in
a checkpoint's header. ``system`` says whose fields they are.

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
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import pydantic

from trainers import registry
from trainers.safe_text import value

MOST_UPDATES, MOST_UNITS = 10**9, 2**16
"""Largest numbers of updates and of units: beyond what any machine does or holds, a slip of the keyboard."""

Positive = Annotated[int, pydantic.Field(gt=0, le=MOST_UPDATES, strict=True)]
Units = Annotated[int, pydantic.Field(gt=0, le=MOST_UNITS, strict=True)]
Widths = Annotated[tuple[Units, ...], pydantic.Field(max_length=64)]
Rate = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class SettingsError(ValueError):
    """A setting that is unknown or out of range; the message names it and what was expected."""


class Tree(pydantic.BaseModel):
    """One level of settings: frozen, finite numbers only, and no name that it does not know."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Phase(Tree):
    """One phase of training: on the source task (``train``) or on the target task (``transfer``)."""

    of_length: ClassVar[tuple[str, ...]] = ("updates", "save_every")
    """The settings that a run may go on with others of."""
    algorithm: str = ""
    """Name of the way updates are made, for a system that knows several."""
    updates: Positive = 160_000
    save_every: Positive = 5000
    """Updates between checkpoints: the most that a crash can cost."""
    log_every: Positive = 1000
    """Updates averaged into one point of the loss curves."""

    @property
    def cost(self) -> float:
        """Cost of an update, in updates of the cheapest way that the system knows."""
        return 1.0


class Settings(Tree):
    """Everything that, with a seed, determines a run; each system has fields of its own beside these."""

    preset: str
    system: str
    world: str
    if TYPE_CHECKING:  # each system has both, at a place of its own among its fields
        train: Phase
        transfer: Phase

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Settings of the system that nested mappings name; raises :class:`SettingsError`."""
        known = settings_type(tree.get("system", registry.DEFAULT))
        kind = known.kind_of(tree)
        if issubclass(cls, known.kinds()) and not issubclass(kind, cls):
            world = value(tree.get("world"))
            expected = "a world that has the same settings; for others use --preset"
            raise SettingsError(f"setting 'world': found {world}, expected {expected}")
        if not issubclass(kind, cls):
            wanted = cls.model_fields["system"].default
            raise SettingsError(f"setting 'system': found {value(tree.get('system'))}, expected {wanted!r}")
        try:
            return kind.model_validate(tree)
        except pydantic.ValidationError as error:
            raise SettingsError(_in_words(error, dotted_names(kind))) from None

    @classmethod
    def kinds(cls) -> tuple[type[Settings], ...]:
        """The classes of settings that a system has: this one, and others for other kinds of world."""
        return (cls,)

    @classmethod
    def kind_of(cls, tree: Mapping[str, Any]) -> type[Settings]:
        """The one of :meth:`kinds` that nested mappings are of."""
        return cls

    def of_bases(self) -> dict[str, Any]:
        """The settings that a base's training depends on: bases with the same ones are the same."""
        return self.model_dump(exclude={"transfer", "preset"})

    def with_overrides(self, assignments: Iterable[str]) -> Self:
        """These settings with ``name=value`` assignments applied; raises :class:`SettingsError`."""
        tree = self.model_dump(mode="json")
        names = list(dotted_names(type(self)))
        for assignment in assignments:
            name, value = assigned(assignment)
            if name not in names:
                raise SettingsError(unknown_name("setting", name, names))
            if name in ("preset", "system"):
                raise SettingsError(f"{name!r} names where settings come from: use --preset")
            *path, leaf = name.split(".")
            node = tree
            for key in path:
                node = node[key]
            node[leaf] = (
                [value] if isinstance(node.get(leaf), list) and not isinstance(value, list) else value
            )
        return self.from_tree(tree)


def settings_type(system: object) -> type[Settings]:
    """The class of a system's settings; raises :class:`SettingsError` for a system that is not known."""
    if not isinstance(system, str) or system not in registry.known():
        raise SettingsError(unknown_name("system", value(system).strip("'\""), registry.known()))
    kind: type[Settings] = registry.load(system).settings_type
    return kind


def assigned(assignment: str) -> tuple[str, Any]:
    """Name and value of ``name=value``: a TOML value where it is one, otherwise the text itself.

    So words need no quotes. Raises :class:`SettingsError`.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"expected NAME=VALUE, found {assignment!r}")
    try:
        return name.strip(), tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or more digits than Python reads
        return name.strip(), [part.strip() for part in text.split(",")] if "," in text else text.strip()


def setting_names(system: str = registry.DEFAULT) -> list[str]:
    """The dotted names of all settings of a system, in the order of the tree; raises SettingsError."""
    kinds = settings_type(system).kinds()
    return list(dict.fromkeys(name for kind in kinds for name in dotted_names(kind)))


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
    given = first.get("input")
    return f"setting {name!r}: {first['msg']} (found {value(given)})"


def preset_names() -> list[str]:
    """Names of the recipes that ship with the package, and of the presets of systems made known since."""
    return sorted([*_recipes(), *_others()])


def presets_of(system: str) -> list[str]:
    """Names of a system's presets; raises :class:`SettingsError` for a system that is not known."""
    if system not in registry.known():
        raise SettingsError(unknown_name("system", system, registry.known()))
    if system not in registry.shipped():
        return list(registry.load(system).presets)
    return sorted(n for n in _recipes() if _recipe(n).get("system", registry.DEFAULT) == system)


def default_preset(system: str = registry.DEFAULT) -> str:
    """The preset of a system that is trained where none is named; raises :class:`SettingsError`."""
    named = registry.DEFAULT_PRESETS.get(system) or next(iter(presets_of(system)), None)
    if named is None:
        raise SettingsError(f"system {system!r} has no presets; expected one to be trained")
    return named


def preset(name: str) -> Settings:
    """The settings of a named recipe; raises :class:`SettingsError` with the nearest match."""
    if name in _recipes():
        return Settings.from_tree({"preset": name, **_recipe(name)})
    others = _others()
    if name not in others:
        raise SettingsError(unknown_name("preset", name, preset_names()))
    return Settings.from_tree({"preset": name, **others[name]})


def _recipes() -> list[str]:
    folder = resources.files("trainers.recipes")
    return [f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")]


def _recipe(name: str) -> dict[str, Any]:
    text = resources.files("trainers.recipes").joinpath(f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def _others() -> dict[str, dict[str, Any]]:
    """Presets of the systems that do not ship with the package, by name."""
    names = [name for name in registry.known() if name not in registry.shipped()]
    return {
        preset: {"system": name, **tree}
        for name in names
        for preset, tree in registry.load(name).presets.items()
    }
