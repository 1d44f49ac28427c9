"""The report of a study for a terminal: per group its bases, then tests, and the paper's numbers beside."""

from __future__ import annotations

from collections.abc import Sequence

from diag.outputs.layout import Column, folded, table, width, wrapped
from diag.outputs.lines import headline, labelled, sparkline
from diag.outputs.study_groups_text import MOST_WHOLE, groups_lines
from diag.outputs.study_plans_text import plan_lines
from diag.outputs.study_scores_text import score_lines
from diag.outputs.study_words import corrected_p, measured_words, shares_apart
from diag.outputs.words import number
from diag.studies.result import Group, Outcomes, StudyFacts, StudyReport
from diag.studies.sentence import of, percent, short_name
from diag.wording import duration, listed, p_relation, p_value, significant
from probes import Measure
from trainers.safe_text import plain

BAR, BESIDE, WHOLE_NAMES = 12, 68, 5
"""Characters of a bar in a line of 80, characters beside it, and how many relations' names fit beside each
other uncut there.
"""

FEW_BASES = 6
"""Fewest bases whose bootstrap intervals are wide enough; those of fewer are known to be too narrow."""

TOLD = {
    "score": "score",
    "l2": "L2 distance to the base",
    "loss_total": "total loss",
    "gradient_norm": "gradient norm",
    "mended_loss": "loss of the mended copy",
    "mended_escape": "wall to the mended copy",
}
"""Numbers compared between successes and failures, in words; loss terms go by their own names."""

_COLUMNS = (28, 19, 15, 12)
"""Widths of the table beside the paper."""

_CLEARLY = 0.8
"""An AUC whose whole interval is above this is said to tell failures; a word for the reader only."""


def render(report: StudyReport, verbose: bool = False) -> str:
    """The whole text of a study's report."""
    lines = [headline(report.verdict), "", *_facts(report, verbose)]
    if report.missing:
        lines += ["", "  missing", *(line for words in report.missing for line in wrapped(words, "    "))]
    many = len(report.groups) > MOST_WHOLE
    if many and any(group.succeeded.n for group in report.groups):
        lines += groups_lines(report, verbose)
    for group in report.groups if verbose or not many else report.groups[:1]:
        lines += ["", *_group(group, report, verbose)]
    lines += score_lines(report)
    lines += plan_lines(report)
    if len(report.groups) > 1 and not many:
        lines += ["", *_plans(report.groups)]
    if report.beside:
        lines += ["", *_beside(report)]
    lines += ["", *_notes(report)]
    return "\n".join(lines)


def _facts(report: StudyReport, verbose: bool) -> list[str]:
    facts = report.facts
    rows = [
        ("study", f"{plain(facts.name)}, preset {plain(facts.preset)}"),
        ("success", report.rule),
        ("spent", f"{duration(facts.seconds)} on {plain(facts.device)}"),
        ("measured", plain(measured_words(facts))),
    ]
    if verbose:
        rows += [("seeds", seeds_words(facts))]
        rows += [("versions", ", ".join(f"{n} {v}" for n, v in facts.versions.items()))]
        rows += [("settings", ", ".join(f"{n} = {v}" for n, v in facts.settings.items()))]
    return [line for name, words in rows if words for line in wrapped(words, f"  {name:9} ", " " * 12)]


def seeds_words(facts: StudyFacts) -> str:
    """The seeds of the bases and of the transfers."""
    bases, transfers = runs(facts.base_seeds), runs(facts.transfer_seeds)
    words = [f"bases {bases}" if bases else "no base"]
    words.append(f"transfers {transfers}" if transfers else "no transfer")
    return "; ".join(words)


def runs(seeds: Sequence[int]) -> str:
    """Seeds with runs joined.

    >>> runs([0, 1, 2, 5])
    '0-2, 5'
    """
    joined: list[list[int]] = []
    for seed in sorted(seeds):
        if joined and seed == joined[-1][1] + 1:
            joined[-1][1] = seed
        else:
            joined.append([seed, seed])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in joined)


