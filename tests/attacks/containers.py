"""Numpy files, archives and tables whose own bookkeeping means harm."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from random import Random
from typing import Any

import numpy as np

from tests.attacks.attack import Attack, Seeds
from tests.harmful_files import archive, bomb, damaged_size, header, overlapping, saved

DTYPES = (
    *(
        "<f8",
        ">f8",
        "<f2",
        "<f4",
        "=f8",
        "|b1",
        "<c16",
        "<i8",
        "<u8",
        "|u1",
        "|O",
        "O",
        "|S3",
        "|S0",
        "<U1",
        "<U0",
    ),
    *(
        "<M8[s]",
        "<m8[ns]",
        "|V8",
        "|V0",
        "V",
        "<f16",
        "<g",
        "f9",
        "",
        "x",
        "?",
        "<U999999999",
        "|S2147483647",
    ),
    *("(2,2)<f8", "f8,f8", "(1000000000,)f8", "(2147483647,2147483647)f8", "\0", "<f8\0"),
)
SHAPES = (
    *(
        "(30, 3)",
        "(90,)",
        "()",
        "(30, 3, 1)",
        "(1,) * 64",
        "(30, -3)",
        "(-30, -3)",
        "(0, 3)",
        "(3, 0)",
        "(30, 3",
        "30",
    ),
    *(
        "(9223372036854775807, 2)",
        "(9223372036854775808, 1)",
        "(4294967296, 4294967296)",
        "(2**62, 4)",
        "(1.5, 60)",
    ),
    *(
        "(True, 90)",
        "[30, 3]",
        "None",
        "(10**99,)",
        f"({'1,' * 40})",
        f"({'1,' * 70})",
        f"({'0,' * 30})",
        "('30', 3)",
    ),
    *(
        "((30, 3),)",
        "(30, 3) and __import__('os').mkdir('exploded')",
        "{30, 3}",
        f"({'9' * 5000}, 1)",
        "(...)",
    ),
)
TAILS = (
    "",
    "__import__('os').mkdir('exploded')",
    "(" * 200,
    "(" * 9000,
    "[" * 9000,
    "{" * 9000,
    "-" * 9000 + "1",
    "not " * 2000 + "1",
    "'" + "a" * 9000 + "'",
    "\\" * 100,
    "\0",
    "{'descr': '<f8'}",
    "{'descr': '<f8', 'fortran_order': 3, 'shape': (1, 1)}",
    "{'descr': [('a', '<f8'), ('b', 'O')], 'fortran_order': False, 'shape': (1, 1)}",
    "{'descr': [('a', '<f8', (1000000000,))], 'fortran_order': False, 'shape': (1, 1)}",
    "{'descr': ['<f8'] * 3, 'fortran_order': False, 'shape': (1, 1)}",
    "{'shape': (1, 1), 'shape': (30, 3), 'descr': '<f8', 'fortran_order': False}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), 'extra': 1}",
    "é" * 50,
)


def _npy(rng: Random, words: str, data: bytes) -> bytes:
    """A .npy with these words as its header, of any version, its length now and then a lie."""
    text = words.encode("utf-8", "surrogatepass")
    version = rng.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (9, 9), (255, 255)))
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    size = len(text) if rng.random() < 0.8 else rng.choice((0, 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1))
    length = struct.pack("<I", size % 2**32) if version[0] >= 2 else struct.pack("<H", size % 2**16)
    return b"\x93NUMPY" + bytes(version) + length + text + data


def numpy_headers(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Headers of .npy, alone and in archives: types, shapes, words that are no literal."""
    data = bytes(30 * 3 * 8)
    if number < len(TAILS):
        words = TAILS[number]
    elif rng.random() < 0.2:
        words = rng.choice(TAILS) + rng.choice(TAILS)
    else:
        dtype, shape = rng.choice(DTYPES), rng.choice(SHAPES)
        if rng.random() < 0.5:
            dtype, shape = (rng.choice((dtype, "<f8")), "(30, 3)") if rng.random() < 0.5 else ("<f8", shape)
        order = rng.choice(("False", "False", "True", "1", "None"))
        words = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}"
    content = _npy(rng, words, data[: rng.choice((720, 720, 720, 0, 8, 719))])
    name = rng.choice(("array.npy", "array.npz", "pairs.npz"))
    if name.endswith(".npy"):
        return Attack(name, content)
    if name == "pairs.npz":
        return Attack(name, archive({"source.npy": content, "target.npy": content}), "pairs")
    return Attack(name, archive({"embeddings.npy": content}, rng.choice((0, 8))))


