"""A checkpoint for a terminal: what it is, what it was made from, and its components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.lines import short
from diag.wording import plural
from trainers.plan import original
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.sources.description import Description

COMPONENTS = (Column("component", 12, "<"), Column("parameters", 12), Column("  widths", 0, "<"))


def render(description: Description, verbose: bool = False) -> str:
    """The whole text of ``diag show``."""
    path, role = named(description)
    lines = [*wrapped([f"{path}:", role], "", "  "), ""]
    for name, words in facts(description):
        lines += wrapped(words, f"  {name:9}  ", " " * 13)
    named_in = max(len(plain(part.name)) for part in description.components)
    columns = (Column("component", max(COMPONENTS[0].width, named_in), "<"), *COMPONENTS[1:])
    lines += ["", *table(columns, [component(*row) for row in components(description)])]
    if verbose:
        known = description.checkpoint.header.environment
        lines += ["", *(line for name, value in known.items() for line in wrapped(f"{name}: {value}"))]
        tree = settings(description.settings)
        lines += ["", *(line for name, value in tree for line in wrapped(f"{name} = {value}"))]
    return "\n".join(lines)


def named(description: Description) -> tuple[str, str]:
    """The file's path, and what kind of file it is."""
    header = description.checkpoint.header
    role = "base" if header.plan is None else f"transfer, plan {plain(header.plan['name'])}"
    return plain(description.checkpoint.path), f"{plain(header.system)} {role}"


def title(description: Description) -> str:
    """The file's path and kind, in one line."""
    return ": ".join(named(description))


def facts(description: Description) -> list[tuple[str, str]]:
    """Names and words: its world, how far it was trained, its parent, its hashes and its last losses."""
    checkpoint, header = description.checkpoint, description.checkpoint.header
    known = description.settings
    phase = known["train" if header.plan is None else "transfer"]
    frames = f" ({phase['frames']:,} frames)" if "frames" in phase else ""
    progress = f"{header.step:,} of {plural(description.updates, 'update')}{frames}"
    rows = [
        ("world", f"{known['world']}, {header.task} task (preset {plain(known['preset'])})"),
        ("step", ", ".join(filter(None, (progress, phase["algorithm"], f"seed {header.seed}")))),
    ]
    for number, base in enumerate(header.bases):
        rows.append(("" if number else "parent", short(plain(base["path"]))))
        rows.append(("", f"sha256 {base['sha256'][:16]}…"))
    rows += taken(description) + survived(description)
    rows.append(("sha256", f"{checkpoint.sha256[:16]}…, tensors {checkpoint.identity[:16]}…"))
    losses = header.metrics.get("losses", {})
    last = {t: v[-1] for t, v in losses.items() if v and v[-1] is not None}
    if last:
        rows.append(("losses", ", ".join(f"{plain(t)} {v:.4f}" for t, v in last.items())))
    if isinstance(mended := header.metrics.get("repair"), dict):
        how = mended.get("map") or "a search without pairs"
        rows.append(("mended", plain(f"by {how} and {_updates(mended.get('updates'))}")))
    return rows


TAKEN = {
    "copy": "copied",
    "freeze": "frozen",
    "permute": "shuffled",
    "reset": "fresh",
    "ensemble": "meta-model",
}
"""Words for what a plan did with a component."""


def taken(description: Description) -> list[tuple[str, str]]:
    """Names and words: what of which base the parameters began as, and the copies that an ensemble reads.

    A transfer that takes whole components of one base is told by its plan's name, and has none of these.
    """
    several = len(description.checkpoint.header.bases) > 1
    parts = [one for one in description.origins if one.action != "ensemble"]
    if not several and not description.ensembles and all("/" not in p for o in parts for p in o.parameters):
        return []
    rows = []
    for one in parts:
        what = f"{one.fraction:g} × base + fresh" if one.action == "fraction" else TAKEN[one.action]
        of = "" if one.base is None or not several else f" of base {one.base}"
        if one.base == "all":
            of = " of the mean of all bases"
        rows.append((f"{what}{of}", ", ".join(map(plain, one.parameters))))
    found = [
        ("" if number else "begun as", f"{words}: {which}") for number, (words, which) in enumerate(rows)
    ]
    copies = [f"{plain(copy)} (base {number})" for copy, number in description.ensembles.items()]
    if copies:
        readers = dict.fromkeys(original(copy) for copy in description.ensembles)
        found.append(("ensemble", f"{', '.join(map(plain, readers))} reads what {', '.join(copies)} say"))
    return found


def survived(description: Description) -> list[tuple[str, str]]:
    """Names and words: what training left of each fraction of a base."""
    if description.survival is None:
        return [("survives", "unknown: a base is not where it was, or is another file now")]
    rows = []
    for number, one in enumerate(description.survival):
        left = ", ".join(
            f"{remains:.3g} ({share:.0%}) at {step:,}"
            for step, remains, share in zip(one.steps, one.remains, one.shares, strict=True)
        )
        rows.append(("" if number else "survives", f"{plain(one.component)}: λ {left}"))
    if rows:
        rows.append(("", "(λ that remains, and the share of the parameters that λ × base explains)"))
    return rows


def _updates(count: object) -> str:
    return plural(count, "update") if isinstance(count, int) else f"{count} updates"


def components(description: Description) -> list[tuple[str, int, str, bool]]:
    """Each component's name, parameters and widths, and whether it was trained."""
    return [(part.name, part.parameters, part.shape, part.trained) for part in description.components]


def component(name: str, parameters: int, shape: str, trained: bool) -> tuple[str, str, str]:
    """One component in one line: its name, parameters and widths."""
    return plain(name), f"{parameters:,}", f"  {shape}{'' if trained else '  frozen'}"


def settings(tree: object, prefix: str = "") -> list[tuple[str, object]]:
    """A tree of settings as dotted names and values."""
    if not isinstance(tree, dict):
        return [(prefix, tree)]
    return [
        item
        for key, value in tree.items()
        for item in settings(value, f"{prefix}.{key}" if prefix else str(key))
    ]
