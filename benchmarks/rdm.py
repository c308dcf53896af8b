"""RDMs and their comparison: striate against rsatoolbox, interleaved in one run.

    python benchmarks/rdm.py [--repeats 5] [--quick]

Distances of 1000 stimuli, cross-validated distances over 8 runs with and without a noise matrix,
and 8 RDMs compared with 8 by every measure that both have. Each contender runs on one and on two
threads (rsatoolbox's comparisons by rank, which are scipy's loops, on one: they know no others), in
float64 and float32 where the peer keeps it; the ratio is that of the best medians of one type.
Fails if answers differ by more than rounding.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _rounds import best, busy, machine_line, median, rounds, table
from threadpoolctl import ThreadpoolController

from striate.solvers.crossnobis import crossnobis_distances
from striate.solvers.distances import (
    correlation_distances,
    squared_euclidean_distances,
    upper_triangle,
)
from striate.solvers.rank_similarity import kendall_tau_a, kendall_tau_b, rho_a, spearman
from striate.solvers.similarity import cosine, pearson
from striate.solvers.whitened import whitened_cosine, whitened_pearson

COMPARED: dict[str, tuple[str, Callable[..., Any]]] = {
    "cosine": ("cosine", cosine),
    "Pearson": ("corr", pearson),
    "Spearman": ("spearman", spearman),
    "rho-a": ("rho-a", rho_a),
    "Kendall's tau-a": ("tau-a", kendall_tau_a),
    "Kendall's tau-b": ("kendall", kendall_tau_b),
    "whitened cosine": ("cosine_cov", whitened_cosine),
    "whitened Pearson": ("corr_cov", whitened_pearson),
}
RANKED = ("Spearman", "rho-a", "Kendall's tau-a", "Kendall's tau-b")
ASKED = {"correlation distance": 15.0, "crossnobis": 10.0, "crossnobis, noise": 2.5}
"""How much faster at least; comparisons 10 times."""


def limited(run: Callable[[], Any], threads: int, pools: ThreadpoolController) -> Callable[[], Any]:
    def limited_run() -> Any:
        with pools.limit(limits=threads):
            return run()

    return limited_run


def distance_tasks(n: int, p: int, dtype: type) -> dict[str, tuple[Any, Any, float]]:
    """Task -> (striate's, rsatoolbox's, largest difference allowed), both as vectors of pairs."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    rng = np.random.default_rng(0)
    x: Any = (rng.standard_normal((n, p)) + rng.standard_normal(p)).astype(dtype)
    runs = rng.standard_normal((8, n // 5, p // 5)) + rng.standard_normal((n // 5, p // 5))
    runs = runs.astype(dtype)
    features = p // 5
    q = rng.standard_normal((features, 2 * features))
    noise: Any = (q @ q.T / features).astype(dtype)
    labels = {"stimulus": np.tile(np.arange(n // 5), 8), "run": np.repeat(np.arange(8), n // 5)}
    flat = Dataset(x)
    folds = Dataset(runs.reshape(-1, features), obs_descriptors=labels)

    def theirs(data: Any, size: float, method: str, **more: Any) -> Callable[[], Any]:
        # distances are divided by the number of features there
        calculate: Callable[..., Any] = calc_rdm
        return lambda: calculate(data, method, **more).dissimilarities[0] * size

    crossed = {"descriptor": "stimulus", "cv_descriptor": "run"}
    exact = dtype == np.float64
    return {
        "correlation distance": (
            lambda: correlation_distances(x, double=False),
            theirs(flat, 1, "correlation"),
            1e-10 if exact else 1e-5,
        ),
        "squared Euclidean": (
            lambda: squared_euclidean_distances(x, double=False),
            theirs(flat, p, "euclidean"),
            1e-9 if exact else 1e-1,
        ),
        "crossnobis": (
            lambda: crossnobis_distances(runs, double=False),
            theirs(folds, features, "crossnobis", **crossed),
            1e-10 if exact else 2e-2,
        ),
        "crossnobis, noise": (
            lambda: crossnobis_distances(runs, noise, double=False),
            theirs(folds, features, "crossnobis", noise=noise, **crossed),
            1e-10 if exact else 2e-2,
        ),
    }


def compare_tasks(n: int) -> dict[str, tuple[Any, Any, float]]:
    from rsatoolbox.rdm import RDMs, compare

    rng = np.random.default_rng(1)
    a = rng.random((8, n * (n - 1) // 2))
    b = 0.3 * a[::-1] + rng.random(a.shape)
    sets = RDMs(a), RDMs(b)

    def task(theirs: str, ours: Callable[..., Any]) -> tuple[Any, Any, float]:
        return lambda: ours(a, b), lambda: compare(*sets, method=theirs), 1e-10

    return {name: task(*pair) for name, pair in COMPARED.items()}


def measured(
    name: str, pair: tuple[Any, Any, float], repeats: int
) -> tuple[list[Any], bool, float]:
    """Return the line of a task, whether the answers agree, and the ratio."""
    ours, theirs, allowed = pair
    # imports, compilation and first calls are not the question
    for run in (ours,) if name in RANKED else (ours, theirs):
        run()
    pools = ThreadpoolController()  # to look for libraries takes milliseconds: once
    contenders = {
        f"{who}, {t}": limited(run, t, pools)
        for who, run in (("striate", ours), ("rsatoolbox", theirs))
        for t in ((1,) if run is theirs and name in RANKED else (1, 2))
    }
    answers: dict[str, Any] = {}
    times = rounds(contenders, repeats, answers)
    mine = [n for n in contenders if n.startswith("striate")]
    peers = [n for n in contenders if n not in mine]
    own = answers[mine[0]]
    own = upper_triangle(own) if own.shape[0] == own.shape[1] != 8 else own
    off = float(np.abs(own - answers[peers[0]]).max())
    m, p = best(times, mine), best(times, peers)
    ratio = median(times[p]) / median(times[m])
    line = [
        name,
        f"{1e3 * median(times[m]):.3g} ({m[-1]})",
        f"{1e3 * median(times[p]):.4g} ({p[-1]})",
        f"{ratio:.1f}",
        f"{busy(times[peers[0]]) / busy(times[mine[0]]):.1f}",
        f"{off:.0e}",
    ]
    return line, off <= allowed, ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a quarter of the stimuli")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    n, p = (250, 1250) if options.quick else (1000, 5000)
    tasks = {
        f"{name}, {dtype.__name__}": (pair, ASKED.get(name))
        for dtype in (np.float64, np.float32)
        for name, pair in distance_tasks(n, p, dtype).items()
    }
    tasks |= {name: (pair, 10.0) for name, pair in compare_tasks(n).items()}
    lines, wrong, slow = [], [], []
    for name, (pair, asked) in tasks.items():
        line, same, ratio = measured(name, pair, options.repeats)
        lines.append(line)
        wrong += [] if same else [name]
        slow += [f"{name} ({ratio:.1f}x of {asked:g}x)"] if asked and ratio < asked else []
    print(
        f"Distances of {n} stimuli x {p} features; crossnobis of {n // 5} stimuli x 8 runs x"
        f" {p // 5} features; 8 RDMs with 8, {n} stimuli.\n"
    )
    head = ["task", "striate ms (threads)", "rsatoolbox ms (threads)", "times as fast"]
    print(table([*head, "on one thread, processor time", "largest difference"], lines))
    print(
        f"\nMedians of {options.repeats} interleaved rounds, each at its best of 1 and 2 threads."
    )
    print(machine_line("scipy", "numba", "rsatoolbox"))
    if slow and not options.quick:
        print("Below what is asked: " + "; ".join(slow))
    if wrong:
        print("FAILED: answers differ for " + "; ".join(wrong))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
