"""Which of the sanity checks of Räisä, van Breugel & van der Schaar (2025) do measures of a generator pass.

Fifteen checks, two desiderata each: thirty rows. The distributions, grids and criteria are those of the authors; the
code is ours, and so are the ten centres of "modes dropped, then invented" and the thinning of the grids (``--points``).
A check in several dimensions passes a row only if every one of them does.

``python benchmarks/sanity_checks.py --points 9 --repeats 2`` appends to a file of results, and can be interrupted and
called again; ``--oracle`` puts the exact density ratio in the place of an estimated one.
"""

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sanity_criteria import Check, Criterion, Outcome, Series, bell_rows, by_kind, ends, first, last, low_or_high
from sanity_laws import (
    Floats,
    N,
    Pair,
    ball,
    box,
    gaussian,
    mixture,
    numbers,
    sphere,
    torus,
    with_heavy_tail,
    with_outlier,
)

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.metrics import prdc

SEED = 2025
PROVENANCE = (
    "distributions, grids and criteria of Räisä et al. (2025) and of the programs they published; the code, the ten "
    'centres of "modes dropped, then invented" and the thinned grids are ours. Our settings: the defaults, τ = 0.1. '
    '"upper" is certified at 95%. "low" and "high" are both passes, by the authors\' two readings of diversity. '
    "Best published: 13 of 30 for diversity, 18 of 30 for fidelity."
)
OURS = ("coverage", "fidelity", "overlap", "upper coverage", "upper fidelity", "upper overlap")
PEERS = ("precision", "recall", "density", "coverage (prdc)")
BOTH = ("overlap", "upper overlap")  # one number for both
FIDELITY = ("fidelity", "upper fidelity", "precision", "density", *BOTH)
DIVERSITY = ("coverage", "upper coverage", "recall", "coverage (prdc)", *BOTH)


DIMENSIONS = (1, 8, 64)
MEANS = {1: 6.0, 8: 3.0, 64: 1.0}
SPREADS = {1: 1 / 6, 8: 1 / 3, 64: 1.0}
LOG_SPREADS = {1: 3.0, 8: 1.0, 64: 0.5}
TEN = np.linspace(0, 10, 10)
# ours: ten centres at random, at least three units apart, in the plane
CENTRES = 10 * np.random.default_rng(5).standard_normal((10, 2))
SIZES = np.geomspace(100, 10_000, 20).astype(int)
OVERLAP = 0.2


def means(case: Any) -> Floats:
    """Means of the fakes in every coordinate."""
    return np.linspace(-MEANS[case], MEANS[case], 51)


def outlier_pair(case: tuple[str, int], mean: float) -> Pair:
    """An outlier on one side, where the farthest mean is."""
    side, d = case
    place = np.full(d, MEANS[d])
    real, fake = gaussian(d), gaussian(d, mean)
    return Pair(with_outlier(real, place), fake) if side == "real" else Pair(real, with_outlier(fake, place))


def modes_pair(d: int, weights: Any) -> Pair:
    """Ten modes on the diagonal; the fakes have other weights."""
    centres = np.tile(TEN[:, None], (1, d))
    return Pair(mixture(centres, SPREADS[d]), mixture(centres, SPREADS[d], weights))


def boxes_pair(d: int, n: int, m: int, anew: bool) -> Pair:
    """Two cubes that share a fifth of their volume."""
    return Pair(box(d, 0.0), box(d, 1 - OVERLAP ** (1 / d)), n, m, anew)


def torus_pair(case: str, m: int) -> Pair:
    """A ball and a ring around it."""
    inner, outer = ball(0.8), torus(0.1)
    return Pair(inner, outer, m=m) if case == "real ball" else Pair(outer, inner, m=m)


def two_modes_pair(d: int, mu: float) -> Pair:
    """Two modes, and one Gaussian with the same spread in every coordinate."""
    centres = np.array([[-mu / 2], [mu / 2]]) * np.ones((2, d))
    return Pair(mixture(centres, 1.0), gaussian(d, 0, np.sqrt(1 + mu**2)), anew=True)


def scaled_pair(_: Any, scale: float) -> Pair:
    """Apart in the first coordinate; the second is in any unit."""
    return Pair(mixture([[0, 0]], [1, scale]), mixture([[6, 0]], [1, scale]), anew=True)


def heavy_pair(_: Any, mean: float) -> Pair:
    """A mean that moves, beside a coordinate with a heavy tail."""
    return Pair(with_heavy_tail(gaussian(1)), with_heavy_tail(gaussian(1, mean)))


