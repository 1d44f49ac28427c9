"""Configurations and accepted states that mean harm."""

from __future__ import annotations

import json
import re
from random import Random

from tests.attacks.attack import Attack, Role, Seeds
from tests.attacks.seeds import ACCEPTED
from tests.attacks.trees import KEYS, RAW, WORDS, deep, encoded, hostile

VALUES = (
    *(
        "1",
        "0",
        "-1",
        "1.0",
        "1e308",
        "1e999",
        "inf",
        "-inf",
        "nan",
        "9" * 400,
        "9" * 4300,
        "9" * 4301,
        "9" * 100_000,
    ),
    *(
        "0x" + "f" * 5000,
        "0b" + "1" * 100_000,
        "1_0",
        "1__0",
        "01",
        "true",
        "True",
        '""',
        "''",
        '"""',
        "'''",
        '"',
        "'",
    ),
    *("[]", "{}", "[[]]", "{ a = 1 }", "{ a.b.c.d = 1 }", "{ a = 1, a = 2 }", "[1, 'a', {}]", "[{ }, { }]"),
    *(deep("[", "]", depth) for depth in (50, 300, 330, 490, 900, 50_000)),
    *(deep("{ a = ", " }", depth, "1") for depth in (50, 300, 330, 490, 900, 20_000)),
    "[" * 100_000,
    "{ a." + "b." * 50_000 + "c = 1 }",
    "[" + "1," * 80_000 + "]",
    *(
        "1979-05-27T07:32:00Z",
        "9999-99-99",
        "24:00:00",
        "0001-01-01T00:00:00+99:99",
        "1979-05-27 07:32:00.99999999999",
    ),
    *(
        '"\\ud800"',
        '"\\U00110000"',
        '"\\u0000"',
        '"\\u001b[2J"',
        '"a\\\n b"',
        '"""a\n\n\n"""',
        '"\\e"',
        '"\\x41"',
    ),
    *("'\0'", "'\x1b[2J'", "'\u202e'", "'\ufeff'", "1 # \x1b[2J", "1\r", "1\r\n", "1 2", "= 1", ""),
    *('"error"', '"off"', '"warn"', '"eror"', '"ERROR"', '["matched", "fliped"]', '"matched"', "[1]"),
)
LINES = (
    "[check]",
    "[[check]]",
    "[[check.r2]]",
    "[check.r2]",
    "[check.nothing]",
    "[check.r2",
    "]",
    "[]",
    "[.]",
    "[a..b]",
    "[" + ".".join(["a"] * 31) + "]",
    "[" + ".".join(["a"] * 33) + "]",
    "[" + "a." * 60_000 + "b]",
    "a." * 60_000 + "b = 1",
    "[tool.diag]",
    "[tool]",
    "tool = 1",
    "[[tool.diag]]",
    "[tool.diag.check.cka]",
    "tool.diag.seed = 5",
    "seed = 1",
    "strict = true",
    "check.r2.min = 0.5",
    "check = 1",
    "check.loss_ratio.samples = 10000000",
    "check.returns.episodes = 1000000",
    "check.states.min = 99999999999999999999",
    "check.loss_ratio.terms = { '\x1b' = 1.0 }",
    "'' = 1",
    '"" = 1',
    "= 1",
    "a",
    "a =",
    "\0",
    "\x1b[2J",
    "\ufeff",
    "\u2028",
    "#" + "x" * 200_000,
    '"""' * 1000,
    "'''" * 999,
    '"' * 50_000,
    "'" * 50_001,
    "\\" * 1000,
    *(f"{json.dumps(word)} = 1" for word in WORDS if "\\ud" not in json.dumps(word)),
    *("".join(f"k{i} = {i}\n" for i in range(count)) for count in (100, 15_000)),
    *("".join(f"[t{i}]\n" for i in range(count)) for count in (100, 20_000)),
    "".join(f"[[t]]\na.b.c = {i}\n" for i in range(9_000)),
    "x = [\n" * 20_000,
    "x = {\n" * 100,
    "[check.loss_ratio.terms]\n" + "".join(f"k{i} = 1.0\n" for i in range(12_000)),
)


def configurations(rng: Random, seeds: Seeds, number: int) -> Attack:
    """TOML: values, tables and keys that are wrong, too deep, too long, too many, or no TOML."""
    name = rng.choice(("diag.toml", "diag.toml", "pyproject.toml"))
    if number < len(LINES):
        text = LINES[number]
        if name == "pyproject.toml" and rng.random() < 0.5:
            text = f"[tool.diag]\n{text}"
        return Attack(name, encoded(text, rng), "config")
    lines = seeds[name].decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        known = re.match(r"#? ?([\w.]+) =", lines[at])
        match rng.randrange(6):
            case 0:
                lines.insert(at, rng.choice(LINES))
            case 1:
                del lines[at]
                lines = lines or [""]
            case 2:
                lines.insert(at, rng.choice(lines))
            case 3 if known:
                lines[at] = f"{json.dumps(rng.choice(KEYS)[:2000])} = 1"
            case 4:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case _:
                value = rng.choice(VALUES)
                lines[at] = f"{known[1]} = {value}" if known else f"x{at} = {value}"
    text = rng.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines)
    return Attack(name, encoded(text, rng), "config")


def baselines(rng: Random, seeds: Seeds, number: int) -> Attack:
    """JSON that is no accepted state, or a strange one."""
    role: Role = "baseline"
    if number < len(RAW):
        text = RAW[number]
    elif number < 2 * len(RAW):
        text = json.dumps(ACCEPTED).replace("0.4", RAW[number - len(RAW)])
    elif rng.random() < 0.1:
        text = json.dumps(
            {"accepted": {rng.choice(WORDS): {rng.choice(WORDS): {"outcome": "fail"}} for _ in range(9)}}
        )
    else:
        text = hostile(json.loads(json.dumps(ACCEPTED)), rng)
    return Attack("accepted.json", encoded(text, rng), role)
