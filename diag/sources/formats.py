"""The registry of file formats: how each is told by name and by content, and the function that opens it.

A new format is a file in this package with a function of an Opening, and a line in :data:`FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from diag.sources.content import LEGACY, Content
from diag.sources.opening import Opening
from diag.sources.safe.members import MAGIC as NUMPY
from diag.sources.safetensors_file import NATIVE
from diag.subject import Subject


def _never(content: Content) -> bool:
    return False


@dataclass(frozen=True)
class Format:
    """One file format: how it is recognised, and the function that opens it."""

    opener: str
    """``module:function`` of this package, called with an Opening; the module is loaded when it is called."""
    suffixes: tuple[str, ...] = ()
    """Lower-case endings of names that mean this format where the content does not say."""
    holds: Callable[[Content], bool] = _never
    """Whether a file's content is of this format, whatever its name."""
    quick: bool = False
    """Whether reading its files takes less time than listing what installed packages open."""

    def open(self, opening: Opening) -> Subject:
        """The subject in a file of this format; raises SubjectError or CheckpointError."""
        module, _, function = self.opener.partition(":")
        open_: Callable[[Opening], Subject] = getattr(import_module(f"diag.sources.{module}"), function)
        return open_(opening)


def _is_policy(content: Content) -> bool:
    return {"data", "policy.pth"} <= content.members


def _is_exported(content: Content) -> bool:
    ends = ("/models/model.json", "serialized_exported_program.json")
    return any(name.endswith(ends) for name in content.members)


def _is_numpy(content: Content) -> bool:
    names = content.members
    return content.begins.startswith(NUMPY) or (bool(names) and all(name.endswith(".npy") for name in names))


def _is_saved(content: Content) -> bool:
    if content.begins.startswith(LEGACY):
        return True
    if content.suffix in (".pt", ".pth") and content.begins.startswith(b"\x80"):
        return True  # a pickle that is named as torch's: its opener gives the better error
    others = _is_policy(content) or _is_exported(content) or content.is_script
    return any(name.endswith("/data.pkl") for name in content.members) and not others


def _is_index(content: Content) -> bool:
    begins = content.begins.lstrip(b"\xef\xbb\xbf \t\r\n")
    return begins.startswith(b"{") and (content.path.endswith(".index.json") or b'"weight_map"' in begins)


CHECKPOINT = Format("native:open_native", (".safetensors",), lambda c: NATIVE in c.header)
"""The format of diag train and diag transfer, as which files of unknown format are opened too."""

FORMATS: tuple[Format, ...] = (
    Format("array_files:open_arrays", (".npy", ".npz"), _is_numpy, quick=True),
    Format("parquet:open_table", (".parquet", ".pq"), lambda c: c.begins.startswith(b"PAR1")),
    CHECKPOINT,
    Format("tensors:open_tensors", (), lambda c: c.header != b""),
    Format("tensors:open_saved", (".pt", ".pth"), _is_saved),
    Format("folders:open_index", (), _is_index),
    Format("exported:open_onnx", (".onnx",)),
    Format("exported:open_exported", (".pt2",), _is_exported),
    Format("sb3.policy:open_sb3", (".zip",), _is_policy),
)
"""Every format; the first one that recognises a file's content opens it."""

SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)


def held_by(content: Content) -> Format | None:
    """The format of a file by its content, whatever its name; None where the content does not say."""
    return next((known for known in FORMATS if known.holds(content)), None)


def named(suffix: str) -> Format | None:
    """The format that a suffix stands for; None for suffixes of no format here."""
    return next((known for known in FORMATS if suffix in known.suffixes), None)
