"""How often the probes are right, on pairs whose truth is known; printed as Markdown for docs/results.md.

    python benchmarks/calibration.py [relations] [alarms] [margins] [p-values] [coverage] [--quick] [--jobs 2]

Nothing here was used to choose a threshold: those rest on the maze's runs and on seeds from 1000 on.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from scipy import stats
from zoo import RELATIONS, SEPARATION, Array, population

import probes

LEVELS = (0.01, 0.05, 0.1)


def wide(d: int) -> int:
    """The rows that the aims are stated for."""
    return max(4 * d, 256)


def name_one(d: int, n: int, noise: float, bent: float, relation: str, seed: int) -> tuple[str, bool]:
    """The relation that comes out, and whether a flip's axes are the right ones."""
    truth = population(relation, d, seed, noise, bent)
    x, y = truth.sample(n, np.random.default_rng([seed, n, 7]))
    found = probes.relation(x, y)
    return found.relation or "inconclusive", found.relation != "flipped" or found.axes == truth.axes


def relations(pool: Map, quick: bool) -> None:
    print("### Which relation is named\n")
    print(f"Each true map explains at least {SEPARATION} of R² more than any smaller one.\n")
    print("| d | n | noise | bent | pairs | right | inconclusive | wrong | flips right | wrong were |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    cases: list[tuple[int, int, float, float, int]] = []
    for d, seeds in ((2, 60), (3, 60), (8, 60), (32, 40), (192, 12), (512, 5)):
        cases += [(d, wide(d), 0.1, 0.0, seeds), (d, wide(d), 0.1, 0.4, seeds)]
    cases += [(d, n, 0.1, bent, 60) for d, n in ((2, 31), (8, 64)) for bent in (0.0, 0.4)]
    cases += [(8, 256, noise, 0.0, 40) for noise in (0.03, 0.3, 0.5)]
    for d, n, noise, bent, seeds in cases:
        seeds = max(2, seeds // 10) if quick else seeds
        truths = [relation for relation in RELATIONS for _ in range(seeds)]
        answers = pool(partial(name_one, d, n, noise, bent), truths, [*range(seeds)] * len(RELATIONS))
        outcomes = [(truth, *answer) for truth, answer in zip(truths, answers, strict=True)]
        right = [name == truth and axes for truth, name, axes in outcomes]
        undecided = [name == "inconclusive" for _, name, _ in outcomes]
        flips = [r for r, truth in zip(right, truths, strict=True) if truth == "flipped"]
        wrong = Counter(
            f"{truth} as {name}" if name != truth else f"{truth}: axes"
            for (truth, name, _), r, u in zip(outcomes, right, undecided, strict=True)
            if not r and not u
        )
        words = ", ".join(f"{count} {what}" for what, count in wrong.most_common(3))
        shares = [np.mean(right), np.mean(undecided), np.mean(~(np.array(right) | np.array(undecided)))]
        columns = " | ".join([*(f"{share:.1%}" for share in shares), f"{np.mean(flips):.0%}", words])
        print(f"| {d} | {n} | {noise:g} | {bent:g} | {len(truths)} | {columns} |", flush=True)


def alarm(d: int, n: int, noise: float, rollout: float, seed: int) -> str:
    """The relation of a pair that is equal up to noise; of a rollout where ``rollout`` is its AR(1) ρ."""
    truth = population("matched", d, seed, noise)
    rng = np.random.default_rng([seed, n, 8])
    base = walk(n, d, rollout, rng) * truth.deviations if rollout else None
    x, y = truth.sample(n, rng, base)
    groups = probes.rollout_blocks(x, y) if rollout else None
    return probes.relation(x, y, groups=groups).relation or "inconclusive"


def alarms(pool: Map, quick: bool) -> None:
    print("\n### False alarms: pairs that are equal up to noise\n")
    print("| d | n | noise | AR(1) ρ | pairs | matched | inconclusive | called something else |")
    print("|---|---|---|---|---|---|---|---|")
    cases = [(d, wide(d), noise, 0.0) for d in (2, 8, 32) for noise in (0.1, 0.3, 0.5)]
    cases += [
        (192, 768, 0.1, 0.0),
        (2, 31, 0.1, 0.0),
        (2, 31, 0.3, 0.0),
        (8, 1024, 0.1, 0.9),
        (8, 1024, 0.1, 0.98),
    ]
    for d, n, noise, rho in cases:
        pairs = 10 if quick else 40 if d > 32 else 200
        found = Counter(pool(partial(alarm, d, n, noise, rho), range(pairs)))
        other = pairs - found["matched"] - found["inconclusive"]
        print(
            f"| {d} | {n} | {noise:g} | {rho:g} | {pairs} | {found['matched'] / pairs:.1%} "
            f"| {found['inconclusive'] / pairs:.1%} | {other / pairs:.1%} |",
            flush=True,
        )


def margin_one(k: int, wide_spread: float, seed: int) -> tuple[float, bool]:
    """A margin from k known-good transfers of one base, and whether the next good one is inside."""
    rng = np.random.default_rng([seed, k, 9])
    base = rng.normal(size=(256, 3))

    def good() -> Array:
        """A transfer that landed, but for a slight turn and scale of its own."""
        turn = np.linalg.qr(np.eye(3) + wide_spread * rng.normal(size=(3, 3)))[0]
        turn *= np.sign(np.diag(turn))
        return base @ turn * (1 + wide_spread * rng.normal()) + 0.1 * rng.normal(size=base.shape)

    gaps = [probes.relation(good(), base).gap for _ in range(k + 1)]
    known = [g for g in gaps if g is not None]
    margin = probes.equivalence_margin(known[:k])
    return margin, known[k] <= margin


def margins(pool: Map, quick: bool) -> None:
    print("\n### Margins from known-good transfers\n")
    print("256 rows of 3 dimensions, each transfer slightly turned and scaled, by about s.\n")
    print("| known-good | s | trials | median margin | the next good one is inside |")
    print("|---|---|---|---|---|")
    for k in (3, 5, 8):
        for spread in (0.05, 0.15):
            trials = 10 if quick else 100
            found = list(pool(partial(margin_one, k, spread), range(trials)))
            median, inside = np.median([m for m, _ in found]), np.mean([i for _, i in found])
            print(f"| {k} | {spread:g} | {trials} | {median:.3f} | {inside:.0%} |", flush=True)


def walk(n: int, d: int, rho: float, rng: np.random.Generator) -> Array:
    """An AR(1) rollout (n, d) of variance 1."""
    from scipy.signal import lfilter

    noise = np.sqrt(1 - rho**2) * rng.normal(size=(n + 500, d))
    return np.asarray(lfilter([1], [1, -rho], noise, axis=0))[500:]


def p_of(kind: str, d: int, n: int, rho: float, seed: int) -> float | None:
    """p of two unrelated embeddings."""
    rng = np.random.default_rng([seed, n, d, 10])
    measure, null = kind.split()
    if kind == "cka episodes":
        x, y = (np.concatenate([walk(n // 20, d, rho, rng) for _ in range(20)]) for _ in range(2))
        groups = np.arange(20).repeat(n // 20)
        return probes.independence(x, y, groups=groups, draws=199, seed=seed).p
    x, y = walk(n, d, rho, rng), walk(n, d, rho, rng)
    return probes.independence(x, y, measure=measure, null=null, draws=199, seed=seed).p  # type: ignore[arg-type]


def p_values(pool: Map, quick: bool) -> None:
    print("\n### p-values of unrelated embeddings\n")
    print("The share of pairs with p at or below a level should be that level.\n")
    print("| test | d | n | AR(1) ρ | pairs | undefined | ≤ 0.01 | ≤ 0.05 | ≤ 0.1 | uniform (KS p) |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    cases = [
        ("cka moments", 2, 31, 0.0),
        ("cka moments", 8, 256, 0.0),
        ("cka moments", 256, 300, 0.0),
        ("cca moments", 8, 256, 0.0),
        ("cka permutation", 8, 256, 0.0),
        ("cca permutation", 8, 256, 0.0),
        ("procrustes permutation", 8, 256, 0.0),
        ("cka moments", 3, 1024, 0.5),
        ("cka moments", 3, 1024, 0.9),
        *(("cka shift", 3, n, rho) for rho in (0.5, 0.9, 0.98) for n in (256, 1024, 4096)),
        ("cca shift", 3, 1024, 0.9),
        *(("cka episodes", 3, 1000, rho) for rho in (0.5, 0.9, 0.98)),
    ]
    for kind, d, n, rho in cases:
        pairs = 40 if quick else 1000
        found = list(pool(partial(p_of, kind, d, n, rho), range(pairs)))
        known = np.array([p for p in found if p is not None])
        shares = " | ".join("–" if len(known) < 20 else f"{(known <= level).mean():.3f}" for level in LEVELS)
        uniform = f"{stats.kstest(known, 'uniform').pvalue:.2f}" if len(known) >= 20 else "–"
        print(
            f"| {kind} | {d} | {n} | {rho:g} | {pairs} | {pairs - len(known)} | {shares} | {uniform} |",
            flush=True,
        )


def intervals_of(d: int, n: int, bent: float, seed: int) -> dict[str, tuple[float, float]]:
    """{measure: (low, high)} of one sample of a rotated, noisy population."""
    truth = population("rotated", d, 3, 0.5, bent)
    x, y = truth.sample(n, np.random.default_rng([seed, n, 11]))
    rungs = probes.ladder(x, y)
    distance = probes.l2(x, y)
    found = {f"R² {rung}": rungs[rung].r2 for rung in ("identity", "signs", "orthogonal", "affine")}
    found |= {"flip metric": rungs.difference("signs", "identity")}
    found |= {"L2": distance.mean, "L2 relative": distance.relative, "cosine": probes.cosine(x, y)}
    found |= {"CKA": probes.cka(x, y), "CKA debiased": probes.cka(x, y, debiased=True)}
    found |= {"CCA": probes.cca(x, y), "Procrustes": probes.procrustes(x, y)}
    found |= {"variance ratio": probes.collapse(x, y).variance_ratio}
    return {name: (m.low, m.high) for name, m in found.items() if m.low is not None and m.high is not None}


def truths(d: int, bent: float, sizes: Iterable[int]) -> dict[int, dict[str, float]]:
    """{n: {measure: what its interval should hold}}.

    The population's value, from 400,000 rows; for a fitted rung, the mean R² on fresh rows of maps that
    were fitted on n/2 rows, which is what held-out R² estimates.
    """
    pop = population("rotated", d, 3, 0.5, bent)
    x, y = pop.sample(400_000, np.random.default_rng(12))
    stream = probes.streamed(x, y)
    spread = np.square(y - y.mean(0)).sum()
    distance = stream.l2()
    values = {
        "R² identity": 1 - np.square(x - y).sum() / spread,
        "L2": distance.mean.value,
        "L2 relative": distance.relative.value,
        "cosine": float(((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)).mean()),
        "CKA": stream.cka().value,
        "CKA debiased": stream.cka().value,
        "CCA": stream.cca().value,
        "Procrustes": stream.procrustes().value,
        "variance ratio": stream.collapse().variance_ratio.value,
    }
    fresh_x, fresh_y = x[:20_000], y[:20_000]
    total = np.square(fresh_y - fresh_y.mean(0)).sum()
    found = {}
    for n in sizes:
        own: dict[str, float] = {k: float(v) for k, v in values.items() if v is not None}
        for rung in ("signs", "orthogonal", "affine"):
            scores = []
            for seed in range(200):
                part = pop.sample(n // 2, np.random.default_rng([seed, n, 13]))
                the_map = probes.fit(rung, *part)
                scores.append(1 - np.square(the_map(fresh_x) - fresh_y).sum() / total)
            own[f"R² {rung}"] = float(np.mean(scores))
        own["flip metric"] = own["R² signs"] - own["R² identity"]
        found[n] = own
    return found


def coverage(pool: Map, quick: bool) -> None:
    print("\n### Coverage of the 95% intervals\n")
    print("A rotated embedding with 50% noise; how many of the intervals hold the truth.\n")
    sizes = (16, 31, 64, 128, 256, 1024)
    print("| measure | d | bent | " + " | ".join(f"n = {n}" for n in sizes) + " |")
    print("|---|---|---|" + "---|" * len(sizes))
    for d, bent in ((2, 0.0), (2, 0.4), (8, 0.0)):
        true = truths(d, bent, sizes)
        trials = 20 if quick else 400
        found = {n: list(pool(partial(intervals_of, d, n, bent), range(trials))) for n in sizes}
        for name in true[sizes[0]]:
            cells = []
            for n in sizes:
                ends = [f[name] for f in found[n] if name in f]
                held = [low <= true[n][name] <= high for low, high in ends]
                cells.append(f"{np.mean(held):.1%}" if len(held) > trials / 2 else "–")
            print(f"| {name} | {d} | {bent:g} | " + " | ".join(cells) + " |", flush=True)


Map = Callable[..., Iterable[Any]]

PARTS: dict[str, Callable[[Map, bool], None]] = {
    "relations": relations,
    "alarms": alarms,
    "margins": margins,
    "p-values": p_values,
    "coverage": coverage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    with ProcessPoolExecutor(asked.jobs) as executor:
        for name in asked.parts or PARTS:
            began = time.monotonic()
            PARTS[name](partial(executor.map, chunksize=4), asked.quick)
            print(f"\n{time.monotonic() - began:.0f} s with {asked.jobs} processes.", flush=True)


if __name__ == "__main__":
    main()
