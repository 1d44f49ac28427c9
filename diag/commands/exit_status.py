"""Turns exceptions into one line of words and an exit status; nothing else in the project does that.

0 done, 2 bad usage or input, 3 a fault of the program, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys

import typer
import typer.exceptions

from diag.commands.answer import Stopped, write_line
from diag.commands.help import command_of
from diag.commands.output_files import with_places
from trainers.safe_text import plain

STOPPED = 130
"""The exit status after Ctrl-C."""

NOTHING_KEPT = "stopped; nothing was written, and the same command begins anew"
"""After Ctrl-C, where a command keeps nothing on its way."""

TORCH_HAS_NONE = "can't allocate memory"
"""Words of the RuntimeError that torch raises where numpy raises MemoryError."""

PACKAGES = ("diag", "probes", "reports", "trainers")
"""Packages whose own kinds of ValueError mean bad input."""


def is_bad_input(error: Exception) -> bool:
    """Whether an exception says that a file, a setting or an option cannot be used.

    Every package raises its own kinds of ValueError for that, and a bare one of Python, numpy or torch is a
    fault: so the package in which the kind was defined tells, and a new package has nothing to register. Its
    own kinds of OSError are told as every OSError is.
    """
    return any(
        issubclass(kind, ValueError) and kind.__module__.partition(".")[0] in PACKAGES
        for kind in type(error).__mro__
    )


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run a command line of ``app`` and return its exit status."""
    verbose = any(a in ("--verbose", "-v") for a in arguments)
    try:
        status = command_of(app).main(with_places(arguments), prog_name="diag", standalone_mode=False)
        sys.stdout.flush()
        if status == STOPPED:  # what typer makes of a Ctrl-C that no command has words for
            return _fail(NOTHING_KEPT, STOPPED)
        return status if isinstance(status, int) else 0
    except typer.exceptions.TyperException as error:
        return _misused(error)
    except Stopped as stopped:
        return _fail(str(stopped), STOPPED)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(NOTHING_KEPT, STOPPED)
    except typer.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        # The reader went away (diag … | head): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", 2)
    except Exception as error:
        return _failed(error, verbose)


def _misused(error: typer.exceptions.TyperException) -> int:
    """Tell what is wrong with a command line, or show the help of a group that was called alone."""
    words = str(getattr(error, "format_message", error.__str__)())
    if meant := getattr(error, "possibilities", None):
        words = f"{getattr(error, 'message', words)}: did you mean {' or '.join(sorted(meant))}?"
    if words.startswith("Usage:"):  # a group without a command: its help is the answer
        write_line(words)
        return 2
    return _fail(f"{words.rstrip('.')} (see --help)", 2)


def _failed(error: Exception, verbose: bool) -> int:
    """Tell bad input, or input too large for the memory, as such, and any other exception as a fault."""
    words = str(error)
    if is_bad_input(error):
        return _fail(words, 2)
    if isinstance(error, MemoryError) or TORCH_HAS_NONE in words:
        return _fail(f"not enough memory for this input {words}".rstrip(), 2)
    if verbose:
        import traceback

        traceback.print_exception(error)
    return _fail(f"internal error: {type(error).__name__}: {words} (see --verbose)", 3)


def _fail(words: str, status: int) -> int:
    """Write the words as one line, control characters escaped, and return the status."""
    sys.stderr.write(f"diag: {plain(' '.join(words.splitlines()))}\n")
    return status
