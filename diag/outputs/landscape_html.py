"""A landscape as a page: the wall on the straight line, by term and by way, then seats, moves and planes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import numpy as np
import pandas as pd

from diag.landscapes.crossings import crossed
from diag.landscapes.heights import EQUAL
from diag.landscapes.result import (
    ROUTES,
    TOTAL,
    Gain,
    Height,
    Landscape,
    Moves,
    Returns,
    Route,
    TaskSlice,
)
from diag.landscapes.verdict import rises_most
from diag.outputs.drift_html import drift_sections
from diag.outputs.landscape_planes import plane_section
from diag.outputs.landscape_text import (
    WAYS,
    is_straight,
    missing_in_words,
    moves_in_words,
    returns_in_words,
    seat_in_words,
)
from diag.outputs.names import short_names
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named, number, span, three
from diag.wording import listed, plural
from probes import Floats, Measure
from reports import Drawing, Figure, Key, Page, Section, landscapes
from reports.pixels import Row, drawing


def page(result: Landscape) -> Page:
    """A landscape as a page."""
    facts = [
        ("A (t = 0)", named(result.base)),
        ("B (t = 1)", named(result.transfer)),
        ("between them", moves_in_words(result)),
        *(("held", words) for words in result.pinned),
        *(("computed", words) for words in result.notes),
        *(("left out", missing_in_words(part, why)) for part, why in result.missing.items()),
        ("seed", str(result.seed)),
    ]
    parts = sections(result)
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    parts.append(_next(result))
    title = " to ".join(short_names([result.base.path, result.transfer.path]))
    verdict = result.verdict
    return Page(
        title, verdict.status, verdict.summary, facts, parts, footer(), kind="landscape", keys=_keys(result)
    )


def sections(result: Landscape) -> list[Section]:
    """The sections that show a landscape, on its own page and on others."""
    parts = [_total(result), *_slices(result), *_ways(result)]
    parts += [_seats(result)] if result.seats else []
    parts += _moves(result) + _returns(result) + _episode(result) + _conflict(result)
    parts += drift_sections(result.drift, "A")
    return parts + [plane_section(plane, result.task) for plane in result.planes]


def _tasks(result: Landscape) -> dict[str, TaskSlice]:
    """The tasks, the headline's first: they keep their colours on the whole page."""
    return {result.task: result.tasks[result.task], **result.tasks}


def _keys(result: Landscape) -> list[Key]:
    """The height that the verdict rests on, the losses at both ends, the lowest other way, the distance."""
    raw, escape = result.routes["raw"], result.barrier["escape"]
    keys = [Key(f"escape height, {result.task} task", number(escape.value), _interval(escape, 2))]
    keys += [Key(f"total loss at {name}", three(value)) for name, (_, value) in _ends(raw).items()]
    curve = result.routes.get("curve")
    if curve is not None:
        height = curve.barrier["escape"]
        keys.append(Key("height left on a curve", number(height.value), _interval(height, 2)))
    return [*keys, Key("distance from A to B", f"{result.distance:.3g}", "L2")]


def _next(result: Landscape) -> Section:
    """What a reader may do after this landscape, with commands where A and B are files."""
    a, b = result.base.path, result.transfer.path
    files = shlex.join([a, b])
    words, commands = [], []
    if result.verdict.status == "inconclusive":
        words.append("More samples narrow the intervals, which leave the verdict open.")
        commands.append(f"diag landscape {files} --samples {4 * result.samples}")
    elif result.verdict.status == "warn" and "curve" not in result.routes:
        words.append("Without --quick a curve is sought that leads round the wall.")
        commands.append(f"diag landscape {files} --html landscape.html")
    elif result.verdict.status == "warn":
        words.append("A comparison says how the two embeddings lie to each other, and whether a map mends A.")
    else:
        words.append("No wall holds A back, so that a comparison says what sets the two apart.")
    if not result.planes and result.verdict.status == "warn":
        words.append("A plane shows the losses around from above.")
        commands.append(f"diag landscape {files} --random-plane --html plane.html")
    commands.append(f"diag compare-embeddings {files}")
    takes = result.base.opens_alone and result.transfer.opens_alone
    return Section("What to do next", [" ".join(words)], commands=commands if takes else [], short="Next")


def _ends(route: Route) -> dict[str, tuple[float, float]]:
    """{A, B: (t, total loss)} of a way."""
    places = {name: int(abs(route.t - t).argmin()) for name, t in (("A", 0.0), ("B", 1.0))}
    return {n: (float(route.t[at]), float(route.losses[TOTAL][at])) for n, at in places.items()}


