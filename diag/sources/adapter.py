"""``--adapter package.module:function``: your own function makes a Subject of weights.

    def adapter(weights: Mapping[str, Any], opening: Opening) -> Subject | torch.nn.Module

``weights`` is what the file holds: a mapping of names to tensors for a state dict, otherwise whatever
``torch.save`` was given. A module that is returned is the encoder: what it makes of observations is the
embedding. An adapter is your own code, and runs.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from diag.sources.opening import Opening
from diag.sources.safe.bounds import line
from diag.subject import Subject, SubjectError


def adapted(weights: Any, opening: Opening) -> Subject:
    """What the adapter that was named makes of the weights; raises SubjectError, also for faults in it."""
    name = opening.supplied.adapter
    assert name is not None
    function = imported(name)
    made = called(lambda: function(weights, opening), opening.path, f"--adapter {name}")
    if isinstance(made, Subject):  # of this file, whatever name it was given
        return replace(made, path=opening.path, sha256=opening.sha256)
    from torch import nn

    if isinstance(made, nn.Module):
        from diag.sources.torch_encoder import module_subject

        return module_subject(made, opening)
    found = f"a {type(made).__name__} from --adapter {name}"
    raise SubjectError(opening.path, found, "a diag.subject.Subject or a torch.nn.Module")


def imported(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names; raises SubjectError.

    The working directory is looked into first, as by ``python -m``, and last once the module is there.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise SubjectError(f"--adapter {name}", "no colon between two names", "package.module:function")
    with working_directory_first():
        found: Any = called(lambda: importlib.import_module(module), f"--adapter {name}", "its import")
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        expected = f"a function {attribute} in {module}"
        raise SubjectError(f"--adapter {name}", f"{'none' if found is None else 'no function'}", expected)
    return found  # type: ignore[no-any-return]


@contextmanager
def working_directory_first() -> Iterator[None]:
    """Modules of the working directory are found first, as by ``python -m``, and afterwards last."""
    here = str(os.getcwd())  # noqa: PTH109 (sys.path holds strings)
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)


def called(function: Callable[[], Any], path: str, what: str) -> Any:
    """What other people's code gives; whatever it raises becomes a SubjectError that says in ``what``."""
    try:
        return function()
    except (SubjectError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__} in {what}{_place(error)}: {line(error)}"
        raise SubjectError(path, found, "code that runs") from error


def _place(error: BaseException) -> str:
    """The line that raised an error, in brackets; nothing where that was no line but the import itself."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    return f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
