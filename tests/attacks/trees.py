"""Trees of values turned hostile: as JSON, with what no library would write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

WORDS = (
    "",
    "\0",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb\r\nc",
    "\u202egpj.exe",
    "\u2028",
    "重み",
    "x" * 100_000,
    "../../../../etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "C:\\Windows\\system32",
    "file:///etc/passwd",
    "__class__",
    "$(touch owned)",
    "; import os; os.system('touch owned')",
    "{0.__class__.__mro__}",
    "%s%s%s%n",
    "NaN",
    "-1",
    "*" * 5000 + "b",
    "(a*)*" * 30 + "$",
    "[!" * 500,
    "a*" * 2000 + "b",
)
"""Texts that mean harm somewhere: to a terminal, a path, a shell, a pattern, a number."""


def deep(opening: str, closing: str, depth: int, inside: str = "") -> str:
    return opening * depth + inside + closing * depth


RAW = (
    *(
        deep("[", "]", depth)
        for depth in (100, 180, 190, 197, 200, 255, 256, 900, 960, 985, 990, 994, 100_000)
    ),
    *(deep('{"a":', "}", depth, "1") for depth in (100, 200, 900, 985, 990, 100_000)),
    "[" * 100_000,
    '{"a":' * 100_000,
    *("1" * digits for digits in (20, 310, 4299, 4300, 4301, 100_000)),
    *("-" + "1" * digits for digits in (20, 310, 4300, 100_000)),
    *("1e999", "-1e999", "1e308", "1e-320", "-0.0", "0." + "1" * 100_000, "1" * 400 + ".0", "1E+0"),
    *("NaN", "Infinity", "-Infinity", "nan", "0x10", "01", "+1", ".5", "1.", "1_000"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809"),
    *(
        "4294967296",
        "2147483648",
        "-2147483649",
        "65536",
        "65537",
        "-1",
        "0",
        "1.0",
        "1.5",
        "true",
        "false",
        "null",
    ),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"\\x"', '"\\u12"', '"'),
    *("[]", "{}", "[[]]", "[null]", '[""]', '{"":{}}', "[1,]", "{,}", '{"a"}', "", "//", "'a'", "undefined"),
    "[" + ",".join(["0"] * 100_000) + "]",
    "[" + ",".join(["65536"] * 64) + "]",
    "[" + ",".join(["65536"] * 65) + "]",
    "{" + ",".join(f'"k{i}":{i}' for i in range(20_000)) + "}",
    '{"a":1,"a":2}',
    "\ufeff1",
    "\u00a01",
)
"""Values as they stand in a file: nested too deep, of too many digits, no JSON at all."""

KEYS = (
    "",
    "a" * 50_000,
    "\x1b[0m",
    "a\nb",
    "__proto__",
    "../x",
    "\ud800",
    "embeddings",
    "0",
    "\u202e",
    "__class__",
)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (mapping or list, key or index) of a tree."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from places(value)


def word(rng: Random) -> str:
    """A hostile value, as it stands in JSON."""
    return rng.choice(RAW) if rng.random() < 0.7 else json.dumps(rng.choice(WORDS))


def hostile(tree: Any, rng: Random) -> str:
    """The JSON of a tree after one to three edits that mean harm; often no JSON any more."""
    tree = copy.deepcopy(tree)
    raw: dict[str, str] = {}

    def mark(text: str) -> str:
        raw[token := f"@{len(raw)}@"] = text
        return token

    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = list(places(tree))
        if not found:
            break
        inside, key = rng.choice(found)
        match rng.randrange(8):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(KEYS)] = mark(word(rng))
            case 2 if isinstance(inside, dict):
                inside[rng.choice(KEYS)] = inside.pop(key)
            case 3 if isinstance(inside, dict):  # the same key twice
                again = json.dumps(inside[key], default=str)
                inside[key] = mark(f"{word(rng)},{json.dumps(str(key))}:{again}")
            case 4:
                other, where = rng.choice(found)
                inside[key] = copy.deepcopy(other[where])
            case _:
                inside[key] = mark(word(rng))
    text = json.dumps(tree, allow_nan=True)
    for token, value in raw.items():
        text = text.replace(f'"{token}"', value)
    return text


def encoded(text: str, rng: Random) -> bytes:
    """A text's bytes, now and then in an encoding that is not asked for."""
    match rng.randrange(40):
        case 0:
            return text.encode("utf-16", "surrogatepass")
        case 1:
            return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogatepass")
        case 2:
            return text.encode("utf-8", "surrogatepass").replace(b"a", b"\xff", 1)
        case 3:
            return text.encode("utf-8", "surrogatepass").replace(b" ", b"\0", 1)
    return text.encode("utf-8", "surrogatepass")
