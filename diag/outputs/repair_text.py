"""A repair for a terminal: what was tried, what was folded in, and where the states are before and after."""

from __future__ import annotations

from collections.abc import Iterator

from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.lines import headline, short, warning_lines
from diag.outputs.words import difference, number, span
from diag.repairs.result import Repair, Stage
from diag.repairs.returns import Played
from diag.repairs.search import Search
from diag.repairs.verdict import in_updates
from diag.wording import plural
from probes import Measure

STAGES = {"before": "before", "folded": "map folded in", "trained": "trained on"}
"""The points of a repair, in words."""

SHOWN = 8
"""Most candidates of a search that are shown without ``--verbose``."""


FITS = (
    Column("fitted to the pairs", 26, "<"),
    Column("held-out R²", 12),
    Column("  95% interval", 22, "<"),
    Column("", 0, "<"),
)

STAGE = (
    Column("", 16, "<"),
    Column("relation", 12, "<"),
    Column("in place", 10),
    Column("R²", 8),
    Column("L2", 8),
    Column("loss", 9),
)

CANDIDATES = 34, 12, 8, 9
"""Cells for the columns of a search's table: the map, its losses before and after, the updates."""


def render(result: Repair, verbose: bool = False) -> str:
    """The whole text of a repair."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    lines += [f"  base      {short(result.base.path)}", f"  transfer  {short(result.transfer.path)}"]
    lines.append(f"  mended    {'not written' if result.written is None else short(result.written)}")
    for words in facts(result):
        lines += wrapped(words)
    lines += ["", *_stages(result, verbose)]
    if result.fits:
        rows = [
            (one.name, number(one.r2.value), f"  {span(one.r2)}", "folded in" if one is result.chosen else "")
            for one in result.fits
        ]
        lines += ["", *table(FITS, rows)]
    if result.search is not None:
        lines += ["", *_search(result.search, verbose)]
    return "\n".join(lines)


def facts(result: Repair) -> list[str]:
    """Phrases on the pairs that were used, the fewest that would do, and the length of training."""
    phrases = []
    if result.chosen is not None:
        of = plural(result.of_pairs, "state")
        phrases.append(f"{result.pairs:,} of {of} {'was' if result.pairs == 1 else 'were'} used as pairs")
    if result.few is not None and result.few.pairs.value is not None:
        few = result.few.pairs
        phrases.append(
            f"{few.value:.0f} [{few.low or 0:.0f}, {few.high or 0:.0f}] pairs would map held-out states "
            "nearly as well as all of these do"
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
        phrases.append(words)
    return phrases


def place(stage: Stage) -> str:
    """The number of states in place of all, ``27 of 30``; a dash where states cannot be counted."""
    if stage.own_states is None:
        return "–"
    return f"{stage.own_states} of {stage.comparison.states}"


def return_words(played: Played) -> str:
    """Mean returns of base, transfer and mended transfer, and how far the last is from the others."""
    means = {"the base": played.base, **{STAGES[name]: mean for name, mean in played.stages.items()}}
    words = f"Mean return of {played.episodes} episodes, the same for all: "
    words += "; ".join(f"{name} {number(mean.value)} {span(mean)}" for name, mean in means.items()) + ". "
    if len(played.stages) > 1:
        words += f"That is {difference(played.gained, 2)} than before, and "
        return words + f"{difference(played.lacking, 2)} than the base's on its own task."
    return words + f"That is {difference(played.lacking, 2)} than the base's on its own task."


def _stages(result: Repair, verbose: bool) -> Iterator[str]:
    played = result.played
    rows = [
        (
            STAGES[stage.name],
            stage.relation or "undecided",
            place(stage),
            number(stage.r2),
            number(stage.comparison.measures["l2"].value),
            number(stage.losses.get("total"), 3),
            *([] if played is None else [f"{number(played.stages[stage.name].value)}"]),
        )
        for stage in result.stages
    ]
    columns = STAGE if played is None else (*STAGE, Column("return", 8))
    yield from table(columns, rows)
    if played is not None:
        yield from wrapped(return_words(played), "  ", "  ")
    for stage in result.stages if verbose else ():
        terms = [f"{t} {number(v, 4)}" for t, v in stage.losses.items() if t != "total"]
        if terms:
            yield from wrapped(f"losses {STAGES[stage.name]}: {', '.join(terms)}")
    need = result.before.comparison.success_states
    if need is not None:
        words = f"{plural(need, 'state')} in place count as a success. R² is taken without fitting a map."
        yield from wrapped(words, "  ", "  ")


def _search(search: Search, verbose: bool) -> Iterator[str]:
    margin = search.margin
    tried = f"{plural(search.tried, 'map')} {'was' if search.tried == 1 else 'were'} tried"
    further = len(search.candidates)
    yield from wrapped(f"without pairs: {tried}, and training went on from {further} of them", "  ", "  ")
    shown = search.candidates if verbose else search.candidates[:SHOWN]
    rows = [(one.words, number(one.before, 3), number(one.after, 3), f"{one.updates:,}") for one in shown]
    rows.append(("the base, on its own task", number(search.base_loss, 3), "", ""))
    longest = max(CANDIDATES[0], *(len(one.words) + 1 for one in shown))
    room = max(CANDIDATES[0], min(longest, width() - sum(CANDIDATES[1:]) - 2))
    columns = [Column("map", room, "<")]
    numbers = zip(("loss before", "after", "updates"), CANDIDATES[1:], strict=True)
    columns += [Column(title, wide) for title, wide in numbers]
    yield from table(columns, rows)
    yield from wrapped(rival_words(margin), "  ", "  ")


def rival_words(margin: Measure) -> str:
    """The loss of the best other map, beside that of the map that was chosen, in a sentence."""
    if margin.value is None:
        return f"No other map can be held against it: {margin.reason}."
    return f"The loss of the best rival is {difference(margin, 4)}."
