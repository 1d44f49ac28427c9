"""Opens attacks as the gate does, and says whether anything happened that must not."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import diag
from diag.checks import baseline as baselines
from diag.checks import config as configs
from diag.checks.result import Gate
from diag.commands import exit_status as _exit
from diag.outputs import check_github, check_junit, check_sarif, check_text
from diag.outputs.json import render
from diag.outputs.registry import html
from diag.sources.exported import MOST_BYTES
from diag.sources.pairs import tasks_of
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject
from tests.attacks.attack import Attack, Seeds
from tests.attacks.seeds import seeds as made_seeds
from trainers.safe_text import plain

MEMORY = 2**30
"""Bytes of anonymous memory that opening a file may take beyond what the process has; files are some MB."""

PROGRAM = MEMORY + MOST_BYTES
"""The same for an ONNX program, which is run."""

SECONDS, PATIENCE = 10.0, 60
"""Of the processor that a file may take; and of the clock, after which it counts as never ending."""

LONGEST = 4000
"""Characters of an error's line."""

NO_MEMORY = ("allocat", "malloc", "bad_alloc", "memoryerror", "out of memory")
"""How libraries say that memory ran out: an error's line with such words was no refusal, but luck."""

FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "os.startfile", "subprocess.", "pty."),
    *(
        "socket.",
        "urllib.",
        "http.",
        "ftplib.",
        "smtplib.",
        "webbrowser.",
        "os.remove",
        "os.rename",
        "os.mkdir",
    ),
    *("os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.putenv", "os.kill"),
    *(
        "shutil.",
        "tempfile.",
        "pickle.find_class",
        "signal.pthread_kill",
        "os.setxattr",
        "os.utime",
        "ctypes.",
    ),
)
"""Beginnings of the events, of :pep:`578`, that opening a file must not cause."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class NeverEndsError(BaseException):
    """A file took longer than :data:`PATIENCE`."""


@dataclass(frozen=True)
class Judged:
    """What became of one attack."""

    outcome: Literal["refused", "accepted", "violation"]
    words: str
    """The line of a refusal; what happened otherwise."""
    seconds: float = 0.0
    """Of the processor."""
    memory: int = 0
    """Bytes of resident memory, mapped files among them, that were needed at most beyond those before."""


_seen: list[str] | None = None
_allowed: tuple[str, ...] = ()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int):
            return
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & WRITES:
            _seen.append(f"open for writing: {path!r}")
        elif not os.path.abspath(os.fsdecode(path)).startswith(_allowed):  # noqa: PTH100
            _seen.append(f"read: {path!r}")
    elif event.startswith(FORBIDDEN):
        _seen.append(f"{event}: {arguments!r}"[:300])


def watch(folder: Path) -> None:
    """From now on, what opening a file does is seen; reads within the folder and of programs are allowed."""
    global _allowed
    root = Path(__file__).parent.parent.parent
    known = {str(folder), str(root), sys.prefix, sys.base_prefix, "/proc", "/sys/fs/cgroup", os.devnull}
    first = not _allowed
    _allowed = (*known, *(path for path in sys.path if path.startswith("/")))
    if first:
        sys.addaudithook(_hook)


@contextmanager
def seen() -> Iterator[list[str]]:
    """What happens inside that must not."""
    global _seen
    found: list[str] = []
    _seen = found
    try:
        yield found
    finally:
        _seen = None


def _status(name: str) -> int:
    """Bytes, by the system's account of this process."""
    words = Path("/proc/self/status").read_text().split()
    return 1024 * int(words[words.index(f"{name}:") + 1])


