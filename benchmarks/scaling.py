"""Time against rows, features, targets and penalties: a figure, and the measured slopes.

    python benchmarks/scaling.py [--repeats 5] [--quick] [--figure benchmarks/scaling.png]

Each panel changes one size and keeps the others; the slope is that of processor time on one thread
in logarithms, over the larger half of the sizes, where what is fixed counts for little. One means
that twice as much takes twice as long. Fails when ridge costs more than in proportion to targets.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from _rounds import busy, machine_line, rounds, table

from striate.solvers.ridge import ridge_cv

mpl.use("Agg")
SIZES = ("rows", "features", "targets", "penalties")
MIDDLE = {
    "ridge": {"rows": 2000, "features": 300, "targets": 1000, "penalties": 10},
    "lasso": {"rows": 900, "features": 100, "targets": 200, "penalties": 100},
}
FACTORS = {
    "rows": (0.25, 0.5, 1.0, 2.0, 4.0),
    "features": (0.125, 0.25, 0.5, 1.0, 2.0),
    "targets": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    "penalties": (0.2, 0.5, 1.0, 2.0, 4.0),
}


def problem(size: dict[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size["rows"], size["features"]), dtype=np.float32)
    w = rng.standard_normal((size["features"], size["targets"]), dtype=np.float32)
    w[rng.random(w.shape) < 0.8] = 0  # a tenth of features and more: what a lasso looks for
    y = x @ w / np.float32(size["features"] ** 0.5)
    y += rng.standard_normal(y.shape, dtype=np.float32)
    return x, y, np.arange(size["rows"]) * 5 // size["rows"]


def ridge(size: dict[str, int]) -> Callable[[], Any]:
    x, y, folds = problem(size)
    alphas = np.logspace(-1, 5, size["penalties"])
    return lambda: ridge_cv(x, y, alphas, folds, threads=1, memory=8 << 30)


def lasso(size: dict[str, int]) -> Callable[[], Any]:
    from striate.solvers.sparse import lasso_cv

    x, y, folds = problem(size)
    return lambda: lasso_cv(x, y, folds, n_alphas=size["penalties"], threads=1, memory=8 << 30)


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of the logarithms over the larger half."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a quarter of all sizes, two rounds")
    parser.add_argument("--figure", type=Path, default=Path(__file__).with_suffix(".png"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import matplotlib.pyplot as plt

    small = 4 if options.quick else 1
    repeats = min(2, options.repeats) if options.quick else options.repeats
    print(machine_line("scipy"))
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.4), sharey=True)
    lines, slopes = [], {}
    for name, make in (("ridge", ridge), ("lasso", lasso)):
        middle = {k: max(4, v // small) for k, v in MIDDLE[name].items()}
        make({**middle, "targets": 8})()  # imports and compiling are not the question
        for panel, what in zip(panels, SIZES, strict=True):
            sizes = sorted({max(2, round(middle[what] * f)) for f in FACTORS[what]})
            jobs = {str(s): make({**middle, what: s}) for s in sizes}
            times = rounds(jobs, repeats)
            seconds = [busy(times[str(s)]) for s in sizes]
            slopes[name, what] = slope(sizes, seconds)
            label = f"{name}: slope {slopes[name, what]:.2f}"
            panel.loglog(sizes, seconds, "o-", label=label, lw=1.5, ms=4)
            panel.set_xlabel(what)
            told = ", ".join(f"{s}: {t:.3g}" for s, t in zip(sizes, seconds, strict=True))
            lines.append([name, what, slopes[name, what], told])
    panels[0].set_ylabel("processor seconds, one thread")
    for panel in panels:
        panel.grid(True, which="both", alpha=0.25)
        panel.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(options.figure, dpi=150)
    print(table(["solver", "size", "slope", "seconds at each size"], lines))
    print(f"\nThe figure is {options.figure}.")
    if slopes["ridge", "targets"] > 1.1:
        print("FAILED: ridge takes more than in proportion to its targets")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
