"""A gate's configuration: what is found, what is set on top, and every mistake with its line."""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from diag.checks import CheckError
from diag.checks.config import MOST_BYTES, MOST_MISTAKES, Config, find, read, with_overrides, with_settings
from diag.checks.lines import key_lines
from diag.checks.settings import GateSettings, plain, setting_names
from diag.checks.written import text as written
from trainers.settings import SettingsError


def told(folder: Path, text: str | bytes, name: str = "diag.toml") -> str:
    """The error of a configuration with this text, without its folder."""
    place = folder / name
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CheckError) as error:
        read(place)
    words = str(error.value)
    assert "\n" not in words
    return words.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[check.r2]\nmn = 1", "diag.toml:2: unknown setting 'check.r2.mn'; did you mean 'min'?"),
        ("[check.rr2]", "diag.toml:1: unknown setting 'check.rr2'; did you mean 'r2'?"),
        ("\n[r2]\nmin = 1", "diag.toml:2: unknown setting 'r2'; did you mean 'check.r2'?"),
        ("[[check]]", "diag.toml:1: 'check' is [{}], expected a table"),
        ("check.r2 = 3", "diag.toml:1: 'check.r2' is 3, expected a table"),
        ("check.r2.min = true", "diag.toml:1: 'check.r2.min' is true, expected a number"),
        ("check.r2 = { min = '1' }", "diag.toml:1: 'check.r2.min' is '1', expected a number"),
        ("[check.r2]\n# 1.5\nmin = 2", "diag.toml:3: 'check.r2.min' is 2, expected less than or equal to 1"),
        ("[check.l2]\nmax = inf", "diag.toml:2: 'check.l2.max' is inf, expected a finite number"),
        ("seed = 1.0", "diag.toml:1: 'seed' is 1.0, expected a whole number"),
        ("seed = -1", "diag.toml:1: 'seed' is -1, expected greater than or equal to 0"),
        ("strict = 'yes'", "diag.toml:1: 'strict' is 'yes', expected true or false"),
        (
            "[check.cka]\nlevel = 'eror'",
            "'check.cka.level' is 'eror', expected 'error', 'warn' or 'off'; did you mean 'error'?",
        ),
        ("check.relation.allow = 'matched'", "'check.relation.allow' is 'matched', expected a list"),
        ("check.relation.allow = []", "'check.relation.allow' is [], expected at least one"),
        (
            "[check.relation]\nallow = [\n'matched',\n'fliped']",
            "diag.toml:2: 'check.relation.allow' is 'fliped'",
        ),
        ("[check.relation]\nallow = ['fliped']", "did you mean 'flipped'?"),
        ("[check.loss_ratio.terms]\nx = 0", "diag.toml:2: 'check.loss_ratio.terms.x' is 0, expected greater"),
        (
            "[check.loss_ratio]\nterms.x = 'a'",
            "diag.toml:2: 'check.loss_ratio.terms.x' is 'a', expected a num",
        ),
        (
            "[check.states]\nmin = 0",
            "diag.toml:2: 'check.states.min' is 0, expected greater than or equal to 1",
        ),
        ("[check.r2]\nmin = ?\n", "diag.toml:2: found no valid TOML (Invalid value, column 7)"),
        ("\n[a]\n[a]", "diag.toml:3: found no valid TOML (Cannot declare ('a',) twice, column 3)"),
        ("x = [\n1,", "diag.toml:2: found no valid TOML ("),
        (b"# fine\n\nx = '\xff'", "diag.toml:3: found bytes that are no UTF-8"),
        ("seed = " + "1" * 5000, "diag.toml: found TOML that is nested too deeply, or a number of too many"),
        ("x = " + "[" * 50000, "diag.toml: found TOML that is nested too deeply"),
        (f"{'a.' * 100_000}a = 1", "diag.toml: found TOML that is nested too deeply"),
        (" " * (MOST_BYTES + 1), "diag.toml: found more than 256 KiB, expected a configuration"),
    ],
)
def test_mistakes_have_a_line_and_say_what_was_expected(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    assert words in told(tmp_path, text)


def test_in_a_project_s_file_mistakes_are_those_of_its_table(tmp_path: Path) -> None:
    above = "[tool.other.check.r2]\nmn = 1\n[project]\ndependencies = [\n" + "'x',\n" * 300 + "]\n"
    words = told(tmp_path, f"{above}[tool.diag]\nsed = 1\n[tool.diag.check.r2]\nmn = 1\n", "pyproject.toml")
    assert words == (
        "pyproject.toml:307: unknown setting 'sed'; did you mean 'seed'?; "
        "pyproject.toml:309: unknown setting 'check.r2.mn'; did you mean 'min'?"
    )


def test_every_mistake_is_named_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    words = told(tmp_path, "sed = 1\n[check.r2]\nlevel = 'of'\n[check.relation]\nallow = ['a', 'b']\nx = 1\n")
    assert re.findall(r"diag.toml:(\d+): [^']*'([^']*)'", words) == [
        ("1", "sed"),
        ("3", "check.r2.level"),
        ("5", "check.relation.allow"),
        ("6", "check.relation.x"),
    ]


def test_of_very_many_mistakes_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    begun = time.monotonic()
    words = told(tmp_path, "".join(f"a{i} = 1\n" for i in range(20_000)) + f"{'b' * 5000} = 1")
    assert words.endswith(f"; and {20_001 - MOST_MISTAKES} more")
    assert len(words) < 3000
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("name", ["x" * 3000, "x\ny", "x\x1b[31m"])
def test_a_strange_name_is_told_shortly_and_without_its_control_characters(tmp_path: Path, name: str) -> None:
    words = told(tmp_path, f"[check.r2]\n{json.dumps(name)} = 1")
    assert words.startswith("diag.toml:2: unknown setting 'check.r2.x")
    assert len(words) < 250
    assert "\x1b" not in words


def test_a_mistake_below_a_table_of_tables_stands_near_it(tmp_path: Path) -> None:
    words = told(tmp_path, "[[check.r2]]\nmin = 1\n[[check.r2]]\nmn = 1")
    assert words.startswith("diag.toml:1: 'check.r2' is [")


VALUES: dict[str, Any] = {
    "level": "warn",
    "on_inconclusive": "fail",
    "allow": ["matched", "flipped"],
    "terms": {"transition": 5.0},
    "only": ["layer4*"],
    "strict": True,
    "unfrozen": True,
    "relative": False,
    "margin": 0.25,
    "seed": 3,
    "samples": 500,
    "episodes": 7,
    "worse_than_baseline": "off",
    "check.states.level": "error",
    "check.states.min": 12,
}
"""Of each setting, or of those of a leaf's name, one that is not the default; else 0.25."""


def value_of(name: str) -> Any:
    return VALUES.get(name, VALUES.get(name.rpartition(".")[2], 0.25))


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def held(settings: GateSettings, name: str) -> Any:
    tree: Any = plain(settings)
    for part in name.split("."):
        tree = tree[part]
    return tree


@pytest.mark.parametrize("name", setting_names())
@pytest.mark.parametrize("file", ["diag.toml", "pyproject.toml"])
def test_each_setting_is_read_and_its_line_known(tmp_path: Path, file: str, name: str) -> None:
    table, _, leaf = name.rpartition(".")
    header = f"tool.diag.{table}".rstrip(".") if file == "pyproject.toml" else table
    above = "[project]\nname = 'x'\n[tool.other]\nseed = 5\n" if file == "pyproject.toml" else "# diag\n"
    head = f"[{header}]\n" if header else ""
    (tmp_path / file).write_text(f"{above}{head}{leaf} = {toml(value_of(name))}\n")
    found = read(tmp_path / file)
    assert held(found.settings, name) == value_of(name)
    limit = found.threshold(name)
    assert (limit.value, limit.file) == (value_of(name), str(tmp_path / file))
    assert limit.line == (above + head).count("\n") + 1
    assert found.threshold("check.r2.min" if name != "check.r2.min" else "seed").file is None
    assert found.given == ({table.split(".")[1]} if table else set())


def test_the_default_configuration_says_what_holds_without_it(tmp_path: Path) -> None:
    text = written()
    assert GateSettings.model_validate(tomllib.loads(text)) == GateSettings()
    (tmp_path / "diag.toml").write_text(text)
    found = read(tmp_path / "diag.toml")
    assert found.settings == GateSettings()
    assert not found.given
    assert max(map(len, text.splitlines())) <= 100
    every = [f"check.{n}" if n in plain(GateSettings())["check"] else n for n in setting_names()]
    named = {p for p in map(".".join, key_lines(text)) if p in every}
    unset = {n for n in every if held(GateSettings(), n) is None}
    assert named >= set(every) - unset


def test_what_it_leaves_unset_can_be_set_where_it_stands(tmp_path: Path) -> None:
    """Each commented key with a value, and nothing else changed."""
    unset = re.findall(r"^# (\w+) =$", written(), re.MULTILINE)
    assert sorted(unset) == ["margin", "min", "on_inconclusive", "reference", "unfrozen"]
    examples = {
        "margin": "0.1",
        "min": "20",
        "on_inconclusive": '"fail"',
        "reference": "475.5",
        "unfrozen": "true",
    }
    text = re.sub(r"^# (\w+) =$", lambda found: f"{found[1]} = {examples[found[1]]}", written(), flags=re.M)
    (tmp_path / "diag.toml").write_text(text)
    found = read(tmp_path / "diag.toml")
    expected = plain(GateSettings()) | {"margin": 0.1, "unfrozen": True}
    expected["check"]["states"]["min"] = 20
    expected["check"]["relation"]["on_inconclusive"] = "fail"
    expected["check"]["returns"]["reference"] = 475.5
    assert plain(found.settings) == expected
    assert found.given == {"states", "relation", "returns"}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("", set()),
        ("strict = true", set()),
        ("[check.returns]", {"returns"}),
        ("[check.returns]\nlevel = 'error'", {"returns"}),
        ("check.cka.level = 'off'", {"cka"}),
    ],
)
def test_a_check_that_is_named_is_asked_for(tmp_path: Path, text: str, given: set[str]) -> None:
    (tmp_path / "diag.toml").write_text(text)
    assert read(tmp_path / "diag.toml").given == given


