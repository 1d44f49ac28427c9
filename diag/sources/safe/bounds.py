"""Bounds on files: only ordinary ones, no larger than memory, that do not unpack to far more."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from diag.subject import SubjectError
from trainers.safe_text import MAGIC_BYTES, no_ordinary_file, whole

ALWAYS_BYTES = 2**28
"""Bytes that a packed file of any size may unpack to: a constant embedding packs a thousandfold."""

MOST_TIMES = 100
"""Maximum decompression ratio of larger results: frames of a few flat colours reach it."""

MOST_MEMBERS = 2**16
"""Most arrays or tensors of one file; each costs some hundred bytes of bookkeeping."""

MAPPED_BYTES = 2**28
"""Size from which an array in a file is mapped, not read: its pages then come and go as they are needed."""

PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compressions that numpy uses; others allocate whole blocks before a bound can be applied."""


def free_memory() -> int:
    """Free memory in bytes: the machine's, or the container's where that is less."""
    try:
        words = Path("/proc/meminfo").read_text("ascii").split()
        free = 1024 * int(words[words.index("MemAvailable:") + 1])
    except (OSError, ValueError, IndexError):
        return 2**63  # the system does not say how much is free: allocation itself will fail
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text("ascii"))
        counted = (group / "memory.stat").read_text("ascii").split()
        held = int(counted[counted.index("anon") + 1])
    except (OSError, ValueError, IndexError):  # "max", or no such limit
        return free
    return min(free, max(0, limit - held))


def check_room(path: str, size: int, what: str) -> None:
    """Raises SubjectError where ``size`` bytes of ``what`` do not fit into the memory that is free."""
    if size > (free := free_memory()):
        expected = f"at most {_size(free)}, the memory that is free"
        raise SubjectError(path, f"{_size(size)} of {what}", expected)


def check_unpacked(path: str, size: int, packed: int) -> None:
    """Raises SubjectError where a file of ``packed`` bytes says that it holds ``size``, beyond the bounds."""
    if size > max(ALWAYS_BYTES, MOST_TIMES * packed):
        expected = f"at most {_size(ALWAYS_BYTES)}, or {MOST_TIMES} times its size"
        raise SubjectError(path, f"{_size(size)} packed into {_size(packed)}", expected)
    check_room(path, size, "numbers")


def check_members(path: str, archive: zipfile.ZipFile, packed: int, expected: str) -> None:
    """Raises SubjectError for an archive of ``packed`` bytes that numpy would not write."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise SubjectError(path, f"{len(members)} members", f"at most {MOST_MEMBERS}")
    if len({member.filename for member in members}) < len(members):
        raise SubjectError(path, "several members of one name", expected)
    for member in members:
        if member.compress_type not in PLAIN or member.flag_bits & 1:
            raise SubjectError(path, "members packed in a way that numpy never uses", expected)
    check_unpacked(path, sum(member.file_size for member in members), packed)


def check_ordinary(path: str, expected: str) -> None:
    """Raises SubjectError for devices and pipes, which need not end; a missing file passes."""
    if special := no_ordinary_file(path):
        raise SubjectError(path, special, expected)


def check_holdable(path: str) -> None:
    """Raises SubjectError for a file that is larger than the memory that is free."""
    try:
        size = Path(path).stat().st_size
    except (OSError, ValueError):  # whoever reads it says what is wrong
        return
    check_room(path, size, "file")


def content_of(path: str, expected: str, begins: tuple[bytes, ...] = (b"",)) -> bytes:
    """A file's bytes; raises SubjectError where they cannot be had, or not held.

    Of a file that begins in none of these ways, its first bytes alone: they are enough to say what it is.
    """
    try:
        start = whole(path, MAGIC_BYTES)
        if not start.startswith(begins):
            return start
        check_holdable(path)
        return whole(path)
    except (OSError, ValueError) as error:
        raise SubjectError(path, unreadable(error), expected) from None


def sha256_of(path: str, expected: str = "a file that can be read") -> str:
    """SHA-256 of a file's bytes, never held whole; raises SubjectError."""
    check_ordinary(path, expected)
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise SubjectError(path, unreadable(error), expected) from None


def unreadable(error: Exception) -> str:
    """Words for why a file cannot be opened."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def check_readable(path: str, expected: str = "a file that can be read") -> None:
    """Raises SubjectError, in words, for a file that libraries could only fail to open."""
    try:
        whole(path, 1)
    except (OSError, ValueError) as error:
        raise SubjectError(path, unreadable(error), expected) from None


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
