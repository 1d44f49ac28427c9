"""The demo's page: what the shipped checkpoints show, then what was trained on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import pandas as pd

from diag.commands.demo.measured import Shown, best_first
from diag.commands.demo.shipped import PICTURE
from diag.comparisons.result import Outcome
from diag.landscapes.result import Landscape
from diag.outputs import landscape_html
from diag.outputs.sections import embedding_chart, footer
from diag.outputs.sections import panels as picture_panels
from diag.outputs.words import number
from reports import Figure, Key, Page, Section, charts, render
from trainers.settings import Settings

ENDS: dict[Outcome | None, str] = {
    "landed": "landed",
    "near": "near the base, not settled",
    "mirrored": "mirrored",
    "collapsed": "collapsed",
    "elsewhere": "elsewhere",
    None: "cannot be told",
}
"""Words of panels and tables on how a transfer ended: those that look alike bear the same words."""


@dataclass(frozen=True)
class Trained:
    """A base and what became of its transfers on this machine."""

    base: str
    """The base's name in words."""
    base_loss: tuple[float, float]
    transfers: Sequence[Shown]
    settings: tuple[Settings, ...]
    """Settings of the transfers, one for each learning rate."""


@dataclass(frozen=True)
class Shipped:
    """The shipped checkpoints: their base's losses, the two transfers, an exact mirror image, the wall."""

    base_loss: tuple[float, float]
    transfers: Sequence[Shown]
    mirror: Shown
    wall: Landscape


def page(shipped: Shipped, trained: Sequence[Trained] = (), left_out: Sequence[str] = ()) -> str:
    """The page's text: of the shipped checkpoints alone, or with what was ``trained`` first.

    ``left_out`` says in sentences what was not made, and why.
    """
    sections = [
        section
        for number, one in enumerate(trained)
        for section in _trained(one, shipped.mirror, told=number == 0)
    ]
    sections += _shipped(shipped, bool(trained))
    sections += _wall(shipped.wall)
    if left_out:
        sections.append(Section("What was left out", list(left_out)))
    if trained:
        first = trained[0]
        title, verdict = f"One base, {len(first.transfers)} transfers", headline(first)
        phase = first.settings[0].transfer
        rates = " or ".join(map(_rate, first.settings))
        facts = [
            ("base", first.transfers[0].comparison.base.path),
            ("transfers", f"{len(first.transfers)}, trained on this machine"),
            ("training", f"{phase.updates:,} updates each, {phase.algorithm}, rate {rates}"),
        ]
        status = "fail" if any(t.comparison.verdict.status == "fail" for t in first.transfers) else "pass"
    else:
        title = "Two transfers of one base"
        verdict = (
            f"Both have small losses ({' and '.join(f'{t.loss:.3f}' for t in shipped.transfers)}), but only "
            "one landed where its base's frozen models can use it; the other is caught in a mirrored copy."
        )
        facts = [("checkpoints", "the three that come with transfer-diag")]
        status = "fail"
    keys = _keys(trained[0].transfers if trained else shipped.transfers)
    return render(Page(title, status, verdict, facts, sections, footer(), kind="demo", keys=keys))


def _keys(transfers: Sequence[Shown]) -> list[Key]:
    """How many transfers ended how."""
    ends = [ENDS.get(t.outcome, str(t.outcome)) for t in best_first(transfers)]
    return [Key(end, str(ends.count(end)), f"of {len(ends)}") for end in dict.fromkeys(ends)][:5]


def _rate(settings: Settings) -> str:
    """Words on the transfers' learning rate: where it begins and how it falls."""
    phase = settings.model_dump(mode="json")["transfer"]
    return f"{phase['learning_rate']:g} × {phase['decay']:g} every {phase['decay_every']:,}"


def headline(trained: Trained) -> str:
    """One sentence that counts how the transfers of a base ended.

    For instance: "Of 8 transfers of the shipped base, 4 landed and 4 are mirrored." Where they were
    trained at several learning rates, a sentence for each follows.
    """
    return f"{_counted(trained.transfers, f'transfers of {trained.base}')}{_by_rate(trained)}"


