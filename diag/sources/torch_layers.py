"""A whole network -> a Subject that is embedded at one of its layers, and read at all of them.

Where no layer is named, the embedding is what the last linear layer that runs reads: the features that a
classifier, a policy or a value stands on. Layers that run after the embedding is made are the components that
read it, so that those which are equal in two files count as frozen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diag.sources.opening import Opening
from diag.sources.pairs import TASKS
from diag.sources.safe.names import line, listed
from diag.sources.torch_encoder import WatchedEncoder
from diag.sources.torch_watch import named_layers, watched
from diag.subject import Subject, SubjectError
from trainers.checkpoint import identity_of

TOKENS = 2
"""Rows of an observation that is text: the tokens, and which of them are none but padding."""

UNABLE = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
"""Exceptions of a network that is given inputs which it was not made for."""


def layered_subject(
    module: nn.Module, opening: Opening, notes: tuple[str, ...] = (), *, tokens: bool = False
) -> Subject:
    """The subject of a network, embedded at ``opening.supplied.layer``; raises SubjectError.

    ``tokens`` says that whole numbers (n, 2, length) are text: tokens, and a mask of those that count.
    """
    module = module.float().eval().requires_grad_(False)
    ran = _order(module, opening, tokens)
    encoder = AtLayer(module, opening, ran, tokens=tokens)
    tensors = {name: t for name, t in module.state_dict().items() if isinstance(t, Tensor)}
    count = sum(t.numel() for t in tensors.values())
    readers = encoder.readers
    parameters = {
        _named(name, readers): t for name, t in tensors.items() if t.is_floating_point() or t.is_complex()
    }
    return Subject(
        opening.path,
        opening.sha256,
        parameters=parameters,
        encoder=encoder,
        identity=identity_of(tensors),
        notes=(*notes, encoder.words),
        label=f"{type(module).__name__} of {count:,} numbers",
    )


def _named(name: str, readers: tuple[str, ...]) -> str:
    """``component/parameter``: a layer that reads the embedding is a component, all others the encoder."""
    layer, _, parameter = name.rpartition(".")
    return f"{layer}/{parameter}" if layer in readers else f"encoder/{name}"


def _order(module: nn.Module, opening: Opening, tokens: bool) -> list[str]:
    """The names of the layers in the order in which they run; as they were made where there are no inputs."""
    if opening.tasks is None:
        return list(named_layers(module))
    some = opening.tasks.paired_observations(2, 0).observations
    first = some[opening.task or TASKS[0]]
    ran: list[str] = []
    try:
        with torch.inference_mode(), watched(module, len(first), lambda layer, _: ran.append(layer.part)):
            called_on(module, first if not first.is_floating_point() else first.float(), tokens)
    except UNABLE as error:
        shape = f"a network that fails on inputs of {str(first.dtype).removeprefix('torch.')} "
        found = f"{shape}{tuple(first.shape[1:])} ({line(error)})"
        raise SubjectError(opening.path, found, made_for(first)) from error
    return list(dict.fromkeys(ran))


def made_for(inputs: Tensor) -> str:
    """What was expected where a network fails on inputs; pictures in bytes are the usual fault."""
    if inputs.dtype is torch.uint8:
        return "inputs that it was made for: bytes are not scaled, so save fractions (x.astype('f4') / 255)"
    return "inputs that it was made for"


def called_on(module: Any, observations: Tensor, tokens: bool) -> Any:
    """What a network makes of observations; of text, it is given the tokens and their mask by name."""
    if tokens and _is_text(observations):
        return module(input_ids=observations[:, 0], attention_mask=observations[:, 1])
    return module(observations)


def _is_text(observations: Tensor) -> bool:
    whole = not observations.is_floating_point()
    return whole and observations.ndim == 3 and observations.shape[1] == TOKENS


class AtLayer(WatchedEncoder):
    """A network whose embedding is the output of one layer, or the input of its last linear one."""

    def __init__(self, module: nn.Module, opening: Opening, ran: list[str], *, tokens: bool) -> None:
        """``ran`` has the layers in the order in which they run. Raises SubjectError for no such layer."""
        super().__init__(module, opening.path)
        self._function = self._embedded
        self._tokens = tokens
        parts = dict(module.named_modules())
        wanted = opening.supplied.layer
        linear = [name for name in ran if isinstance(parts[name], nn.Linear)]
        self._layer, self._before = (linear[-1] if linear else ""), wanted is None and bool(linear)
        if wanted is not None:
            if wanted not in parts:
                expected = f"--layer with one of {listed(named_layers(module))}"
                raise SubjectError(opening.path, f"no layer {wanted!r}", expected)
            self._layer = wanted
        elif linear:
            self.readers: tuple[str, ...] = (linear[-1],)
        if wanted is not None or not linear:
            within = [
                n for n in ran if n == self._layer or n.startswith(f"{self._layer}.") or not self._layer
            ]
            last = max((ran.index(name) for name in within), default=len(ran))
            self.readers = tuple(ran[last + 1 :])

    @property
    def words(self) -> str:
        """A clause about the file that says where the embedding is taken."""
        if self._before:
            return (
                f"is embedded by what its last linear layer, {self._layer!r}, reads (--layer names another)"
            )
        if not self._layer:
            return "is embedded by its output, since it has no linear layer (--layer names a layer)"
        return f"is embedded by the output of its layer {self._layer!r}"

    @property
    def rectified(self) -> bool:
        """Whether the layer that the embedding is the output of is a rectifier."""
        return not self._before and isinstance(self.module.get_submodule(self._layer), nn.ReLU)

    def _run(self, observations: Tensor) -> Any:
        return called_on(self.module, observations, self._tokens)

    def _embedded(self, part: Tensor) -> Any:
        seen: list[Any] = []
        layer = self.module.get_submodule(self._layer)
        handle = (
            layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            if self._before
            else layer.register_forward_hook(lambda _, given, output: seen.append(output))
        )
        try:
            result = self._run(part)
        finally:
            handle.remove()
        if not seen:
            raise SubjectError(self._path, f"a layer {self._layer!r} that does not run", "one that does")
        return self._pooled(seen[-1] if self._layer else result, part)

    def _pooled(self, value: Any, part: Tensor) -> Any:
        """The first tensor of a layer; of text, the mean over the tokens that are no padding."""
        while isinstance(value, tuple | list) and value:
            value = value[0]
        if hasattr(value, "last_hidden_state"):
            value = value.last_hidden_state
        text = self._tokens and _is_text(part)
        if text and isinstance(value, Tensor) and value.ndim == 3 and value.shape[1] == part.shape[2]:
            mask = part[:, 1, :, None].to(value.dtype)
            return (value * mask).sum(1) / mask.sum(1).clamp(min=1)
        return value