def _group(group: Group, report: StudyReport, verbose: bool) -> list[str]:
    mark = "  (the reference)" if group.reference and len(report.groups) > 1 else ""
    lines = [*wrapped(f"{plain(group.name)}{mark}"), ""]
    lines += _success(group)
    if not group.succeeded.n:
        return lines
    lines += ["", *_relations(group)]
    lines += ["", *_medians(group)]
    if (group.reference or verbose) and 0 < group.succeeded.count < group.succeeded.n:
        lines += ["", *_told(group)]
    said = [*rate_words(group), *dip_words(group), loss_words(group)]
    lines += ["", *(line for words in said for line in wrapped(words))]
    if report.by == "states" and group.margins and (group.reference or verbose):
        lines += _margins(group, report.success_states)
    if verbose:
        lines += _pairs(group) + _curves(group)
    return lines


def _success(group: Group) -> list[str]:
    against = not group.reference and any(c.against_reference for c in group.cells)
    header = "p, reference" if against else "p, the rest"
    room = max(0, min(4 * BAR, width() - BESIDE))
    columns = (
        Column("base", 5),
        Column("succeeded", 12),
        Column("  share, 95%", 20, "<"),
        Column("", room + 2 if room else 0, "<"),
        Column("matched", 9),
        Column(header, 14),
    )
    rows = []
    for cell in group.cells:
        rate = cell.succeeded
        p = corrected_p(cell.against_reference if against else cell.against_rest)
        matched = of(cell.matched) if cell.matched.n else "–"
        bar = "█" * round((rate.share or 0.0) * room)
        done = of(rate) if rate.n else "none yet"
        rows.append((str(cell.base_seed), done, f"  {percent(rate)}", bar, matched, p))
    rate = group.succeeded
    if len(group.cells) > 1 and rate.n:
        rows.append(("all", of(rate), f"  {percent(rate)}", "", of(group.matched), ""))
    return table(columns, rows)


def rate_words(group: Group) -> list[str]:
    """Sentences on how the success of a group depends on its bases."""
    sentences = []
    bases = sum(bool(c.succeeded.n) for c in group.cells)
    if group.over_bases is not None:
        low, high = group.over_bases
        few = ", which are few" if bases < FEW_BASES else ""
        sentences.append(
            f"If the {bases} bases are resampled whole{few}, the pooled share lies in [{low:.0%}, "
            f"{high:.0%}]. The Wilson interval in the table takes the transfers of one base for independent "
            "and is too narrow for a statement on other bases."
        )
    if group.bases_differ is not None:
        test = "Boschloo's test" if bases == 2 else "Fisher, Freeman and Halton's test"
        p = p_relation(group.bases_differ)
        sentences.append(f"The hypothesis that all bases succeed equally often has p {p} ({test}).")
        if group.relations_differ:
            alike = [f"p {p_relation(p)} for {kind} ones" for kind, p in group.relations_differ.items()]
            sentences.append(f"The same test on how many transfers have a relation gives {listed(alike)}.")
    if len(group.pairs) > 1:
        apart = sum(significant(t.corrected) for _, _, t in group.pairs)
        differ = "differs" if apart == 1 else "differ"
        sentences.append(
            f"{apart} of the {len(group.pairs)} pairs of bases {differ} in their success (Boschloo's test "
            "with Holm's correction)."
        )
    return sentences


def dip_words(group: Group) -> list[str]:
    """A sentence on whether the distances have two modes; none where that cannot be tested."""
    if group.dip.p is None or group.dip.value is None:
        return []
    modes = "have more than one mode" if significant(group.dip.p) else "may have a single mode"
    p = p_relation(group.dip.p)
    return [
        f"The L2 distances to the base {modes} (Hartigan and Hartigan's dip is {group.dip.value:.3f}, p {p})."
    ]


