"""The command line: the app, and the commands that it has; each has a file of its own.

Whatever is heavy is imported inside the commands, so that help needs none of it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from diag.commands import exit_status as _exit
from diag.commands.check import check
from diag.commands.compare_embeddings import compare_embeddings
from diag.commands.demo.command import demo
from diag.commands.environment_metrics import environment_metrics
from diag.commands.forecast import forecast
from diag.commands.help import Group
from diag.commands.landscape import landscape
from diag.commands.layers import layers
from diag.commands.open import open_reports
from diag.commands.probe import probe
from diag.commands.repair import repair
from diag.commands.report import report
from diag.commands.show import show
from diag.commands.sources import sources
from diag.commands.study import study_app
from diag.commands.train import train_app, transfer

app = typer.Typer(
    name="diag",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    help="""Did a transferred network land where it should, and if not, why not?

    Start with `diag demo`: it shows a transfer that landed and one that is mirrored, and trains more.
    With checkpoints of your own, or two arrays of paired embeddings:

    \b
      diag compare-embeddings base.safetensors transfer.safetensors
      diag compare-embeddings base.npy transfer.npy --html report.html
      diag landscape failed.safetensors successful.safetensors
      diag probe checkpoint.safetensors
      diag layers base.pt tuned.pt --model mynets:Net --inputs x.npy
      diag check base.safetensors 'runs/t0/*.safetensors'
      diag repair base.safetensors failed.safetensors -o mended.safetensors
      diag study run simple-maze --out runs/maze
    """,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"transfer-diag {version('transfer-diag')}\n")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Did a transferred network land where it should, and if not, why not?"""


# In the order in which the help lists them.
COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("demo", demo, "A page from shipped checkpoints, then transfers trained here."),
    ("transfer", transfer, "Transfer a base model to the target task."),
    ("compare-embeddings", compare_embeddings, "Did the transfer land, and if not, how does it lie?"),
    ("landscape", landscape, "Losses, and walls, between two checkpoints."),
    ("layers", layers, "Where in two networks does a transfer begin to differ?"),
    ("sources", sources, "Which of several sources does a target resemble?"),
    ("probe", probe, "What does an embedding hold of what is known of each state?"),
    ("show", show, "Say what a file is."),
    ("check", check, "A gate for a CI: check transfers against limits."),
    ("forecast", forecast, "How will a transfer end, from an early checkpoint or its base?"),
    ("repair", repair, "Lead a failed transfer back into the base's embedding."),
    ("report", report, "Pages of saved results, one or many in one."),
    ("open", open_reports, "A folder of reports in the browser."),
    ("environment-metrics", environment_metrics, "What each way of transfer earns over from-scratch."),
)
"""Every command with its name and the line about it in the help."""

for _name, _command, _line in COMMANDS:
    app.command(_name, short_help=_line)(_command)
app.add_typer(train_app, name="train")
app.add_typer(study_app, name="study")


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    return _exit.run(app, arguments)


def main() -> None:
    """The console script: run a command, and exit with its status."""
    # What a terminal cannot show is escaped, not a reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
