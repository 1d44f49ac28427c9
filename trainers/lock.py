"""One process at a time at a place on disk: locks that the system drops with whoever held them.

A lock is a hidden file, locked by ``flock``: processes on one machine, and on machines that share a file
system which carries locks, see it. A process that is killed holds none any more, so that a file which is left
behind stands in nobody's way. It is removed where a holder ends by itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep

NAME = ".lock"
"""Suffix of a lock's file."""

_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)


WAIT_SECONDS = 0.2
"""Time between two looks at a lock that is waited for."""


class HeldError(OSError):
    """Another process is at work at the place."""

    def __init__(self, place: Path, holder: str) -> None:
        self.place, self.holder = place, holder
        super().__init__(f"{place}: another process is at work there{f' ({holder})' if holder else ''}")


class NoLocksError(OSError):
    """Files cannot be locked here: the system, or the file system, has no such thing."""


@contextmanager
def alone(files: Sequence[Path]) -> Iterator[None]:
    """Hold the locks of all these files, whose folders are there, as long as the context lasts.

    Raises HeldError where another process holds one, NoLocksError where files cannot be locked, OSError where
    they cannot be written.
    """
    with ExitStack() as held:
        for file in sorted(files):
            held.enter_context(_one(file))
        yield


@contextmanager
def _one(file: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:
        raise NoLocksError("files can be locked on Linux and macOS alone (fcntl)") from None
    while True:
        lock = file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with lock:
                if error.errno not in _HELD:
                    raise NoLocksError(f"{file}: cannot be locked ({error.strerror})") from None
                raise HeldError(file, _holder(lock.fileno())) from None
        if _is_there(file, lock.fileno()):
            break
        lock.close()  # its holder removed it in between: whoever comes next would make another
    with lock:
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        lock.flush()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)  # while it is held: nobody else can have locked this one


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    """The words in a lock's file about its holder: none where it has just been taken."""
    line = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    return line if line.isprintable() else ""


@contextmanager
def waited(file: Path) -> Iterator[None]:
    """Hold a file's lock as soon as nobody else does; raises as :func:`alone`, but for HeldError."""
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(alone([file]))
                break
            except HeldError:
                sleep(WAIT_SECONDS)
        yield