def _total(result: Landscape) -> Section:
    """The total loss on each task, with its heights where they are."""
    rows, ends, rises, titles = [], [], {}, {}
    for name, task in _tasks(result).items():
        raw = task.raw
        rows += [
            {"task": name, "t": t, "value": v, "low": low, "high": high}
            for t, v, low, high in zip(raw.t, raw.losses[TOTAL], raw.low[TOTAL], raw.high[TOTAL], strict=True)
        ]
        ends += [{"task": name, "t": t, "value": v, "name": end} for end, (t, v) in _ends(raw).items()]
        rises[name] = _rises(raw)
        titles[name] = f"Data of the {name} task"
    frame = _finite(pd.DataFrame(rows), ["value"])
    words = [_heights_words(task) for task in _tasks(result).values()]
    table = pd.DataFrame(
        [
            {
                "task": name,
                "height": HEIGHTS[kind],
                "value": number(height.value, 4),
                "95% interval": _interval(height),
                "highest at t": number(height.at),
                "rises most": _most(task, height, result.weights),
            }
            for name, task in _tasks(result).items()
            for kind, height in task.raw.barrier.items()
        ]
    )
    notes = [
        f"The total loss is {_weighted(result)}, on {plural(result.samples, 'sample')} of each task, the "
        "same at every point. The bands are 95% bootstrap intervals over states.",
        "Each height is that of the highest point between A and B: the escape height above A, Frankle's "
        "barrier above the mean of A and B, Entezari's barrier above the straight line between their losses "
        "(dashed). The highest of several noisy values is too high on average; the intervals are corrected "
        "for this, the values are not.",
        NO_PROOF,
    ]
    if frame.empty:
        return Section("Is there a wall?", words, table=table, notes=notes, short="Wall")
    figure = Figure(
        landscapes.totals(frame, rises, _finite(pd.DataFrame(ends), ["value"]), titles),
        "The total loss against t on each task, with its heights. " + " ".join(words),
    )
    return Section("Is there a wall?", words, figure, table, notes, folded=True, short="Wall")


HEIGHTS = {"escape": "escape height", "frankle": "Frankle's barrier", "entezari": "Entezari's barrier"}
"""The heights in words, as a chart and its table name them."""

NO_PROOF = (
    "A wall on one way does not prove that training is stuck, because training need not follow that way "
    "(arXiv 2106.16004). If no low curve was found, that does not prove that there is none."
)


def _heights_words(task: TaskSlice) -> str:
    """What the total loss does from A to B on one task, in a sentence or two."""
    raw, escape = task.raw, task.raw.barrier["escape"]
    (_, a), (_, b) = _ends(raw).values()
    start = f"On data of the {task.task} task the total loss is {three(a)} at A and {three(b)} at B"
    if escape.value is None or escape.at is None:
        return f"{start}; between them it is not finite everywhere."
    if escape.at == 0:
        return f"{start}, and never above A's between them."
    return (
        f"{start}; it climbs by {number(escape.value)} {_interval(escape, 2)}".rstrip()
        + f" above A, highest at t = {escape.at:.2f}."
    )


def _rises(route: Route) -> list[landscapes.Rise]:
    """The escape height, and Entezari's barrier where it is another, as they are drawn."""
    (a_t, a), (b_t, b) = _ends(route).values()
    found: list[landscapes.Rise] = []
    escape, others = route.barrier["escape"], route.barrier["entezari"]
    inside = route.losses[TOTAL][(route.t >= 0) & (route.t <= 1)]
    apart = ALIKE * float(np.ptp(inside)) if np.isfinite(inside).all() else np.inf
    for kind, height in (("escape", escape), ("entezari", others)):
        if not height.value or not height.at:
            continue
        if kind != "escape" and min(height.value, abs(height.value - (escape.value or 0.0))) <= apart:
            continue
        at = int(abs(route.t - height.at).argmin())
        t, top = float(route.t[at]), float(route.losses[TOTAL][at])
        level = ((a_t, a), (t, a)) if kind == "escape" else ((a_t, a), (b_t, b))
        foot = a if kind == "escape" else a + (b - a) * t
        clear = max(top, float(route.high[TOTAL][at]))
        if not np.isfinite([foot, top, clear]).all():
            continue
        words = f"{HEIGHTS[kind]} {number(height.value)}"
        if kind == "escape":  # its words stand above it, in two lines
            words = f"{HEIGHTS[kind]}\n{number(height.value)} {_interval(height, 2)}".rstrip()
        # Two brackets at one place would cover each other: the second stands a little aside.
        if found and abs(found[0].at - t) < APART:
            t = found[0].at + (APART if t <= 0.5 else -APART)
        found.append(landscapes.Rise(t, foot, top, clear, words, level, beside=kind != "escape"))
    return found


