"""Import a user's function by its name, and call it so that its faults become one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diag.sources.safe.names import line
from diag.subject import SubjectError


def imported(name: str, option: str = "--adapter") -> Callable[..., Any]:
    """The function that ``package.module:function`` names, given by an option; raises SubjectError.

    The working directory is looked into first, as by ``python -m``, and last once the module is there.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise SubjectError(f"{option} {name}", "no colon between two names", "package.module:function")
    with working_directory_first():
        value: Any = called(importlib.import_module, f"{option} {name}", "its import", module)
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        expected = f"a function {attribute} in {module}"
        raise SubjectError(f"{option} {name}", f"{'none' if value is None else 'no function'}", expected)
    return value  # type: ignore[no-any-return]


@contextmanager
def working_directory_first() -> Iterator[None]:
    """Context that imports from the working directory first, as ``python -m``; afterwards from it last."""
    here = str(os.getcwd())  # noqa: PTH109 (sys.path holds strings)
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)


def called(function: Callable[..., Any], path: str, what: str, *arguments: Any) -> Any:
    """Call a function; whatever it raises becomes a SubjectError about ``path``.

    ``what`` says in the error where the function comes from.
    """
    try:
        return function(*arguments)
    except (SubjectError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        failure = f"{type(error).__name__} in {what}{_place(error)}: {line(error)}"
        raise SubjectError(path, failure, "code that runs") from error


def _place(error: BaseException) -> str:
    """The file and line that raised an error, in brackets; empty where the import itself failed."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    return f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