def _by_rate(trained: Trained) -> str:
    """Words on the transfers' ends at each learning rate, where there are several."""
    if len(trained.settings) < 2:
        return ""
    groups: dict[str, list[Shown]] = {}
    for one in trained.transfers:
        groups.setdefault(one.name.partition(" ")[0], []).append(one)
    return "".join(
        f" {_counted(own, f'that began at a {name} learning rate')}" for name, own in groups.items()
    )


def _counted(transfers: Sequence[Shown], what: str) -> str:
    """``Of 12 transfers, 6 landed and 6 are mirrored.``"""
    ends = [t.outcome for t in best_first(transfers)]
    words = {
        "landed": ("landed", "landed"),
        "near": ("lies near the base without having settled", "lie near the base without having settled"),
        "mirrored": ("is mirrored", "are mirrored"),
        "collapsed": ("collapsed", "collapsed"),
        "elsewhere": ("lies elsewhere", "lie elsewhere"),
        "free": ("lies elsewhere", "lie elsewhere"),
        None: ("cannot be told", "cannot be told"),
    }
    counts = {end: ends.count(end) for end in dict.fromkeys(ends)}
    parts = [f"{count} {words[end][count > 1]}" for end, count in counts.items()]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Of {len(ends)} {what}, {listed}."


def _trained(trained: Trained, mirror: Shown, told: bool) -> list[Section]:
    """The sections about a base's transfers; ``told`` says that the page's verdict counts them already."""
    results = best_first(trained.transfers)
    first = results[0].comparison
    return [
        Section(
            f"The embeddings: {trained.base} and its transfers",
            [] if told else [headline(trained)],
            Figure(
                _chart(results),
                "Small multiples: the base's embedding and that of each transfer.",
            ),
            notes=[PICTURE],
            short="Embeddings" if told else trained.base,
        ),
        Section(
            "Do the losses tell?",
            [_losses_in_words(trained)],
            table=table([*results, mirror], trained.base_loss),
            notes=READING,
            short="Losses",
        ),
        Section(
            "How many succeed",
            [
                f"A transfer counts as a success when at least {first.success_states} of the {first.states} "
                "states have their own base state as the nearest one. The count, as that number moves:"
            ],
            Figure(
                charts.success_margin(_margin(results)),
                "Steps: transfers that succeed against states required.",
            ),
            short="Successes",
        ),
    ]


def _losses_in_words(trained: Trained) -> str:
    """The losses of the two kinds of end side by side, where there are both."""
    total, transition = trained.base_loss
    means = {
        end: (mean([t.loss for t in own]), mean([t.transition_loss for t in own]))
        for end in ("landed", "mirrored")
        if (own := [t for t in trained.transfers if t.outcome == end])
    }
    if len(means) < 2:
        return f"The base's own total loss is {total:.3f}, its transition loss {transition:.4f}."
    (good, rest), (bad, left) = means["landed"], means["mirrored"]
    return (
        f"The mean total loss, which training lowers, is {good:.3f} of those that landed and {bad:.3f} of "
        f"the mirrored ones; the base's own is {total:.3f}. The transition loss alone is {rest:.4f} and "
        f"{left:.4f} (base {transition:.4f}): now that training has come to rest, it shows that something "
        "is left over. No loss says what that is, nor how to mend it."
    )


READING = (
    "In place: how many states have their own base state as the nearest one. Loss and transition: the total "
    "loss on a transfer's own task, and the part of it that the frozen transition model leaves.",
    "CKA, like every similarity score that no rotation changes, is 1.00 for an exact mirror image (last "
    "row but one): it cannot see a flip. It is lower for the mirrored transfers only because the frozen "
    "model bends them.",
    "R²: how much of the base's embedding the transfer's explains with no map at all. R² mirrored: the "
    "same with the best axes negated. The flip metric is the difference between the two: clearly above 0, "
    "together with a low R², it means a mirrored copy.",
    "Flipped: some axes are negated. Affine: stretched, sheared or displaced. Undecided: resampling the "
    "states names several relations, so that none is claimed. Near the base, not settled: in the base's "
    "space (R² of at least 0.8), but with states out of place; training on at a falling learning rate "
    "usually settles it.",
)


