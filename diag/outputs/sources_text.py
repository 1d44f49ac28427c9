"""Several sources of one target for a terminal: who leads by what, then a line a source and component."""

from __future__ import annotations

from collections.abc import Iterator

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.lines import headline, short, warning_lines
from diag.outputs.sources_words import (
    HEARD,
    LEADS,
    READ,
    REMAINS,
    SUITS,
    loss_in_words,
    order_in_words,
    r2_in_words,
    shown_in_words,
    terms,
)
from diag.outputs.words import hundredths, number, span
from diag.sourcing.result import Remains, SourcesCompared
from trainers.safe_text import plain


def render(result: SourcesCompared, verbose: bool = False) -> str:
    """The whole text."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    if result.target is not None:
        lines.append(f"  target    {short(result.target.path)}")
    for number_, source in enumerate(result.sources):
        lines.append(f"  {'' if number_ else 'sources':8}  {short(source.path)}")
    lines += wrapped(f"shown: {shown_in_words(result)}", "  ", "    ")
    lines += ["", *_orders(result), ""]
    lines += _likeness(result) if result.likeness else _suits(result, verbose)
    lines += _remains(result, verbose)
    lines += _heard(result)
    if verbose or not result.likeness:
        lines += ["", *_between(result)]
    lines.append("")
    for words in (LEADS, READ if result.likeness else SUITS):
        lines += wrapped(words, "  ", "  ")
    return "\n".join(line.rstrip() for line in lines)


def _orders(result: SourcesCompared) -> Iterator[str]:
    for name, words in order_in_words(result):
        yield from wrapped(words, f"  {name:20} ", " " * 23)


def _likeness(result: SourcesCompared) -> list[str]:
    columns = [
        Column("component", 11, "<"),
        Column("source", 19, "<"),
        Column("relation", 10, "<"),
        Column("R² as is", 9),
        Column("linear", 7),
        Column("CKA", 6),
        Column(" ", 14),
    ]
    rows, last = [], ""
    for component in dict.fromkeys(one.component for one in result.likeness):
        for one in (pair for pair in result.likeness if pair.component == component):
            measures = (hundredths(m.value) for m in (one.as_it_is, one.linear, one.cka))
            name = short(plain(result.names[one.source]), 18)
            head = component if component != last else ""
            rows.append([head or " ", name, one.relation or "open", *measures, span(one.cka)])
            last = component
    return table(columns, rows)


def _suits(result: SourcesCompared, verbose: bool) -> list[str]:
    lines = []
    for one in result.suits:
        lines += wrapped(plain(result.names[one.source]), "  ")
        cells = [f"{term} {loss_in_words(one.losses[term])}" for term in terms(result)]
        cells.append(f"R² of rewards {r2_in_words(one.told)}")
        lines += wrapped([f"{cell};" for cell in cells[:-1]] + cells[-1:], "    ", "    ")
    return lines


def _remains(result: SourcesCompared, verbose: bool) -> list[str]:
    if not result.remains:
        return []
    lines = [""]
    for one in result.remains:
        lines += wrapped(_remained(result, one, verbose), "  ", "    ")
    return [*lines, *wrapped(REMAINS, "  ", "  ")]


def _remained(result: SourcesCompared, one: Remains, verbose: bool) -> str:
    places = range(len(one.steps)) if verbose else sorted({0, len(one.steps) - 1})
    told = [
        f"{number(one.fractions[at].value, 3)} {span(one.fractions[at], 3)} "
        f"({one.shares[at].value or 0:.1%}) at {one.steps[at]:,}"
        for at in places
    ]
    return f"{one.component}, of {plain(result.names[one.source])}: {', '.join(told)}"


def _heard(result: SourcesCompared) -> list[str]:
    if not result.heard:
        return []
    lines = [""]
    for name, one in zip(result.names, result.heard, strict=True):
        lines += wrapped(f"heard of {plain(name)}: {hundredths(one.value)} {span(one)}", "  ", "    ")
    return [*lines, *wrapped(HEARD, "  ", "  ")]


def _between(result: SourcesCompared) -> Iterator[str]:
    for one in result.between:
        pair = f"{plain(result.names[one.one])} and {plain(result.names[one.other])}"
        yield from wrapped(f"CKA of {pair}: {hundredths(one.cka.value)} {span(one.cka)}", "  ", "    ")
