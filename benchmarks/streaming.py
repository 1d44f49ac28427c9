"""Two arrays larger than memory compared under a limit on anonymous memory: does it hold, how fast is it?

    python benchmarks/streaming.py [--rows 10_000_000] [--dimensions 256] [--folder .] [--limit-mb 1000]

Writes two float32 .npy files (20 GB by default; fewer rows where the disk is short, and says so), y random
and x a noisy flip of it, pushes them out of the page cache, and compares them in a child process that may
hold no more than the limit: RLIMIT_DATA, which counts all private writable memory and not the shared,
read-only pages of mapped files. The child first shows that the limit bites, by failing to load one of the
files whole. A prefix is compared in memory as well, without a limit. The files are removed.
"""

from __future__ import annotations

import os
import sys

if "--all-threads" not in sys.argv:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import probes

CHUNK = 2**14
"""Rows written at once."""
PREFIX = 20_000
"""Rows compared in memory as well."""
SAME = 1e-9
"""How far values of the prefix may lie apart, streamed and in memory."""
SPARE = 2**30
"""Bytes of disk left alone."""
MB = 10**6
"""Of the limit and of the table; the kernel's own kB are 1024 bytes."""


def write(folder: Path, rows: int, dimensions: int) -> tuple[Path, Path]:
    """y of falling spectrum; x with every other axis flipped, and noise of a third of its size."""
    paths = folder / "x.npy", folder / "y.npy"
    rng = np.random.default_rng(0)
    scale = np.geomspace(1, 0.1, dimensions, dtype=np.float32)
    signs = np.where(np.arange(dimensions) % 2, -1, 1).astype(np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimensions)}
    with paths[0].open("wb") as x_file, paths[1].open("wb") as y_file:
        for file in (x_file, y_file):
            np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, CHUNK):
            y, noise = rng.standard_normal((2, min(CHUNK, rows - start), dimensions), np.float32) * scale
            (signs * y + noise / 3).tofile(x_file)
            y.tofile(y_file)
        for file in (x_file, y_file):
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return paths


def status(key: str) -> float:
    """Megabytes of this process, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(f"{key}:"))


class Peak(threading.Thread):
    """The most memory seen, looked at every hundredth of a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"VmData": 0.0, "RssAnon": 0.0, "RssFile": 0.0}
        self.done = threading.Event()

    def look(self) -> None:
        for key in self.most:
            self.most[key] = max(self.most[key], status(key))

    def run(self) -> None:
        while not self.done.wait(0.01):
            self.look()


MEASURES: dict[str, Callable[[probes.Stream], probes.Measure]] = {
    "CKA": lambda stream: stream.cka(),
    "CKA, debiased": lambda stream: stream.cka(debiased=True),
    "CCA": lambda stream: stream.cca(),
    "L2": lambda stream: stream.l2().mean,
}


def compare(paths: list[str], limit: int) -> None:
    """The child: everything under the limit, timed."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit * MB, limit * MB))
    size = Path(paths[0]).stat().st_size
    if size > limit * MB:
        try:
            np.load(paths[0])
        except MemoryError:
            print(f"Loading one of the files whole ({size / MB:,.0f} MB) fails, as it must.")
        else:
            raise SystemExit("Loading one of the files whole did not fail: the limit does not hold here.")
    x, y = (np.load(path, mmap_mode="r") for path in paths)
    peak = Peak()
    peak.start()
    began = time.perf_counter()
    stream = probes.streamed(x, y)
    read = time.perf_counter() - began
    print("\n| measure | value | 95% interval | s |\n|---|---|---|---|")
    print(f"| sums over {len(x):,} rows | | | {read:.1f} |")
    for name, measure in MEASURES.items():
        began = time.perf_counter()
        found = measure(stream)
        ends = "" if found.low is None or found.high is None else f"{found.low:.6f} – {found.high:.6f}"
        print(f"| {name} | {found.value:.6f} | {ends} | {time.perf_counter() - began:.1f} |")
    began = time.perf_counter()
    relation = stream.relation()
    flipped = len(relation.axes)
    taken = time.perf_counter() - began
    print(f"| relation | {relation.relation}, {flipped} axes | | {taken:.1f} |", flush=True)
    peak.done.set()
    peak.join()
    peak.look()
    most = peak.most
    print(f"\n{len(x) / read:,.0f} rows/s, {2 * size / read / MB:,.0f} MB/s. At its peak:")
    print(f"- {most['VmData']:.0f} MB of private memory reserved (VmData), of which {limit} MB are allowed;")
    print(f"- {most['RssAnon']:.0f} MB of it in use (RssAnon);")
    print(f"- {most['RssFile']:,.0f} MB of file pages, which the kernel takes back at will (RssFile).")


def prove(paths: tuple[Path, Path]) -> None:
    """The same numbers in memory, of the first rows."""
    x, y = (np.array(np.load(path, mmap_mode="r")[:PREFIX]) for path in paths)
    stream = probes.streamed(x, y)
    direct: dict[str, Any] = {
        "CKA": probes.cka(x, y, interval=False).value,
        "CKA, debiased": probes.cka(x, y, debiased=True, interval=False).value,
        "CCA": probes.cca(x, y, interval=False).value,
        "L2": probes.l2(x, y).mean.value,
    }
    apart = max(abs(value - (MEASURES[name](stream).value or 0)) for name, value in direct.items())
    relations = stream.relation().relation, probes.relation(x, y).relation
    if apart > SAME or relations[0] != relations[1]:
        raise SystemExit(f"Streamed and in memory differ: by {apart:.1e}, relations {relations}")
    print(
        f"First {len(x):,} rows in memory: {', '.join(direct)} equal to {max(apart, 1e-16):.0e},"
        f" relation {relations[0]} both times."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--limit-mb", type=int, default=1000)
    parser.add_argument("--all-threads", action="store_true", help="leave BLAS its threads")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        try:
            compare(given.child, given.limit_mb)
        except MemoryError as error:
            raise SystemExit(f"{given.limit_mb} MB are not enough: {error}") from None
        return 0
    fit = (shutil.disk_usage(given.folder).free - SPARE) // (2 * 4 * given.dimensions)
    rows = min(given.rows, fit)
    if rows < PREFIX:
        raise SystemExit(f"The disk has room for {max(0, fit):,} rows, at least {PREFIX:,} are needed.")
    if rows < given.rows:
        print(f"The disk has room for {rows:,} of {given.rows:,} rows; the limit stays the same.")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        began = time.perf_counter()
        paths = write(Path(folder), rows, given.dimensions)
        size = paths[0].stat().st_size / 1e9
        print(
            f"numpy {np.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores;"
            f" two files of {rows:,} × {given.dimensions} float32, {size:.1f} GB each, written in"
            f" {time.perf_counter() - began:.0f} s",
            flush=True,
        )
        prove(paths)
        sys.stdout.flush()
        command = [sys.executable, __file__, "--limit-mb", str(given.limit_mb), "--child", *map(str, paths)]
        if given.all_threads:
            command.append("--all-threads")
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
