"""A probe for a terminal: four questions, a line a variable, a column an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from diag.outputs.layout import folded, width, wrapped
from diag.outputs.lines import BAR, WIDTH, bar_room, column_lines, headline, short, warning_lines
from diag.outputs.words import number
from diag.probing.result import Column, Finding, Probed
from diag.probing.verdict import ALIKE, NAMED
from diag.wording import listed, noun, p_value, plural
from probes import Measure
from trainers.safe_text import plain

NAME, UNIT, CELL = 14, 4, 24
"""Cells for a variable's name, for its unit, and for a column."""

UNITS = {"r2": "R²", "balanced_accuracy": "acc."}

LARGEST = 100
"""Scores from here on (R² has no lower end) are shown to three digits, to keep to the width."""

MANY = 10
"""Number of variables from which the reader is reminded that one in twenty comes out by chance."""


def render(result: Probed, verbose: bool = False) -> str:
    """The whole text of a probe."""
    columns = result.columns
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    for name, column in zip(result.names, columns, strict=True):
        label = name if len(columns) > 1 else "embedding"
        lines.append(f"  {label}  {short(column.file.path, width() - len(label) - 4)}")
        if verbose and column.file.label:
            lines += wrapped(column.file.label, "     ", "     ")
        lines += column_lines(column.columns)
    lines += wrapped(rows_in_words(result), "  ", "  ")
    titles = f"{'':{_left()}}{''.join(_cells(f'  {n}' for n in result.names))}".rstrip()
    blocks = [
        *_block(result, "linear probe: score on held-out rows", _probe, _reading),
        *_block(result, "selectivity: that score minus the score on shuffled targets", _select, _shuffled),
        *_block(result, "canonical correlation, as a multiple of chance", _correlation, _random),
        *_block(result, "canonical correlation on held-out rows", _held_out, _flatters),
        *_block(result, "k-means clusters: adjusted mutual information", _clusters, _cluster_count),
    ]
    if len(columns) > 1 and _roomy(len(columns)):
        lines += ["", titles]
    lines += [*blocks, "", *wrapped("variance along the first principal components")]
    if _roomy(len(columns)):
        lines.append(f"{'':{_left()}}{''.join(_cells(f'  {_explained(c)}' for c in columns))}")
    else:
        shares = [f"{n} {_explained(c)}" for n, c in zip(result.names, columns, strict=True)]
        lines += wrapped("; ".join(shares), "    ", "    ")
    if notes := notes_in_words(result):
        lines += ["", *(line for note in notes for line in wrapped(note, "  ", "  "))]
    if verbose:
        lines += _contents(result)
    return "\n".join(line.rstrip() for line in lines)


def _name_room() -> int:
    """Characters for a variable's name, more of them in a wide terminal."""
    return NAME + max(0, width() - WIDTH)


def _left() -> int:
    """Cells before the first column."""
    return 2 + _name_room() + UNIT + 3


def _roomy(columns: int) -> bool:
    """Whether so many columns fit side by side into the terminal."""
    return _left() + columns * CELL <= width()


def rows_in_words(result: Probed) -> str:
    """Numbers of rows and dimensions, and the effective ranks, in words."""
    rows = plural(result.rows, "row")
    if result.rows < result.of:
        rows = f"{result.rows:,} of {plural(result.of, 'row')}"
    sizes, ranks = (
        [c.dimensions for c in result.columns],
        [number(c.effective_rank) for c in result.columns],
    )
    whole = "" if result.grouping == "states" else f" ({result.grouping} held out whole)"
    dimensions = f"{_both([f'{size:,}' for size in sizes])} {noun(sizes[-1], 'dimension')}"
    return f"{rows}{whole}; {dimensions}, effective rank {_both(ranks)}"