def one_of_many_pair(_: Any, extra: int) -> Pair:
    """Apart in one coordinate, the same in all others."""
    centre = np.zeros((1, extra + 1))
    centre[0, 0] = 6
    return Pair(gaussian(extra + 1), mixture(centre, 1.0), anew=True)


def numbers_pair(case: str, scale: float) -> Pair:
    """Rounded numbers against exact ones."""
    return Pair(numbers(scale, case == "real rounded"), numbers(scale, case != "real rounded"), anew=True)


def numbers_bounds(real_rounded: bool) -> tuple[Criterion, ...]:
    """What is due for rounded numbers: exact ones are no good copies of them, but the other way round they are."""
    fidelity: Criterion = (lambda s: ends(s)) if real_rounded else (lambda s: first(1)(s) and last(1)(s))
    diversity = (lambda s: s.wide(s.x[0]), lambda s: s.wide(s.x[-1])) if real_rounded else (ends,)
    return tuple(by_kind(fidelity, ask) for ask in diversity)


KEPT = by_kind(last(1), None)  # modes that are made are made well, however many are lost
CHECKS = (
    Check("Gaussian, mean", DIMENSIONS, means, lambda d, x: Pair(gaussian(d), gaussian(d, x)), bell_rows(0.0)),
    Check(
        "Gaussian, mean, an outlier",
        tuple((side, d) for side in ("real", "fake") for d in DIMENSIONS),
        lambda case: means(case[1]),
        outlier_pair,
        bell_rows(0.0),
    ),
    Check(
        "Gaussian, spread",
        DIMENSIONS,
        lambda d: np.linspace(-LOG_SPREADS[d], LOG_SPREADS[d], 51),
        lambda d, x: Pair(gaussian(d), gaussian(d, 0, 10**x)),
        {
            "bounds": (
                lambda s: s.near(0, 1),
                by_kind(first(1), first(0)),
                by_kind(last(0), lambda s: s.wide(s.x[-1])),
            ),
            "purpose": (by_kind(Series.falling, low_or_high(lambda s: s.bell(0), Series.rising)),),
        },
    ),
    Check(
        "modes dropped together",
        DIMENSIONS,
        lambda d: np.linspace(0, 1, 50),
        lambda d, x: modes_pair(d, [1, *np.full(9, 1 - x)]),
        {"bounds": (first(1), KEPT), "purpose": (by_kind(Series.flat, lambda s: s.dropped_by(0.95)),)},
        read_at=(47 / 49,),
    ),
    Check(
        "modes dropped one by one",
        DIMENSIONS,
        lambda d: np.arange(10.0),
        lambda d, x: modes_pair(d, np.arange(10) < 10 - x),
        {"bounds": (first(1), KEPT), "purpose": (by_kind(Series.flat, lambda s: s.dropped_by(0.5)),)},
    ),
    Check(
        "modes dropped, then invented",
        ("plane",),
        lambda _: np.arange(1.0, 11.0),
        lambda _, x: Pair(mixture(CENTRES[:5], 0.25), mixture(CENTRES[: int(x)], 0.25)),
        {
            "bounds": (lambda s: s.near(5, 1), by_kind(first(1), last(1))),
            "purpose": (by_kind(Series.falling, Series.rising),),
        },
    ),
    Check(
        "surface of a sphere",
        (2, 16, 128),
        lambda d: np.linspace(0.1, 1.9, 51),
        lambda d, x: Pair(sphere(d, 1.0), sphere(d, x)),
        bell_rows(1.0),
    ),
    Check(
        "cubes, both sizes",
        DIMENSIONS,
        lambda d: SIZES,
        lambda d, x: boxes_pair(d, int(x), int(x), True),
        {"data": (lambda s: s.flat(0.5),), "purpose": (last(OVERLAP),)},
    ),
    Check(
        "cubes, size of the fakes",
        DIMENSIONS,
        lambda d: SIZES,
        lambda d, x: boxes_pair(d, N, int(x), False),
        {"hyperparameters": (lambda s: s.flat(0.5),), "purpose": (last(OVERLAP),)},
    ),
    Check(
        "ball against torus",
        ("real ball", "real torus"),
        lambda _: SIZES,
        lambda case, x: torus_pair(case, int(x)),
        {"purpose": (lambda s: s.flat(0.5),), "bounds": (last(0),)},
    ),
    Check(
        "one mode for two",
        DIMENSIONS,
        lambda d: np.linspace(0, 5, 20),
        two_modes_pair,
        {"purpose": (by_kind(Series.falling, low_or_high(Series.falling, Series.flat)),), "bounds": (first(1),)},
    ),
    Check(
        "one coordinate scaled",
        ("plane",),
        lambda _: np.geomspace(1e-3, 1e3, 20),
        scaled_pair,
        {"invariance": (Series.flat,), "bounds": (ends,)},
    ),
    Check("Gaussian, mean, a heavy tail", ("plane",), lambda _: means(1), heavy_pair, bell_rows(0.0)),
    Check(
        "one coordinate of many",
        ("all",),
        lambda _: np.geomspace(1, 1000, 20).astype(int),
        one_of_many_pair,
        {"purpose": (Series.flat,), "bounds": (ends,)},
    ),
    Check(
        "rounded against exact numbers",
        ("real rounded", "real exact"),
        lambda _: np.geomspace(1, 1000, 20),
        numbers_pair,
        {"purpose": (Series.flat,), "bounds": ()},
    ),
)