def test_a_byte_order_mark_and_other_encodings_are_told(tmp_path: Path) -> None:
    assert "diag.toml:1: found" in told(tmp_path, "strict = true".encode("utf-16"))


def test_a_project_without_the_table_is_told(tmp_path: Path) -> None:
    for text in ("", "tool = 3", "[tool]\ndiag = 3", "[tool.other]"):
        assert "found no table [tool.diag]" in told(tmp_path, text, "pyproject.toml")


@pytest.mark.parametrize(("name", "words"), [("absent.toml", "no such file"), (".", "is a directory")])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(CheckError, match=words):
        read(tmp_path / name)


def placed(folder: Path, *files: str) -> None:
    for file in files:
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        tables = {"pyproject.toml": "[tool.diag]\nseed = 1", "diag.toml": "seed = 2"}
        if place.name == ".git":
            place.mkdir()
        else:
            place.write_text(tables.get(place.name, ""))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((".git", "diag.toml"), "diag.toml"),
        ((".git", "pyproject.toml"), "pyproject.toml"),
        ((".git", "pyproject.toml", "diag.toml"), "diag.toml"),
        ((".git", "diag.toml", "a/pyproject.toml"), "a/pyproject.toml"),
        ((".git", "diag.toml", "a/b/diag.toml"), "a/b/diag.toml"),
        (("diag.toml", "a/.git"), None),
        (("diag.toml", "a/.git", "a/diag.toml"), "a/diag.toml"),
        ((".git", "a/b/c/diag.toml"), None),
    ],
)
def test_the_nearest_configuration_of_the_repository(
    tmp_path: Path, files: tuple[str, ...], found: str | None
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    placed(tmp_path, *files)
    assert find(tmp_path / "a" / "b") == (None if found is None else tmp_path / found)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (b"[tool.other]", False),
        (b"[tool.diagnostics]", False),
        (b"tool = 3", False),
        (b"[tool]\ndiag.seed = 3", True),
        (b"[tool.diag]\nseed = ", True),
        (b"[tool.diag]\nx = '\xff'", True),
        (b"x = '\xff'", False),
        (b"[tool.x]\n" + b"a." * 50_000 + b"a = 1", False),
        (b"x = " + b"[" * 50_000 + b"\n[tool.diag]", True),
    ],
)
def test_a_project_counts_where_it_has_the_table(tmp_path: Path, text: bytes, counts: bool) -> None:
    """And where it is damaged but names it: reading then says what is wrong."""
    placed(tmp_path, ".git")
    (tmp_path / "pyproject.toml").write_bytes(text)
    assert (find(tmp_path) is not None) is counts


