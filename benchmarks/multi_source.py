"""The second paper's tables 1, 2 and 4 to 8, with the numbers of our studies beside theirs.

    python -m benchmarks.multi_source runs/pendulum-returns [runs/bullet-sources …]

Reads folders of studies (finished or not) whose variants take agents of several tasks to one target, under
fractional plans, ``full-copy``, ``meta-model`` or from scratch. Of each target and number of sources it
prints the mean and standard deviation over seeds, with a 95% t interval of the mean: the return of episodes
met in training over all updates (tables 1, 4 and 6 to 8), and over the last tenth (tables 2 and 5). Where a
study trains on recorded rows there are no returns, and the mean loss of the reward on the way is told.

The paper's table 1 and 2 are of nine seeds and four sources, its others of three seeds. Its best numbers are
set in bold, whose 0, 1 and 2 our copy of the text has lost: they are a dot here. Where the worlds differ,
returns compare within ours and within theirs alone: our pendulums last 500 steps, PyBullet's 1,000.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from diag.studies.folder import Folder
from diag.studies.players import returns_in
from diag.studies.study import Variant

LATE = 0.9
"""Share of the updates after which the last tenth begins."""

COUNTS = (2, 3, 4)

PAPER_TASKS = ("HalfCheetah", "Hopper", "Walker2D", "InvPend", "InvDbPend", "Ant")

NAMES = {
    "cheetah": "HalfCheetah",
    "hopper": "Hopper",
    "walker": "Walker2D",
    "ant": "Ant",
    "inverted-pendulum": "InvPend",
    "inverted-double-pendulum": "InvDbPend",
    "cart-pole": "InvPend",
    "double-pole": "InvDbPend",
}
"""The paper's name of a target; of our own pendulums, that of the task most like it."""

OURS = ("cart-pole", "double-pole", "pendulum", "driven-pole")

FOUR = {
    1: """
HalfCheetah ·49·±44· ·88·±39· 1199±558
Hopper 343·±·654 4··5±34·4 2076±2417
Walker2D ·637±··47 847±·533 676±1101
InvPend 76·±68 7·5±79 667±121
InvDbPend ··35±·3· ··98±··· 1184±89
Ant 681±591 1147±922 1148±408
""",
    2: """
HalfCheetah ··34±3·· ·458±3·· 1733±606
Hopper 55·7±439· 7438±4·57 3275±3499
Walker2D ·75·±·7·· ·686±·3·9 1669±1862
InvPend 879±·7 872±20 875±23
InvDbPend ·48·±·6· 1370±106 1392±115
Ant 1453±591 1811±854 1901±480
""",
}
"""Tables 1 and 2: task, fractional transfer (λ = 0.2), meta-model, baseline; four sources, nine seeds."""

FEW = {
    4: """
HalfCheetah 1982±838 1967±862 2057±851 2078±721 1681±726
Hopper 1911±712 5538±4720 5085±4277 5019±4813 1340±1112
Walker2D 1009±1254 393±813 196±860 233±823 116±885
InvPend 874±121 884±20 731±332 740±333 723±364
InvDbPend 1209±280 1299±254 1214±230 1120±327 1194±306
Ant 1124±722 1052±687 1423±788 1366±687 1589±771
""",
    5: """
HalfCheetah 2820±297 2615±132 2618±362 2514±183 2264±160
Hopper 2535±712 8274±46490 8080±4704 10178±2241 2241±502
Walker2D 2214±1254 963±314 846±286 730±343 547±710
InvPend 874±121 884±20 885±14 884±13 883±17
InvDbPend 1438±116 1531±93 1348±171 1302±152 1366±179
Ant 2021±722 1899±292 2212±607 2064±386 2463±208
""",
}
"""Tables 4 and 5: task, fractional transfer of 2 and 3 tasks, meta-model, baseline; three seeds."""

FRACTIONS = {
    ("HalfCheetah", "Hopper"): """
0.0 1841±806 1752±783 1742±777 1917±960 1585±941 1263±1113
0.1 ···8±993 2074±762 1500±781 2041±887 654·±4469 3300±3342
0.2 1982±838 1967±862 1773±748 1911±712 5538±4720 1702±1078
0.3 1899±911 ··94±859 1544±771 ·67·±·789 4925±4695 334·±46·9
0.4 2008±943 2015±873 ··6·±789 2076±803 2437±2731 1451±991
0.5 1961±944 1647±896 1635±809 1975±772 2014±2328 3246±3828
Baseline 1681±726 1340±1112
""",
    ("Walker2D", "Ant"): """
0.0 546±776 545±···· 157±891 1070±659 923±559 897±586
0.1 360±803 441±852 478±···3 806±469 1022±645 834±652
0.2 ···9±··54 393±813 200±807 1124±722 1052±687 898±616
0.3 535±914 325±812 323±818 1162±824 1080±701 905±554
0.4 742±992 516±1074 354±862 1308±735 885±571 1022±709
0.5 352±853 355±903 396±829 951±651 932±609 683±498
Baseline 116±885 ·589±77·
""",
    ("InvPend", "InvDbPend"): """
0.0 847±135 779±259 838±·69 1255±270 1303±248 1208±322
0.1 857±145 834±198 803±239 1185±316 1283±272 1251±272
0.2 856±121 85·±·39 782±269 1209±280 1299±254 1235±284
0.3 87·±93 832±182 806±213 1279±216 1325±225 1239±259
0.4 858±150 789±285 790±237 ·3·7±··7 1323±243 ··78±·87
0.5 852±126 830±181 791±304 1301±216 ·34·±·3· 1206±278
Baseline 723±364 1194±306
""",
}
"""Tables 6 to 8: λ, the first task with 2, 3 and 4 sources, the second with as many; three seeds."""