def draw(number: int, case_number: int, point_number: int, pair: Pair, repeat: int) -> tuple[Floats, Floats]:
    """Reals and fakes; along a grid the reals stay, unless their law changes."""
    key = [SEED, repeat, number, case_number]
    real = pair.real.draw(pair.n, np.random.default_rng([*key, point_number + 1 if pair.anew else 0]))
    return real, pair.fake.draw(pair.m, np.random.default_rng([*key, point_number + 1, 1]))


def measured(real: Floats, fake: Floats, _: Pair) -> dict[str, float]:
    """Our numbers, estimated and certified, and prdc's."""
    result = audit_coverage(real, fake)
    estimated = [float(part.estimate) for part in (result.coverage, result.fidelity, result.overlap)]
    certified = [float(part.upper) for part in (result.coverage, result.fidelity, result.overlap)]
    theirs = prdc(real, fake)
    peers = [float(theirs[name]) for name in ("precision", "recall", "density", "coverage")]
    return dict(zip((*OURS, *PEERS), [*estimated, *certified, *peers], strict=True))


def oracle(real: Floats, fake: Floats, pair: Pair, taus: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)) -> dict[str, float]:
    """The definitions themselves, with the exact density ratio: hard P{ratio > τ} and soft E min(1, ratio/τ)."""
    found = {}
    with np.errstate(over="ignore", invalid="ignore"):
        # log p_θ/p_r on reals, log p_r/p_θ on fakes; where both densities are 0 (the outlier) the ratio is 1
        on_real = np.nan_to_num(
            pair.fake.log_density(real) - pair.real.log_density(real), posinf=np.inf, neginf=-np.inf
        )
        on_fake = np.nan_to_num(
            pair.real.log_density(fake) - pair.fake.log_density(fake), posinf=np.inf, neginf=-np.inf
        )
        for tau in taus:
            for kind, log_ratio in (("coverage", on_real), ("fidelity", on_fake)):
                found[f"hard {kind}, τ={tau}"] = float((log_ratio > np.log(tau)).mean())
                found[f"soft {kind}, τ={tau}"] = float(np.exp(np.minimum(0, log_ratio - np.log(tau))).mean())
    return found


def cells(points: int, repeats: int) -> Iterator[tuple[str, Pair, Floats, Floats]]:
    """Every measurement to be made: its key, and the samples."""
    for repeat in range(repeats):
        for number, check in enumerate(CHECKS):
            for case_number, case in enumerate(check.cases):
                for place in check.points(case, points):
                    pair = check.pair(case, check.grid(case)[place])
                    yield (
                        f"{number} {case_number} {place} {repeat}",
                        pair,
                        *draw(number, case_number, place, pair, repeat),
                    )


def collect(results: Path, points: int, repeats: int, exact: bool, share: tuple[int, int]) -> None:
    """Measure what the file of results does not hold yet; of every `share[1]` cells the `share[0]`-th."""
    done = {json.loads(line)["key"] for line in results.read_text().splitlines()} if results.exists() else set()
    with results.open("a", encoding="utf-8") as file:
        for turn, (key, pair, real, fake) in enumerate(cells(points, repeats)):
            if key in done or turn % share[1] != share[0]:
                continue
            began = time.process_time()
            values = (oracle if exact else measured)(real, fake, pair)
            file.write(json.dumps({"key": key, "cpu": time.process_time() - began, "values": values}) + "\n")
            file.flush()


