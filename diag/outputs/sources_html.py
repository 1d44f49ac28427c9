"""Several sources of one target as a page: each measure with a line a source, then what tells them apart."""

from __future__ import annotations

import shlex

import pandas as pd

from diag.outputs.sections import footer, warning_words
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
from diag.outputs.words import hundredths, named, number, span
from diag.sourcing.result import SourcesCompared
from diag.sourcing.suits import TOLD
from diag.sourcing.verdict import NOT_APART
from diag.wording import short_names
from probes import Measure
from reports import Figure, Key, Page, Section, sources
from trainers.safe_text import plain


def page(result: SourcesCompared) -> Page:
    """The whole page."""
    facts = [] if result.target is None else [("target", named(result.target))]
    facts += [(f"source {number + 1}", named(one)) for number, one in enumerate(result.sources)]
    facts += [("shown", shown_in_words(result)), ("seed", str(result.seed))]
    sections = [_chart(result), _order(result)]
    sections.append(_likeness(result) if result.likeness else _suits(result))
    sections += [*_remains(result), *_heard(result), *_between(result)]
    if result.warnings:
        sections.append(Section("Warnings", warning_words(result.warnings)))
    sections.append(_next(result))
    verdict = result.verdict
    of = plain(result.task) if result.target is None else short_names([result.target.path])[0]
    title = f"sources for {of}" if result.target is None else f"sources of {of}"
    return Page(
        title, verdict.status, verdict.summary, facts, sections, footer(), kind="sources", keys=_keys(result)
    )


def _keys(result: SourcesCompared) -> list[Key]:
    named_ = NOT_APART if result.named is None else plain(result.names[result.named])
    keys = [Key("the source that is named", named_)]
    apart = [one for one in result.rankings if one.apart]
    keys.append(Key("measures that name a source", str(len(apart)), f"of {len(result.rankings)}"))
    agreeing = {one.best for one in apart}
    if len(agreeing) > 1:
        keys.append(Key("sources that some measure names", str(len(agreeing)), f"of {len(result.sources)}"))
    return keys


def _points(result: SourcesCompared) -> list[tuple[str, str, int, Measure]]:
    """(panel, title of the axis, source, measure) of what is drawn."""
    found = [(one.component, "CKA without bias", one.source, one.cka) for one in result.likeness]
    for term in terms(result) if result.suits else []:
        found += [(f"{term} loss", "loss", one.source, one.losses[term]) for one in result.suits]
    found += [(TOLD, "held-out R²", one.source, one.told) for one in result.suits]
    return found


def _chart(result: SourcesCompared) -> Section:
    firsts = {
        (f"{one.what} loss" if one.measure == "loss" else one.what): one.best
        for one in result.rankings
        if one.apart
    }
    rows = []
    for panel, title, source, measure in _points(result):
        if measure.value is None:
            continue
        ends = [measure.value if end is None else end for end in (measure.low, measure.high)]
        name = plain(result.names[source])
        told = f"{name}, {panel}: {loss_in_words(measure)}"
        rows.append([panel, title, name, measure.value, *ends, told, firsts.get(panel) == source])
    columns = ["panel", "title", "name", "value", "low", "high", "told", "first"]
    frame = pd.DataFrame(rows, columns=columns)
    figure = None
    if len(frame):
        words = "Each source by each measure with its interval; a diamond marks one that is told apart."
        figure = Figure(sources.beside(frame), words)
    asked = (
        "Which source does the target resemble, on the same histories of its own task?"
        if result.question == "resembles"
        else "Which source's world model fits the task before it was trained on it?"
    )
    return Section("The sources side by side", [asked], figure, notes=[_reading(result)], short="Sources")


def _reading(result: SourcesCompared) -> str:
    return READ if result.likeness else SUITS


def _order(result: SourcesCompared) -> Section:
    table = pd.DataFrame(order_in_words(result), columns=["by", "who leads"])
    return Section("What tells them apart", [LEADS], None, table, short="Order")


