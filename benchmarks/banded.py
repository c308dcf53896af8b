"""Banded ridge over three feature spaces: striate against himalaya, interleaved in one run.

    python benchmarks/banded.py [--repeats 5] [--threads 2] [--quick]

Everyone chooses weights of the bands and a penalty for every target over the same folds and refits
on all rows; the time is that of the whole. himalaya and the exhaustive search try the same draws
with the same penalties, and must agree. The other searches are compared by what they are for: the
variance that they explain of rows that nobody has seen.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from _rounds import best, busy, machine_line, median, rounds, table
from threadpoolctl import threadpool_limits

from striate.solvers.banded import band_draws, banded_ridge_cv

BANDS, WIDTH, ROWS, FOLDS = 3, 300, 1000, 5
ALPHAS = np.logspace(0, 5, 10)
BACKENDS = ("numpy", "torch")
AGREE = 0.98  # share of targets that must choose the same pair: near ties may fall either way
LOSS = 1e-4  # largest relative difference of held-out losses between exhaustive searches
SCORE = 5e-4  # what a score may be worse by


class Problem:
    """Targets that mix three spaces in all proportions, from nearly noise to 70 % signal."""

    def __init__(self, targets: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        rows = 2 * ROWS
        x = [rng.standard_normal((rows, WIDTH)) for _ in range(BANDS)]
        share = rng.dirichlet([0.5] * BANDS, targets).T
        scale = [np.sqrt(s / WIDTH) for s in share]
        y = sum(
            a @ (rng.standard_normal((WIDTH, targets)) * s) for a, s in zip(x, scale, strict=True)
        )
        signal = rng.uniform(0.05, 0.7, targets)
        y = y * np.sqrt(signal) + rng.standard_normal(y.shape) * np.sqrt(1 - signal)
        x = [(a - a[:ROWS].mean(axis=0)).astype(np.float32) for a in x]
        y = (y - y[:ROWS].mean(axis=0)).astype(np.float32)
        self.x, self.new = [a[:ROWS] for a in x], [a[ROWS:] for a in x]
        self.y, self.truth = y[:ROWS], y[ROWS:]
        self.folds = np.arange(ROWS) * FOLDS // ROWS

    def score(self, coefs: list[np.ndarray]) -> float:
        """Return the mean R^2 of new rows."""
        made = sum(a @ np.asarray(w) for a, w in zip(self.new, coefs, strict=True))
        error = ((self.truth - made) ** 2).sum(axis=0)
        return float((1 - error / (self.truth**2).sum(axis=0)).mean())


def ours(p: Problem, search: str, draws: Any, threads: int) -> tuple[Any, ...]:
    fit = banded_ridge_cv(p.x, p.y, ALPHAS, p.folds, draws=draws, search=search, threads=threads)
    return fit.gamma, fit.alpha, fit.loss.min(axis=0), list(fit.coefs)


def himalaya(
    p: Problem, kind: str, backend: str, draws: np.ndarray, threads: int, batch: int | None
) -> tuple[Any, ...]:
    """Return what `ours` does; all fit intercepts, which centred data leave at 0."""
    from himalaya.backend import set_backend

    set_backend(backend)
    torch.set_num_threads(threads)
    splits = [(np.flatnonzero(p.folds != f), np.flatnonzero(p.folds == f)) for f in range(FOLDS)]
    options: dict[str, Any] = {
        "n_iter": draws.astype(np.float32),
        "alphas": ALPHAS.astype(np.float32),
        "cv": splits,
        "progress_bar": False,
        "fit_intercept": True,
        "n_targets_batch": batch,
        "n_targets_batch_refit": batch,
    }
    with threadpool_limits(threads):
        if kind == "GroupRidgeCV":
            from himalaya.ridge import solve_group_ridge_random_search

            deltas, coef, scores, *_ = solve_group_ridge_random_search(
                p.x, p.y, return_weights=True, warn=False, **options
            )
            coef = np.asarray(coef)
            coefs = [coef[b * WIDTH : (b + 1) * WIDTH] for b in range(BANDS)]
        else:
            from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

            kernels = np.stack([a @ a.T for a in p.x])
            deltas, dual, scores, _ = solve_multiple_kernel_ridge_random_search(
                kernels, p.y, return_weights="dual", **options
            )
            weight = np.exp(np.asarray(deltas))
            coefs = [(a.T @ np.asarray(dual)) * w for a, w in zip(p.x, weight, strict=True)]
    ratio = np.exp(np.asarray(deltas, dtype=np.float64))
    alpha = 1 / ratio.sum(axis=0)
    return ratio * alpha, alpha, -np.asarray(scores).max(axis=0), coefs


def contenders(p: Problem, draws: np.ndarray, most: int, *, quick: bool) -> dict[str, Callable]:
    found: dict[str, Callable] = {}
    for threads in sorted({1, most}):
        told = f"{threads} thread{'s' * (threads > 1)}"
        for search in ("exhaustive", "halving", "guided"):
            found[f"striate {search}, {told}"] = partial(ours, p, search, draws, threads)
        for kind in ("GroupRidgeCV", "MultipleKernelRidgeCV"):
            for backend in BACKENDS:
                for batch in (None,) if quick else (None, 500, 1000):
                    name = f"himalaya {kind} {backend}, {told}, batch {batch}"
                    found[name] = partial(himalaya, p, kind, backend, draws, threads, batch)
    return found


def check(answers: dict[str, Any], p: Problem) -> tuple[list[str], dict[str, float]]:
    """Return what differs, and the score of everyone."""
    first = next(name for name in answers if "exhaustive" in name)
    gamma, alpha, loss, _ = answers[first]
    wrong, scores = [], {name: p.score(a[3]) for name, a in answers.items()}
    for name, (other, penalty, least, _) in answers.items():
        if "halving" in name or "guided" in name:
            if scores[name] < scores[first] - SCORE:
                wrong.append(f"{name} scores {scores[name]:.4f}, {first} {scores[first]:.4f}")
            continue
        same = np.isclose(penalty, alpha, rtol=1e-3) & np.isclose(other, gamma, atol=1e-3).all(0)
        off = float(np.abs(least / loss - 1).max())
        if same.mean() < AGREE or off > LOSS:
            wrong.append(f"{name}: {100 * same.mean():.1f} % choose the same, losses {off:.1e} off")
        if scores[first] < scores[name] - SCORE:
            wrong.append(f"{first} scores {scores[first]:.4f}, {name} {scores[name]:.4f}")
    return wrong, scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="few targets and draws, one batch size"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="the most to use")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    targets, count = (200, 8) if options.quick else (2000, 20)
    # GroupRidgeCV divides by weights: none may be 0
    p, draws = Problem(targets), np.maximum(band_draws(BANDS, count), 1e-3)
    draws /= draws.sum(axis=1, keepdims=True)
    runs = contenders(p, draws, options.threads, quick=options.quick)
    answers: dict[str, Any] = {}
    line = machine_line("himalaya", "scipy", "torch")
    times = rounds(runs, 1 if options.quick else options.repeats, answers)
    wrong, scores = check(answers, p)

    print(
        f"\nBanded ridge: {ROWS} rows, {BANDS} spaces of {WIDTH} features, {targets} targets,"
        f" {count} draws x {ALPHAS.size} penalties, {FOLDS} folds, float32, refit included."
    )
    print(line, "\n")
    rows = [
        [name, median(times[name]), busy(times[name]), f"{scores[name]:.4f}"]
        for name in sorted(times, key=lambda name: median(times[name]))
    ]
    print(table(["solver", "seconds", "processor seconds", "R^2 of new rows"], rows), "\n")
    kinds = [f"{k} {b}" for k in ("GroupRidgeCV", "MultipleKernelRidgeCV") for b in BACKENDS]
    for search in ("exhaustive", "halving", "guided"):
        mine = best(times, [n for n in times if f"striate {search}" in n])
        for kind in kinds:
            peer = best(times, [n for n in times if kind in n])
            rate = median(times[peer]) / median(times[mine])
            alone = [
                min(busy(times[n]) for n in times if key in n and "1 thread," in n + ",")
                for key in (kind, f"striate {search}")
            ]
            print(
                f"{search} against {kind}, each at its best: {rate:.1f} times as fast;"
                f" processor time on one thread {alone[0] / alone[1]:.1f} times less"
            )
    for what in wrong:
        print(f"DIFFERENT: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
