"""Options that belong together, handed to a command as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints

Command = Callable[..., None]


def bundled(command: Command) -> Command:
    """Give a command every field of its bundles as an option of its own, in the place of the bundle.

    A bundle is a parameter whose type is a dataclass; each of its fields is annotated with a typer.Option and
    has a default.
    """
    for name, kind in _hints(command).items():
        if is_dataclass(kind) and isinstance(kind, type):
            hints = get_type_hints(kind, include_extras=True)
            options = {field.name: (hints[field.name], field.default) for field in fields(kind)}
            command = with_options(command, name, options, kind)
    return command


def with_options(
    command: Command, bundle: str, options: Mapping[str, tuple[Any, Any]], made: Callable[..., Any]
) -> Command:
    """Put ``options``, {name: (annotation, default)}, in the place of a command's parameter ``bundle``.

    ``made`` makes the parameter's value of theirs, by name, when the command is called.
    """
    hints = _hints(command)
    keyword = Parameter.KEYWORD_ONLY
    shown: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name == bundle:
            shown += [
                Parameter(option, keyword, default=default, annotation=annotation)
                for option, (annotation, default) in options.items()
            ]
        else:
            shown.append(parameter.replace(kind=keyword, annotation=hints[name]))

    @wraps(command)
    def unbundled(**given: Any) -> None:
        handed = {name: given.pop(name) for name in options}
        command(**given, **{bundle: made(**handed)})

    del unbundled.__wrapped__  # else its signature would be the command's own
    unbundled.__signature__ = signature(command).replace(parameters=shown)  # type: ignore[attr-defined]
    unbundled.__annotations__ = {p.name: p.annotation for p in shown}
    return unbundled


def _hints(command: Command) -> dict[str, Any]:
    # Supplied stays a name: its module loads numpy, which no help is to wait for.
    hints = get_type_hints(command, localns={"Supplied": object}, include_extras=True)
    hints.pop("return", None)
    return hints
