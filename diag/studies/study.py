"""A study's definition: bases × plans × transfer seeds × settings, from a TOML file or a shipped one.

::

    about = "One line about it"
    preset = "simple-maze"            # whose settings
    bases = 2                         # so many, seeds 0 and 1; or "0,3-5"
    transfers = 22                    # of each base under each plan
    plans = ["freeze-dynamics"]       # shipped ones by name, others by a path ending in .toml
    keep = [0.1, 0.5]                 # shares of the updates at which checkpoints are kept

    [set]                             # over the preset's settings
    transfer.updates = 80_000

    [variants.shared]                 # each a column of its own; without any there is one, `main`
    set.transfer.algorithm = "shared" # over [set]; bases, transfers and plans may be set as well
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import pydantic

from diag.sources.systems import SUBJECTS
from diag.studies import StudyError
from trainers.plan import PlanError, TransferPlan, read_plan
from trainers.run import RunError, check_plan, seeds_from
from trainers.settings import Settings, SettingsError, default_preset, preset, setting_names, unknown_name
from trainers.system import system_of

MAIN = "main"
"""The variant of a study that names none."""

EARLY = (0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75)
"""Shares of the updates at which checkpoints are kept by default."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Pattern of names that a folder can have on any system."""

_OWN = ("bases", "transfers", "plans", "keep")
"""Fields of the study itself that ``--set`` changes."""

_CHOICE = "variants"
"""Name under which ``--set`` takes the variants that are wanted, of those that the study has."""

Seeds = int | str
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]


class _Tree(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)


class _VariantFile(_Tree):
    preset: str | None = None
    bases: Seeds | None = None
    transfers: Seeds | None = None
    plans: Annotated[list[str], pydantic.Field(min_length=1)] | None = None
    set: dict[str, Any] = {}


class _StudyFile(_Tree):
    about: str = ""
    preset: str = default_preset()
    bases: Seeds = 2
    transfers: Seeds = 8
    plans: Annotated[list[str], pydantic.Field(min_length=1)] = ["freeze-dynamics"]
    keep: list[Share] = list(EARLY)
    set: dict[str, Any] = {}
    variants: dict[str, _VariantFile] = {}


@dataclass(frozen=True)
class Variant:
    """One column of a study: settings, and the bases, plans and transfer seeds that are run with them."""

    name: str
    settings: Settings
    bases: tuple[int, ...]
    transfers: tuple[int, ...]
    plans: tuple[TransferPlan, ...]

    def to_tree(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "bases": list(self.bases),
            "transfers": list(self.transfers),
            "plans": {plan.name: plan.to_tree() for plan in self.plans},
        }