APART = 0.035
"""Distance in t at which two brackets can be told apart."""


ALIKE = 0.1
"""Share of the range of losses from A to B by which Entezari's barrier must exceed 0, and differ from the
escape height, to be drawn as well."""


def _weighted(result: Landscape) -> str:
    """The total as a sum of weighted terms."""
    return " + ".join(name if w == 1 else f"{w:g}·{name}" for name, w in result.weights.items())


def _ways(result: Landscape) -> list[Section]:
    """The walls on the other ways from A to B; none where only the straight line was taken."""
    others = [name for name in result.routes if name != "raw"]
    if not others:
        return []
    curves = pd.DataFrame(
        [
            {"name": WAYS[name], "t": t, "value": v, "low": low, "high": high}
            for name, route in result.routes.items()
            for t, v, low, high in zip(
                route.t, route.losses[TOTAL], route.low[TOTAL], route.high[TOTAL], strict=True
            )
            if 0 <= t <= 1 and not is_straight(result, name)
        ]
    )
    heights = {name: route.barrier["escape"] for name, route in result.routes.items()}
    peaks = pd.DataFrame(
        [
            {
                "t": height.at,
                "value": float(result.routes[name].losses[TOTAL][_place(result.routes[name], height.at)]),
                "told": f"{WAYS[name]}: {number(height.value, 4)} {_interval(height)}".rstrip(),
            }
            for name, height in heights.items()
            if height.at is not None and not is_straight(result, name)
        ],
        columns=["t", "value", "told"],
    )
    table = pd.DataFrame(
        [
            {
                "way": WAYS[name],
                "escape height": "B itself" if is_straight(result, name) else number(height.value, 4),
                "95% interval": _interval(height),
                "highest at t": number(height.at),
                "length": number(result.routes[name].length),
            }
            for name, height in heights.items()
        ]
    )
    known = {name: value for name in others if (value := heights[name].value) is not None}
    low = min(known, key=lambda name: (known[name], name), default=None)
    words = []
    if low is not None:
        told = f"{number(heights[low].value)} {_interval(heights[low], 2)}".rstrip()
        straight = f"{number(heights['raw'].value)} {_interval(heights['raw'], 2)}".rstrip()
        less = known[low] < (1 - EQUAL) * (heights["raw"].value or 0.0)
        words.append(
            f"The lowest of the other ways is \u201c{WAYS[low]}\u201d, with an escape height of {told}; on "
            f"the straight line between the weights it is {straight}."
            if less
            else f"No other way is lower than the straight line between the weights ({straight})."
        )
    notes = [
        "The escape height is how far the loss climbs above its value at A on that way. Triangles mark the "
        "highest points.",
        *(f"{_capital(WAYS[name])}: {ROUTES[name]}." for name in others),
        NO_PROOF,
    ]
    figure = Figure(
        landscapes.ways(_finite(curves, ["value"]), _finite(peaks, ["t", "value"])),
        "Total loss against t, a line for each way from A to B, with their highest points marked.",
    )
    return [
        Section(f"Other ways, on the {result.task} task", words, figure, table, notes, short="Other ways")
    ]


def _place(route: Route, at: float) -> int:
    return int(abs(route.t - at).argmin())


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _slices(result: Landscape) -> list[Section]:
    """Each term of the loss by itself; none where the total has one term of weight 1."""
    if len(result.weights) == 1 and set(result.weights.values()) == {1.0}:
        return []
    rows = [
        {"task": name, "term": _term(term, result.weights), "t": t, "value": v, "low": low, "high": high}
        for name, task in _tasks(result).items()
        for term in task.raw.losses
        if term != TOTAL
        for t, v, low, high in zip(
            task.raw.t, task.raw.losses[term], task.raw.low[term], task.raw.high[term], strict=True
        )
    ]
    frame = _finite(pd.DataFrame(rows), ["value"])
    if frame.empty:
        return []
    words = []
    for name, task in _tasks(result).items():
        height = task.raw.barrier["escape"]
        most = _most(task, height, result.weights)
        if most:
            words.append(
                f"On data of the {name} task, \u201c{most}\u201d rises most from A to the highest point "
                f"(t = {height.at:.2f})."
            )
    notes = [
        f"The total loss is {_weighted(result)}. Each panel has a scale of its own, and shows the term "
        "before it is weighted. The bands are 95% bootstrap intervals over states."
    ]
    figure = Figure(landscapes.slices(frame), "Each term of the loss against t, on each task.")
    return [Section("Which terms make it", words, figure, notes=notes, short="Terms")]