def _likeness(result: SourcesCompared) -> Section:
    table = pd.DataFrame(
        [
            {
                "component": one.component,
                "source": plain(result.names[one.source]),
                "relation": one.relation or "open",
                "R² as it is": hundredths(one.as_it_is.value),
                "linear": hundredths(one.linear.value),
                "CKA": f"{hundredths(one.cka.value)} {span(one.cka)}".strip(),
            }
            for one in result.likeness
        ]
    )
    return Section("Component by component", [READ], None, table, short="Components")


def _suits(result: SourcesCompared) -> Section:
    table = pd.DataFrame(
        [
            {
                "source": plain(result.names[one.source]),
                **{term: loss_in_words(one.losses[term]) for term in terms(result)},
                "R² of rewards": r2_in_words(one.told),
            }
            for one in result.suits
        ]
    )
    return Section("Losses as they stand", [SUITS], None, table, short="Losses")


def _remains(result: SourcesCompared) -> list[Section]:
    if not result.remains:
        return []
    table = pd.DataFrame(
        [
            {
                "component": one.component,
                "source": plain(result.names[one.source]),
                "update": f"{step:,}",
                "remains": f"{number(fraction.value, 3)} {span(fraction, 3)}".strip(),
                "explains": f"{share.value or 0:.1%}",
            }
            for one in result.remains
            for step, fraction, share in zip(one.steps, one.fractions, one.shares, strict=True)
        ]
    )
    figure = Figure(
        sources.remaining(_along(result)),
        "What remains of each source's fraction along the training, with its 95% interval.",
    )
    return [
        Section("What remains of each fraction", [REMAINS], figure, table, folded=True, short="Fractions")
    ]


def _along(result: SourcesCompared) -> pd.DataFrame:
    """Rows of the chart of what remains."""
    found = []
    for one in result.remains:
        name = plain(result.names[one.source])
        for step, fraction in zip(one.steps, one.fractions, strict=True):
            if fraction.value is None:
                continue
            ends = [fraction.value if end is None else end for end in (fraction.low, fraction.high)]
            words = f"{name}, update {step:,}: {number(fraction.value, 3)} {span(fraction, 3)}".strip()
            found.append([one.component, name, step, fraction.value, *ends, words])
    return pd.DataFrame(found, columns=["panel", "name", "update", "value", "low", "high", "told"])


def _heard(result: SourcesCompared) -> list[Section]:
    if not result.heard:
        return []
    table = pd.DataFrame(
        [
            {"source": plain(name), "heard": f"{hundredths(one.value)} {span(one)}".strip()}
            for name, one in zip(result.names, result.heard, strict=True)
        ]
    )
    return [Section("What the meta-model hears", [HEARD], None, table, short="Heard")]


def _between(result: SourcesCompared) -> list[Section]:
    table = pd.DataFrame(
        [
            {
                "sources": f"{plain(result.names[one.one])} and {plain(result.names[one.other])}",
                "CKA": f"{hundredths(one.cka.value)} {span(one.cka)}".strip(),
            }
            for one in result.between
        ]
    )
    words = "CKA of the sources' own latent spaces on these histories: close ones are hard to tell apart."
    return [Section("The sources among themselves", [words], None, table, folded=True, short="Between")]


def _next(result: SourcesCompared) -> Section:
    """What a reader may do after this."""
    files = [one.path for one in result.sources]
    if result.target is not None:
        place = result.named if result.named is not None else 0
        words = "A comparison with one source says by which map the target's latent space follows from its."
        commands = [f"diag compare-embeddings {shlex.join([files[place], result.target.path])}"]
    else:
        words = (
            "Where the sources are not told apart, nothing here speaks against taking all of them: that is "
            "the paper's own advice."
        )
        target = f"--set tasks.target={shlex.quote(result.task)}"
        commands = [f"diag transfer {shlex.join(files)} --plan fractional {target} --out transfers"]
    return Section("What to do next", [words], commands=commands, short="Next")