def loss_words(group: Group) -> str:
    """A sentence on whether the total loss tells failures from successes."""
    measure = next((t.auc for t in group.told if t.name == "loss_total"), Measure.undefined("no losses"))
    if measure.value is None or measure.low is None or measure.high is None:
        return f"It cannot be said whether the total loss tells failures from successes: {measure.reason}."
    if measure.low <= 0.5 <= measure.high:
        words = "is not shown to tell failures from successes of the same base"
    elif measure.low > _CLEARLY:
        words = "tells failures from successes of the same base"
    elif measure.low > 0.5:
        words = "tells failures from successes of the same base in part only"
    else:
        words = "is, if anything, lower for failures than for successes of the same base"
    return (
        f"The total loss {words}: the failure has the higher loss in {measure.value:.0%} "
        f"[{measure.low:.0%}, {measure.high:.0%}] of the pairs of a failure and a success."
    )


def _relations(group: Group) -> list[str]:
    names = list(group.relations)
    # As wide as whole names need, if all of them fit; else narrower, and longer names are cut.
    room = 11 if len(names) <= max(WHOLE_NAMES, (width() - 9) // 11) else 7
    shown = [name if len(name) < room else f"{name[: room - 2]}." for name in names]
    columns = (Column("base", 5), Column("", 2), *(Column(name, room) for name in shown))
    counted = [(str(c.base_seed), c.relations) for c in group.cells if c.succeeded.n]
    if len(counted) > 1:
        counted.append(("all", group.relations))
    rows = [(label, "", *(str(counts.get(name) or "·") for name in names)) for label, counts in counted]
    return table(columns, rows)


def _medians(group: Group) -> list[str]:
    rows, narrow = [], []
    for c in group.cells:
        if c.succeeded.n:
            l2, loss = both(c.l2, 2), both(c.loss, 3)
            cells = (*l2, *loss, number(c.base_loss, 3), area(c.auc))
            gaps = (10, 10, 10, 9, 9)
            told = "".join(f"{cell:>{gap}}" for cell, gap in zip(cells[:5], gaps, strict=True))
            rows.append(f"  {c.base_seed:>5}{told}   {cells[5]}".rstrip())
            narrow += folded(f"base {c.base_seed}", list(zip(MEDIANS, cells, strict=True)))
    head = [
        f"  {'':5}  {'L2, median':^18}  {'total loss, median':^27}  loss as a sign",
        f"  {'base':>5}  {'success':>8}  {'failure':>8}  {'success':>8} {'failure':>8} {'base':>8}"
        "   of failure: AUC",
    ]
    return [*head, *rows] if max(map(len, head + rows)) <= width() else narrow


MEDIANS = (
    "L2, median of successes",
    "of failures",
    "total loss, median of successes",
    "of failures",
    "of the base",
    "loss as a sign of failure, AUC",
)
"""Titles of the columns of medians, understandable alone."""


def both(medians: Outcomes, digits: int) -> tuple[str, str]:
    """The medians of successes and of failures."""
    return number(medians.success, digits), number(medians.failure, digits)


def area(measure: Measure) -> str:
    """``0.63 [0.31, 0.86]``, or a dash."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"


def told_name(name: str) -> str:
    """A compared number in words."""
    return TOLD.get(name, f"  {name.removeprefix('loss_')}")


def _told(group: Group) -> list[str]:
    columns = (
        Column("medians", 26, "<"),
        Column("success", 10),
        Column("failure", 10),
        Column("   AUC within bases", 0, "<"),
    )
    rows = [
        (plain(told_name(told.name)), *both(told.median, 3), f"   {area(told.auc)}") for told in group.told
    ]
    return table(columns, rows)


def _margins(group: Group, needed: int | None) -> list[str]:
    must = "" if needed is None else f" (the rule is {needed})"
    words = f"transfers that would succeed by the number of states that must be in place{must}:"
    lines = ["", *wrapped(words)]
    fit = max(1, (width() - 15) // 5)
    for start in range(0, len(group.margins), fit):
        shown = group.margins[start : start + fit]
        lines.append("    states     " + "".join(f"{n:>5}" for n, _ in shown))
        lines.append("    transfers  " + "".join(f"{count:>5}" for _, count in shown))
    return lines


def _pairs(group: Group) -> list[str]:
    if not group.pairs:
        return []
    shown = sorted(group.pairs, key=lambda pair: pair[2].p)
    return [
        "",
        "  pairs of bases, Boschloo's p",
        f"  {'bases':>9}  {'p':>8}  {'Holm':>8}",
        *(f"  {f'{a}, {b}':>9}  {p_value(t.p):>8}  {p_value(t.corrected):>8}" for a, b, t in shown),
    ]


def _curves(group: Group) -> list[str]:
    lines = []
    for title, curves in (("losses while training", group.curves), ("on the way", group.progress)):
        if curves:
            lines += ["", *wrapped(f"{title}, interquartile means")]
        for c in curves:
            room = max(0, min(64, width() - 56))
            line = f" {sparkline(c.iqm, room)}" if room else ""
            first, last = (number(float(c.iqm[at]), 3) for at in (0, -1))
            label = plain(c.name)
            if len(label) > 18:
                lines.append(f"    {label}")
                label = ""
            lines += labelled(f"  {label:18} {c.outcome:8}", f"{first:>8}{line} {last}", room=28)
    return lines


def _plans(groups: Sequence[Group]) -> list[str]:
    name = plain(short_name(groups[0], groups))
    labels = [plain(short_name(group, groups)) for group in groups]
    # A name of any length has its place as long as the terminal has room for it.
    room = max(28, min(max(map(len, labels)), width() - 52))
    columns = (
        Column("", room, "<"),
        Column("succeeded", 13),
        Column("  difference of shares", 26, "<"),
        Column("p, Holm", 9),
    )
    rows = []
    for group, label in zip(groups, labels, strict=True):
        compared = group.against_reference
        told = ("", "")
        if compared is not None and compared.difference.value is not None:
            told = (f"  {shares_apart(compared.difference)}", corrected_p(compared.tested))
        rows.append((label, of(group.succeeded), *told))
    return [*wrapped(f"against {name}, by base"), *table(columns, rows)]


def _beside(report: StudyReport) -> list[str]:
    rows = [("beside the paper", "here", "paper", "section")]
    for row in report.beside:
        ours = row.ours if row.p is None else f"{row.ours} (p {p_relation(row.p)})"
        rows.append((row.what, ours, row.paper, row.section))
    if sum(_COLUMNS) + 5 > width():
        titled = [(row[0], list(zip(rows[0], row, strict=True))[1:]) for row in rows[1:]]
        return [f"  {rows[0][0]}", *(line for what, told in titled for line in folded(what, told))]
    widths = [w + (width() - sum(_COLUMNS) - 5) // len(_COLUMNS) for w in _COLUMNS]
    lines = []
    for row_cells in rows:
        cells = [wrapped(c, "", "", w) for c, w in zip(row_cells, widths, strict=True)]
        for at in range(max(map(len, cells))):
            parts = [c[at] if at < len(c) else "" for c in cells]
            joined = " ".join(f"{part:{w}}" for part, w in zip(parts, widths, strict=True))
            lines.append(f"  {joined}".rstrip())
    return lines


def _notes(report: StudyReport) -> list[str]:
    notes = ["All intervals are 95% intervals, those of shares by Wilson. All p-values are two-sided."]
    if len(report.groups) > 1 and report.by != "score":
        notes.append(NOT_ALL_ARE_MEANT_TO)
    return [line for words in notes for line in wrapped(words)]


NOT_ALL_ARE_MEANT_TO = (
    "If no frozen model reads a transfer's embedding, it need not lie where the base's does. That such a "
    "transfer does not succeed here says nothing against it."
)
