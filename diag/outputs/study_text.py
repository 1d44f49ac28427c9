"""The report of a study for a terminal: per group its bases, then tests, and the paper's numbers beside."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from diag.outputs.text import WIDTH, headline, number, p_value, plain, sparkline
from diag.studies.reported import Group, Outcomes, PValue, StudyReport
from diag.studies.sentence import SIGNIFICANT, in_words, of, percent, short_name
from probes import Measure

BAR, WHOLE_NAMES = 12, 5
"""Characters of a bar; relations whose names fit beside each other without being cut."""

FEW_BASES = 6
"""Of fewer the bootstrap's intervals are known to be too narrow."""

TOLD = {
    "l2": "L2 distance to the base",
    "loss_total": "total loss",
    "gradient_norm": "gradient norm",
    "mended_loss": "loss of the mended copy",
    "mended_escape": "wall to the mended copy",
}
"""What is compared between successes and failures, in words; loss terms go by their own names."""

_COLUMNS = (28, 19, 15, 12)
"""Widths of the table beside the paper."""

_CLEARLY = 0.8
"""An AUC whose whole interval is above this is said to tell failures; a word for the reader only."""


def study(report: StudyReport, verbose: bool = False) -> str:
    """The whole text of a study's report, within 80 columns."""
    lines = [headline(report.verdict), "", *_facts(report, verbose)]
    if report.missing:
        lines += ["", "  missing", *(f"    {line}" for line in report.missing)]
    for group in report.groups:
        lines += ["", *_group(group, report, verbose)]
    if len(report.groups) > 1:
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
    ]
    if verbose:
        rows += [("seeds", f"bases {runs(facts.base_seeds)}; transfers {runs(facts.transfer_seeds)}")]
        rows += [("versions", ", ".join(f"{n} {v}" for n, v in facts.versions.items()))]
        rows += [("settings", ", ".join(f"{n} = {v}" for n, v in facts.settings.items()))]
    return [
        textwrap.fill(f"  {name:9} {words}", WIDTH, subsequent_indent=" " * 12)
        for name, words in rows
        if words
    ]


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42.3), duration(200), duration(5025)
    ('42 s', '3 min 20 s', '1 h 24 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min"


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
    lines = [f"  {plain(group.name)}{mark}", ""]
    lines += _success(group)
    if not group.succeeded.n:
        return lines
    lines += ["", *_relations(group)]
    lines += ["", *_medians(group)]
    if (group.reference or verbose) and 0 < group.succeeded.count < group.succeeded.n:
        lines += ["", *_told(group)]
    said = [*rate_words(group), *dip_words(group), loss_words(group)]
    lines += ["", *(_filled(words) for words in said)]
    if group.margins and (group.reference or verbose):
        lines += _margins(group, report.success_states)
    if verbose:
        lines += _pairs(group) + _curves(group)
    return lines


def _success(group: Group) -> list[str]:
    against = not group.reference and any(c.against_reference for c in group.cells)
    header = "p, reference" if against else "p, the rest"
    lines = [
        f"  {'base':>5}  {'succeeded':>10}  {'share, 95%':<18}{'':{BAR + 2}}{'matched':>9}  {header:>12}"
    ]
    for cell in group.cells:
        rate = cell.succeeded
        bar = "█" * round((rate.share or 0.0) * BAR)
        p = corrected_p(cell.against_reference if against else cell.against_rest)
        matched = of(cell.matched) if cell.matched.n else "–"
        lines.append(
            f"  {cell.base_seed:>5}  {of(rate) if rate.n else 'none yet':>10}  "
            f"{percent(rate):<18}{bar:{BAR + 2}}{matched:>9}  {p:>12}".rstrip()
        )
    rate = group.succeeded
    if len(group.cells) > 1 and rate.n:
        lines.append(
            f"  {'all':>5}  {of(rate):>10}  {percent(rate):<18}{'':{BAR + 2}}{of(group.matched):>9}".rstrip()
        )
    return lines


def corrected_p(found: PValue | None) -> str:
    """The corrected p, or a dash."""
    return "–" if found is None else p_value(found.corrected)


def rate_words(group: Group) -> list[str]:
    """What the success of a group's bases says, a sentence each."""
    found = []
    bases = sum(bool(c.succeeded.n) for c in group.cells)
    if group.over_bases is not None:
        low, high = group.over_bases
        found.append(
            f"Over bases the pooled share lies in [{low:.0%}, {high:.0%}] ({bases} bases resampled whole"
            f"{', which are few' if bases < FEW_BASES else ''}); "
            "its Wilson interval takes transfers of one base for independent: too narrow for other bases."
        )
    if group.bases_differ is not None:
        test = "Boschloo's test" if bases == 2 else "Fisher, Freeman and Halton's test"
        alike = [("succeed", group.bases_differ)]
        alike += [(f"have as many {kind} transfers", p) for kind, p in group.relations_differ.items()]
        said = "; ".join(f"{what}: p {in_words(p)}" for what, p in alike)
        found.append(f"That all bases alike {said} ({test}).")
    if len(group.pairs) > 1:
        apart = sum(t.corrected < SIGNIFICANT for _, _, t in group.pairs)
        found.append(f"{apart} of {len(group.pairs)} pairs of bases differ (Boschloo, Holm's correction).")
    return found


def dip_words(group: Group) -> list[str]:
    """Whether the distances have two modes, where that can be asked."""
    if group.dip.p is None or group.dip.value is None:
        return []
    modes = "have more than one mode" if group.dip.p < SIGNIFICANT else "may have a single mode"
    p = in_words(group.dip.p)
    return [f"L2 distances {modes}: dip {group.dip.value:.3f}, p {p} (Hartigan and Hartigan's test)."]


def loss_words(group: Group) -> str:
    """Whether the total loss tells failures from successes."""
    measure = next((t.auc for t in group.told if t.name == "loss_total"), Measure.undefined("no losses"))
    if measure.value is None or measure.low is None or measure.high is None:
        return f"Whether the total loss tells failures cannot be said: {measure.reason}."
    if measure.low <= 0.5 <= measure.high:
        words = "is not shown to tell failures from successes of the same base"
    elif measure.low > _CLEARLY:
        words = "tells failures from successes of the same base"
    elif measure.low > 0.5:
        words = "tells failures from successes of the same base in part only"
    else:
        words = "is, if anything, lower for failures than for successes of the same base"
    return (
        f"The total loss {words}: a failure's is the higher one in {measure.value:.0%} "
        f"[{measure.low:.0%}, {measure.high:.0%}] of the pairs."
    )


def _relations(group: Group) -> list[str]:
    names = list(group.relations)
    width = 11 if len(names) <= WHOLE_NAMES else 7
    shown = [name if len(name) < width else f"{name[: width - 2]}." for name in names]
    lines = [f"  {'base':>5}  " + "".join(f"{name:>{width}}" for name in shown)]
    rows = [(str(c.base_seed), c.relations) for c in group.cells if c.succeeded.n]
    for label, counts in [*rows, ("all", group.relations)] if len(rows) > 1 else rows:
        cells = "".join(f"{counts.get(name) or '·':>{width}}" for name in names)
        lines.append(f"  {label:>5}  {cells}")
    return lines


def _medians(group: Group) -> list[str]:
    lines = [
        f"  {'':5}  {'L2, median':^18}  {'total loss, median':^27}  loss as a sign",
        f"  {'base':>5}  {'success':>8}  {'failure':>8}  {'success':>8} {'failure':>8} {'base':>8}"
        "   of failure: AUC",
    ]
    for c in group.cells:
        if c.succeeded.n:
            l2, loss = both(c.l2, 2), both(c.loss, 3)
            lines.append(
                f"  {c.base_seed:>5}  {l2[0]:>8}  {l2[1]:>8}  {loss[0]:>8} {loss[1]:>8} "
                f"{number(c.base_loss, 3):>8}   {area(c.auc)}".rstrip()
            )
    return lines


def both(found: Outcomes, digits: int) -> tuple[str, str]:
    """The medians of successes and of failures."""
    return number(found.success, digits), number(found.failure, digits)


def area(measure: Measure) -> str:
    """``0.63 [0.31, 0.86]``, or a dash."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    return f"{measure.value:.2f} [{measure.low:.2f}, {measure.high:.2f}]"


def told_name(name: str) -> str:
    """A compared number in words."""
    return TOLD.get(name, f"  {name.removeprefix('loss_')}")


def _told(group: Group) -> list[str]:
    lines = [f"  {'medians':26} {'success':>9} {'failure':>9}   AUC within bases"]
    for told in group.told:
        success, failure = both(told.median, 3)
        name = plain(told_name(told.name))
        lines.append(f"  {name:26} {success:>9} {failure:>9}   {area(told.auc)}".rstrip())
    return lines


def _margins(group: Group, needed: int | None) -> list[str]:
    return [
        "",
        f"  succeeded, if so many states must be in place{'' if needed is None else f' ({needed} must)'}:",
        "    states     " + "".join(f"{n:>5}" for n, _ in group.margins),
        "    transfers  " + "".join(f"{count:>5}" for _, count in group.margins),
    ]


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
            lines += ["", f"  {title}, interquartile means"]
        for c in curves:
            line = sparkline(c.iqm, 24)
            label = f"{plain(c.name)[:18]:18} {c.outcome:8}"
            ends = f"{number(float(c.iqm[0]), 3):>8} {line} {number(float(c.iqm[-1]), 3)}"
            lines.append(f"    {label}{ends}")
    return lines


def _plans(groups: Sequence[Group]) -> list[str]:
    name = plain(short_name(groups[0], groups))
    lines = [
        f"  against {name}, by base",
        f"  {'':28} {'succeeded':>12}  {'difference of shares':<24} {'p, Holm':>8}",
    ]
    for group in groups:
        found = group.against_reference
        label = plain(short_name(group, groups))[:28]
        line = f"  {label:28} {of(group.succeeded):>12}"
        if found is not None and found.difference.value is not None:
            line += f"  {difference(found.difference):<24} {corrected_p(found.tested):>8}"
        lines.append(line)
    return lines


def difference(measure: Measure) -> str:
    """``+12% [-3%, +27%]``; without an interval for one base."""
    if measure.value is None:
        return "–"
    if measure.low is None or measure.high is None:
        return f"{measure.value:+.0%}"
    return f"{measure.value:+.0%} [{measure.low:+.0%}, {measure.high:+.0%}]"


def _beside(report: StudyReport) -> list[str]:
    rows = [("beside the paper", "here", "paper", "section")]
    for row in report.beside:
        ours = row.ours if row.p is None else f"{row.ours} (p {in_words(row.p)})"
        rows.append((row.what, ours, row.paper, row.section))
    lines = []
    for row_cells in rows:
        cells = [textwrap.wrap(c, w) or [""] for c, w in zip(row_cells, _COLUMNS, strict=True)]
        for at in range(max(map(len, cells))):
            parts = [c[at] if at < len(c) else "" for c in cells]
            joined = " ".join(f"{part:{w}}" for part, w in zip(parts, _COLUMNS, strict=True))
            lines.append(f"  {joined}".rstrip())
    return lines


def _notes(report: StudyReport) -> list[str]:
    notes = ["Intervals are 95%, of shares by Wilson; p-values two-sided."]
    if len(report.groups) > 1:
        notes.append(NOT_ALL_ARE_MEANT_TO)
    return [_filled(words) for words in notes]


NOT_ALL_ARE_MEANT_TO = (
    "Where no frozen model reads the embedding, it need not lie where the base's does: that such a transfer "
    "does not succeed is no failure of it."
)


def _filled(words: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
