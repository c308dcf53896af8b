"""Principal components and partial least squares: striate against scikit-learn.

    python benchmarks/components.py [--repeats 5] [--quick]

Components: as many rows as films of a challenge and as many columns as a flattened first layer of
a network, in float32. PLS: a number of components per target by five folds, refit included.
Answers come first: the variances and the space of the components must be those of scikit-learn's
exact solver, the errors of every number of components those of scikit-learn's PLS; the run fails
otherwise.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _rounds import best, busy, machine_line, median, rounds, table
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from striate.solvers.components import principal_components, streamed_components
from striate.solvers.pls import pls_cv

THREADS = (1, 2)


def layer(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Return rows with a spectrum that falls like that of a layer, and noise."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((rows, 300), dtype=np.float32)
    latent *= np.geomspace(10, 0.3, 300, dtype=np.float32)
    x = latent @ rng.standard_normal((300, columns), dtype=np.float32)
    x += rng.standard_normal((rows, columns), dtype=np.float32)
    x += 3
    return x


def on(threads: int, work: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with threadpool_limits(threads):
            return work()

    return run


def components(quick: bool, repeats: int) -> bool:
    rows, columns, count = (300, 20_000, 50) if quick else (900, 290_400, 100)
    x = layer(rows, columns)
    part = x.nbytes // 2 + 16 * count * columns + 32 * rows**2

    def scikit_learn(solver: str) -> Any:
        return PCA(count, svd_solver=solver, random_state=0).fit(x)

    def in_pieces() -> Any:
        options = {"memory": part, "itemsize": 4}
        return streamed_components(lambda rows: x[rows], *x.shape, count, **options)

    contenders = {}
    for threads in THREADS:
        told = f", {threads} thread{'s' if threads > 1 else ''}"
        contenders |= {
            f"striate{told}": on(threads, lambda: principal_components(x, count)),
            f"striate, randomised{told}": on(
                threads, lambda: principal_components(x, count, solver="randomized")
            ),
            f"striate, in half the memory{told}": on(threads, in_pieces),
            f"scikit-learn, arpack{told}": on(threads, lambda: scikit_learn("arpack")),
            f"scikit-learn, randomized{told}": on(threads, lambda: scikit_learn("randomized")),
        }
    answers: dict[str, Any] = {}
    times = rounds(contenders, repeats, answers)
    exact = answers["scikit-learn, arpack, 1 thread"]
    lines, sound = [], True
    for name in contenders:
        found = answers[name]
        ours = hasattr(found, "basis")
        basis = (found.basis if ours else found.components_.T).astype(np.float64)
        variance = found.variance if ours else found.explained_variance_
        off = float(np.abs(variance / exact.explained_variance_ - 1).max())
        askew = float(np.abs(basis.T @ basis - np.eye(count)).max())
        aligned = np.linalg.svd(exact.components_.astype(np.float64) @ basis, compute_uv=False)
        lines.append([name, median(times[name]), busy(times[name]), off, askew, 1 - aligned.min()])
        if ours and "randomised" not in name:
            sound &= off < 1e-4 and askew < 1e-5 and bool(aligned.min() > 1 - 1e-4)
    head = ["solver", "seconds", "processor seconds", "largest difference of a variance"]
    head += ["from orthonormal", "from the exact space"]
    print(f"\n### {rows} × {columns} (float32), {count} components\n")
    print(table(head, lines))
    ratio(times, "striate", "scikit-learn", among="striate, randomised")
    return sound


def partial_least_squares(quick: bool, repeats: int) -> bool:
    rows, columns, targets, count = (300, 50, 200, 5) if quick else (900, 100, 2000, 20)
    x = layer(rows, columns).astype(np.float64)
    rng = np.random.default_rng(1)
    y = (x - 3) @ rng.standard_normal((columns, targets)) / columns**0.5
    y += y.std() * 2 * rng.standard_normal(y.shape)
    folds = np.arange(rows) * 5 // rows

    def scikit_learn(algorithm: str = "nipals") -> np.ndarray:
        """One fit per fold answers for all numbers, though its `predict` does not offer that."""
        loss = np.zeros((count, targets))
        for fold in range(5):
            train = folds != fold
            model = PLSRegression(count, scale=False)
            model.algorithm = algorithm
            model.fit(x[train], y[train])
            scores = (x[~train] - x[train].mean(axis=0)) @ model.x_rotations_
            error = y[~train] - y[train].mean(axis=0)
            for k in range(count):
                error = error - scores[:, k, None] * model.y_loadings_[:, k]
                loss[k] += (error**2).sum(axis=0)
        PLSRegression(count, scale=False).fit(x, y)
        return loss / rows

    contenders = {}
    for threads in THREADS:
        told = f", {threads} thread{'s' if threads > 1 else ''}"
        contenders[f"striate{told}"] = on(threads, lambda: pls_cv(x, y, count, folds).loss)
        contenders[f"scikit-learn{told}"] = on(threads, scikit_learn)
    answers: dict[str, Any] = {}
    times = rounds(contenders, repeats, answers)
    exact = scikit_learn("svd")  # its power iterations stop early
    lines, sound = [], True
    for name in contenders:
        off = float(np.abs(answers[name] / exact - 1).max())
        same = float((answers[name].argmin(axis=0) == exact.argmin(axis=0)).mean())
        lines.append([name, median(times[name]), busy(times[name]), off, f"{100 * same:.2f} %"])
        sound &= "striate" not in name or (off < 1e-6 and same >= 0.999)
    head = ["solver", "seconds", "processor seconds", "largest difference of an error"]
    print(f"\n### PLS of {rows} × {columns}, {targets} targets, 1 to {count} components, 5 folds\n")
    print(table([*head, "same numbers of components"], lines))
    ratio(times, "striate", "scikit-learn")
    return sound


def ratio(times: dict[str, Any], ours: str, theirs: str, among: str = "-") -> None:
    mine = best(times, [n for n in times if n.startswith(ours) and not n.startswith(among)])
    other = best(times, [n for n in times if n.startswith(theirs)])
    faster = median(times[other]) / median(times[mine])
    print(f"\nThe best of {ours} ({mine}) is {faster:.1f} times as fast as the best of {theirs}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(machine_line("scikit-learn", "scipy"))
    repeats = 1 if given.quick else given.repeats
    jobs = (components, partial_least_squares)
    wrong = [job.__name__ for job in jobs if not job(given.quick, repeats)]
    if wrong:
        sys.exit(f"answers differ: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
