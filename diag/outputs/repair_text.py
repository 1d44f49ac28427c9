"""A repair for a terminal: what was tried, what was folded in, and where the states are before and after."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from diag.outputs.text import WIDTH, headline, number, short, span, warning_lines
from diag.repairs.result import Repair, Stage
from diag.repairs.search import Search
from diag.repairs.verdict import in_updates

STAGES = {"before": "before", "folded": "map folded in", "trained": "trained on"}
"""The points of a repair, in words."""

SHOWN = 8
"""Candidates of a search that are shown without ``--verbose``."""


def render(result: Repair, verbose: bool = False) -> str:
    """The whole text of a repair."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    lines += [f"  base      {short(result.base.path)}", f"  transfer  {short(result.transfer.path)}"]
    lines.append(f"  mended    {'not written' if result.written is None else short(result.written)}")
    for words in facts(result):
        lines += textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
    lines += ["", *_stages(result, verbose)]
    if result.fits:
        lines += ["", f"  {'fitted to the pairs':26}{'held-out R²':>12}  95% interval"]
        for one in result.fits:
            mark = "  folded in" if one is result.chosen else ""
            lines.append(f"  {one.name:26}{number(one.r2.value):>12}  {span(one.r2):18}{mark}".rstrip())
    if result.search is not None:
        lines += ["", *_search(result.search, verbose)]
    return "\n".join(lines)


def facts(result: Repair) -> list[str]:
    """How many pairs were used, how few would do, and how long it was trained on."""
    found = []
    if result.chosen is not None:
        found.append(f"{result.pairs} of {result.of_pairs} states paired")
    if result.few is not None and result.few.pairs.value is not None:
        few = result.few.pairs
        found.append(
            f"{few.value:.0f} [{few.low or 0:.0f}, {few.high or 0:.0f}] pairs would do: fitted to so many, "
            "it places held-out states nearly as well"
        )
    if result.training is not None:
        training = result.training
        how = "with the pairs" if training.mode == "paired" else "on the task's losses"
        of = f"({training.share:.1%} of the transfer's {training.of_budget:,})"
        words = f"trained {how} for {in_updates(training.updates)} {of}"
        if result.search is not None:
            words += (
                f", divided among {len(result.search.candidates)} maps: {training.own:,} of them from the "
                "map that was taken"
            )
        found.append(words)
    return found


def place(stage: Stage) -> str:
    """``31 of 31``, or a dash where the states cannot be counted."""
    if stage.own_states is None:
        return "–"
    return f"{stage.own_states} of {stage.comparison.states}"


def _stages(result: Repair, verbose: bool) -> Iterator[str]:
    yield f"  {'':16}{'relation':12}{'in place':>10}{'R²':>8}{'L2':>8}{'loss':>9}"
    for stage in result.stages:
        l2 = stage.comparison.measures["l2"].value
        yield (
            f"  {STAGES[stage.name]:16}{stage.relation or 'undecided':12}{place(stage):>10}"
            f"{number(stage.r2):>8}{number(l2):>8}{number(stage.losses.get('total'), 3):>9}"
        )
        if verbose:
            terms = {t: v for t, v in stage.losses.items() if t != "total"}
            if terms:
                words = ", ".join(f"{t} {number(v, 4)}" for t, v in terms.items())
                yield from textwrap.wrap(words, WIDTH, initial_indent="    ", subsequent_indent="    ")
    need = result.before.comparison.success_states
    if need is not None:
        yield f"  a success from {need} states in place; R² as it is, without a fit"


def _search(search: Search, verbose: bool) -> Iterator[str]:
    margin = search.margin
    yield f"  without pairs: {search.tried} maps tried, {len(search.candidates)} trained on"
    yield f"  {'map':34}{'loss before':>12}{'after':>8}{'updates':>9}"
    for one in search.candidates if verbose else search.candidates[:SHOWN]:
        words = textwrap.shorten(one.words, 33, placeholder="…")
        yield f"  {words:34}{number(one.before, 3):>12}{number(one.after, 3):>8}{one.updates:>9}"
    yield f"  {'the base, on its own task':34}{number(search.base_loss, 3):>12}"
    if margin.value is None:
        yield f"  best rival: {margin.reason}"
    else:
        yield f"  the best rival loses {number(margin.value, 4)} {span(margin, 4)} more"
