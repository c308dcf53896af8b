"""Weights of an ensemble for one region: striate against SciPy's evolution on the rows themselves.

    python benchmarks/ensemble.py [--repeats 5] [--quick]

24 members predict 100 stimuli and 13,244 voxels; sought are the weights with the highest mean
correlation. The direct objective mixes the centred predictions for every candidate, in single
precision and at its better of one and all threads. Its whole search would take too long, so it is
the number of objectives of the same search times the time of one in a short search, which is run
in full with the same seed on both sides. Fails when the two take other ways, or the gradient ends
lower.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from _rounds import best, busy, machine_line, median, rounds, table
from scipy.optimize import differential_evolution, nnls
from threadpoolctl import threadpool_limits

from striate.solvers.blends import nonnegative
from striate.solvers.ensemble import correlations, member_grams
from striate.solvers.ensemble_search import correlation_weights, evolution, target_weights

MEMBERS, ROWS, VOXELS = 24, 100, 13_244
LONG = {"tol": 1e-4}
SHORT = {"maxiter": 8, "popsize": 3}
SOME = 200  # targets of the loop over scipy.optimize.nnls


def problem(voxels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions from fair to nearly noise, which share part of their noise, and truth."""
    rng = np.random.default_rng(seed)
    signal, common = (rng.standard_normal((ROWS, voxels), dtype=np.float32) for _ in range(2))
    p = np.empty((MEMBERS, ROWS, voxels), dtype=np.float32)
    for own in p:
        share, spread = rng.uniform(0.3, 0.6), rng.uniform(0.8, 1.5)
        own[:] = share * signal + 0.3 * common
        own += spread * rng.standard_normal((ROWS, voxels), dtype=np.float32)
    return p, signal + 2 * rng.standard_normal((ROWS, voxels), dtype=np.float32)


class Direct:
    """Minus the mean correlation of a mix, from all rows each time."""

    def __init__(self, p: np.ndarray, y: np.ndarray) -> None:
        self.p = (p - p.mean(axis=1, keepdims=True)).reshape(MEMBERS, -1)
        y = y - y.mean(axis=0)
        self.y = y / np.sqrt((y**2).sum(axis=0))

    def __call__(self, w: np.ndarray) -> float:
        mixed = (w.astype(np.float32) @ self.p).reshape(self.y.shape)
        product = np.einsum("rt,rt->t", mixed, self.y)
        power = np.einsum("rt,rt->t", mixed, mixed)
        return -float((product / np.sqrt(power)).mean(dtype=np.float64))


def limited(threads: int, run: Callable[[], Any]) -> Callable[[], Any]:
    def limited_run() -> Any:
        with threadpool_limits(threads):
            return run()

    return limited_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the voxels")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="the most to use")
    options = parser.parse_args()
    p, y = problem(VOXELS // 10 if options.quick else VOXELS)
    direct, bounds = Direct(p, y), [(0.0, 1.0)] * MEMBERS
    grams = member_grams(p, y)
    some = np.random.default_rng(1).uniform(0, 1, (10, MEMBERS))

    def short_direct() -> Any:
        rng = np.random.default_rng(0)
        return differential_evolution(
            direct, bounds, seed=rng, polish=False, updating="deferred", **SHORT
        )

    def evolved(threads: int, **settings: Any) -> Callable[[], Any]:
        return lambda: evolution(grams, threads=threads, **settings)

    def loop() -> None:
        for t in range(SOME):
            x = p[:, :, t].T.astype(np.float64)
            nnls(x - x.mean(axis=0), (y[:, t] - y[:, t].mean()).astype(np.float64))

    contenders: dict[str, Callable[[], Any]] = {}
    for t in sorted({1, options.threads}):
        on = f", {t} thread{'s' * (t > 1)}"
        contenders |= {
            f"short evolution, direct{on}": limited(t, short_direct),
            f"short evolution, striate{on}": evolved(t, **SHORT),
            f"Grams, striate{on}": lambda t=t: member_grams(p, y, threads=t),
            f"evolution, striate{on}": evolved(t, **LONG),
            f"gradient, 8 starts, striate{on}": lambda t=t: correlation_weights(grams, threads=t),
            f"each voxel's best weights, striate{on}": limited(t, lambda: target_weights(grams)),
            f"non-negative stack, striate{on}": lambda t=t: nonnegative(p, y, threads=t),
        }
    contenders["non-negative stack, loop over SciPy"] = loop
    answers: dict[str, Any] = {}
    times = rounds(contenders, options.repeats, answers)

    def least(what: str) -> str:
        return best(times, [n for n in times if n.startswith(what)])

    seconds = {n: median(times[n]) for n in times}
    seconds["non-negative stack, loop over SciPy"] *= y.shape[1] / SOME
    search = answers[least("evolution, striate")]
    slow = least("short evolution, direct")
    one = seconds[slow] / answers[slow].nfev
    whole = one * search.nfev
    setup = seconds[least("Grams")]
    print(
        f"{MEMBERS} members, {ROWS} stimuli, {y.shape[1]:,} voxels, float32; evolution of"
        f" {search.nfev:,} objectives, bounds 0 to 1, tolerance {LONG['tol']}\n"
    )
    lines = [[n, seconds[n], busy(times[n])] for n in times]
    lines.append(["evolution, direct (objectives × time of one)", whole, ""])
    print(table(["what", "median s", "least cpu s"], lines))

    climbed = answers[least("gradient")]
    top = float(correlations(grams, search.x).mean())
    ours = answers[least("short evolution, striate")].x
    theirs = answers[slow].x
    off = float(np.abs(ours - theirs).max())
    from_rows = np.array([-direct(w) for w in some])
    apart = float(np.abs(correlations(grams, some).mean(axis=1) - from_rows).max())
    evolving, climbing = seconds[least("evolution, striate")], seconds[least("gradient")]
    short = seconds[slow] / seconds[least("short evolution, striate")]
    stack = seconds["non-negative stack, loop over SciPy"] / seconds[least("non-negative stack, s")]
    print(
        f"\nEvolution: {whole / (evolving + setup):.0f}x the direct one with the Grams counted,"
        f" {whole / evolving:.0f}x without; the short one with the same seed, in full:"
        f" {short:.0f}x, largest difference of its weights {off:.0e}. Objectives differ by"
        f" {apart:.0e}.\nGradient: {evolving / climbing:.1f}x the evolution on Grams, mean"
        f" correlation {climbed.value:.9f} against {top:.9f}. Stack: {stack:.1f}x the"
        " loop over SciPy."
    )
    print(f"{machine_line('scipy')}; {options.repeats} rounds in turns")
    if off > 1e-6 or apart > 1e-6 or climbed.value < top - 1e-9:
        print("FAILED: the answers differ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
