"""The parts of a file that its format is told by: first bytes, a header, the names in an archive."""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path

from diag.sources.safe.bounds import MOST_MEMBERS
from diag.sources.safe.members import ZIP_BEGINS
from diag.sources.safetensors_file import header_of
from trainers.safe_text import whole

LOOKED_AT = 2**16
"""Bytes at a file's beginning that its format is told by: lines of a table, a JSON's first names."""

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a file of torch.save before version 1.6: its magic number, pickled."""


class Content:
    """The parts of a file that its format is told by, each read once and only when asked for.

    What cannot be read is empty: whoever opens the file says why.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.suffix = Path(path).suffix.lower()

    @cached_property
    def begins(self) -> bytes:
        """The first :data:`LOOKED_AT` bytes."""
        try:
            return whole(self.path, LOOKED_AT)
        except (OSError, ValueError):
            return b""

    @cached_property
    def header(self) -> bytes:
        """The header of a safetensors file, as bytes of JSON; empty for any other file."""
        return header_of(self.path) or b""

    @cached_property
    def members(self) -> frozenset[str]:
        """The names of the parts of a zip archive; none of any other file, or of one that is damaged."""
        if not self.begins.startswith(ZIP_BEGINS):
            return frozenset()
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
                return frozenset(names) if len(names) <= MOST_MEMBERS else frozenset()
        except Exception:  # zipfile raises whatever damage leads it to
            return frozenset()

    @property
    def is_script(self) -> bool:
        """Whether the file is a TorchScript archive, which has constants and code beside the tensors."""
        return any("/code/" in name for name in self.members) and any(
            name.endswith("/constants.pkl") for name in self.members
        )
