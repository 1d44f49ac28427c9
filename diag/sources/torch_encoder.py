"""A torch module, or an exported program, as Encoder: its output for observations is the embedding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diag.repeatable import EVALUATION
from diag.sources.opening import Opening
from diag.sources.safe.names import listed
from diag.sources.torch_watch import watched
from diag.subject import Layer, Parameters, Subject, SubjectError
from trainers.checkpoint import identity_of

NAMES = ("embedding", "embeddings")
"""Names by which the embedding is known among several outputs, unless one is given."""

PART_BYTES = 2**24
"""Bytes of observations that are embedded at a time: memory stays flat however many there are."""


def module_subject(module: nn.Module, opening: Opening) -> Subject:
    """The subject of a module whose output for observations (n, ...) is their embedding (n, ...)."""
    module = module.eval().requires_grad_(False)
    tensors = {name: t for name, t in module.state_dict().items() if isinstance(t, Tensor)}
    count = sum(t.numel() for t in tensors.values())
    return Subject(
        opening.path,
        opening.sha256,
        encoder=WatchedEncoder(module, opening.path, opening.supplied.output),
        identity=identity_of(tensors),
        label=f"{type(module).__name__} of {count:,} numbers",
    )


class ModuleEncoder:
    """Calls a function of torch on observations, in parts, with its own parameters."""

    def __init__(
        self,
        function: Callable[[Tensor], Any],
        path: str,
        output: str | None = None,
        remedy: str = EVALUATION,
    ) -> None:
        """``output`` names the embedding where the function gives several; ``path`` stands in errors.

        ``remedy`` is what to do where it turns out to be in training mode.
        """
        self.remedy = remedy
        self._function, self._path, self._output = function, path, output
        own = function.parameters() if isinstance(function, nn.Module) else ()
        self._dtype = next((p.dtype for p in own if p.is_floating_point()), None)

    @property
    def rectified(self) -> bool:
        """Whether the module says so itself by ``rectified = True``, or is a sequence that ends in a ReLU."""
        said = getattr(self._function, "rectified", None)
        if isinstance(said, bool):
            return said
        last = self._function
        while isinstance(last, nn.Sequential) and len(last):
            last = last[-1]
        return isinstance(last, nn.ReLU)

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, ...) of observations (n, ...); fractions are converted to the module's type."""
        observations = self._typed(observations)
        with torch.inference_mode():
            parts = [
                chosen(self._function(part), self._output, self._path) for part in in_parts(observations)
            ]
            for part in parts:
                if not isinstance(part, Tensor) or not part.ndim:
                    returned = f"a {type(part).__name__} as embedding"
                    raise SubjectError(self._path, returned, "a tensor (n, ...)")
            return torch.cat(parts)

    def _typed(self, observations: Tensor) -> Tensor:
        if self._dtype is not None and observations.is_floating_point():
            return observations.to(self._dtype)
        return observations


class WatchedEncoder(ModuleEncoder):
    """A module as encoder, whose layers can be read while it runs."""

    def __init__(self, module: nn.Module, path: str, output: str | None = None) -> None:
        super().__init__(module, path, output)
        self.module = module

    def watch(
        self,
        parameters: Parameters,
        observations: Tensor,
        see: Callable[[Layer, Tensor], None],
        inputs: Collection[str] = (),
        unread: Callable[[Layer, str], None] = lambda layer, what: None,
    ) -> None:
        """Run the whole module on observations (n, ...) at once."""
        with torch.inference_mode(), watched(self.module, len(observations), see, inputs, unread):
            self._run(self._typed(observations))

    def _run(self, observations: Tensor) -> Any:
        return self.module(observations)

    def weights_of(self, parameters: Parameters, part: str) -> Mapping[str, Tensor]:
        return {n: p.detach() for n, p in self.module.get_submodule(part).named_parameters(recurse=False)}


def in_parts(observations: Tensor, rows: int | None = None) -> Iterator[Tensor]:
    """Observations (n, ...) in parts of ``rows`` rows, or of :data:`PART_BYTES`."""
    each = max(1, observations.nbytes // max(1, len(observations)))
    step = rows or max(1, PART_BYTES // each)
    yield from (observations[start : start + step] for start in range(0, len(observations), step))


def chosen(result: Any, wanted: str | None, path: str) -> Any:
    """The output that is the embedding: the only one, or that of the name; raises SubjectError.

    Several outputs are a mapping, or a sequence whose names are ``0``, ``1``, …
    """
    if isinstance(result, tuple | list):
        result = {str(index): value for index, value in enumerate(result)}
    if not isinstance(result, Mapping):
        return result
    return result[chosen_name([str(name) for name in result], wanted, path)]


def chosen_name(names: list[str], wanted: str | None, path: str) -> str:
    """The name of the output that is the embedding; raises SubjectError where none can be told."""
    if wanted is not None and wanted not in names:
        raise SubjectError(path, f"no output {wanted!r}", f"one of {listed(names)}")
    known = [wanted] if wanted is not None else [name for name in NAMES if name in names]
    if len(known or names) != 1:
        raise SubjectError(path, f"outputs {listed(names)}", f"--output NAME, or one called {NAMES[0]!r}")
    return (known or names)[0]