def test_a_link_that_leads_nowhere_is_no_default(tmp_path: Path) -> None:
    (tmp_path / "diag.toml").symlink_to(tmp_path / "gone.toml")
    place = find(tmp_path)
    assert place is not None
    with pytest.raises(CheckError, match="no such file"):
        read(place)


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("check.r2.min=0.9", "check.r2.min", 0.9),
        ("strict=true", "strict", True),
        ("check.cka.level=off", "check.cka.level", "off"),
        ("check.relation.allow=flipped", "check.relation.allow", ["flipped"]),
        ("check.relation.allow=matched,flipped", "check.relation.allow", ["matched", "flipped"]),
        ("check.loss_ratio.terms.transition=5", "check.loss_ratio.terms.transition", 5.0),
        ("check.loss_ratio.terms={ transition = 5 }", "check.loss_ratio.terms.transition", 5.0),
    ],
)
def test_overrides(assignment: str, name: str, value: Any) -> None:
    found = with_overrides(Config(), [assignment])
    assert held(found.settings, name) == value
    assert found.given == ({name.split(".")[1]} if name.startswith("check.") else set())
    assert with_settings(Config(), {name: value}).settings == found.settings


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("check.r2.mn=1", "unknown setting 'check.r2.mn'; did you mean 'check.r2.min'?"),
        ("check.r2.min=high", "settings: 'check.r2.min' is 'high', expected a number"),
        ("check.loss_ratio.terms.=1", "unknown setting 'check.loss_ratio.terms.'"),
        ("check=1", "unknown setting 'check'"),
        ("seed=" + "1" * 5000, "'seed' is '1111"),
        ("seed", "expected NAME=VALUE"),
    ],
)
def test_overrides_that_cannot_be(assignment: str, words: str) -> None:
    with pytest.raises((CheckError, SettingsError)) as error:
        with_overrides(Config(), [assignment])
    assert words in str(error.value)


