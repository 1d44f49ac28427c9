"""The line of each key of a TOML file: against the parser, for any document, in time that is bounded."""

from __future__ import annotations

import json
import re
import time
import tomllib
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diag.checks.config import MOST_BYTES
from diag.checks.lines import MOST_PARTS, has_long_keys, key_lines

Keys: TypeAlias = tuple[str, ...]

NASTY = "ab\"'\\[]{}#=.,\n\t é\u2028\x85"

TEXTS = st.text(st.sampled_from(NASTY), max_size=8)


@st.composite
def keys(draw: st.DrawFn) -> str:
    """A key of any letters, bare where it can be; its text in TOML is :func:`spelled`."""
    return draw(st.text(st.sampled_from("abc-_1"), min_size=1, max_size=3) | TEXTS)


def spelled(key: str) -> str:
    bare = re.fullmatch("[A-Za-z0-9_-]+", key)
    return key if bare else json.dumps(key, ensure_ascii=False)


def literal(words: str) -> bool:
    return not set("'\n") & set(words)


@st.composite
def strings(draw: st.DrawFn) -> str:
    words = draw(TEXTS)
    forms = [json.dumps(words, ensure_ascii=False)]
    forms.append('"""' + words.replace("\\", "\\\\").replace('"""', '""\\"') + '"""')
    if literal(words):
        forms.append(f"'{words}'")
    if "'" not in words:
        forms += [f"'''{words}'''", f"''''{words}'''"]
    return draw(st.sampled_from(forms))


SCALARS = st.sampled_from(["1", "-0.5", "true", "inf", "1979-05-27T07:32:00Z", "[]", "{}"]) | strings()

GAPS = st.sampled_from(["", "\n", "  \n\n", "# [not.a = 'table\n", '\t# """ {\n'])


@st.composite
def inline(draw: st.DrawFn, path: Keys, line: int, found: dict[Keys, int]) -> str:
    """An inline table, whose keys stand where its statement begins."""
    parts = []
    for key in draw(st.lists(keys(), unique=True, max_size=2)):
        found.setdefault((*path, key), line)
        value = draw(SCALARS | inline((*path, key), line, found))
        parts.append(f"{spelled(key)} = {value}")
    return f"{{ {', '.join(parts)} }}"


@st.composite
def values(draw: st.DrawFn, path: Keys, line: int, found: dict[Keys, int]) -> str:
    match draw(st.integers(0, 3)):
        case 0:
            return draw(inline(path, line, found))
        case 1:
            inner = draw(st.lists(SCALARS | st.just("[[1], ['x']]"), max_size=3))
        case 2:
            inner = [draw(inline(path, line, found)) for _ in range(draw(st.integers(1, 2)))]
        case _:
            return draw(SCALARS)
    space = draw(st.sampled_from([" ", "\n", " # ] '\n"]))
    return f"[{space}{f',{space}'.join(inner)}{space}]"


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Keys, int]]:
    """A TOML document, and the line of every key in it as they were written."""
    lines: list[str] = []
    found: dict[Keys, int] = {}

    def line() -> int:
        return "".join(lines).count("\n") + 1

    def note(path: Keys) -> None:
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], line())

    def table(path: Keys, depth: int) -> None:
        own = draw(st.lists(keys(), unique=True, max_size=3))
        inside = [key for key in own if depth and draw(st.booleans())]
        for key in own:
            if key in inside:
                continue
            lines.append(draw(GAPS))
            whole = (*path, key, *draw(st.lists(keys(), max_size=2)))
            note(whole)
            name = " . ".join(map(spelled, whole[len(path) :]))
            tail = draw(st.sampled_from(["", " # ''' [", "\t"]))
            lines.append(f"{name} = {draw(values(whole, line(), found))}{tail}\n")
        for key in inside:
            brackets = draw(st.sampled_from(["[]", "[[]]"]))
            for _ in range(draw(st.integers(1, 2)) if brackets == "[[]]" else 1):
                lines.append(draw(GAPS))
                note((*path, key))
                half = len(brackets) // 2
                name = ".".join(map(spelled, (*path, key)))
                lines.append(f"{brackets[:half]} {name} {brackets[half:]}\n")
                table((*path, key), depth - 1)

    table((), 2)
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    whole = "".join(lines)
    return (whole.removesuffix("\n") if draw(st.booleans()) else whole).replace("\n", ending), found


@given(documents())
def test_every_key_has_its_line(document: tuple[str, dict[Keys, int]]) -> None:
    text, lines = document
    tomllib.loads(text)  # the writer writes TOML
    assert key_lines(text) == lines
    assert not has_long_keys(text)


def test_a_statement_of_any_length_is_one() -> None:
    """Such as the list of packages of a large project, above [tool.diag]."""
    text = "x = [\n" + "1,\n" * 5000 + ']\ny = """\n' + "[z]\n" * 500 + '"""\n[check]\nr2.min = 1\n'
    assert key_lines(text)["check", "r2", "min"] == text.count("\n")


@pytest.mark.parametrize("part", ["a", '"a.b"', "'a'", " a "])
@pytest.mark.parametrize("shape", ["{} = 1", "[{}]", "x = {{ {} = 1 }}", "[[ {} ]]"])
def test_keys_of_many_parts_are_seen_before_they_fill_the_memory(part: str, shape: str) -> None:
    assert has_long_keys(shape.format(".".join([part] * (MOST_PARTS + 1))))
    assert not has_long_keys(shape.format(".".join([part] * MOST_PARTS)))


@pytest.mark.parametrize(
    "text",
    ['x = "' + "a." * 99 + '"', "# " + "a." * 99, "x = '''" + "a.\n" * 99 + "'''", "x = [1.5, 2.5]\n" * 99],
)
def test_what_only_looks_like_a_long_key(text: str) -> None:
    assert not has_long_keys(text)


@pytest.mark.parametrize(
    "piece", ['"', "'", '\\"', '"""', "'''", "''a", "[", "{", "a ", "a.", " .", '"\n', "-"]
)
def test_no_text_takes_long(piece: str) -> None:
    begun = time.monotonic()
    has_long_keys(f'"{piece * (MOST_BYTES // len(piece))}')
    assert time.monotonic() - begun < 2