def _both(words: list[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def notes_in_words(result: Probed) -> list[str]:
    """Sentences on rows and categories that numbers leave out, and on how to read them."""
    notes = []
    for name, variable in result.variables.items():
        reasons: dict[str, list[str]] = {}
        for letter, column in zip(result.names, result.columns, strict=True):
            finding = column.findings[name]
            told = {
                finding.probe.score.reason,
                finding.cca.reason,
                finding.held_out.value.reason,
                finding.clusters and finding.clusters.reason,
            }
            for reason in sorted(r for r in told if r):
                reasons.setdefault(reason, []).append(letter)
        for reason, where in reasons.items():
            place = f" in {where[0]}" if len(where) < len(result.columns) else ""
            notes.append(f"{plain(name)} cannot be judged in full{place}: {reason}.")
        left_out = [plain(category) for category in result.columns[0].findings[name].probe.left_out]
        if left_out:
            which = f"the {noun(len(left_out), 'category', 'categories')} {listed(left_out)}"
            rows = "its rows are" if len(left_out) == 1 else "the rows of each are"
            notes.append(
                f"The probe of {plain(name)} leaves out {which}: {rows} of a single group, which cannot be "
                "both fitted to and held out."
            )
        if variable.kind == "categorical" and BALANCED not in notes:
            notes.append(BALANCED)
    if unclear := [name for name, change in result.changes.items() if change == "unclear"]:
        by = [_changed(name, result.differences[name]) for name in unclear[:NAMED]]
        by += [f"{len(unclear) - NAMED} more"] if len(unclear) > NAMED else []
        notes.append(f"From A to B the score changes {listed(by)}. {UNCLEAR}")
    if len(result.variables) >= MANY:
        count = len(result.variables)
        notes.append(f"With {count} variables, about {count / 20:.1f} reach p ≤ 0.05 by chance alone.")
    if any(p_at_floor(f) for c in result.columns for f in c.findings.values()):
        notes.append(FLOOR)
    return notes


BALANCED = "acc. is the balanced accuracy, which is 1 over the number of categories for guesses."

UNCLEAR = (
    "As 0 lies in the interval, no change is shown; but only what is read from both, and surely changes by "
    f"no more than {ALIKE:g}, counts as kept."
)


def _changed(name: str, change: Measure | None) -> str:
    assert change is not None
    return f"by {score(change.value)} {score_span(change)} for {plain(name)}"


FLOOR = "p ≤ marks the least p-value that the shuffles could give: no shuffle did as well."


def p_at_floor(finding: Finding) -> bool:
    """Whether a p-value of a finding is the least that its draws could give, and shown as such."""
    every = [(finding.probe.p, finding.probe.p_floor), (finding.cca.p, finding.cca.p_floor)]
    every += [] if finding.clusters is None else [(finding.clusters.p, finding.clusters.p_floor)]
    return any(p_value(p, floor).startswith("≤") for p, floor in every)


def _block(
    result: Probed, title: str, cell: Callable[[Finding], str], detail: Callable[[Finding], str]
) -> list[str]:
    """A heading, then a line a variable; the only column there is has room for a detail."""
    two = len(result.columns) > 1
    lines, narrow = [], []
    for name in result.variables:
        findings = [c.findings[name] for c in result.columns]
        words = [cell(f) for f in findings]
        if not any(words):
            continue
        unit = UNITS[findings[0].probe.unit] if cell is _probe else ""
        change = (result.changes[name] or "") if two and cell is _probe else ""
        end = change if two else detail(findings[0])
        label = fit(plain(name), _name_room())
        lines.append(f"  {label:{_name_room()}} {unit:{UNIT}}  {''.join(_cells(words))}{end}".rstrip())
        told = list(zip(result.names if two else [""], words, strict=True))
        narrow += folded(f"{plain(name)} {unit}".rstrip(), [*told, ("", end)])
    if max(map(len, lines), default=0) > width():
        lines = narrow
    return ["", *wrapped(title, "  ", "  "), *lines] if lines else []


def fit(words: str, room: int = NAME) -> str:
    """The words, cut to ``room`` characters."""
    return words if len(words) <= room else words[: room - 1] + "…"


def _cells(words: Iterable[str]) -> list[str]:
    return [f"{w:{CELL}}" for w in words]


def _probe(finding: Finding) -> str:
    measure = finding.probe.score
    if measure.value is None:
        return f"{'–':>5}"
    words = f"{score(measure.value):>5} {score_span(measure)}"
    # An R² of minus thousands has an interval that no column holds, and that nobody needs.
    return words if len(words) < CELL else words.partition(" [")[0]


def _reading(finding: Finding) -> str:
    value = finding.probe.score.value
    bar = "" if value is None else "█" * round(min(1.0, max(0.0, value)) * bar_room(WIDTH - BAR))
    return f"{finding.reading or '':8}{bar}"


def _select(finding: Finding) -> str:
    return f"{score(finding.probe.selectivity):>5}{_p(finding.probe.p, finding.probe.p_floor)}"


def _shuffled(finding: Finding) -> str:
    count = finding.probe.shuffles
    return f"shuffled {score(finding.probe.shuffled)} ({count} times)" if count else ""


def _correlation(finding: Finding) -> str:
    cca = finding.cca
    factor = "" if cca.factor is None else f"{number(cca.factor, 1):>5}×"
    return f"{score(cca.value):>5}{factor}{_p(cca.p, cca.p_floor)}"


def _random(finding: Finding) -> str:
    cca = finding.cca
    if cca.value is None:
        return ""
    return f"random {score(cca.random_mean)}, 95% up to {score(cca.random_high)}"


def _held_out(finding: Finding) -> str:
    value = finding.held_out.value
    return "" if value.value is None else f"{score(value.value):>5} {score_span(value)}"


def _flatters(finding: Finding) -> str:
    most = finding.held_out.random_most
    random = "" if most is None else f", random {score(most)}"
    return "" if finding.flatters is None else f"in sample {finding.flatters:+.2f}{random}"


def _clusters(finding: Finding) -> str:
    if finding.clusters is None:
        return ""
    return f"{score(finding.clusters.ami):>5}{_p(finding.clusters.p, finding.clusters.p_floor)}"


def _cluster_count(finding: Finding) -> str:
    return "" if finding.clusters is None else plural(finding.clusters.clusters, "cluster")


def _p(p: float | None, floor: float | None) -> str:
    return "" if p is None else f"  p {p_value(p, floor)}"


def score(value: float | None) -> str:
    """A score to two decimals, for 0.0004 of what is 1 at best says no more than 0.00; a dash for none.

    >>> score(-0.0004), score(0.987), score(-123456.0), score(None)
    ('0.00', '0.99', '-1.23e+05', '–')
    """
    if value is None or abs(value) >= LARGEST:
        return number(value)
    return f"{value:.2f}".replace("-0.00", "0.00")


def score_span(measure: Measure) -> str:
    """``[low, high]``, or nothing (the notes say why)."""
    if measure.low is None or measure.high is None:
        return ""
    return f"[{score(measure.low)}, {score(measure.high)}]"


def _explained(column: Column) -> str:
    return ", ".join(f"{share:.0%}" for share in column.explained[:2]) or "–"


def _contents(result: Probed) -> list[str]:
    """The categories in each cluster, a line a cluster."""
    lines = []
    for letter, column in zip(result.names, result.columns, strict=True):
        for name, finding in column.findings.items():
            if finding.clusters is None or finding.clusters.counts is None:
                continue
            where = f" of {letter}" if len(result.columns) > 1 else ""
            lines += ["", *wrapped(f"clusters{where} and the categories of {plain(name)}")]
            for cluster, counts in enumerate(finding.clusters.counts):
                told = sorted(zip(counts, finding.clusters.events, strict=True), key=lambda pair: -pair[0])
                words = ", ".join(f"{plain(event)} {count}" for count, event in told if count)
                lines += wrapped(words, f"    {cluster:3}  {counts.sum():6} rows: ", " " * 9)
    return lines
