"""Ridge with cross-validated penalties: striate against himalaya, interleaved in one run.

    python benchmarks/ridge.py [--repeats 5] [--threads 2] [--quick] [--only tall wide steep]

Every contestant chooses a penalty per target over the same folds and refits on all rows; the time
is that of the whole. First all settings of all contestants run once, of threads and of batches of
targets (batches of himalaya with its better number of threads only); then the best of each take
turns, but for a backend of himalaya's that is far behind the other. Fails when penalties or
predictions differ from those of a plain singular value decomposition in float64: on tall features,
on wide ones, and (answers only) on steep ones, of condition 1e8, where every second target is best
predicted with a tiny penalty.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _rounds import best, busy, machine_line, median, product_rate, rounds, table
from threadpoolctl import threadpool_limits

from striate.solvers._penalty_grid import skeleton
from striate.solvers._ridge_inverse import MISSED
from striate.solvers.ridge import ridge_cv

AGREE = 0.999  # share of targets that must have the same penalty: exact ties may fall either way
CLOSE = 1e-4  # relative difference of predictions at the same penalty
NEW = 300  # rows to predict
HOPELESS = 1.3  # times the better backend of a peer, beyond which the other runs once


def problem(n: int, p: int, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of falling variance, and targets from nearly noise-free to nearly noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    if p <= n:
        x = x @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    x *= np.geomspace(3, 0.1, p)
    y = x @ rng.standard_normal((p, targets)) / np.sqrt((x * x).sum() / n)
    y += rng.standard_normal(y.shape) * np.geomspace(0.2, 10, targets)
    return x.astype(np.float32), y.astype(np.float32)


def steep(n: int, p: int, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of condition 1e8; every second target lives in the smaller directions.

    Those are noisy enough for their best penalties to lie within the grid, not at its end.
    """
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.standard_normal((n, p)))[0]
    v = np.linalg.qr(rng.standard_normal((p, p)))[0]
    s = np.geomspace(1, 1e-8, p) * n**0.5
    x = (u * s) @ v.T
    strength = np.ones((p, targets))
    # float32 keeps no more of the features than 1e-5 or so
    strength[:, ::2] = (1 / np.maximum(s, 3e-4 * s[0]) / p**0.5)[:, None]
    y = (u * s) @ (strength * rng.standard_normal(strength.shape))
    y = y / y.std(axis=0) + np.resize([1.0, 0.02], targets) * rng.standard_normal(y.shape)
    return x.astype(np.float32), y.astype(np.float32)


