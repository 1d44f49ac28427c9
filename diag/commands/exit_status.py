"""Exceptions into one line of words and an exit status; nothing else in the project does that.

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
"""What torch says in a RuntimeError where numpy raises MemoryError."""

# Where the exceptions live that mean bad input. They are looked up after something was raised, and only
# in modules that are loaded by then, so that no command pays for importing what it does not use.
_BAD_INPUT = {
    "diag.commands.output_files": ("UsageError",),
    "diag.subject": ("SubjectError",),
    "diag.repairs.asked": ("RepairError",),
    "diag.checks": ("CheckError",),
    "diag.landscapes": ("LandscapeError",),
    "diag.studies": ("StudyError",),
    "diag.forecasts": ("ForecastError",),
    "diag.units.symmetry": ("SymmetryError",),
    "diag.landscapes.point": ("SharpnessError",),
    "probes": ("ProbeError",),
    "trainers.checkpoint": ("CheckpointError",),
    "trainers.settings": ("SettingsError",),
    "trainers.plan": ("PlanError",),
    "trainers.run": ("RunError",),
    "trainers.envs": ("UnknownWorldError",),
}


def _is_bad_input(error: Exception) -> bool:
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, names in _BAD_INPUT.items()
        for name in names
        if module in sys.modules
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
        words = str(getattr(error, "format_message", error.__str__)())
        if meant := getattr(error, "possibilities", None):
            words = f"{getattr(error, 'message', words)}: did you mean {' or '.join(sorted(meant))}?"
        if words.startswith("Usage:"):  # a group without a command: its help is the answer
            write_line(words)
            return 2
        return _fail(f"{words.rstrip('.')} (see --help)", 2)
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
        words = str(error)
        if _is_bad_input(error):
            return _fail(words, 2)
        if isinstance(error, MemoryError) or TORCH_HAS_NONE in words:
            return _fail(f"not enough memory for this input {words}".rstrip(), 2)
        if verbose:
            import traceback

            traceback.print_exc()
        return _fail(f"internal error: {type(error).__name__}: {words} (see --verbose)", 3)


def _fail(words: str, status: int) -> int:
    """One line that no terminal obeys, whatever names and files are told of in it."""
    sys.stderr.write(f"diag: {plain(' '.join(words.splitlines()))}\n")
    return status
