"""Options that belong together, handed to a command as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints

Command = Callable[..., None]


def bundled(command: Command) -> Command:
    """Give a command every field of its bundles as an option of its own, in the place of the bundle.

    A bundle is a parameter whose type is a dataclass; each of its fields is annotated with a typer.Option and
    has a default. When the command is called, it gets each bundle made of the options' values.
    """
    hints = get_type_hints(command, include_extras=True)
    bundles = {name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}
    shown: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name in bundles:
            shown += _options(bundles[name])
        else:
            shown.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]))

    @wraps(command)
    def unbundled(**given: Any) -> None:
        made = {
            name: kind(**{option.name: given.pop(option.name) for option in fields(kind)})
            for name, kind in bundles.items()
        }
        command(**given, **made)

    del unbundled.__wrapped__  # else its signature would be the command's own
    unbundled.__signature__ = signature(command).replace(parameters=shown)  # type: ignore[attr-defined]
    unbundled.__annotations__ = {p.name: p.annotation for p in shown}
    return unbundled


def _options(bundle: type) -> Iterator[Parameter]:
    """The fields of a bundle as parameters of a command."""
    hints = get_type_hints(bundle, include_extras=True)
    for option in fields(bundle):
        yield Parameter(
            option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=hints[option.name]
        )