def _term(name: str, weights: Mapping[str, float]) -> str:
    weight = weights.get(name, 1.0)
    return name if weight == 1 else f"{name} (× {weight:g})"


def _most(task: TaskSlice, height: Height, weights: Mapping[str, float]) -> str:
    return "" if height.at is None or not height.value else rises_most(task.raw, weights, height.at)


def _seats(result: Landscape) -> Section:
    words = [f"{seat.name}: {seat.place.summary}" for seat in result.seats]
    notes = [
        "λ max and λ min are the largest and the smallest eigenvalue of the loss's Hessian, and the largest "
        "residual says how far they may be off, as a share of the larger one. The climb is the highest rise "
        "of the loss that was found within 1% of the parameters' length (L2 norm); in its scale-free form "
        "each parameter moves by about 1% of itself."
    ]
    numbers = {seat.name: seat_in_words(seat) for seat in result.seats}
    names = list(dict.fromkeys(name for words_of in numbers.values() for name in words_of))
    table = pd.DataFrame(
        [{"measure": name, **{s: numbers[s].get(name, "–") for s in numbers}} for name in names]
    )
    return Section(
        f"Where they sit, on the {result.task} task", words, table=table, notes=notes, short="Seats"
    )


def _moves(result: Landscape) -> list[Section]:
    rows, words = [], []
    notes = ["Variance and effective rank are those of all states' embeddings at each t."]
    for name, task in _tasks(result).items():
        if task.moves is None:
            continue
        moves = task.moves
        quantities = {"variance": moves.variance, "effective rank": moves.effective_rank}
        quantities |= {f"R² by {rung}": values for rung, values in moves.r2.items()}
        for quantity, values in quantities.items():
            rows += [
                {"quantity": quantity, "name": name, "t": t, "value": max(v, -1.0) if "R²" in quantity else v}
                for t, v in zip(moves.t, values, strict=True)
            ]
        words.append(_moved_words(name, moves))
        if moves.reference is not None and len(notes) == 1:
            notes.append(
                f"R² compares the embedding at each t with {moves.reference}, after the map that is named. "
                "Values below −1 are drawn at −1."
            )
    if not rows:
        return []
    chart = landscapes.small_lines(_finite(pd.DataFrame(rows), ["value"]), "data of the task")
    figure = Figure(chart, "Spread of the embedding, and R² to the reference's, against t.")
    return [Section("The embedding on the way", words, figure, notes=notes, short="Embedding")]


def _moved_words(name: str, moves: Moves) -> str:
    """Where the embedding's spread is least on the way, and how R² changes from A to B."""
    inside = (moves.t >= 0) & (moves.t <= 1)
    t, variance = moves.t[inside], moves.variance[inside]
    words = (
        f"On data of the {name} task the variance is {three(variance[0])} at A, {three(variance[-1])} at B"
    )
    if np.isfinite(variance).all() and 0 < (at := int(variance.argmin())) < len(t) - 1:
        words += f" and least at t = {t[at]:.2f} ({three(variance[at])})"
    if (r2 := moves.r2.get("identity")) is not None:
        words += f"; R² as it is goes from {number(r2[inside][0])} to {number(r2[inside][-1])}"
    return words + "."


def _returns(result: Landscape) -> list[Section]:
    rows, words = [], returns_in_words(result)
    for name, task in _tasks(result).items():
        returns = None if task.moves is None else task.moves.returns
        if returns is None:
            continue
        kinds: dict[str, Returns | Gain] = {"mean return": returns}
        kinds |= {"its difference to A's": returns.gain} if returns.gain is not None else {}
        rows += [
            {"quantity": kind, "name": name, "t": t, "value": v, "low": low, "high": high}
            for kind, some in kinds.items()
            for t, v, low, high in zip(returns.t, some.value, some.low, some.high, strict=True)
        ]
    if not rows:
        return []
    figure = Figure(
        landscapes.small_lines(_finite(pd.DataFrame(rows), ["value"]), "task"),
        "Mean return against t, with intervals.",
    )
    return [Section("Returns on the way", words, figure, short="Returns")]


