"""Load tensors from the bytes of ``torch.save``; nothing else in them is ever called.

torch's own loader, told ``weights_only``, runs no code, but what it makes may be larger than the file. So the
file is looked through first: nothing in it may be packed or stand for several parts at once, and of all that
its pickle would do, only what tensors and the mappings around them need is let through.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from diag.sources.content import LEGACY
from diag.sources.foreign_files import again
from diag.sources.safe.bounds import MOST_MEMBERS
from diag.sources.safe.names import line, listed, shown
from diag.sources.safe.pickled import UnusualError, follow
from diag.sources.safe.standing_in import standing_in
from diag.subject import SubjectError

MOST_INDEX_BYTES = 2**22
"""Most bytes of the pickle that names the tensors: some 200 bytes a tensor are usual. A byte can stand for
a part that takes seventy."""

EXPECTED = (
    "tensors saved by torch.save, or --trust-pickle for a file that you trust: unpickling can run any code"
)


def load_saved(content: bytes, path: str, trusted: bool = False, expected: str = EXPECTED) -> Any:
    """The object that ``torch.save`` was given: tensors, and mappings, lists, numbers and words around them.

    A ``trusted`` file is unpickled whole: whatever it calls for, runs. Raises SubjectError, about ``path``.
    """
    import torch

    foreign = frozenset[str]() if trusted else _look_through(content, path, expected)
    try:
        with standing_in(foreign):
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=not trusted)
    except Exception as error:  # torch, zipfile and pickle each raise their own for damaged files
        raise SubjectError(path, f"no whole file of torch.save ({line(error)})", expected) from None
    if not trusted:
        _check_tensors(loaded, path)
    return loaded


def _look_through(content: bytes, path: str, expected: str) -> frozenset[str]:
    """Refuse a file that would take more memory than it has bytes, or that calls for more than tensors.

    The names of the classes that are to be stood in for.
    """
    if not content.startswith(b"PK"):
        if content.startswith(LEGACY):
            legacy = "a pickle, which is never loaded: a file of torch.save before 1.6"
            raise SubjectError(path, legacy, f"{again(path)}, or {expected}")
        kind = "a pickle, which is never loaded" if content.startswith(b"\x80") else "no file of torch.save"
        raise SubjectError(path, kind, expected)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
                raise SubjectError(path, "packed parts, which torch.save never writes", expected)
            if len(members) > MOST_MEMBERS or sum(m.file_size for m in members) > len(content):
                raise SubjectError(path, "more parts than the file has room for", expected)
            index = [m for m in members if m.filename.endswith("/data.pkl")]
            if len(index) != 1 or index[0].file_size > MOST_INDEX_BYTES:
                raise SubjectError(path, "an archive without one index of tensors, of usual size", expected)
            pickled = archive.read(index[0])
        return follow(pickled)
    except SubjectError:
        raise
    except UnusualError as error:
        raise SubjectError(path, f"a pickle that {line(error)}, which is never loaded", expected) from None
    except Exception as error:
        raise SubjectError(path, f"no whole file of torch.save ({line(error)})", expected) from None


def _check_tensors(loaded: Any, path: str) -> None:
    """Refuse tensors, however deep they are nested, that claim more numbers than the file stores for them."""
    import torch

    # Each part once: a pickle can hold one list a thousand times, in lists that it holds a thousand times.
    seen, waiting = set[int](), [("a tensor", loaded)]
    while waiting:
        name, part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            if vars_ := set(getattr(part, "__dict__", {})) - {"_metadata"}:
                unusual = f"a mapping with attributes of its own ({listed(sorted(map(str, vars_)))})"
                raise SubjectError(path, unusual, "tensors saved whole")
            waiting += [(shown(key), value) for key, value in part.items()]
        elif isinstance(part, list | tuple | set):
            waiting += [(name, value) for value in part]
        elif isinstance(part, torch.Tensor):
            plain = part.layout == torch.strided and part.device.type == "cpu" and not part.is_quantized
            if not plain or part.numel() * part.element_size() > part.untyped_storage().nbytes():
                too_large = f"{shown(name)} of shape {tuple(part.shape)}, which is more than its data"
                raise SubjectError(path, too_large, "tensors saved whole")
