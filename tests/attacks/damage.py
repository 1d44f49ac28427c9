"""Damage that knows nothing of a format: cut, flipped, overwritten, mixed, called by another name."""

from __future__ import annotations

from random import Random

from tests.attacks.attack import Attack, Seeds, role_of

LENGTHS = (
    0,
    1,
    2**8 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
"""Written over numbers of a file."""

EDGE = 600
"""Bytes at either end, where headers and directories stand, that half of the damage goes to."""


def _chosen(rng: Random, seeds: Seeds) -> tuple[str, bytearray]:
    name = rng.choice([name for name in seeds if not name.startswith("base")])
    return name, bytearray(seeds[name])


def _at(rng: Random, content: bytearray) -> int:
    """A place in a file."""
    edge = min(EDGE, len(content))
    match rng.randrange(4):
        case 0:
            return rng.randrange(edge)
        case 1:
            return len(content) - 1 - rng.randrange(edge)
    return rng.randrange(len(content))


def cut(rng: Random, seeds: Seeds, number: int) -> Attack:
    """A file that ends early, or begins late."""
    name, content = _chosen(rng, seeds)
    ends = (0, 1, 7, 8, 9, 63, len(content) - 1, len(content) - 8, rng.randrange(len(content)))
    kept = content[: rng.choice(ends)] if rng.random() < 0.8 else content[_at(rng, content) :]
    return Attack(name, bytes(kept), role_of(name))


def flipped(rng: Random, seeds: Seeds, number: int) -> Attack:
    """One to eight bits the other way round."""
    name, content = _chosen(rng, seeds)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        content[_at(rng, content)] ^= 1 << rng.randrange(8)
    return Attack(name, bytes(content), role_of(name))


def lengths(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Numbers of one to eight bytes made enormous, or nothing."""
    name, content = _chosen(rng, seeds)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, size = (0, 8) if rng.random() < 0.1 else (_at(rng, content), rng.choice((1, 2, 4, 8)))
        value = rng.choice(LENGTHS) % 2 ** (8 * size)
        content[at : at + size] = value.to_bytes(size, rng.choice(("little", "little", "big")))
    return Attack(name, bytes(content), role_of(name))


def mixed(rng: Random, seeds: Seeds, number: int) -> Attack:
    """A part left out, repeated, put elsewhere, or taken from another file."""
    name, content = _chosen(rng, seeds)
    at, end = sorted((_at(rng, content), _at(rng, content)))
    part = bytes(content[at:end])
    match rng.randrange(6):
        case 0:
            del content[at:end]
        case 1:
            content[at:at] = part * rng.choice((1, 2, 50))
        case 2:
            content[at:end] = rng.choice((b"\0", b"\xff", b" ", b"[", b'"')) * len(part)
        case 3:
            content[at:end] = rng.randbytes(len(part))
        case 4:
            content[at:] = _chosen(rng, seeds)[1][at:]
        case 5:
            content = bytearray(_chosen(rng, seeds)[1] + content)
    return Attack(name, bytes(content), role_of(name))


STARTS = (
    b"",
    b"\x93NUMPY",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PAR1",
    b"\x80\x02",
    b"\x80\x04",
    b"{",
    b"\x08\x08",
    b"[",
)


def renamed(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Another file's bytes under a name, or bytes of no format."""
    name = _chosen(rng, seeds)[0]
    if rng.random() < 0.2:
        name = rng.choice(("a.pt2", "a", "a.bin", "a.h5", "a.ckpt", "a.pkl", "a.tar.gz", ".npy", "a.NPZ"))
    if rng.random() < 0.6:
        return Attack(name, bytes(_chosen(rng, seeds)[1]), role_of(name))
    noise = rng.choice((b"", b"\0" * 64, b"\xff" * 9, rng.randbytes(rng.randrange(400)), b"\xff\xfe{\0}\0"))
    return Attack(name, rng.choice(STARTS) + noise, role_of(name))
