"""A Stable-Baselines3 ``.zip`` -> its settings and weights; nothing in it is ever unpickled.

Its ``data`` is JSON, in which what JSON cannot hold is a pickle in base64 (``:serialized:``), beside readable
words of it: only those are read. Its ``policy.pth`` is a state dict of ``torch.save``.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diag.sources.safe.bounds import content_of
from diag.sources.safe.members import ZIP_BEGINS
from diag.sources.safe.names import line, shown
from diag.sources.weights import load_saved
from diag.subject import SubjectError

if TYPE_CHECKING:
    from torch import Tensor

EXPECTED = "a .zip that a Stable-Baselines3 model was saved to"

MOST_DATA = 2**25
"""Most bytes of ``data``: some 10 kB are usual, megabytes where it holds the last images. Reading JSON takes
up to twenty times as much."""

MOST_MEMBERS = 100
"""Most parts of the archive: seven are usual."""


@dataclass(frozen=True)
class Saved:
    """The contents of a model's file."""

    path: str
    sha256: str
    data: Mapping[str, Any]
    """The attributes of the model by name, as far as they are JSON."""
    weights: Mapping[str, Tensor]
    """The policy's state dict."""
    version: str
    """Version of the library that wrote it; empty where it does not say."""

    def words(self, name: str) -> Mapping[str, Any]:
        """The readable description of an attribute that is stored as a pickle; {} where there is none."""
        attribute = self.data.get(name)
        return attribute if isinstance(attribute, dict) else {}

    def number(self, name: str, default: float) -> float:
        """An attribute that is a number, ``default`` where the model has none of that name."""
        number = self.data.get(name, default)
        if isinstance(number, bool) or not isinstance(number, int | float) or not -1e9 < number < 1e9:
            raise SubjectError(self.path, f"{name} {shown(number)}", "a number")
        return float(number)


def read_saved(path: str) -> Saved:
    """Read a model's file; raises SubjectError for anything else."""
    content = content_of(path, EXPECTED, ZIP_BEGINS)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(names) > MOST_MEMBERS or len(set(names)) < len(names):
                raise SubjectError(path, f"{len(names)} members, or several of one name", EXPECTED)
            if missing := [name for name in ("data", "policy.pth") if name not in names]:
                raise SubjectError(path, f"an archive without {' and '.join(missing)}", EXPECTED)
            text = _member(archive, "data", path, MOST_DATA)
            # Uncompressed, so that no more bytes can come out than the file has.
            weights = _member(archive, "policy.pth", path, len(content), packed=False)
            version = b""
            if "_stable_baselines3_version" in names:
                version = _member(archive, "_stable_baselines3_version", path, 100)
        data = json.loads(text.decode())
    except SubjectError:
        raise
    except Exception as error:  # zipfile, zlib, lzma and json each raise their own for damaged files
        raise SubjectError(path, f"no whole archive ({line(error)})", EXPECTED) from None
    if not isinstance(data, dict):
        raise SubjectError(path, f"a {type(data).__name__} as its data", EXPECTED)
    state = _checked(load_saved(weights, f"{path}: policy.pth", expected=EXPECTED), path)
    sha256 = hashlib.sha256(content).hexdigest()
    return Saved(path, sha256, data, state, shown(version.decode(errors="replace").strip()))


def _member(archive: zipfile.ZipFile, name: str, path: str, most: int, packed: bool = True) -> bytes:
    """A part of the archive, at most ``most`` bytes of it."""
    member = archive.getinfo(name)
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if packed else (zipfile.ZIP_STORED,)
    if member.compress_type not in known or member.flag_bits & 1:
        raise SubjectError(path, f"{name} packed otherwise than the library does", EXPECTED)
    if member.file_size > most:
        raise SubjectError(path, f"{member.file_size} bytes of {name}", f"at most {most}")
    return archive.read(member)


def _checked(loaded: Any, path: str) -> dict[str, Tensor]:
    """The floating-point tensors of a state dict, each finite and with memory of its own."""
    import torch

    if not isinstance(loaded, Mapping):
        raise SubjectError(path, f"a {type(loaded).__name__} as its policy", EXPECTED)
    tensors: dict[str, Tensor] = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise SubjectError(path, f"a {type(tensor).__name__} among its weights", EXPECTED)
        if not tensor.is_floating_point():
            continue  # counters of batch normalisation
        if bad := int((~torch.isfinite(tensor)).sum()):
            raise SubjectError(path, f"{bad} non-finite weights (first in {shown(name)})", "finite weights")
        tensors[name] = tensor.detach().float().clone()
    return tensors