SCRATCH = "from-scratch"


def published(task: str) -> dict[tuple[str, int, str], str]:
    """The paper's numbers for a task, {(plan, sources, "all" or "late"): mean ± sd}; from scratch has 0."""
    found: dict[tuple[str, int, str], str] = {}
    for (first, second), table in FRACTIONS.items():
        if task not in (first, second):
            continue
        low = 0 if task == first else len(COUNTS)
        for line in table.split("\n"):
            name, *cells = line.split() or [""]
            if name == "Baseline":
                found[SCRATCH, 0, "all"] = cells[0 if task == first else 1]
            elif name:
                for count, cell in zip(COUNTS, cells[low : low + len(COUNTS)], strict=True):
                    found[_fractional(float(name)), count, "all"] = cell
    for when, number in (("all", 4), ("late", 5)):
        for line in FEW[number].split("\n"):
            name, *cells = line.split() or [""]
            if name == task:
                keys = [
                    (_fractional(0.2), 2),
                    (_fractional(0.2), 3),
                    ("meta-model", 2),
                    ("meta-model", 3),
                    (SCRATCH, 0),
                ]
                found |= {(plan, count, when): cell for (plan, count), cell in zip(keys, cells, strict=True)}
    return found


def nine_seeds(task: str) -> dict[tuple[str, str], str]:
    """Tables 1 and 2: {(plan, "all" or "late"): mean ± sd} of four sources and nine seeds."""
    plans = (_fractional(0.2), "meta-model", SCRATCH)
    return {
        (plan, when): cell
        for when, number in (("all", 1), ("late", 2))
        for line in FOUR[number].split("\n")
        if line.split()[:1] == [task]
        for plan, cell in zip(plans, line.split()[1:], strict=True)
    }


def _fractional(fraction: float) -> str:
    return f"fractional-{fraction:g}"


@dataclass(frozen=True)
class Ours:
    """What the seeds of one target, number of sources and plan came to."""

    values: tuple[float, ...]

    def __str__(self) -> str:
        n = len(self.values)
        mean = float(np.mean(self.values))
        if n < 2:
            return f"{mean:.4g} ({n} seed)"
        sd = float(np.std(self.values, ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5
        return f"{mean:.4g}±{sd:.2g} [{mean - half:.4g}, {mean + half:.4g}]"


def measured(root: Path) -> tuple[str, dict[tuple[str, str, int, str], Ours]]:
    """What a study measured, in a word, and {(target, plan, sources, "all" or "late"): ours}.

    Sources are counted as the base's tasks, and are 0 from scratch.
    """
    folder = Folder(root)
    variants = {variant.name: variant for variant in folder.study().variants}
    results = folder.results()
    points, what = returns_in(root, results), "return"
    if points.empty:
        points, what = _reward_losses(folder.curves()), "reward loss"
    found: dict[tuple[str, str, int, str], list[float]] = {}
    mine = points[points["phase"] == "transfer"] if len(points) else points
    for (variant, plan, _base, _seed), rows in mine.groupby(["variant", "plan", "base_seed", "seed"]):
        target, count = _task_of(variants[str(variant)])
        for when, value in _means(rows):
            key = (target, str(plan), 0 if plan == SCRATCH else count, when)
            found.setdefault(key, []).append(value)
    return what, {key: Ours(tuple(values)) for key, values in found.items()}


def _task_of(variant: Variant) -> tuple[str, int]:
    tasks: Mapping[str, tuple[str, ...]] = variant.settings.model_dump()["tasks"]
    return ", ".join(tasks["target"]), len(tasks["source"])


def _reward_losses(curves: pd.DataFrame) -> pd.DataFrame:
    if curves.empty:
        return curves
    return curves[curves["term"] == "reward"].rename(columns={"update": "step", "loss": "score"})


def _means(rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Means over all points of a training, and over the last tenth of its updates."""
    known = rows[np.isfinite(rows["score"].astype(float))]
    for when, first in (("all", 0.0), ("late", LATE * float(rows["step"].max()))):
        late = known.loc[known["step"] >= first, "score"]
        if len(late):
            yield when, float(late.mean())


def laid_out(what: str, ours: Mapping[tuple[str, str, int, str], Ours]) -> Iterator[str]:
    """Lines of the tables, a target after the other."""
    for target in dict.fromkeys(key[0] for key in ours):
        name = NAMES.get(target)
        theirs = {} if name is None or what != "return" else published(name)
        for when, words in (("all", "over all"), ("late", "over the last tenth")):
            rows = {(plan, count) for t, plan, count, w in ours if (t, w) == (target, when)}
            if not rows:
                continue
            yield f"## {target}: {what} {words}"
            if theirs:
                yield f"beside the paper's {name}" + (" (another world: see above)" if target in OURS else "")
            yield ""
            yield "| plan | sources | ours: mean±sd [95%] | seeds | paper, 3 seeds | paper, 9 seeds |"
            yield "|---|---|---|---|---|---|"
            for plan, count in sorted(rows, key=lambda row: (row[0] == SCRATCH, *row)):
                found = ours[target, plan, count, when]
                paper = theirs.get((plan, count, when), "–")
                nine = nine_seeds(name).get((plan, when), "–") if theirs and name and count in (0, 4) else "–"
                yield f"| {plan} | {count or '–'} | {found} | {len(found.values)} | {paper} | {nine} |"
            yield ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.multi_source", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("studies", nargs="+", type=Path, metavar="DIR", help="folders of studies")
    for root in parser.parse_args(arguments).studies:
        what, ours = measured(root)
        if not ours:
            sys.stderr.write(f"{root}: no transfer is finished\n")
            return 2
        sys.stdout.write(f"# {root}\n\n" + "\n".join(laid_out(what, ours)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
