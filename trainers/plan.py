"""TransferPlan: what happens to each component of a base model when it is taken to a new task.

One table of rules covers the four papers. A rule names a component, optionally a pattern of parameters
inside it (an output layer, action-input columns), and an action:

==============  ============================================================================
``copy``        start from the base, then train
``freeze``      copy, never train
``reset``       start from a fresh initialisation
``permute``     shuffle the entries of each base tensor, then train (first paper, ``resetEncoder``)
``fraction``    θ_target ← θ_fresh + λ·θ_base (second paper, fractional transfer)
``ensemble``    keep a frozen copy of the base component as an extra input (second paper, meta-model)
==============  ============================================================================

The last rule that matches a parameter decides. A loss term may be switched off for part of the run. A
transfer may have several bases: a rule names one by its number, ``all`` takes the mean of them, and an
ensemble keeps a copy of each.

A rule may speak of what only the system knows: ``last.*`` are the parameters of a component's last layer,
and ``inputs = "action"`` the columns that read the action. :meth:`TransferPlan.settled` puts numbers there.
A number behind a plan's name is its λ: ``fractional-0.3``.

>>> plan = named_plan("freeze-dynamics")
>>> plan.action_of("encoder/0.weight").action, plan.action_of("transition/0.weight").action
('copy', 'freeze')
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import pydantic
import torch
from torch import Tensor

from trainers.safe_text import value
from trainers.settings import unknown_name
from trainers.stack import component_of

Action = Literal["copy", "freeze", "reset", "permute", "fraction", "ensemble"]
MOST_RULES = 1000
"""Most rules of a plan: each is held against each parameter's name, and plans that ship have a handful."""

MOST_BASES = 100
"""Most bases that a transfer may have: the second paper has four."""

Share = Annotated[float, pydantic.Field(ge=0, le=1)]


ALL = "all"
"""In place of a base's number: the mean of all bases."""

LAST = "last."
"""Beginning of a pattern of parameters that stands for the number of the component's last layer."""

_FRACTION = re.compile(r"(?P<name>.+)-(?P<fraction>\d(\.\d{1,6})?)")
"""A plan's name with its λ behind it."""

_LAYER = re.compile(r"(\d+)\.")

_COPY = re.compile(r"\.source\d*$")
"""End of the name of a component that is a base's frozen copy."""


class PlanError(ValueError):
    """A plan that cannot be read or does not fit the model that it is applied to."""


class Rule(pydantic.BaseModel):
    """One row of a plan: the action on a component, or on those of its parameters that match a pattern."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    component: Annotated[str, pydantic.Field(min_length=1)]
    """A component's name, or ``*`` for all."""
    action: Action
    parameters: str = "*"
    """A shell pattern on the parameter's name inside its component, such as ``4.*``."""
    columns: tuple[int, int] | None = None
    """Input columns [from, to) that the rule is restricted to, of two-dimensional tensors; ``reset`` and
    ``fraction`` only."""
    inputs: Annotated[str, pydantic.Field(min_length=1)] | None = None
    """Name of the inputs that the rule is restricted to, in place of their columns: ``action``."""
    fraction: Annotated[float, pydantic.Field(allow_inf_nan=False)] | None = None
    """λ, for ``fraction`` alone."""
    base: Annotated[int, pydantic.Field(ge=0, lt=MOST_BASES, strict=True)] | Literal["all"] | None = None
    """Number of the base that is taken, from 0, or ``all`` for the mean of them; None takes the first, or
    for ``ensemble`` a copy of each."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.action == "fraction") != (self.fraction is not None):
            raise ValueError("'fraction' takes a number λ, and only 'fraction' does")
        if self.base == ALL and self.action not in ("copy", "freeze", "fraction"):
            raise ValueError("the mean of all bases goes with 'copy', 'freeze' and 'fraction'")
        if self.columns is not None and self.inputs is not None:
            raise ValueError("a rule has columns, or inputs by their name, and not both")
        if self.partial and self.action not in ("reset", "fraction"):
            raise ValueError("columns go with 'reset' and 'fraction'")
        if self.columns is not None and not 0 <= self.columns[0] < self.columns[1]:
            raise ValueError("columns are [from, to) with 0 <= from < to")
        return self

    @property
    def partial(self) -> bool:
        """Whether it speaks of some columns alone."""
        return self.columns is not None or self.inputs is not None

    @property
    def symbolic(self) -> bool:
        """Whether it speaks of what only the system knows: a last layer, or inputs by their name."""
        return self.inputs is not None or self.parameters.startswith(LAST)

    def matches(self, name: str) -> bool:
        """Whether the rule speaks of the parameter ``component/parameter``."""
        component, _, parameter = name.partition("/")
        return fnmatchcase(component, self.component) and fnmatchcase(parameter, self.parameters)


class Window(pydantic.BaseModel):
    """A loss term is active from ``start`` to ``stop``, as shares of the transfer's updates."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    start: Share = 0.0
    stop: Share = 1.0

    def active(self, update: int, updates: int) -> bool:
        """Whether the term is active at an update, counted from 0."""
        return self.start * updates <= update < self.stop * updates


