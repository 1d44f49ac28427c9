"""The list of checks: a check is a class in a file of its own and a line, which every reader follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

import diag
from diag.checks.config import Config
from diag.checks.judging import Found, judged
from diag.checks.kind import Check
from diag.checks.pair import Base, Pair
from diag.checks.run import check
from diag.checks.settings import Checks, GateSettings
from diag.checks.written import table, text
from diag.subject import Subject
from probes import Measure
from tests.gated import embedded, near, said, states

ROOT = Path(__file__).parent.parent


def test_a_check_has_the_name_of_its_line() -> None:
    for name, field in Checks.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Check)
        assert kind.name == name
        assert set(kind.limited_by) <= set(kind.model_fields)
        assert kind.asks


def test_the_documentation_has_the_row_of_every_check() -> None:
    assert table() in (ROOT / "docs/check.md").read_text()


def test_limits_are_explained_without_the_words_of_one_world() -> None:
    assert not re.search(r"maze|room|\bcrar\b", f"{text()}{table()}", re.IGNORECASE)


def test_a_check_that_measures_nothing_is_refused_when_it_is_made() -> None:
    class Empty(Check):
        """A check that says nothing of a pair."""

        name: ClassVar[str] = "empty"

    with pytest.raises(TypeError, match=r"abstract method '?measured'?"):
        Empty()  # type: ignore[abstract]


class RowsCheck(Check):
    """Number of rows over the base's."""

    name: ClassVar[str] = "rows"
    asks: ClassVar[str] = "does it have as many rows as the base?"
    limited_by: ClassVar[tuple[str, ...]] = ("least",)

    least: float = Field(1.0, description="At least")

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        return subject.embeddings is None

    def measured(self, pair: Pair) -> Iterator[Found]:
        assert pair.transfer.embeddings is not None
        own = pair.base.once(self.name, lambda: len(pair.base.subject.embeddings))  # type: ignore[arg-type]
        share = Measure(len(pair.transfer.embeddings) / own)
        yield judged(self.name, "the share of rows", share, "least", least=self.least)


class MoreChecks(Checks):
    """One line more."""

    rows: RowsCheck = RowsCheck()


def test_the_gate_runs_a_check_that_is_one_class_and_one_line() -> None:
    y = states()
    config = Config(GateSettings().model_copy(update={"check": MoreChecks(rows=RowsCheck(least=2.0))}))
    gate = check(embedded(y, "base"), [embedded(near(y), "t")], config=config)
    finding = said(gate, "rows")
    assert (finding.outcome, finding.message) == ("fail", "the share of rows is 1; wanted at least 2")
    assert finding.threshold is not None
    assert (finding.threshold.name, finding.threshold.value) == ("check.rows.least", 2.0)


def test_a_base_is_measured_once() -> None:
    calls: list[str] = []
    base = Base(embedded(states(), "base"))
    for _ in range(3):
        assert base.once("rows", lambda: calls.append("rows") or 7) == 7  # type: ignore[func-returns-value]
    assert base.once("other", lambda: 8) == 8
    assert calls == ["rows"]


def test_no_check_opens_a_file_that_is_open(tmp_path: Path, examples: Path) -> None:
    """Both subjects are open and their files gone: the forecast, too, is of what is open."""
    base = diag.open_subject(examples / "base.safetensors")
    transfer = replace(diag.open_subject(examples / "mirrored.safetensors"), share=0.1)
    gone = [replace(s, path=str(tmp_path / name)) for s, name in ((base, "b"), (transfer, "t"))]
    gate = diag.check(*gone, config={"check.forecast.level": "error"})
    assert gate.errors == ()
    assert said(gate, "forecast").message.split("; ")[-2].startswith("with 10% of the updates done")
