"""The demo: a first page from shipped checkpoints, then transfers trained and diagnosed on this machine."""

from diag.commands.demo.run import run_demo as run_demo

__all__ = ["run_demo"]