def reference(
    x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return the losses of plain decompositions in float64, and a function that predicts."""
    x, y = x.astype(np.float64), y.astype(np.float64)

    def solve(x: np.ndarray, y: np.ndarray) -> Any:
        mean, level = x.mean(axis=0), y.mean(axis=0)
        u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
        rotated = u.T @ (y - level)

        def predict(new: np.ndarray, alpha: Any) -> np.ndarray:
            shrink = s[:, None] / (s[:, None] ** 2 + alpha)
            return ((new - mean) @ vt.T) @ (shrink * rotated) + level

        return predict

    loss = np.zeros((len(alphas), y.shape[1]))
    for fold in np.unique(folds):
        held = folds == fold
        predict = solve(x[~held], y[~held])
        for a, alpha in enumerate(alphas):
            loss[a] += ((predict(x[held], alpha) - y[held]) ** 2).sum(axis=0)
    return loss, solve(x, y)


def with_himalaya(backend: str, threads: int, batch: int | None) -> Callable[..., Any]:
    def run(x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: np.ndarray) -> Any:
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV

        set_backend(backend)
        splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in set(folds)]
        sizes = {"n_targets_batch": batch, "n_targets_batch_refit": batch}
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            if x.shape[1] <= x.shape[0]:
                model = RidgeCV(alphas=alphas, cv=splits, fit_intercept=True, solver_params=sizes)
                model.fit(x, y)
                coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
            else:  # the dual, which himalaya leaves to this one
                model = KernelRidgeCV(
                    alphas=alphas, cv=splits, fit_intercept=True, solver_params=sizes
                )
                model.fit(x, y)
                coef = x.T @ np.asarray(model.dual_coef_)
                intercept = np.asarray(model.intercept_)
        return np.asarray(model.best_alphas_), coef, intercept

    return run


def with_striate(threads: int, batch: int | None) -> Callable[..., Any]:
    def run(x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: np.ndarray) -> Any:
        from striate.solvers import _ridge_blocks

        usual, _ridge_blocks.BLOCK = _ridge_blocks.BLOCK, batch or _ridge_blocks.BLOCK
        try:
            fit = ridge_cv(x, y, alphas, folds, threads=threads, memory=4 << 30)
        finally:
            _ridge_blocks.BLOCK = usual
        return fit.alpha, fit.coef, fit.intercept

    return run


def tall_operations(n: int, p: int, targets: int, alphas: int, folds: int) -> tuple[float, float]:
    """Return the operations that the primal must do, in float32 and in float64.

    Float64: Gram matrices once, one triangle of each (n p^2); eigendecompositions of all training
    sets (9 p^3 each); held-out Gram matrices in their bases, one triangle (3 p^3 each). Float32:
    products with the targets once (2 n p t), their rotations, held-out ones as well (2 p^2 t each),
    the quadratic form of every penalty in one triangle (p^2 t each), the way back (2 p^2 t).
    """
    double = n * p**2 + 9.0 * p**3 * (folds + 1) + 3.0 * p**3 * folds
    single = 2.0 * n * p * targets + 2.0 * p**2 * targets * (2 * folds + 2)
    return single + 1.0 * p**2 * targets * alphas * folds, double


def wide_operations(
    x: np.ndarray, targets: int, alphas: np.ndarray, folds: int
) -> tuple[float, float]:
    """Return the operations that the dual must do, in float32 and in float64.

    Float64: the kernel, one triangle (n^2 p). Float32: for every penalty that is no mixture of
    others an inverse (n^3) and predictors of each fold v from the rest r (v^3 + 2 v^2 r), which
    predict (2 v r t); the solutions of all rows (2 n^2 t) and their way to the features (2 n p t).
    """
    n, p = x.shape
    kernel = (x - x.mean(axis=0)).astype(np.float64)
    values = np.linalg.eigvalsh(kernel @ kernel.T)
    kept = len(skeleton(alphas, 1.1 * values[-1], MISSED, values[1] / 2)[0])
    v, r = n / folds, n - n / folds
    each = n**3 + folds * (v**3 + 2.0 * v**2 * r + 2.0 * v * r * targets)
    return kept * each + 2.0 * n * (n + p) * targets, 1.0 * n**2 * p


def floor(counts: tuple[float, float], threads: int) -> list[list[Any]]:
    """Return lines that tell the least time those operations take at this machine's rates."""
    single, double = (product_rate(threads=threads, dtype=d) for d in ("float32", "float64"))
    own = counts[0] / single + counts[1] / double
    return [
        ["operations in float32, in float64 (1e9)", counts[0] / 1e9, counts[1] / 1e9],
        ["rate of products (1e9 per second)", single / 1e9, double / 1e9],
        ["floor, each at its own rate (s)", own, ""],
        ["floor, all at the rate of float32 (s)", sum(counts) / single, ""],
    ]


def checked(
    name: str, found: Any, known: Any, data: Any, alphas: np.ndarray, new: np.ndarray
) -> tuple[list[Any], bool]:
    """Return a line about the answers of a contestant, and whether they are right."""
    loss, predict = known
    alpha, coef, intercept = found
    expected = alphas[loss.argmin(axis=0)]
    same = np.isclose(alpha, expected, rtol=1e-3)
    truth = predict(new, np.asarray(alpha, dtype=np.float64))
    got = new.astype(np.float64) @ coef + intercept
    off = np.linalg.norm(got - truth, axis=0) / np.linalg.norm(truth - truth.mean(axis=0), axis=0)
    right = bool(same.mean() >= AGREE and off.max() <= CLOSE)
    kinds = len(np.unique(alpha))
    return [name, f"{same.mean():.2%}", f"{off.max():.0e}", kinds], right


def contest(
    shape: tuple[int, int, int], alphas: np.ndarray, threads: list[int], options: Any
) -> bool:
    """Print the tables of one problem; return whether all answers of striate are right."""
    n, p, targets = shape
    x, y = problem(n + NEW, p, targets)
    new, x, y = x[n:], x[:n], y[:n]
    folds = np.arange(n) * 5 // n
    print(f"\n{n} rows, {p} features, {targets} targets, {len(alphas)} penalties, 5 folds, float32")
    most, batches = max(threads), (250, 500, 1000)

    def contestant(who: str, t: int, b: int) -> tuple[str, Callable[[], Any]]:
        make = with_striate(t, b) if who == "striate" else with_himalaya(who.split()[1], t, b)
        return f"{who}, {t} threads, batch {b}", _bound(make, x, y, alphas, folds)

    contestants = dict(contestant("striate", t, b) for t in threads for b in batches)
    contestants |= dict(contestant("himalaya torch", t, 500) for t in threads)
    contestants |= dict([contestant("himalaya numpy", most, 500)])
    small = problem(200, 20, 50)
    for t in threads:  # imports and first calls are not the question
        with_striate(t, None)(*small, alphas, np.arange(200) * 5 // 200)
        with_himalaya("torch", t, None)(*small, alphas, np.arange(200) * 5 // 200)
    answers: dict[str, Any] = {}
    first = rounds(contestants, 1, answers)
    t = min(threads, key=lambda t: median(first[contestant("himalaya torch", t, 500)[0]]))
    more = dict(contestant("himalaya torch", t, b) for b in batches if b != 500)
    first |= rounds(more, 1, answers)
    contestants |= more
    known = reference(x, y, alphas, folds)
    chosen = [
        best(first, [name for name in first if name.startswith(who)])
        for who in ("striate", "himalaya torch", "himalaya numpy")
    ]
    lines, right = [], True
    for name in chosen:
        line, good = checked(name, answers[name], known, (x, y), alphas, new)
        lines.append(line)
        right = right and (good or not name.startswith("striate"))
    fastest = min(median(first[name]) for name in chosen[1:])
    stay = [name for name in chosen if median(first[name]) <= HOPELESS * fastest]
    again = rounds({name: contestants[name] for name in stay}, options.repeats - 1)
    times = {name: first[name] + again.get(name, []) for name in chosen}
    for line, name in zip(lines, chosen, strict=True):
        line[1:1] = [median(times[name]), busy(times[name])]
        line[0] += "" if name in stay else " (once: far behind)"
    head = ["solver", "median s", "cpu s", "same penalties as float64", "predictions off"]
    print(table([*head, "penalties chosen"], lines))
    print("\nOnce each: " + ", ".join(f"{n} {median(t):.2f} s" for n, t in first.items()))
    ours = median(times[chosen[0]])
    ratio = min(median(times[name]) for name in chosen[1:]) / ours
    print(f"\nBest of himalaya / best of striate: {ratio:.1f}")
    count = len(alphas)
    needed = (
        tall_operations(n, p, targets, count, 5)
        if p < n
        else wide_operations(x, targets, alphas, 5)
    )
    counted = floor(needed, most)
    print("\n" + table(["floor", "", ""], counted))
    print(
        f"\nstriate / floor: {ours / counted[2][1]:.2f} (each precision at its own rate),"
        f" {ours / counted[3][1]:.2f} (all at the rate of float32)"
    )
    return right


def _bound(run: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: run(*arguments)


def small_penalties(shape: tuple[int, int, int]) -> bool:
    """Print the answers on steep features; return whether those of striate are right."""
    n, p, targets = shape
    x, y = steep(n + NEW, p, targets)
    new, x, y = x[n:], x[:n], y[:n]
    folds = np.arange(n) * 5 // n
    alphas = np.linalg.norm(x, 2) ** 2 * np.logspace(-10, 0, 11)
    known = reference(x, y, alphas, folds)
    ours = with_striate(1, None)(x, y, alphas, folds)
    theirs = with_himalaya("torch", 1, None)(x, y, alphas, folds)
    lines = [
        checked(name, found, known, (x, y), alphas, new)
        for name, found in (("striate", ours), ("himalaya torch", theirs))
    ]
    s = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    low = float(np.quantile(ours[0][::2], 0.5, method="lower")) / alphas[-1]
    print(
        f"\n{n} rows, {p} features of condition {s[0] / s[-1]:.0e} in float32, {targets} targets;"
        f" the median penalty of every second one is {low:.0e} of the largest"
    )
    head = ["solver", "same penalties as float64", "predictions off", "penalties chosen"]
    print(table(head, [line for line, _ in lines]))
    return lines[0][1] and 1.5 * alphas[0] < low * alphas[-1] < 1e-6 * alphas[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small problems, two rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="the most to use")
    parser.add_argument("--only", nargs="+", default=["steep", "tall", "wide"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    quick = options.quick
    options.repeats = min(options.repeats, 2) if quick else options.repeats
    threads = sorted({1, options.threads})
    print(machine_line("himalaya", "scipy", "torch"))
    right = True
    if "steep" in options.only:
        right &= small_penalties((600, 100, 200) if quick else (3000, 300, 1000))
    if "tall" in options.only:
        shape = (1000, 120, 300) if quick else (9000, 1000, 2000)
        right &= contest(shape, np.logspace(-1, 5, 10), threads, options)
    if "wide" in options.only:
        shape = (300, 900, 400) if quick else (1500, 6000, 5000)
        right &= contest(shape, np.logspace(-1, 5, 10), threads, options)
    if not right:
        print("\nFAILED: penalties or predictions of striate are not those of float64")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