def table(results: Sequence[Shown], base_loss: tuple[float, float] | None) -> pd.DataFrame:
    """A row a transfer, and the base's own losses."""
    rows = [_row(t) for t in results]
    if base_loss is not None:
        rows.append(
            {
                "transfer": "the base itself",
                "loss": number(base_loss[0], 3),
                "transition": number(base_loss[1], 4),
            }
        )
    return pd.DataFrame(rows).fillna("–")


def _row(one: Shown) -> dict[str, str]:
    result = one.comparison
    r2 = {step.transform: step.r2.value for step in result.ladder}
    return {
        "transfer": one.name,
        "ended": ENDS.get(one.outcome, str(one.outcome)),
        "relation": result.relation or "undecided",
        "in place": "–" if result.own_states is None else f"{result.own_states} of {result.states}",
        "loss": number(one.loss, 3),
        "transition": number(one.transition_loss, 4),
        "CKA": number(result.measures["cka"].value),
        "R²": number(r2["identity"]),
        "R² mirrored": number(r2["signs"]),
        "flip": number(result.measures["flip"].value),
    }


def _margin(results: Sequence[Shown]) -> pd.DataFrame:
    states = results[0].comparison.states
    required = range(max(1, states - 10), states + 1)
    return pd.DataFrame(
        [
            {"required": n, "count": sum((t.comparison.own_states or 0) >= n for t in results)}
            for n in required
        ]
    )


def _shipped(shipped: Shipped, beside: bool) -> list[Section]:
    results = best_first(shipped.transfers)
    lead = (
        "Three checkpoints come with transfer-diag: the base, a transfer of it that landed and one that is "
        "mirrored, trained earlier with the paper's own algorithm."
    )
    notes = [PICTURE] if beside else [PICTURE, *READING]
    mirror = shipped.mirror
    return [
        Section(
            "The shipped checkpoints",
            [
                lead,
                "The last rows show why a mirrored transfer is bent: the base's own embedding, mirrored "
                f"exactly, would cost a transition loss of {mirror.transition_loss:.3f} under the frozen "
                f"models, where the base's is {shipped.base_loss[1]:.4f}. Training bends the mirror image "
                "until the loss is small again.",
            ],
            Figure(
                _chart(results),
                "Three panels: the base's embedding, and those of a landed and of a mirrored transfer.",
            ),
            table([*results, mirror], shipped.base_loss),
            notes,
            short="Shipped",
        )
    ]


def _wall(wall: Landscape) -> list[Section]:
    ends = (
        f"A is the mirrored transfer ({wall.base.path}), B the one that landed ({wall.transfer.path}). Both "
        "sit low, and the loss climbs on the straight line between them."
    )
    first, *rest = landscape_html.sections(wall)
    lead = replace(
        first,
        title="The wall between the two",
        words=[ends, wall.verdict.summary, *first.words],
        short="Wall",
    )
    return [lead, *rest]


def _chart(results: Sequence[Shown]) -> Any:
    """Small multiples of the base's embedding and of each transfer's."""
    first = results[0].comparison
    return embedding_chart(panels(results), first.dimensions[0], first.picture.colour)


def panels(results: Sequence[Shown]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and lines of the base's panel and of each transfer's."""
    points: list[pd.DataFrame] = []
    lines: list[pd.DataFrame] = []
    for one in results:
        name = f"{one.name.removesuffix('.safetensors')}: {ENDS.get(one.outcome, str(one.outcome))}"
        drawn, joined = picture_panels(one.comparison.picture, "base", name)
        keep = ["base", name] if not points else [name]
        points.append(drawn[drawn["panel"].isin(keep)])
        lines.append(joined[joined["panel"].isin(keep)])
    return pd.concat(points, ignore_index=True), pd.concat(lines, ignore_index=True)