def _pack(rng: Random, names: list[str], content: bytes, packing: int, **more: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", packing) as file:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name in names:
            member = zipfile.ZipInfo("a")
            member.filename = name
            member.compress_type = packing
            for key, value in more.items():
                setattr(member, key, value)
            file.writestr(member, content)
        file.comment = rng.randbytes(rng.choice((0, 0, 10, 65_535)))
    return buffer.getvalue()


MEMBERS = (
    *(
        "../../../owned.npy",
        "/etc/owned.npy",
        "..\\..\\owned.npy",
        "C:\\owned.npy",
        "a/../../b.npy",
        ".npy",
        "",
        "/",
    ),
    *(
        "embeddings.npy/",
        "a\nb.npy",
        "\x1b[2J.npy",
        "重み.npy",
        "x" * 60_000 + ".npy",
        "\u202e.npy",
        "con",
        "__class__",
    ),
)


def _directory(rng: Random, content: bytes) -> bytes:
    """One field of an archive's directory, or of a member's own header, overwritten."""
    signs = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    found = [at for sign in signs for at in range(len(content)) if content[at : at + 4] == sign]
    changed = bytearray(content)
    at = rng.choice(found) + 4 + 2 * rng.randrange(20)
    size = rng.choice((2, 4))
    value = rng.choice((0, 1, 8, 9, 12, 14, 99, 2**16 - 1, 2**31, 2**32 - 1)) % 2 ** (8 * size)
    changed[at : at + size] = value.to_bytes(size, "little")
    return bytes(changed)


def archives(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Bombs, names that lead elsewhere, members in each other, lying directories."""
    array = header((30, 3)) + bytes(720)
    name = rng.choice(("packed.npz", "arrays.npz", "pairs.npz", "policy.zip", "state.pt"))
    role = "pairs" if name == "pairs.npz" else "subject"
    match number % 8:
        case 0:
            size = rng.choice((2**28 - 2**20, 2**29, 2**30, 2**31, 2**32 - 2**20))
            packed = _bombs(size)
            if name == "policy.zip":
                packed = packed.replace(b"embeddings.npy", b"data\0ings.npy\0"[:14])
            return Attack(name, packed, role)
        case 1:
            names = [rng.choice(MEMBERS) for _ in range(rng.choice((1, 2, 5)))]
            return Attack(name, _pack(rng, names, array, rng.choice((0, 8))), role)
        case 2:
            attributes = rng.choice((0xA1ED0000, 0xFFFFFFFF, 0o10777 << 16))  # a link
            link = _pack(rng, ["embeddings.npy"], b"/etc/passwd", 0, external_attr=attributes)
            return Attack(name, link, role)
        case 3:
            inner = seeds[rng.choice(("packed.npz", "policy.zip", "state.pt"))]
            for _ in range(rng.choice((1, 3, 20))):
                inner = archive({"embeddings.npy": inner, "data": inner, "policy.pth": inner}, 8)[: 2**20]
            return Attack(name, inner, role)
        case 4:
            return Attack(
                name, damaged_size(seeds[name], rng.choice((0, 1, 2**31, 2**32 - 2, 2**32 - 1))), role
            )
        case 5:
            whole = saved({"embeddings": np_tensor()})
            return Attack("state.pt", overlapping(whole))
        case 6:
            many = archive({f"{i}.npy": b"" for i in range(rng.choice((3000, 70_000)))}, 0)
            return Attack(name, many, role)
    return Attack(name, _directory(rng, seeds[name]), role)


def np_tensor() -> Any:
    """(30, 3) zeros, of torch."""
    import torch

    return torch.zeros(30, 3)


_BOMBS: dict[int, bytes] = {}


def _bombs(size: int) -> bytes:
    if size not in _BOMBS:
        _BOMBS[size] = bomb(size)
    return _BOMBS[size]


def numbers(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Whole files of numbers that strain what is made of them."""
    rows = rng.choice((1, 2, 3, 30, 30, 30))
    shapes = (
        (rows, 3),
        (rows, 1),
        (rows, 2000),
        (rows, 3, 4, 4),
        (rows, 1, 1, 1, 1, 1),
        (rows,),
        (rows, 0),
        (rows, 100_000),
    )
    shape = shapes[number % len(shapes)]
    dtype = rng.choice(("<f8", "<f8", "<f4", "<f2", "<i8", "<u8", "|i1", "|b1", ">f8"))
    made = np.random.default_rng(rng.randrange(2**32))
    match rng.randrange(8):
        case 0:
            values = np.full(shape, rng.choice((0.0, 1e308, -1e308, 5e-324, np.nan, np.inf)))
        case 1:
            values = made.uniform(-1, 1, size=shape) * rng.choice((1e308, 1e154, 1e-320, 1e-160))
        case 2:
            values = made.choice([0.0, 1.0, np.nan, np.inf, -np.inf, 1e308, -0.0], size=shape)
        case 3:
            values = made.integers(-(2**63), 2**63 - 1, size=shape).astype(float)
        case 4:
            values = np.repeat(made.normal(size=(1, *shape[1:])), len(range(rows)), 0).reshape(shape)
        case 5:
            values = made.normal(size=shape)
            values.reshape(-1)[: rng.randrange(3)] = rng.choice((np.nan, np.inf, 1e300))
        case _:
            values = made.normal(size=shape)
    with np.errstate(all="ignore"):
        array = values.astype(dtype)
    buffer = io.BytesIO()
    if rng.random() < 0.3:
        beside = rng.choice(
            (np.arange(rows), np.zeros(rows), np.array(["a\x1b"] * rows), np.zeros((rows, 2)), np.zeros(0))
        )
        np.savez(buffer, embeddings=array, **{rng.choice(("episodes", "returns", "other")): beside})
        return Attack("numbers.npz", buffer.getvalue())
    np.save(buffer, array)
    return Attack("numbers.npy", buffer.getvalue())