def outcome(check: Check, criteria: dict[Any, tuple[Criterion, ...]], series: dict[Any, Series]) -> Outcome:
    """One row: every criterion in every case; "low" and "high" may not both occur."""
    found = [ask(series[case]) for case in check.cases for ask in criteria[case]]
    if not all(found) or {"low", "high"} <= set(found):
        return False
    return next((word for word in ("low", "high") if word in found), True)


def rows_of(check: Check) -> dict[str, dict[Any, tuple[Criterion, ...]]]:
    """Criteria of each row by case; only for rounded numbers do they differ between cases."""
    rows = {row: dict.fromkeys(check.cases, criteria) for row, criteria in check.rows.items()}
    if check.name.startswith("rounded"):
        rows["bounds"] = {case: numbers_bounds(case == "real rounded") for case in check.cases}
    return rows


def judge(results: Path) -> dict[tuple[str, str], dict[tuple[str, str], Outcome]]:
    """Rows by (check, desideratum); outcomes by (measure, kind)."""
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    found: dict[tuple[int, int, int], list[dict[str, float]]] = {}
    for line in lines:
        number, case, place, _ = map(int, line["key"].split())
        found.setdefault((number, case, place), []).append(line["values"])
    names = list(lines[0]["values"])
    table: dict[tuple[str, str], dict[tuple[str, str], Outcome]] = {}
    for number, check in enumerate(CHECKS):
        for row, criteria in rows_of(check).items():
            for name, fidelity in ((name, kind) for name in names for kind in (True, False) if is_kind(name, kind)):
                series = {}
                for case_number, case in enumerate(check.cases):
                    x = np.asarray(check.grid(case), float)
                    y = np.full(len(x), np.nan)
                    for place in range(len(x)):
                        if values := found.get((number, case_number, place)):
                            y[place] = np.mean([value[name] for value in values])
                    series[case] = Series(x, y, fidelity)
                told = outcome(check, criteria, series)
                table.setdefault((check.name, row), {})[name, "fidelity" if fidelity else "diversity"] = told
    return table


def is_kind(name: str, fidelity: bool) -> bool:
    """Whether a measure is asked as one of fidelity (or of diversity)."""
    known = FIDELITY if fidelity else DIVERSITY
    return name in known or ("fidelity" if fidelity else "coverage") in name.split(",")[0].split()


def markdown(results: Path, table: dict[tuple[str, str], dict[tuple[str, str], Outcome]]) -> str:
    """Two tables, and how many rows each measure passes."""
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    repeats = 1 + max(int(line["key"].split()[3]) for line in lines)
    points = max(Counter(tuple(line["key"].split()[i] for i in (0, 1, 3)) for line in lines).values())
    text = (
        f"{len(lines):,} measurements: up to {points} points of each grid, {repeats} repeats (authors: up to 51 and "
        f"10), {sum(line['cpu'] for line in lines):,.0f} CPU seconds.\n"
    )
    for kind in ("diversity", "fidelity"):
        names = [name for name, of in next(iter(table.values())) if of == kind]
        text += f"\n| {kind} | row | " + " | ".join(names) + " |\n" + "| --- " * (2 + len(names)) + "|\n"
        for (check, row), outcomes in table.items():
            marks = [{True: "pass", False: "–"}.get(outcomes[name, kind], outcomes[name, kind]) for name in names]
            text += f"| {check} | {row} | " + " | ".join(map(str, marks)) + " |\n"
        passed = [sum(bool(outcomes[name, kind]) for outcomes in table.values()) for name in names]
        text += f"| **passed of {len(table)}** | | " + " | ".join(f"**{count}**" for count in passed) + " |\n"
    return text


def main() -> None:
    """Measure, judge, and write the tables beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=51, help="of each grid; the authors' have up to 51")
    parser.add_argument("--repeats", type=int, default=10, help="the authors': 10")
    parser.add_argument("--results", type=Path, default=Path("sanity_checks.jsonl"))
    parser.add_argument("--oracle", action="store_true", help="the definitions with exact densities; to its own file")
    parser.add_argument("--share", default="0/1", help="this process's share of the measurements, such as 0/2")
    parser.add_argument("--only-judge", action="store_true")
    given = parser.parse_args()
    if not given.only_judge:
        share = tuple(map(int, given.share.split("/")))
        collect(given.results, given.points, given.repeats, given.oracle, (share[0], share[1]))
    text = (
        f"# Sanity checks{', with the exact density ratio' if given.oracle else ''}\n\n"
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, numpy {np.__version__}; {PROVENANCE}\n\n"
    )
    text += markdown(given.results, judge(given.results))
    Path(__file__).with_name(f"sanity_checks{'_oracle' if given.oracle else ''}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
