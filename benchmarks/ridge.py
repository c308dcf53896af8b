"""Ridge with cross-validated penalties: striate against himalaya, interleaved in one run.

    python benchmarks/ridge.py [--repeats 3] [--threads 1] [--quick]

Every contestant chooses a penalty per target over the same folds and refits on all rows; the time
is that of the whole. Contestants take turns, so that what else the machine does falls on all of
them; the table has the least and the median time of each, and the least processor time, which on
one thread hardly depends on the load. Fails if the chosen penalties differ.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from striate.solvers.ridge import ridge_cv

AGREE = 0.999  # share of targets that must have the same penalty: exact ties may fall either way


def problem(n: int, p: int, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of falling variance, and targets from nearly noise-free to nearly noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p)) @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    x *= np.geomspace(3, 0.1, p)
    y = x @ rng.standard_normal((p, targets)) / np.sqrt((x * x).sum() / n)
    y += rng.standard_normal(y.shape) * np.geomspace(0.2, 10, targets)
    return x.astype(np.float32), y.astype(np.float32)


def with_himalaya(backend: str, threads: int, batch: int | None) -> Callable[..., Any]:
    def run(x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: np.ndarray) -> Any:
        from himalaya.backend import set_backend
        from himalaya.ridge import RidgeCV

        set_backend(backend)
        splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in set(folds)]
        sizes = {"n_targets_batch": batch, "n_targets_batch_refit": batch}
        model = RidgeCV(alphas=alphas, cv=splits, fit_intercept=True, solver_params=sizes)
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            model.fit(x, y)
        return np.asarray(model.best_alphas_), np.asarray(model.coef_)

    return run


def with_striate(threads: int) -> Callable[..., Any]:
    def run(x: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: np.ndarray) -> Any:
        fit = ridge_cv(x, y, alphas, folds, threads=threads)
        return fit.alpha, fit.coef

    return run


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the targets, fewer peers")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="the most to use")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    n, p, targets = (4000, 500, 500) if options.quick else (4000, 500, 5000)
    x, y = problem(n, p, targets)
    alphas, folds = np.logspace(-1, 5, 10), np.arange(n) * 5 // n

    most = options.threads
    ours = {f"striate, {t} thread{'s' * (t > 1)}": with_striate(t) for t in sorted({1, most})}
    batches = [None] if options.quick else [None, 500, 1000, 2500]
    peers = {
        f"himalaya {backend}, {t} thread{'s' * (t > 1)}, batch {batch}": with_himalaya(
            backend, t, batch
        )
        for backend in ("torch", "numpy")
        for t in sorted({1, most})
        for batch in batches
        if batch in (None, 1000) or (t == most and backend == "torch")
    }
    if not options.quick:  # hopelessly slow: one batch size and thread count is enough
        peers = {k: v for k, v in peers.items() if "numpy" not in k or "batch 1000" in k}
    times: dict[str, list[float]] = {name: [] for name in [*ours, *peers]}
    work: dict[str, list[float]] = {name: [] for name in times}
    chosen: dict[str, Any] = {}
    load = os.getloadavg()[0]
    small = problem(200, 20, 50)
    for run in [*ours.values(), *peers.values()]:  # imports and first calls are not the question
        run(*small, alphas, np.arange(200) * 5 // 200)
    for _ in range(options.repeats):
        for name in [*ours, *peers]:
            start, busy = time.perf_counter(), time.process_time()
            chosen[name] = (ours | peers)[name](x, y, alphas, folds)
            times[name].append(time.perf_counter() - start)
            work[name].append(time.process_time() - busy)
            print(f"{name}: {times[name][-1]:.2f} s", file=sys.stderr)

    alpha, coef = chosen[next(reversed(ours))]
    print(f"{n} rows, {p} features, {targets} targets, {len(alphas)} penalties, 5 folds, float32\n")
    print("| solver | least s | median s | cpu s | same penalties | largest coef difference |")
    print("|---|---|---|---|---|---|")
    agreement = {}
    for name, seconds in times.items():
        peer_alpha, peer_coef = chosen[name]
        same = np.isclose(peer_alpha, alpha, rtol=1e-4)
        agreement[name] = same.mean()
        off = np.abs(peer_coef - coef)[:, same].max() / np.abs(coef).max()
        print(
            f"| {name} | {min(seconds):.2f} | {statistics.median(seconds):.2f} "
            f"| {min(work[name]):.2f} | {same.mean():.2%} | {off:.0e} |"
        )
    ratios = {
        label: min(pick(table[k]) for k in peers) / min(pick(table[k]) for k in ours)
        for label, pick, table in (
            ("least times", min, times),
            ("medians", statistics.median, times),
            ("processor times", min, work),
        )
    }
    print(
        "\nBest of himalaya / best of striate: "
        + ", ".join(f"{ratio:.1f}x ({label})" for label, ratio in ratios.items())
        + f". {len(np.unique(alpha))} different penalties chosen."
    )
    packages = ("striate", "himalaya", "numpy", "scipy", "torch")
    print(
        f"{processor()}; load {load:.1f} at the start; {options.repeats} repeats, interleaved; "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
    )
    if min(agreement.values()) < AGREE:
        print(f"FAILED: penalties agree for {min(agreement.values()):.2%} of targets only")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