def _episode(result: Landscape) -> list[Section]:
    episode = result.episode
    if episode is None:
        return []
    rows = [
        Row(
            f"{_capital(p.name)}, on the {p.task} task (mean {number(p.mean)}): {p.film.summary}",
            list(p.film.frames),
            p.film.captions,
        )
        for p in episode.players
    ]
    words = [
        f"All of them play the same episode, number {episode.number} of {episode.of}: the one in which all "
        "earn most nearly what they earn on average. Each plays it as its own task shows it. Dots show the "
        "way since the picture before."
    ]
    description = " ".join(f"{row.title}: {', '.join(row.captions)}." for row in rows)
    return [
        Section("An episode, played by each", words, Drawing(drawing(rows), description), short="Episode")
    ]


def _conflict(result: Landscape) -> list[Section]:
    """Which terms stand against the move, and which pull against each other; strongest first."""
    conflict = result.tasks[result.task].conflict
    if conflict is None:
        return []
    title = f"How the terms pull, on the {result.task} task"
    slopes = _strongest(conflict.slope, largest=True)
    against = [term for term, values in slopes.items() if values[0] > 0]
    words = [
        f"At A, {listed(against)} {'stands' if len(against) == 1 else 'stand'} against a step towards B."
        if against
        else "At A, no term stands against a step towards B."
    ]
    parts = []
    frame = _finite(_by_t(conflict.t, slopes), ["value"])
    if len(frame):
        signs = {"stands against moving on": landscapes.AGAINST, "pulls towards B": landscapes.FOR}
        chart = landscapes.signed(frame, _halves(frame), signs)
        notes = [
            "The slope is the derivative in t of each weighted term: where it is positive, moving on towards "
            "B raises the term. All panels have one scale."
        ]
        what = "The slope of each weighted term against t."
        parts.append(Section(title, words, Figure(chart, what), notes=notes, short="Slopes"))
    pairs = _strongest({f"{one} and {two}": v for (one, two), v in conflict.cosine.items()}, largest=False)
    frame = _finite(_by_t(conflict.t, pairs), ["value"])
    if len(frame):
        name, values = next(iter(pairs.items()))
        least = float(np.nanmin(values))
        told = f"The gradients of {name} pull against each other most, with a cosine of {number(least)}."
        if least >= 0:
            told = "No two terms' gradients pull against each other on the way."
        signs = {"pull the same way": landscapes.FOR, "pull against each other": landscapes.AGAINST}
        chart = landscapes.signed(frame, _halves(frame), signs, (-1.0, 1.0))
        what = "The cosine of the gradients of each pair of terms against t."
        notes = ["A cosine of 1 means that two terms ask for the same step, −1 that they ask for opposites."]
        parts.append(
            Section("Which terms disagree", [told], Figure(chart, what), notes=notes, short="Disagreement")
        )
    return parts


def _halves(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves (name, t, value) cut where they pass through 0, with what lies above it and what below."""
    parts = [pd.DataFrame(columns=["name", "t", "above", "below"])]
    for name, curve in curves.groupby("name", sort=False):
        t, values = crossed(curve["t"].to_numpy(float), curve["value"].to_numpy(float))
        above, below = values.clip(min=0), values.clip(max=0)
        parts.append(pd.DataFrame({"name": name, "t": t, "above": above, "below": below}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _by_t(t: Floats, curves: Mapping[str, Floats]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"name": name, "t": at, "value": value}
            for name, values in curves.items()
            for at, value in zip(t, values, strict=True)
        ],
        columns=["name", "t", "value"],
    )


def _strongest(curves: Mapping[str, Floats], largest: bool) -> dict[str, Floats]:
    """Curves by their greatest value or by their least, what has none at the end."""
    sign = -1.0 if largest else 1.0

    def order(name: str) -> float:
        known = curves[name][np.isfinite(curves[name])]
        return float((sign * known).min()) if len(known) else np.inf

    return {name: curves[name] for name in sorted(curves, key=order)}


def _interval(height: Height, digits: int = 4) -> str:
    """The interval; of a height that its digits can show, in as many, though an end may be smaller."""
    ends = height.low, height.high
    if height.value is not None and abs(height.value) >= 10.0**-digits:
        ends = tuple(None if end is None else round(end, digits) for end in ends)  # type: ignore[assignment]
    return span(Measure(height.value, *ends), digits)


def _finite(frame: pd.DataFrame, needed: list[str] | None = None) -> pd.DataFrame:
    """Rows without points that are not finite (the text counts them)."""
    return frame.replace([np.inf, -np.inf], np.nan).dropna(subset=needed or ["value"])