def _forget_peak() -> None:
    """From now on, ``VmHWM`` is the peak of what follows."""
    with suppress(OSError):  # a system that does not allow it reports the highest peak so far
        Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def limited(memory: int = MEMORY) -> Iterator[None]:
    """No more anonymous memory than there is now and so many bytes: mapped files are none."""
    now = _status("VmData")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + memory, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def patient() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise NeverEndsError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def silent() -> Iterator[list[str]]:
    """What is printed inside, by libraries of C too, or warned of: there is to be nothing."""
    found: list[str] = []
    own = io.StringIO()
    with (
        tempfile.TemporaryFile() as file,
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(own),
        redirect_stderr(own),
    ):
        warnings.simplefilter("always")
        kept = {number: os.dup(number) for number in (1, 2)}
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield found
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            lines = [*own.getvalue().splitlines(), *file.read().decode(errors="replace").splitlines()]
            found += [f"printed: {line!r}" for line in lines]
            found += [f"warned: {one.message} ({one.filename}:{one.lineno})" for one in warned]


class Judge:
    """Opens attacks one after another, in a folder of its own."""

    def __init__(self, folder: Path, pages: bool = False) -> None:
        """In ``folder``, which is empty, the seeds are made; ``pages``: whether to write HTML too."""
        self.pages, self.folder, self.case = pages, folder, folder / "case"
        (folder / "seeds").mkdir()
        self.seeds: Seeds = made_seeds(folder / "seeds")
        self._gates()
        watch(folder)

    def _seed(self, name: str) -> str:
        return str(self.folder / "seeds" / name)

    def _gates(self) -> None:
        """The gate on whole files, all outputs written, so that what is imported on demand is there."""
        for name in (
            "array.npy",
            "transfer.safetensors",
            "policy.zip",
            "program.onnx",
            "columns.parquet",
            "state.pt",
        ):
            subject = diag.open_subject(self._seed(name), self._supplied(name), "target")
            if subject.tasks is not None or name == "array.npy":
                assert not self._gated(subject, name).errors

    def _supplied(self, name: str) -> Supplied:
        """The pairs, where a file makes an encoder that needs some."""
        return (
            Supplied(pairs=self._seed("pairs.npz")) if name.lower().endswith((".zip", ".onnx")) else NOTHING
        )

    def _base(self, subject: Subject) -> str:
        """The base that a subject is a transfer of."""
        if subject.encoder is None:
            return self._seed("base.npy")
        if subject.success_states is not None:
            return self._seed("base.safetensors")
        return self._seed("base-policy.zip" if subject.path.lower().endswith(".zip") else "base-program.onnx")

    def _gated(self, subject: Subject, name: str) -> Gate:
        gate = diag.check(self._base(subject), subject, supplied=self._supplied(name))
        said = [written(gate), *([html(gate)] if self.pages else [])]
        if any("\x1b" in words or "\0" in words for words in said):
            raise AssertionError("an output with control characters")
        return gate

    def arguments(self, attack: Attack, path: str) -> list[str]:
        """What stands after ``diag check`` for an attack."""
        arrays = [self._seed("base.npy"), self._seed("array.npy")]
        match attack.role:
            case "config":
                return [*arrays, "--config", path]
            case "baseline":
                return [*arrays, "--baseline", path]
            case "pairs":
                return [self._seed("base-program.onnx"), self._seed("program.onnx"), "--pairs", path]
        suffix = Path(attack.name).suffix.lower()
        bases = {".zip": "base-policy.zip", ".onnx": "base-program.onnx", ".safetensors": "base.safetensors"}
        more = ["--pairs", self._seed("pairs.npz")] if suffix in (".zip", ".onnx") else []
        return [self._seed(bases.get(suffix, "base.npy")), *more, "--", path]

    def judge(self, attack: Attack, whole: bool = False) -> Judged:
        """Open an attack; with ``whole``, what could be opened goes through the gate and its outputs."""
        self.case.mkdir()
        here = os.getcwd()  # noqa: PTH109
        os.chdir(self.case)  # where the pickles' folder would be made
        try:
            path = attack.placed(self.case)
            before = self._held()
            _forget_peak()
            began, held = time.process_time(), _status("VmRSS")
            memory = PROGRAM if attack.name.endswith(".onnx") else MEMORY
            with silent() as printed, seen() as events, limited(memory), patient():
                found = self._opened(attack, path, whole)
            seconds, needed = time.process_time() - began, max(0, _status("VmHWM") - held)
            if self._held() != before:
                return Judged("violation", f"files made: {sorted(self._held() ^ before)}", seconds)
            if events or printed:
                return Judged("violation", "; ".join([*events, *printed])[:500], seconds)
            if seconds > SECONDS:
                return Judged("violation", f"{seconds:.0f} s: {found.words}", seconds)
            return Judged(found.outcome, found.words, seconds, needed)
        finally:
            os.chdir(here)
            shutil.rmtree(self.case)

    def _held(self) -> set[str]:
        """Everything in and beside the folder."""
        places = (self.case, self.folder, self.folder / "seeds", self.folder.parent)
        return {f"{place}/{name}" for place in places for name in os.listdir(place)}  # noqa: PTH208

    def _opened(self, attack: Attack, path: str, whole: bool) -> Judged:
        try:
            words = self._used(attack, path, whole)
        except NeverEndsError:
            return Judged("violation", f"not done after {PATIENCE} s")
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
            if not _exit.is_bad_input(error):
                last = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(last.filename).name}:{last.lineno}"
                return Judged("violation", f"{type(error).__name__} at {place}: {str(error)[:300]!r}")
            return _refusal(str(error), path)
        return words if isinstance(words, Judged) else Judged("accepted", words)

    def _used(self, attack: Attack, path: str, whole: bool) -> str | Judged:
        match attack.role:
            case "config":
                config = configs.read(path)
                for name in config.lines:
                    if name in configs.setting_names():
                        config.threshold(name)
                if whole:
                    arrays = self._seed("base.npy"), self._seed("array.npy")
                    return _ended(diag.check(*arrays, config=path), path)
                return "a configuration"
            case "baseline":
                accepted = baselines.read(path)
                if whole:
                    subject = diag.open_subject(self._seed("array.npy"))
                    written(diag.check(self._seed("base.npy"), subject, baseline=accepted.file))
                return "a baseline"
            case "pairs":
                supplied = Supplied(pairs=path)
                tasks_of(supplied)
                if whole:
                    places = self._seed("base-program.onnx"), self._seed("program.onnx")
                    return _ended(diag.check(*places, supplied=supplied), path)
                return "pairs"
        supplied = self._supplied(attack.name)
        subject = diag.open_subject(path, supplied, "target")
        if not whole:
            return subject.label
        return _ended(self._gated(subject, attack.name), path)


def _ended(gate: Gate, path: str) -> str | Judged:
    """How a gate ended; where a file could not be checked after all, its line is a refusal's."""
    for checked in gate.checked:
        if checked.error is not None:
            return _refusal(checked.error, path, named=False)
    return f"{gate.outcome} ({gate.exit_status})"


def written(gate: Gate) -> str:
    """A gate in every form but the page."""
    text = check_text.render(gate, verbose=True)
    render(gate).encode()
    for words in (check_junit.render(gate), check_sarif.render(gate), check_github.step_summary(gate)):
        words.encode()
    check_github.annotations(gate).encode()
    return text


def _refusal(words: str, path: str, named: bool = True) -> Judged:
    """A refusal where its line is one: short, plain, and about the file."""
    wrong = []
    if len(words.splitlines()) != 1 or not words.isprintable():
        wrong.append("no plain line")
    if len(words) > LONGEST:
        wrong.append(f"{len(words)} characters")
    if named and plain(Path(path).name)[:40] not in words:
        wrong.append("does not name the file")
    if any(sign in words.lower() for sign in NO_MEMORY):
        wrong.append("memory ran out")
    if wrong:
        return Judged("violation", f"{', '.join(wrong)}: {words[:300]!r}")
    return Judged("refused", words)
