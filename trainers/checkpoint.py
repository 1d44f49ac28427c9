"""The checkpoint format: one safetensors file with a JSON header, written whole or not at all.

Tensors are named ``component/parameter``. The header says what the tensors cannot: the system and
every setting, the task, the step, the plan, the bases it came from, the metrics and the versions. Version
1 of the format names one ``base`` at most, version 2 a list of ``bases``; a file is of the lowest version
that can say what it has to. A second file, ``<name>.resume``, holds what going on needs; it repeats the
weights, so that a crash between the two writes costs nothing. No pickle is written, and none is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from trainers.safe_text import (
    MAGIC_BYTES,
    MOST_HEADER,
    MOST_TENSORS,
    in_words,
    one_line,
    value,
    whole,
)
from trainers.settings import unknown_name

FORMAT_VERSIONS = (1, 2)
_KEY = "transfer_diag"
RESUME_SUFFIX = ".resume"

MOST_STEPS = 2**63
"""No step or seed is larger: numbers of a header are those of 64 bits."""


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class CheckpointError(ValueError):
    """A file that is no usable checkpoint: ``path``, what was ``found`` and what was ``expected``.

    Its message is one line of bounded length, whatever the file says.
    """

    def __init__(self, path: str | os.PathLike[str], found: str, expected: str) -> None:
        self.path, self.found, self.expected = str(path), one_line(found), one_line(expected)
        super().__init__(f"{in_words(self.path)}: found {self.found}; expected {self.expected}")


@dataclass(frozen=True)
class Header:
    """The words of a checkpoint: its system and settings, and how it was trained, from what and how far."""

    system: str
    settings: Mapping[str, Any]
    task: str
    step: int
    seed: int
    plan: Mapping[str, Any] | None = None
    """The TransferPlan's tree; None for a base."""
    bases: Sequence[Mapping[str, str]] = ()
    """``path``, ``sha256`` of the file and ``identity`` of the tensors of each base of a transfer."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions of the libraries, threads and device: what the last bits of the numbers depend on."""

    @property
    def base(self) -> Mapping[str, str] | None:
        """The first of the bases; None for a base, which has none."""
        return self.bases[0] if self.bases else None

    @property
    def format_version(self) -> int:
        """Lowest version of the format that can hold this header."""
        return 2 if len(self.bases) > 1 else 1

    def to_tree(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON."""
        tree: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            if name != "bases":
                tree[name] = getattr(self, name)
            elif self.format_version == 1:
                tree["base"] = self.base
            else:
                tree["bases"] = list(self.bases)
        return {**tree, "format_version": self.format_version}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: its header, its tensors (no stack axis) and where it came from."""

    path: str
    header: Header
    tensors: Mapping[str, Tensor]
    sha256: str
    """SHA-256 of the file's bytes."""
    identity: str
    """SHA-256 of the tensors: equal in two files that hold the same numbers under the same names."""


def identity_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the tensors in the order of their names: name, type, shape and bytes of each."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def running_environment(device: str) -> dict[str, Any]:
    """Versions, threads and device of this process, for a header."""
    try:
        own = metadata.version("transfer-diag")
    except metadata.PackageNotFoundError:
        own = "uninstalled"
    return {
        "transfer-diag": own,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "device": device,
        "machine": platform.machine(),
    }


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed, then renamed into place.

    Raises OSError with the file's name.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say whose
            error.filename = str(target)
        raise


def save(path: str | os.PathLike[str], header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint atomically; raises OSError where the place cannot be written."""
    write_atomically(path, _encode({_KEY: json.dumps(header.to_tree(), allow_nan=False)}, tensors))


def _encode(words: dict[str, str], tensors: Mapping[str, Tensor]) -> bytes:
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return bytes(safetensors.torch.save(plain, metadata=words))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes; raises OSError."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read(path: str | os.PathLike[str], finite: bool = True) -> Checkpoint:
    """Read a checkpoint; raises :class:`CheckpointError` for anything that is not one.

    Weights that are not ``finite`` are refused: every number computed from them would be undefined.
    """
    words, tensors, content = _decode(path)
    if _KEY not in words:
        raise CheckpointError(
            path, "a safetensors file without a transfer-diag header", "a checkpoint of diag train"
        )
    header = _header(path, words[_KEY])
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            kind = f"{name} of type {str(tensor.dtype).removeprefix('torch.')}"
            raise CheckpointError(path, kind, "weights of an ordinary floating-point type")
    bad = sum(int((~torch.isfinite(t)).sum()) for t in tensors.values()) if finite else 0
    if bad:
        where = next(name for name, t in tensors.items() if not torch.isfinite(t).all())
        raise CheckpointError(path, f"{bad} non-finite weights (first in {where})", "finite weights")
    return Checkpoint(str(path), header, tensors, hashlib.sha256(content).hexdigest(), identity_of(tensors))


def _decode(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor], bytes]:
    try:
        content, of = whole(path, MAGIC_BYTES), Path(path).stat().st_size
        if 2 <= int.from_bytes(content[:8], "little") <= min(MOST_HEADER, of - 8):
            content = whole(path)  # no more is read of a file that cannot be a checkpoint, however large
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise CheckpointError(path, reason, "a checkpoint file") from None
    try:
        # Sorted, since the library's order changes from call to call, and sums with it. Cloned onto memory
        # of torch's own alignment: matrix kernels round by where their input lies, and inside a file that
        # depends on the length of its header.
        size = int.from_bytes(content[:8], "little")
        if content[8 : 8 + size].count(b'"data_offsets"') > MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS} tensors")
        loaded = safetensors.torch.load(content)
        tensors = {name: loaded[name].clone() for name in sorted(loaded)}
        words = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError, RuntimeError) as error:
        raise CheckpointError(path, _guess(content, of, error), "a .safetensors checkpoint") from None
    return words, tensors, content


def _guess(content: bytes, size: int, error: Exception) -> str:
    """Words for bytes that are no safetensors file, told by how they begin, without ever running them."""
    if content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05":
        return "a pickle, which is never loaded"
    if content[:4] == b"PK\x03\x04":
        return "a zip archive (torch.save writes pickles in one), which is never loaded"
    if content[:6] == b"\x93NUMPY":
        return "a numpy array"
    return f"{size} bytes that are no whole safetensors file ({one_line(error, 200)})"


def _header(path: str | os.PathLike[str], text: str) -> Header:
    try:
        tree = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise CheckpointError(path, "a header that is not JSON", "a checkpoint of diag train") from None
    if not isinstance(tree, dict):
        raise CheckpointError(path, f"a header that is a {type(tree).__name__}", "a JSON object")
    version = tree.pop("format_version", None)
    if version not in FORMAT_VERSIONS or isinstance(version, bool):
        expected = " or ".join(map(str, FORMAT_VERSIONS))
        raise CheckpointError(path, f"format version {value(version)}", f"format version {expected}")
    fields = [name for name in Header.__dataclass_fields__ if name != "bases"]
    fields.append("base" if version == 1 else "bases")
    for name in tree:
        if name not in fields:
            raise CheckpointError(path, unknown_name("header field", name, fields), "known header fields")
    kinds: dict[str, type | tuple[type, ...]] = {
        "system": str,
        "settings": dict,
        "task": str,
        "step": int,
        "seed": int,
        "plan": (dict, type(None)),
        "base": (dict, type(None)),
        "bases": list,
        "metrics": dict,
        "environment": dict,
    }
    for name in ("step", "seed"):
        if isinstance(number := tree.get(name), int) and not 0 <= number < MOST_STEPS:
            raise CheckpointError(path, f"{name} {value(number)} in the header", "a valid header")
    for name, kind in kinds.items():
        required = name in ("system", "settings", "task", "step", "seed")
        if name not in tree and required:
            raise CheckpointError(path, f"a header without {name!r}", "a complete header")
        if name in tree and (not isinstance(tree[name], kind) or isinstance(tree[name], bool)):
            raise CheckpointError(path, f"{name} {value(tree[name])} in the header", "a valid header")
    origin = tree.pop("base", None)
    tree["bases"] = tuple(tree.get("bases", [] if origin is None else [origin]))
    if not all(_is_origin(one) for one in tree["bases"]):
        incomplete = "a base without path, sha256 and identity in the header"
        raise CheckpointError(path, incomplete, "a valid header")
    losses = tree.get("metrics", {}).get("losses", {})
    if not isinstance(losses, dict) or not all(_is_curve(curve) for curve in losses.values()):
        raise CheckpointError(
            path, "loss curves that are no lists of numbers in the header", "a valid header"
        )
    return Header(**tree)


def _is_origin(base: object) -> bool:
    return isinstance(base, dict) and all(
        isinstance(base.get(k), str) for k in ("path", "sha256", "identity")
    )


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _is_curve(curve: object) -> bool:
    return isinstance(curve, list) and all(v is None or type(v) in (int, float) for v in curve)


def save_resume(
    path: str | os.PathLike[str],
    checkpoint: Mapping[str, Tensor],
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    """Write the resume file of the checkpoint at ``path``: its weights, ``state`` and more ``tensors``."""
    words = {_KEY: json.dumps({"identity": identity_of(checkpoint), **state}, allow_nan=False)}
    both = {f"weights/{k}": v for k, v in checkpoint.items()} | {f"state/{k}": v for k, v in tensors.items()}
    write_atomically(f"{path}{RESUME_SUFFIX}", _encode(words, both))


def read_resume(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Tensor]]:
    """The weights, state and tensors that :func:`save_resume` wrote for the checkpoint at ``path``."""
    name = f"{path}{RESUME_SUFFIX}"
    words, tensors, _ = _decode(name)
    try:
        state = json.loads(words[_KEY])
        identity, step = state["identity"], state["step"]
        if not isinstance(identity, str) or isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(name, "no resume state", "a resume file of diag train") from None
    weights = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    rest = {k.removeprefix("state/"): v for k, v in tensors.items() if k.startswith("state/")}
    if identity_of(weights) != state["identity"]:
        raise CheckpointError(name, "weights that are not those it names", "an undamaged resume file")
    return weights, state, rest