def test_an_override_has_no_line_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    (tmp_path / "diag.toml").write_text(
        "[check.loss_ratio]\nmax = 3\n[check.loss_ratio.terms]\na = 2.0\n'b.c' = 1.5\n"
    )
    config = read(tmp_path / "diag.toml")
    assert config.threshold("check.loss_ratio.terms.b.c").line == 5
    assert config.threshold("check.loss_ratio.terms.b.c").value == 1.5
    one = with_overrides(config, ["check.loss_ratio.terms.a=4"])
    assert [one.threshold(f"check.loss_ratio.{n}").line for n in ("max", "terms.a", "terms.b.c")] == [
        2,
        None,
        5,
    ]
    whole = with_overrides(config, ["check.loss_ratio.terms={ a = 4 }"])
    assert [whole.threshold(f"check.loss_ratio.{n}").line for n in ("max", "terms.a")] == [2, None]
    dotted = with_settings(config, {"check.loss_ratio.terms.b.c": 9.0})
    assert dotted.settings.check.loss_ratio.terms == {"a": 2.0, "b.c": 9.0}
    assert with_settings(config, {"check.relation.allow": ("matched", "flipped")}).given == {
        "loss_ratio",
        "relation",
    }


def test_nothing_on_top_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "diag.toml").write_text("seed = 4")
    config = read(tmp_path / "diag.toml")
    assert with_overrides(config, []) is config


def test_a_margin_that_is_no_limit_is_refused() -> None:
    with pytest.raises(CheckError, match="share is no limit"):
        with_settings(Config(), {"check.returns.margin": 5.0})
    assert with_settings(Config(), {"check.returns.margin": 5.0, "check.returns.relative": False})
