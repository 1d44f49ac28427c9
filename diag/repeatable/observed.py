"""Watch torch modules during an evaluation: which run in training mode, draw, or change themselves.

Every module that is called is seen, wherever it is kept: nobody has to say where a model lies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MOST_NAMED = 3
"""Most layers, buffers or functions that a message names; further ones are counted."""


@dataclass(frozen=True)
class Draw:
    """A function of torch that drew random numbers, and the innermost module that it was called in."""

    function: str
    """Name of the function: ``torch.randn_like``."""
    layer: str | None
    """The innermost module: ``'enc.2' (Dropout)``; None outside of all modules."""
    in_training: bool
    """Whether the innermost module was in training mode."""

    @property
    def is_dropout(self) -> bool:
        """Whether the function is dropout, or that of a layer which draws for its dropout alone."""
        return "dropout" in self.function or self.function.rpartition(".")[2] in DROPS


DROPS = (
    *("gru", "lstm", "rnn_tanh", "rnn_relu", "rrelu"),
    *("multi_head_attention_forward", "scaled_dot_product_attention"),
)
"""Functions of torch that draw random numbers only in training mode."""


@dataclass
class _Held:
    """A buffer of a module, and what it held when the module was first called."""

    owner: nn.Module
    name: str
    tensor: Tensor
    before: Tensor
    left: Tensor | None
    """The buffer's tensor when the module was last left."""

    @property
    def is_replaced(self) -> bool:
        """Whether the buffer was replaced by another tensor for good, not only for the time of a call."""
        own = self.owner._buffers.get(self.name)
        return self.left is not self.tensor and own is self.left

    @property
    def is_changed(self) -> bool:
        return self.is_replaced or not _equal(self.tensor, self.before)


@dataclass
class Observed:
    """The record of an evaluation that was watched."""

    names: dict[int, str] = field(default_factory=dict)
    """{id of a module: what it is called in words}."""
    modules: list[nn.Module] = field(default_factory=list)
    training: dict[int, str] = field(default_factory=dict)
    """{id of a module that ran in training mode: what it is called in words}."""
    draws: list[Draw] = field(default_factory=list)
    """Draws in their order; recorded only if the watch is ``closely``."""
    held: list[_Held] = field(default_factory=list)
    running: list[nn.Module] = field(default_factory=list)
    """The modules being called, the innermost last."""

    def changed(self, *, given: bool) -> list[str]:
        """The buffers that hold other numbers than before, by name.

        ``given`` says that the modules run on tensors that are given to them for the call, so that a change
        is lost after it: then only those of layers in training mode count, which read the whole batch.
        """
        return [
            f"{one.name} of {self.names[id(one.owner)]}"
            for one in self.held
            if one.is_changed and (not given or id(one.owner) in self.training)
        ]

    def restore(self) -> None:
        """Put back what buffers held, where they changed."""
        import torch

        with torch.inference_mode():  # tensors made in inference mode can be written to only in it
            for one in self.held:
                if one.is_replaced:
                    one.owner._buffers[one.name] = one.tensor
                if not _equal(one.tensor, one.before):
                    one.tensor.copy_(one.before)

    def own_generators(self) -> list[str]:
        """Modules that ran and keep a generator of their own, in words."""
        return [
            f"{key!r} of {self.names[id(module)]}"
            for module in self.modules
            for key, value in vars(module).items()
            if is_generator(value)
        ]

    def enter(self, module: nn.Module) -> None:
        if id(module) not in self.names:
            self._learn(module)
        self.modules.append(module)
        if module.training and not _is_program(module):
            self.training[id(module)] = self.names[id(module)]
        self.running.append(module)

    def leave(self, module: nn.Module) -> None:
        while self.running and self.running.pop() is not module:
            pass  # modules that an error ended before they were left
        for one in self.held:
            if one.owner is module:
                one.left = module._buffers.get(one.name)

    def draw(self, function: Any) -> None:
        inner = self.running[-1] if self.running else None
        self.draws.append(
            Draw(
                _function_name(function),
                None if inner is None else self.names[id(inner)],
                inner is not None and id(inner) in self.training,
            )
        )

    def _learn(self, root: nn.Module) -> None:
        """Note the names and buffers of a module and all that it has."""
        for full, module in root.named_modules():
            if id(module) in self.names:
                continue
            # Wrappers of networks, ours and DataParallel alike, call the network ``module``.
            name = "" if full == "module" else full.removeprefix("module.")
            kind = type(module).__name__
            self.names[id(module)] = f"{name!r} ({kind})" if name else f"the {kind}"
            for buffer, tensor in module.named_buffers(recurse=False):
                if _holds_numbers(tensor):
                    self.held.append(_Held(module, buffer, tensor, tensor.detach().clone(), tensor))


@contextmanager
def observed(*, closely: bool = False) -> Iterator[Observed]:
    """Watch every torch module that is called inside; ``closely``, the functions that draw as well."""
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    seen = Observed()
    with ExitStack() as stack:
        before = register_module_forward_pre_hook(lambda module, inputs: seen.enter(module))
        stack.callback(before.remove)
        after = register_module_forward_hook(
            lambda module, inputs, output: seen.leave(module), always_call=True
        )
        stack.callback(after.remove)
        if closely:
            stack.enter_context(_watching(seen))
        yield seen


def _watching(seen: Observed) -> Any:
    """A mode in which every function of torch that moves torch's generators is noted."""
    from torch.overrides import TorchFunctionMode

    from diag.repeatable.generators import moved, states

    class Watching(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            before = states()
            result = func(*args, **(kwargs or {}))
            if any("torch" in name for name in moved(before, states())):
                seen.draw(func)
            return result

    return Watching()


def few(names: list[str]) -> str:
    """A few names in a sentence, each once, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def is_generator(value: Any) -> bool:
    """Whether an object is a random generator of its owner's own."""
    import torch

    return isinstance(value, torch.Generator | np.random.Generator | np.random.RandomState | random.Random)


def _function_name(function: Any) -> str:
    """The name of a torch function, ``torch.randn_like``, without the overload of an operator."""
    name = str(getattr(function, "__name__", type(function).__name__))
    module = str(getattr(function, "__module__", None) or "")
    if module.startswith("torch._ops"):  # an operator of an exported program
        return f"aten.{name.partition('.')[0]}"
    if module.startswith("torch.nn.functional"):
        return f"torch.nn.functional.{name}"
    return f"torch.{name}" if module in ("", "torch") else name


def _is_program(module: torch.nn.Module) -> bool:
    """Whether a module is a traced graph: its mode means nothing, since the graph fixes what it does."""
    import torch

    return isinstance(module, torch.fx.GraphModule)


def _holds_numbers(tensor: Tensor) -> bool:
    from torch.nn.parameter import is_lazy

    return not is_lazy(tensor) and not tensor.is_meta


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN equal to itself."""
    if one.shape != other.shape:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
