"""show: describe what a file is, and what can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diag.result import SCHEMA_VERSION
from diag.shown import Shown
from diag.sources import open_subject
from diag.sources.safetensors_file import NATIVE, header_of
from diag.sources.supplied import NOTHING, Supplied
from diag.sources.survival import Survival, survival
from diag.sources.systems import trained
from diag.subject import Subject, Watched
from trainers.checkpoint import Checkpoint, read
from trainers.plan import Origin
from trainers.stack import component_of


@dataclass(frozen=True)
class Component:
    """A component's name, its tensors and parameters, and what the plan does with it."""

    name: str
    tensors: int
    parameters: int
    shape: str
    """The widths from input to output."""
    trained: bool


@dataclass(frozen=True, repr=False)
class Description(Shown, kind="description"):
    """A checkpoint of diag train or diag transfer as :func:`show` describes it."""

    checkpoint: Checkpoint
    components: tuple[Component, ...]
    settings: Mapping[str, Any]
    """The header's settings, completed by defaults."""
    updates: int
    """Updates that its phase has in all, ``header.step`` of which it has behind it."""
    origins: tuple[Origin, ...] = ()
    """What its parameters began as, of a transfer."""
    ensembles: Mapping[str, int] = field(default_factory=dict)
    """{frozen copy that a component reads: number of its base}."""
    survival: tuple[Survival, ...] | None = ()
    """What training left of each fraction of a base; None where the bases are not there to tell."""

    def shown_state(self) -> list[str]:
        header = self.checkpoint.header
        role = "base" if header.plan is None else f"transfer ({header.plan['name']})"
        return [f"{header.system} {role}", f"{header.task} task", f"step {header.step}"]

    def shown_files(self) -> list[str]:
        return [self.checkpoint.path]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        header = self.checkpoint.header
        return {
            "schema_version": 1,
            "path": self.checkpoint.path,
            "sha256": self.checkpoint.sha256,
            "identity": self.checkpoint.identity,
            **header.to_tree(),
            "components": [vars(c) for c in self.components],
            "origins": [one._asdict() | {"parameters": list(one.parameters)} for one in self.origins],
            "ensembles": dict(self.ensembles),
            "survival": None if self.survival is None else [vars(one) for one in self.survival],
        }


@dataclass(frozen=True, repr=False)
class FileDescription(Shown, kind="file_description"):
    """A file that is no checkpoint of diag train, as :func:`show` describes it."""

    subject: Subject

    def shown_files(self) -> list[str]:
        return [self.subject.path]

    @property
    def components(self) -> dict[str, int]:
        """{component: its number of parameters}."""
        counts: dict[str, int] = {}
        for name, tensor in (self.subject.parameters or {}).items():
            component = component_of(name)
            counts[component] = counts.get(component, 0) + tensor.numel()
        return counts

    @property
    def lacks(self) -> dict[str, str]:
        """{diagnosis: words for what the file lacks for it, empty where it lacks nothing}."""
        subject = self.subject
        has_layers, embeds = isinstance(subject.encoder, Watched), subject.embeddings is not None
        pairs = (
            ""
            if embeds or subject.tasks is not None
            else "observations: --pairs or --inputs FILE, or environments"
        )
        seen = pairs if embeds or subject.encoder is not None else "embeddings, or an encoder of them"
        known = subject.tasks is not None and not embeds and bool(subject.tasks.variables())
        unknown = "" if known else "what is known of each row: --variables FILE"
        losses = "losses, and parameters that they depend on"
        return {
            "compare-embeddings": seen,
            "check": seen,
            "layers": seen if has_layers else "a network: weights with --model",
            "probe": seen or unknown,
            "landscape": losses if None in (subject.parameters, subject.objective) else pairs,
        }

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        subject = self.subject
        embeddings = subject.embeddings
        return {
            "schema_version": SCHEMA_VERSION,
            "path": subject.path,
            "sha256": subject.sha256,
            "identity": subject.identity,
            "label": subject.label,
            "task": subject.task,
            "embeddings": None if embeddings is None else list(embeddings.shape),
            "episodes": None if subject.episodes is None else len(set(subject.episodes.tolist())),
            "returns": None if subject.returns is None else len(subject.returns),
            "encoder": subject.encoder is not None,
            "pairs": None if subject.tasks is None else subject.tasks.name,
            "losses": None if subject.objective is None else dict(subject.objective.terms),
            "components": self.components,
            "lacks": {name: words or None for name, words in self.lacks.items()},
        }


def show(path: str | os.PathLike[str], *, supplied: Supplied = NOTHING) -> Description | FileDescription:
    """Describe a checkpoint of diag train or diag transfer, or what any other file is read as.

    ``supplied`` is what files of weights alone do not say: paired observations, an adapter, … Raises
    CheckpointError or SubjectError for files that cannot be read.
    """
    header = header_of(os.fspath(path))
    if header is None or NATIVE not in header:
        return FileDescription(open_subject(path, supplied))
    return _checkpoint(path)


def _checkpoint(path: str | os.PathLike[str]) -> Description:
    checkpoint = read(path)
    known = trained(checkpoint)
    plan, settings = known.plan, known.system.settings.model_dump(mode="json")
    frozen = set() if plan is None else set(plan.frozen_components(checkpoint.tensors))
    components = []
    for name in dict.fromkeys(map(component_of, sorted(checkpoint.tensors))):
        own = {n: t for n, t in checkpoint.tensors.items() if component_of(n) == name}
        weights = [own[n] for n in sorted(own) if own[n].dim() == 2]
        widths = [weights[0].shape[1], *(w.shape[0] for w in weights)] if weights else []
        components.append(
            Component(
                name,
                len(own),
                sum(t.numel() for t in own.values()),
                "-".join(map(str, widths)),
                name not in frozen,
            )
        )
    origins: tuple[Origin, ...] = ()
    ensembles: dict[str, int] = {}
    if plan is not None:
        shapes = known.system.shapes()
        bases = len(checkpoint.header.bases)
        origins = tuple(plan.origins(shapes, bases))
        ensembles = {component_of(copy): number for copy, (_, number) in plan.copies(shapes, bases).items()}
    left = survival(known)
    phase = known.system.settings.train if plan is None else known.system.settings.transfer
    return Description(checkpoint, tuple(components), settings, phase.updates, origins, ensembles, left)