@dataclass(frozen=True)
class Study:
    """Definition of a study, with nothing left to look up."""

    name: str
    about: str
    keep: tuple[float, ...]
    variants: tuple[Variant, ...]

    def base_of(self, variant: Variant) -> Variant:
        """The variant whose bases it transfers: the first that trains its bases with the same settings."""
        mine = variant.settings.of_bases()
        for other in self.variants:
            if other.settings.of_bases() == mine:
                return other
        raise AssertionError

    def steps(self, updates: int) -> tuple[int, ...]:
        """The updates at which checkpoints are kept on the way to so many."""
        return tuple(sorted({round(share * updates) for share in self.keep} - {0, updates}))

    def to_tree(self) -> dict[str, Any]:
        """Plain values: what two runs of the same study have in common."""
        return {
            "name": self.name,
            "about": self.about,
            "keep": list(self.keep),
            "variants": {v.name: v.to_tree() for v in self.variants},
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Study:
        """The study that :meth:`to_tree` wrote; raises KeyError, TypeError or ValueError for another tree."""
        return cls(
            tree["name"],
            tree["about"],
            tuple(tree["keep"]),
            tuple(
                Variant(
                    name,
                    Settings.from_tree(v["settings"]),
                    tuple(v["bases"]),
                    tuple(v["transfers"]),
                    tuple(TransferPlan.from_tree(p) for p in v["plans"].values()),
                )
                for name, v in tree["variants"].items()
            ),
        )


def study_names() -> list[str]:
    """The studies that ship with the package."""
    folder = resources.files("diag.studies").joinpath("presets")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def read_study(source: str, overrides: Sequence[str] = ()) -> Study:
    """A shipped study by its name, or one from a TOML file by its path; raises :class:`StudyError`.

    ``overrides`` are ``name=value``: ``bases``, ``transfers``, ``plans`` and ``keep`` of every variant,
    ``variants`` for some of the study's alone, or settings such as ``transfer.updates``.
    """
    path = Path(source)
    if source.endswith(".toml"):
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise StudyError(f"{source}: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError as error:
            raise StudyError(f"{source}: not a TOML file: {error}") from None
    else:
        if source not in study_names():
            raise StudyError(unknown_name("study", source, study_names()) + " (a file ends in .toml)")
        text = resources.files("diag.studies").joinpath("presets", f"{source}.toml").read_text("utf-8")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source}: not a TOML file: {error}") from None
    try:
        return _resolved(path.stem if source.endswith(".toml") else source, tree, overrides, path.parent)
    except (StudyError, SettingsError, PlanError, RunError) as error:
        raise StudyError(f"study {source}: {error}") from None


def _resolved(name: str, tree: Mapping[str, Any], overrides: Sequence[str], home: Path) -> Study:
    try:
        file = _StudyFile.model_validate(tree)
        own, settings = _parted(overrides, _setting_names(file))
        wanted = own.pop(_CHOICE, None)
        file = _StudyFile.model_validate({**file.model_dump(), **own})
    except pydantic.ValidationError as error:
        raise StudyError(_in_words(error)) from None
    columns = file.variants or {MAIN: _VariantFile()}
    for unknown in (v for v in wanted or () if v not in columns):
        raise StudyError(unknown_name("variant", unknown, columns))
    if wanted is not None:
        columns = {name: column for name, column in columns.items() if name in wanted}
    variants = tuple(_variant(n, file, column, own, settings, home) for n, column in columns.items())
    _check_apart(variants)
    return Study(_named("study", name), file.about, tuple(sorted(set(file.keep))), variants)


def _setting_names(file: _StudyFile) -> list[str]:
    """The names of settings of every system that a study trains."""
    columns = file.variants.values() or [_VariantFile()]
    systems = dict.fromkeys(preset(column.preset or file.preset).system for column in columns)
    return list(dict.fromkeys(name for system in systems for name in setting_names(system)))


def _parted(overrides: Iterable[str], known: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Overrides of the study itself, and those of settings, whose names are ``known``."""
    own: dict[str, Any] = {}
    settings = []
    for assignment in overrides:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if name in (*_OWN, _CHOICE) and equals:
            own[name] = _own_value(name, text)
        elif equals and name not in known:
            raise StudyError(unknown_name("setting", name, [*_OWN, _CHOICE, *known]))
        else:
            settings.append(assignment)
    return own, settings


def _own_value(name: str, text: str) -> Any:
    if name in ("bases", "transfers"):
        return int(text) if text.isdecimal() else text
    listed = [part.strip(" \"'") for part in text.strip("[] ").split(",") if part.strip()]
    if name in ("plans", _CHOICE):
        if not listed:
            raise StudyError(f"{name}: found {text!r}, expected names such as a,b")
        return listed
    try:
        return [float(part) for part in listed]
    except ValueError:
        raise StudyError(f"keep: found {text!r}, expected shares such as 0.1,0.5") from None


def _in_words(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"] if part not in ("int", "str")]
    if first["type"] == "extra_forbidden":
        known = _VariantFile.model_fields if place[0] == "variants" else _StudyFile.model_fields
        return unknown_name("key", place[-1], known)
    return f"{'.'.join(place)}: {first['msg']} (found {first.get('input')!r})"


def _variant(
    name: str,
    file: _StudyFile,
    column: _VariantFile,
    own: Mapping[str, Any],
    overrides: Sequence[str],
    home: Path,
) -> Variant:
    tree = preset(column.preset or file.preset).model_dump(mode="json")
    for changes in (file.set, column.set):
        tree = _merged(tree, changes)
    settings = Settings.from_tree(tree).with_overrides(overrides)

    def chosen(key: str) -> Any:
        mine = getattr(column, key)
        return getattr(file, key) if mine is None or key in own else mine

    plans = tuple(_plan(source, home) for source in chosen("plans"))
    names = [plan.name for plan in plans]
    system = system_of(settings)
    if system.name not in SUBJECTS.known():
        known = " or ".join(map(repr, SUBJECTS.known()))
        raise StudyError(
            f"variant {name!r}: found system {system.name!r}, whose checkpoints nothing here "
            f"measures; expected {known}"
        )
    for plan in plans:
        _named("plan", plan.name)
        if names.count(plan.name) > 1:
            raise StudyError(f"variant {name!r}: found two plans {plan.name!r}, expected each once")
        try:  # now, and not when the bases are trained
            check_plan(plan, system, bases=1)
        except (PlanError, RunError) as error:
            raise StudyError(f"variant {name!r}: {error}") from None
    bases, transfers = (_seeds(key, chosen(key)) for key in ("bases", "transfers"))
    return Variant(_named("variant", name), settings, bases, transfers, plans)


def _plan(source: str, home: Path) -> TransferPlan:
    return read_plan(str(home / source) if source.endswith(".toml") else source)


def _merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _seeds(what: str, value: Seeds) -> tuple[int, ...]:
    if isinstance(value, int):
        if value < 1:
            raise StudyError(f"{what}: found {value}, expected at least 1")
        value = f"0-{value - 1}"
    try:
        return seeds_from(value)
    except RunError as error:
        raise StudyError(f"{what}: {error}") from None


def _named(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StudyError(f"{what} {name!r}: expected a name of letters, digits, '.', '_' and '-'")
    return name


def _check_apart(variants: Sequence[Variant]) -> None:
    """Refuse variants that would do the same work twice and call it two results."""
    for i, one in enumerate(variants):
        for other in variants[:i]:
            if one.settings == other.settings:
                shared = {p.name for p in one.plans} & {p.name for p in other.plans}
                if shared:
                    words = f"variants {other.name!r} and {one.name!r} have the same settings"
                    raise StudyError(f"{words} under {sorted(shared)[0]!r}: what should tell them apart?")