class Origin(NamedTuple):
    """What some of a transfer's parameters began as."""

    action: Action
    fraction: float | None
    """λ of ``fraction``."""
    base: int | str | None
    """Number of the base, or ``all`` for the mean of all; None for fresh ones, and for ensembles of each."""
    parameters: tuple[str, ...]
    """Components, layers (``reward/2.*``) or parameters, and columns of one."""


def _together(names: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    """Names of parameters, those of a whole component or of a whole layer as one."""
    mine, told = set(names), dict[str, None]()
    for name in names:
        component, _, parameter = name.partition("/")
        layer = f"{component}/{parameter.partition('.')[0]}."
        for beginning, word in ((f"{component}/", component), (layer, f"{layer}*")):
            if all(other in mine for other in every if other.startswith(beginning)):
                told[word] = None
                break
        else:
            told[name] = None
    return tuple(told)


class TransferPlan(pydantic.BaseModel):
    """A named table of rules, and the windows of the loss terms that are not always active."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, pydantic.Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], pydantic.Field(max_length=MOST_RULES)]
    terms: Mapping[str, Window] = {}

    def action_of(self, name: str) -> Rule:
        """The last rule without columns that matches; raises :class:`PlanError` where none does."""
        rule = self._rule_of(name)
        if rule is None:
            raise PlanError(f"plan {self.name!r} has no rule for {name!r}: add one for its component")
        return rule

    def _rule_of(self, name: str) -> Rule | None:
        return next((r for r in reversed(self.rules) if r.matches(name) and not r.partial), None)

    def settled(
        self, names: Iterable[str], columns: Mapping[str, Mapping[str, tuple[int, int]]]
    ) -> TransferPlan:
        """This plan with numbers for last layers and named inputs, of a system with these parameters.

        ``columns`` are {parameter: {inputs: columns}}. Raises :class:`PlanError` where there is no such.
        """
        names = list(names)
        layered = [one for rule in self.rules for one in self._layered(rule, names)]
        rules = tuple(one for rule in layered for one in self._numbered(rule, names, columns))
        return self.model_copy(update={"rules": rules})

    def _layered(self, rule: Rule, names: Sequence[str]) -> list[Rule]:
        """The rule for each component that it speaks of, with the number of its last layer."""
        if not rule.parameters.startswith(LAST):
            return [rule]
        last: dict[str, int] = {}
        for name in names:
            component, _, parameter = name.partition("/")
            if fnmatchcase(component, rule.component) and (layer := _LAYER.match(parameter)):
                last[component] = max(last.get(component, 0), int(layer[1]))
        if not last:
            found = f"{rule.component}/{rule.parameters}"
            raise PlanError(f"plan {self.name!r}: found {found}, expected a component with numbered layers")
        behind = rule.parameters.removeprefix(LAST)
        return [
            rule.model_copy(update={"component": component, "parameters": f"{number}.{behind}"})
            for component, number in last.items()
        ]

    def _numbered(
        self, rule: Rule, names: Sequence[str], columns: Mapping[str, Mapping[str, tuple[int, int]]]
    ) -> list[Rule]:
        """The rule for each parameter that has the inputs which it names, with their columns."""
        if rule.inputs is None:
            return [rule]
        told = {n: columns[n] for n in names if n in columns and rule.matches(n)}
        settled = []
        for name, known in told.items():
            if rule.inputs in known:
                component, _, parameter = name.partition("/")
                own = {"component": component, "parameters": parameter, "inputs": None}
                settled.append(rule.model_copy(update={**own, "columns": known[rule.inputs]}))
        if not settled:
            known_inputs = dict.fromkeys(i for known in columns.values() for i in known)
            where = f"inputs {rule.inputs!r} of {rule.component}/{rule.parameters}"
            expected = ", ".join(known_inputs) or "no inputs by name: this system has none"
            raise PlanError(f"plan {self.name!r}: found {where}, expected {expected}")
        return settled

    def _is_copy(self, name: str) -> bool:
        """Whether a parameter is a frozen copy that an ensemble keeps."""
        component, _, parameter = name.partition("/")
        rule = self._rule_of(f"{original(component)}/{parameter}")
        return original(component) != component and rule is not None and rule.action == "ensemble"

    def copies(self, names: Iterable[str], bases: int) -> dict[str, tuple[str, int]]:
        """The frozen copies that ensembles add to these parameters: {copy: (name, number of its base)}.

        A copy of ``component/parameter`` is ``component.source/parameter``, those of further bases are
        ``component.source1/parameter`` and so on.
        """
        added = {}
        for name in names:
            rule = self._rule_of(name)
            component, _, parameter = name.partition("/")
            for number in range(bases):
                if rule is not None and rule.action == "ensemble" and rule.base in (None, number):
                    added[f"{component}.source{number or ''}/{parameter}"] = name, number
        return added

    def check(self, names: Iterable[str], terms: Iterable[str], bases: int | None = None) -> None:
        """Raise :class:`PlanError` unless every name has a rule and every rule, term and base exists.

        ``bases`` is how many there are, None where that is not known yet.
        """
        names, terms = list(names), list(terms)
        for name in names:
            if not self._is_copy(name):
                self.action_of(name)
        for rule in self.rules:
            if not any(rule.matches(name) for name in names):
                where = f"{rule.component}/{rule.parameters}"
                raise PlanError(f"plan {self.name!r}: " + unknown_name("component", where, names))
        for term in self.terms:
            if term not in terms:
                raise PlanError(f"plan {self.name!r}: " + unknown_name("loss term", term, terms))
        last = max((rule.base for rule in self.rules if isinstance(rule.base, int)), default=0)
        if bases is not None and last >= bases:
            beyond, expected = f"a rule for base {last} (the first is 0)", f"at least {last + 1} bases"
            raise PlanError(f"plan {self.name!r}: found {beyond}, expected {expected} of the run's {bases}")
        idle = [number for number in range(bases or 0) if not self._takes(number)]
        if idle:
            expected = f"a rule that takes base {idle[0]} (the first is 0), or one base"
            raise PlanError(f"plan {self.name!r}: found {bases} bases, expected {expected}")

    def _takes(self, base: int) -> bool:
        """Whether a rule may take something of the base of that number; the first is always looked at."""
        return base == 0 or any(
            rule.base in (base, ALL) or (rule.base is None and rule.action == "ensemble")
            for rule in self.rules
        )

    def origins(self, names: Iterable[str], bases: int) -> list[Origin]:
        """What a transfer's parameters begin as: one entry for each action and base, in the order of rules.

        ``names`` may hold an ensemble's frozen copies. Whole components and layers are named as such.
        """
        names = [name for name in names if not self._is_copy(name)]
        taken: dict[tuple[Action, float | None, int | str | None], list[str]] = {}
        for name in names:
            rule = self.action_of(name)
            source = None if rule.action == "reset" else rule.base
            if source is None and rule.action not in ("reset", "ensemble"):
                source = 0
            taken.setdefault((rule.action, rule.fraction, source), []).append(name)
        found = [Origin(*key, _together(own, names)) for key, own in taken.items()]
        for rule in self.rules:
            if rule.columns is not None:
                low, high = rule.columns
                own = [name for name in names if rule.matches(name)]
                columns = tuple(f"{name}[:, {low}:{high}]" for name in own)
                source = None if rule.action == "reset" else rule.base or 0
                found.append(Origin(rule.action, rule.fraction, source, columns))
        return [
            one if one.base != ALL or bases > 1 else Origin(one.action, one.fraction, 0, one.parameters)
            for one in found
        ]

    def trainable(self, names: Iterable[str]) -> set[str]:
        """The parameters that training may change."""
        return {n for n in names if not self._is_copy(n) and self.action_of(n).action != "freeze"}

    def frozen_components(self, names: Iterable[str]) -> list[str]:
        """The components with a parameter that is never trained, in the order of ``names``."""
        names = list(names)
        moving = self.trainable(names)
        return list(dict.fromkeys(component_of(name) for name in names if name not in moving))

    def active_terms(self, terms: Iterable[str], update: int, updates: int) -> tuple[str, ...]:
        """The loss terms that count at this update."""
        always = Window()
        return tuple(t for t in terms if self.terms.get(t, always).active(update, updates))

    def initialise(
        self, bases: Sequence[Mapping[str, Tensor]], fresh: Mapping[str, Tensor], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """The transfer's parameters at its first update; none of them share memory with a base's.

        ``fresh`` is of the transfer's shapes; those of an ensemble's component alone may differ from the
        bases'. Its frozen copies (:meth:`copies`) stand beside it; ``rng`` shuffles.
        """
        start: dict[str, Tensor] = {}
        for name in [*bases[0], *(n for n in fresh if n not in bases[0])]:
            rule = self.action_of(name)
            if rule.action == "ensemble" and name not in fresh:
                continue
            new = fresh[name]
            if rule.action == "ensemble":
                start[name] = new.clone()
            else:
                start[name] = _act(rule, _taken(rule, bases, name, new), new, rng)
            for partial in self.rules:
                if partial.columns is not None and partial.matches(name) and new.dim() == 2:
                    old = _taken(partial, bases, name, new)
                    columns = slice(*partial.columns)
                    start[name][:, columns] = _act(partial, old, new, rng)[:, columns]
        copies = self.copies(bases[0], len(bases))
        return start | {copy: bases[number][name].clone() for copy, (name, number) in copies.items()}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """A plan from nested mappings; raises :class:`PlanError`."""
        try:
            return cls.model_validate(tree)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "plan"
            raise PlanError(f"{where}: {first['msg']} (found {value(first.get('input'))})") from None

    def to_tree(self) -> dict[str, Any]:
        """Nested plain values that :meth:`from_tree` reads back."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}


BASE_PLAN = TransferPlan.from_tree({"name": "base", "rules": [{"component": "*", "action": "copy"}]})
"""The plan of training from nothing: every component is trained."""


def original(component: str) -> str:
    """The component that a frozen copy's name says it is of; the name itself for any other.

    >>> original("transition.source1"), original("transition")
    ('transition', 'transition')
    """
    return _COPY.sub("", component)


def _old(base: Mapping[str, Tensor], name: str, new: Tensor) -> Tensor:
    """A base's tensor for a parameter of the new model; raises :class:`PlanError` where it has none such."""
    if name not in base:
        raise PlanError(f"{name}: the base has no such tensor")
    if new.shape != base[name].shape:
        raise PlanError(
            f"{name}: the base has shape {tuple(base[name].shape)}, the new model {tuple(new.shape)}"
        )
    return base[name]


def _taken(rule: Rule, bases: Sequence[Mapping[str, Tensor]], name: str, new: Tensor) -> Tensor:
    """What a rule takes of the bases for a parameter; raises :class:`PlanError` where one has none such."""
    olds = [_old(base, name, new) for base in bases]
    if rule.base != ALL or len(olds) == 1:
        return olds[0 if rule.base in (None, ALL) else int(rule.base)]
    return torch.stack(olds).mean(0)


def _act(rule: Rule, old: Tensor, fresh: Tensor, rng: np.random.Generator) -> Tensor:
    match rule.action:
        case "copy" | "freeze":
            return old.clone()
        case "reset" | "ensemble":
            return fresh.clone()
        case "fraction":
            assert rule.fraction is not None
            return fresh + rule.fraction * old
        case "permute":
            order = torch.from_numpy(rng.permutation(old.numel()))
            return old.reshape(-1)[order].reshape(old.shape).clone()


GENERAL = "plans"
"""Name of the file of plans that fit any system; another is a system's own, and has its name."""


def _shipped() -> dict[str, dict[str, Any]]:
    """Plans by name, by the name of their file."""
    folder = resources.files("trainers.recipes").joinpath("plans")
    names = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    return {name: tomllib.loads(folder.joinpath(f"{name}.toml").read_text("utf-8")) for name in names}


def plan_names(system: str | None = None) -> list[str]:
    """The plans that ship with the package: those that fit any system, and a system's own."""
    shipped = _shipped()
    return [*shipped[GENERAL], *shipped.get(system or "", {})]


def named_plan(name: str) -> TransferPlan:
    """A plan that ships with the package; raises :class:`PlanError` with the nearest match."""
    plans = {name: plan for file in _shipped().values() for name, plan in file.items()}
    if name in plans:
        return TransferPlan.from_tree({"name": name, **plans[name]})
    shared = _FRACTION.fullmatch(name)
    if shared is None or shared["name"] not in plans:
        raise PlanError(unknown_name("plan", name, plans))
    plan, fraction = named_plan(shared["name"]), float(shared["fraction"])
    if not any(rule.action == "fraction" for rule in plan.rules):
        raise PlanError(f"plan {name!r}: found a λ, expected none: {plan.name!r} takes no fraction of a base")
    rules = [
        rule.model_copy(update={"fraction": fraction}) if rule.action == "fraction" else rule
        for rule in plan.rules
    ]
    return plan.model_copy(update={"name": name, "rules": tuple(rules)})


def read_plan(source: str) -> TransferPlan:
    """A shipped plan by its name, or a plan from a TOML file by its path (ending in ``.toml``)."""
    if not source.endswith(".toml"):
        return named_plan(source)
    path = Path(source)
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PlanError(f"{source}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{source}: not a TOML file: {error}") from None
    try:
        return TransferPlan.from_tree({"name": path.stem, **tree})
    except PlanError as error:
        raise PlanError(f"{source}: {error}") from None
