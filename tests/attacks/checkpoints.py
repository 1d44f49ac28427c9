"""Safetensors files whose headers mean harm: the library's own, and ours inside it."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterable
from functools import lru_cache
from random import Random
from typing import Any

from tests.attacks.attack import Attack, Seeds
from tests.attacks.trees import RAW, WORDS, deep, encoded, hostile

OURS = "transfer_diag"


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header as a tree, and its data."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header: bytes, data: bytes, size: int | None = None) -> bytes:
    """A safetensors file; ``size`` is what it says of its header, where that is a lie."""
    return struct.pack("<Q", (len(header) if size is None else size) % 2**64) + header + data


def _named(name: str, place: str) -> bytes:
    return b'{"' + name.encode() + b'":' + place.encode() + b"}"


def _place(shape: Iterable[int], start: int, stop: int, dtype: str = "F32") -> str:
    return json.dumps({"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]})


def _tensor(number: int) -> bytes:
    return b'"%d":%s' % (number, _place([1, 1], 4 * number, 4 * number + 4).encode())


HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (_named("a", _place([2**32, 2**32], 0, 0)), b""),
    (_named("a", _place([2**62], 0, 2**64 - 1)), b"1234"),
    (_named("a", _place([2**63, 0], 0, 0)), b""),
    (_named("a", _place([0, 2**63], 0, 0)), b""),
    (_named("embeddings", _place([2**40, 0], 0, 0)), b""),
    (_named("a", _place([1] * 1000, 0, 4)), b"1234"),
    (_named("a", _place([1] * 65, 0, 4)), b"1234"),
    (_named("a", _place([1, 1], 0, 4, "F8_E4M3")), b"1234"),
    (_named("a", _place([4, 1], 0, 4, "F8_E5M2")), b"1234"),
    (_named("a", _place([1, 1], 0, 8, "C64")), b"12345678"),
    (_named("a", _place([1, 1], 0, 8, "U64")), b"\xff" * 8),
    (_named("a", _place([2, 1], 4, 8)), b"12345678"),
    (_named("a", _place([1, 1], 8, 4)), b"12345678"),
    (_named("../../../../tmp/owned", _place([1, 1], 0, 4)), b"1234"),
    (_named("\\u001b[2J\\u0000", _place([1, 1], 0, 4)), b"1234"),
    (_named("\\ud800", _place([1, 1], 0, 4)), b"1234"),
    (
        b"{"
        + b",".join(b'"%d":%s' % (i, _place([1, 1], 4 * i, 4 * i + 4).encode()) for i in range(20_000))
        + b"}",
        b"1234" * 20_000,
    ),
    (
        b"{" + b",".join(b'"%d":%s' % (i, _place([1, 1], 0, 4).encode()) for i in range(20_000)) + b"}",
        b"1234",
    ),
    (b'{"a":' + _place([1, 1], 0, 4).encode() + b',"a":' + _place([1, 1], 0, 4).encode() + b"}", b"1234"),
    (b"{}", b""),
    (b"{} ", b"data"),
    (b'{"__metadata__":{}}', b""),
    (b'{"__metadata__":[]}', b""),
    (b'{"__metadata__":{"transfer_diag":{}}}', b""),
    (b'{"__metadata__":{"transfer_diag":"{}"}}', b""),
    (b'{"__metadata__":{"transfer_diag":"","transfer_diag":"{}"}}', b""),
    (b"[" * 100_000, b""),
    (b'{"__metadata__":' + b"[" * 100_000, b""),
    (b'{"transfer_diag":' + deep("[", "]", 100_000).encode() + b"}", b""),
    (b'{"a":"' + b"x" * 2_000_000 + b'"}', b""),
    (b" " * 2_000_000, b""),
    (b"{" + b" " * 2_000_000 + b"}", b""),
    (b"{\xff\xfe}", b""),
    *(
        (b"{" + b",".join(_tensor(i) for i in range(count)) + b"}", b"1234" * count)
        for count in (60_000, 200_000)
    ),
    (
        b'{"__metadata__":{"transfer_diag":"{}"},' + b",".join(_tensor(i) for i in range(60_000)) + b"}",
        b"1234" * 60_000,
    ),
    (b'{"__metadata__":{"transfer_diag":"' + b"[" + b"[]," * 5_000_000 + b'[]]"}}', b""),
    (b'{"__metadata__":{"transfer_diag":"' + b"[" + b"{}," * 5_000_000 + b'{}]"}}', b""),
    (b'{"__metadata__":{' + b",".join(b'"%d":""' % i for i in range(1_000_000)) + b"}}", b""),
    (b'{"a":[' + b"[]," * 5_000_000 + b"[]]}", b""),
)
"""Headers of safetensors files, and data."""

SIZES = (0, 1, 2, 7, 10**8, 10**8 + 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)


def safetensors(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Headers of the format itself: lengths, offsets, shapes, names."""
    if number < len(HEADERS):
        return Attack("a.safetensors", joined(*HEADERS[number]))
    name = rng.choice(("transfer.safetensors", "tensors.safetensors", "pairs.safetensors"))
    role = "pairs" if name.startswith("pairs") else "subject"
    tree, data = parts(seeds[name])
    if rng.random() < 0.2:
        size = rng.choice(SIZES)
        return Attack(name, joined(json.dumps(tree).encode(), data, size), role)
    if rng.random() < 0.4:  # one number of one tensor
        place = tree[rng.choice([n for n in tree if n != "__metadata__"])]
        where = rng.choice(("shape", "data_offsets"))
        at = rng.randrange(len(place[where]))
        place[where][at] += rng.choice((-1, 1, 4, -(10**6), 2**31, 2**32, 2**62, 2**63))
        return Attack(name, joined(json.dumps(tree).encode(), data), role)
    return Attack(name, joined(encoded(hostile(tree, rng), rng), data), role)


