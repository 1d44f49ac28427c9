"""What is no plain file, and names that mean harm to a terminal, a path or a pattern."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.attacks.attack import Attack, Role, Seeds, role_of

Make = Callable[[Path], object]


def _linked(target: str) -> Make:
    return lambda place: place.symlink_to(target)


def _looped(place: Path) -> None:
    other = place.with_name("other")
    place.symlink_to(other)
    other.symlink_to(place)


def _chained(place: Path) -> None:
    """Forty-five links one after another: more than a system follows."""
    last = place
    for number in range(45):
        following = place.with_name(f"link{number}")
        last.symlink_to(following)
        last = following
    last.write_bytes(b"")


def _socket(place: Path) -> None:
    """Bound from its folder: a socket's path may have a hundred letters."""
    here = Path.cwd()
    os.chdir(place.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


def _sparse(size: int) -> Make:
    def make(place: Path) -> None:
        with place.open("wb") as file:
            file.truncate(size)

    return make


def _numpy_sparse(place: Path) -> None:
    """An array of a terabyte, none of which is there."""
    from tests.harmful_files import header

    with place.open("wb") as file:
        file.write(start := header((2**37,)))
        file.truncate(len(start) + 8 * 2**37)


MAKES: tuple[Make, ...] = (
    _linked("/dev/zero"),
    _linked("/dev/random"),
    _linked("/dev/stdin"),
    _linked("/dev/tty"),
    _linked("/dev/full"),
    _linked("/dev/null"),
    _linked("/proc/self/mem"),
    _linked("/proc/self/environ"),
    _linked("/proc/self/fd/0"),
    _linked("/proc/kmsg"),
    _linked("/proc/self"),
    _linked("/"),
    _linked("."),
    _linked("nowhere"),
    _linked("../../../../etc/passwd"),
    _looped,
    _chained,
    _socket,
    os.mkfifo,
    os.mkdir,
    _sparse(0),
    _sparse(2**33),
    _sparse(2**40),
    _numpy_sparse,
)

NAMES = (
    *(
        "array.npy",
        "arrays.npz",
        "tensors.safetensors",
        "transfer.safetensors",
        "state.pt",
        "columns.parquet",
    ),
    *(
        "program.onnx",
        "policy.zip",
        "pairs.npz",
        "diag.toml",
        "pyproject.toml",
        "accepted.json",
        "a.pt2",
        "a",
    ),
)


def special(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Links, devices, pipes, sockets, folders and files without end, under every name."""
    make, name = MAKES[number % len(MAKES)], NAMES[number // len(MAKES) % len(NAMES)]
    return Attack(name, role=role_of(name), make=make)


def _odd() -> Iterator[str]:
    """Beginnings of file names."""
    yield from (
        "a\nb",
        "a\r\nb",
        "\x1b[2J\x1b]0;owned\x07",
        "a\tb",
        "\x7f",
        "\x85",
        "\u2028",
        "\u202egpj",
        "\u200b",
        "重み",
    )
    yield from (
        "\udcff\udcfe",
        "é\udce9",
        " ",
        " leading",
        "-rf",
        "--help",
        "-",
        "*",
        "?",
        "[a]",
        "{a}",
        "$HOME",
        "~",
        "%s",
    )
    yield from (
        "`touch owned`",
        "$(touch owned)",
        ";touch owned",
        "a|b",
        "&",
        "'",
        '"',
        "\\",
        "a\\nb",
        "::error::owned",
        "#",
    )
    yield from (
        "%0A::error::owned",
        "]]>",
        "<script>alert(1)",
        "&amp;",
        "<title>",
        "x" * 200,
        "重" * 60,
        "..",
        "...",
        "A" * 240,
    )


BEGINNINGS = tuple(_odd())


def named(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Files, whole and damaged, under names that mean harm."""
    name = rng.choice([name for name in seeds if not name.startswith("base")])
    role: Role = role_of(name)
    content = seeds[name]
    if number % 2:
        content = content[: rng.randrange(len(content))]
    beginning = BEGINNINGS[number // 2 % len(BEGINNINGS)]
    suffix = ".toml" if role == "config" else Path(name).suffix
    if number % 11 == 10:  # never there
        other = rng.choice(("x" * 300, "y/" * 3000, "\0", "../case/" + "z" * 254, "nowhere/", "x" * 5000))
        return Attack(name, content, role, opened=other + suffix)
    return Attack(beginning + suffix, content, role)