def _with(tree: dict[str, Any], value: Any, *path: str) -> str:
    """A header with a value put in."""
    tree = copy.deepcopy(tree)
    node = tree
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return json.dumps(tree)


def _rules(count: int, pattern: str = "*") -> dict[str, Any]:
    rules = [{"component": "*", "action": "copy"}]
    rules += [{"component": "encoder", "action": "copy", "parameters": f"{pattern}{i}"} for i in range(count)]
    return {"name": "mine", "rules": rules}


WORLDS = (
    "../../etc/passwd",
    "simple-maze\0",
    "\x1b[2Jsimple-maze",
    "simple_maze.py",
    "x" * 200_000,
    "",
    "重",
)
PLACES = (
    "/dev/zero",
    "/dev/stdin",
    "/etc/passwd",
    ".",
    "",
    "\0",
    "a\nb",
    "x" * 100_000,
    "/proc/self/mem",
    "base.safetensors",
)
"""Where a header says that its base is."""


def _ours(tree: dict[str, Any]) -> list[str]:
    """Headers of ours that mean harm in ways that only they can."""
    model, settings = ("settings", "model"), "settings"
    plan = {"name": "mine", "rules": [{"component": "*", "action": "freeze"}]}
    return [
        *(_with(tree, [65536] * count, *model, "encoder") for count in (1, 64, 65, 100_000)),
        _with(tree, 65536, *model, "embedding"),
        _with(tree, 10**400, *model, "embedding"),
        *(_with(tree, name, settings, "world") for name in WORLDS),
        *(_with(tree, {**tree["base"], "path": place}, "base") for place in PLACES),
        *(_with(tree, value, "step") for value in (10**400, -(10**400), -1, 10**4000, 2**63, 0)),
        *(_with(tree, value, "seed") for value in (10**400, -1, 10**4000, 2**63)),
        *(_with(tree, value, settings, "transfer", "updates") for value in (0, 1, 10**9, 10**400)),
        *(_with(tree, value, settings, "data", "steps") for value in (10**7, 10**9, 0)),
        _with(tree, ["transition"], settings, "loss", "terms"),
        _with(tree, ["bound"], settings, "loss", "terms"),
        _with(tree, 1e300, settings, "loss", "entropy_scale"),
        _with(tree, 1e-300, settings, "loss", "entropy_scale"),
        _with(tree, "target" * 50_000, "task"),
        _with(tree, "source", "task"),
        _with(tree, None, "plan"),
        _with(tree, None, "base"),
        *(_with(tree, _rules(count), "plan") for count in (10, 1000, 20_000)),
        *(
            _with(tree, _rules(300, pattern), "plan")
            for pattern in ("*a" * 200, "[z-a]", "[" * 300, "(a+)+", "\\")
        ),
        *(_with(tree, plan | {"name": name}, "plan") for name in WORDS),
        *(_with(tree, plan | {"terms": {name: {}}}, "plan") for name in WORDS),
        *(_with(tree, plan | {"rules": [{"component": w, "action": "freeze"}]}, "plan") for w in WORDS),
        _with(tree, plan | {"rules": []}, "plan"),
        _with(tree, {"losses": {f"k{i}": [0.0] * 10 for i in range(10_000)}}, "metrics"),
        _with(tree, {"losses": {"transition": [0.0] * 500_000}}, "metrics"),
        _with(tree, {f"k{i}": i for i in range(100_000)}, "environment"),
        _with(tree, 2, "format_version"),
        _with(tree, [[]] * 10_000, "format_version"),
        *(json.dumps(tree).replace('"crar"', raw) for raw in RAW),
        *(json.dumps(tree)[:-1] + f', "metrics": {raw}}}' for raw in RAW),
        *(json.dumps(tree)[:-1] + f', "format_version": {raw}}}' for raw in RAW),
        *(json.dumps(tree)[:-1] + f", {json.dumps(name)}: 1}}" for name in WORDS),
    ]


@lru_cache(maxsize=1)
def _fixed(header: str) -> list[str]:
    return _ours(json.loads(header))


def ours(rng: Random, seeds: Seeds, number: int) -> Attack:
    """The header of a checkpoint of ours: settings, plan, base, metrics."""
    name = "transfer.safetensors"
    outer, data = parts(seeds[name])
    tree = json.loads(outer["__metadata__"][OURS])
    fixed = _fixed(outer["__metadata__"][OURS])
    text = fixed[number] if number < len(fixed) else hostile(tree, rng)
    if number >= len(fixed) and rng.random() < 0.1:
        text = text[: rng.randrange(len(text))]
    outer["__metadata__"][OURS] = text
    return Attack(name, joined(json.dumps(outer).encode(), data))
