"""Lasso, elastic net and multi-task elastic net: striate against loops over the targets.

    python benchmarks/lasso.py [--repeats 5] [--quick]

Everyone chooses among 100 penalties per target over the same three folds and refits on all rows.
scikit-learn, celer and skglm take one target at a time: they fit a few from little noise to much,
and times are told per target. striate, too, solves for one target after another, on Gram matrices
they share, so that there are no sizes of batches to try. Answers come first: the penalties of
striate must be those of scikit-learn at a tolerance of 1e-8 (1e-5 with more features than rows,
where it hardly comes to rest), and its coefficients those to within what the peer's own tolerance
leaves open; the run fails otherwise. The first call, which compiles, is told apart.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _rounds import best, busy, machine_line, median, rounds, table
from sklearn.linear_model import ElasticNetCV, LassoCV, MultiTaskElasticNetCV
from threadpoolctl import threadpool_limits

from striate.solvers.sparse import elastic_net_cv, lasso_cv, multitask_elastic_net_cv

DESIGNS = ("white", "correlated .9", "collinear", "p > n")
NEAR = 1e-3  # two penalties whose losses differ by less than this share of it are a near tie


def problem(design: str, targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and targets of a fifth of them, from little noise to much."""
    rng = np.random.default_rng(seed)
    n, p = (300, 600) if design == "p > n" else (900, 100)
    x = rng.standard_normal((n, p))
    if design == "correlated .9":
        lag = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
        x = x @ np.linalg.cholesky(0.9**lag).T
    signal = x @ (rng.standard_normal((p, targets)) * (rng.random((p, targets)) < 0.2))
    if design == "collinear":  # every feature twice, and sums of others
        x = np.hstack([x[:, :40], x[:, :40], x[:, :20] + x[:, 20:40]])
    noise = np.geomspace(0.5, 4, targets) * signal.std(axis=0)
    return x, signal + noise * rng.standard_normal(signal.shape)


def splits(folds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]


def scikit_learn(x: np.ndarray, y: np.ndarray, folds: np.ndarray, ratio: float, **more: Any) -> Any:
    if ratio == 1:
        return LassoCV(cv=splits(folds), max_iter=100_000, **more).fit(x, y)
    return ElasticNetCV(cv=splits(folds), l1_ratio=ratio, max_iter=100_000, **more).fit(x, y)


class ByPath:
    """The same choice with a solver of paths: celer and skglm offer none that runs everywhere."""

    def __init__(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, ratio: float) -> None:
        largest = np.abs((x - x.mean(axis=0)).T @ (y - y.mean())).max() / len(x) / ratio
        alphas = np.geomspace(largest, largest * 1e-3, 100)
        loss = np.zeros(100)
        for inside, outside in splits(folds):
            x_mean, y_mean = x[inside].mean(axis=0), y[inside].mean()
            coef = self.path(x[inside] - x_mean, y[inside] - y_mean, alphas, ratio)
            error = y[outside, None] - y_mean - (x[outside] - x_mean) @ coef
            loss += (error**2).mean(axis=0)
        chosen = int(loss.argmin())
        self.alpha_ = alphas[chosen]
        last = alphas[chosen : chosen + 1]
        self.coef_ = self.path(x - x.mean(axis=0), y - y.mean(), last, ratio)[:, 0]

    def path(self, x: np.ndarray, y: np.ndarray, alphas: np.ndarray, ratio: float) -> np.ndarray:
        """Return coefficients, feature by penalty."""
        raise NotImplementedError


class Celer(ByPath):
    def path(self, x: np.ndarray, y: np.ndarray, alphas: np.ndarray, ratio: float) -> np.ndarray:
        from celer.homotopy import celer_path

        x = np.asfortranarray(x)
        coef: np.ndarray = celer_path(x, y, "lasso", alphas=alphas, l1_ratio=ratio, tol=1e-4)[1]
        return coef


class Skglm(ByPath):
    def path(self, x: np.ndarray, y: np.ndarray, alphas: np.ndarray, ratio: float) -> np.ndarray:
        from skglm.datafits import Quadratic
        from skglm.penalties import L1, L1_plus_L2
        from skglm.solvers import AndersonCD

        penalty = L1(1.0) if ratio == 1 else L1_plus_L2(1.0, ratio)
        solver = AndersonCD(tol=1e-4, fit_intercept=False, warm_start=True)
        datafit, x = Quadratic(), np.asfortranarray(x)
        datafit.initialize(x, y)
        coef: np.ndarray = solver.path(x, y, datafit, penalty, alphas)[1]
        return coef


def agree(x: np.ndarray, y: np.ndarray, folds: np.ndarray, ratio: float, count: int) -> list[str]:
    """Compare with scikit-learn at its default tolerance and at a tight one; return mistakes."""
    fit = ours(x, y[:, :count], folds, ratio, 1)
    wrong = []
    # with more features than rows, the peer hardly comes to rest
    tight, allowed = (1e-8, 1e-4) if len(x) > x.shape[1] else (1e-5, 1e-2)
    for name, more in (("default", {}), (f"{tight:.0e}", {"tol": tight})):
        same, off = 0, 0.0
        for t in range(count):
            peer = scikit_learn(x, y[:, t], folds, ratio, **more)
            if np.isclose(peer.alpha_, fit.alpha[t], rtol=1e-6):
                same += 1
                gone = fit.predict(x)[:, t] - peer.predict(x)
                off = max(off, float(np.abs(gone).max() / np.ptp(y[:, t])))
            else:
                i, j = (np.abs(fit.alphas[:, t] - a).argmin() for a in (peer.alpha_, fit.alpha[t]))
                tie = abs(fit.loss[i, t] / fit.loss[j, t] - 1)
                print(f"  target {t}: another penalty, whose loss differs by {tie:.0e}")
                if more and tie > NEAR:
                    wrong.append(f"target {t}: penalty {fit.alpha[t]:.4g}, not {peer.alpha_:.4g}")
        print(
            f"  scikit-learn, tolerance {name}: same penalty for {same} of {count}; largest"
            f" difference of predictions {off:.0e} of the range of a target"
        )
        if more and off > allowed:
            wrong.append(f"predictions differ by {off:.0e}")
    print(f"  targets that needed coordinate descent: {fit.fallbacks}")
    return wrong


def ours(x: np.ndarray, y: np.ndarray, folds: np.ndarray, ratio: float, threads: int) -> Any:
    if ratio == 1:
        return lasso_cv(x, y, folds, threads=threads)
    return elastic_net_cv(x, y, folds, l1_ratio=ratio, threads=threads)


def looped(
    fit: Callable[..., Any], x: np.ndarray, y: np.ndarray, folds: np.ndarray, ratio: float, n: int
) -> Callable[[], Any]:
    def run() -> Any:
        with threadpool_limits(n):
            return [fit(x, y[:, t], folds, ratio) for t in range(y.shape[1])]

    return run


def named(solver: str, threads: int) -> str:
    return f"{solver}, {threads} thread{'s' * (threads > 1)}"


def by_target(options: argparse.Namespace, wrong: list[str]) -> None:
    for ratio, title in ((1.0, "Lasso"), (0.5, "Elastic net, l1_ratio 0.5")):
        for design in DESIGNS:
            wide = design == "p > n"
            targets, few = (120, 3) if wide else (3000 if ratio == 1 else 1000, 12)
            if options.quick:
                targets, few = targets // 10, 2
            x, y = problem(design, targets)
            folds = np.arange(len(x)) % 3
            some = y[:, np.linspace(0, targets - 1, few).astype(int)]
            told = f"{title}: {design}, {x.shape[0]} rows, {x.shape[1]} features, {targets} targets"
            print(f"\n### {told}\n")
            wrong += [f"{told}: {w}" for w in agree(x, some, folds, ratio, few)]
            contenders: dict[str, Callable[[], Any]] = {
                named("striate", n): partial(ours, x, y, folds, ratio, n) for n in (1, 2)
            }
            mine = list(contenders)
            for name, fit in (("scikit-learn", scikit_learn), ("celer", Celer), ("skglm", Skglm)):
                for n in (1, 2):
                    fit(x[:60], y[:60, 0], folds[:60], ratio)  # imports, compilation
                    contenders[named(name, n)] = looped(fit, x, some, folds, ratio, n)
            report(contenders, mine, options.repeats, targets, few)


def report(
    contenders: dict[str, Callable[[], Any]], mine: list[str], repeats: int, targets: int, few: int
) -> None:
    times = rounds(contenders, repeats)
    each = {name: 1000 / (targets if name in mine else few) for name in times}
    first = median(times[best(times, mine)]) * each[mine[0]]
    lines = [
        [
            name,
            median(times[name]) * each[name],
            busy(times[name]) * each[name],
            median(times[name]) * each[name] / first,
        ]
        for name in times
    ]
    print("\n" + table(["solver", "ms per target", "processor ms", "times ours"], lines))


def together(options: argparse.Namespace, wrong: list[str]) -> None:
    for design in ("white", "correlated .9"):
        x, y = problem(design, 40)
        folds = np.arange(len(x)) % 3
        print(f"\n### Multi-task elastic net: {design}, {len(x)} rows, {x.shape[1]} features, 40\n")
        fit = multitask_elastic_net_cv(x, y, folds)
        for tol in (1e-4, 1e-8):
            peer = MultiTaskElasticNetCV(cv=splits(folds), tol=tol, max_iter=100_000).fit(x, y)
            same = np.isclose(peer.alpha_, fit.alpha[0], rtol=1e-6)
            off = np.abs(peer.coef_.T - fit.coef).max() / np.abs(fit.coef).max()
            print(f"  scikit-learn, tolerance {tol:.0e}: same penalty: {same}; coef {off:.0e}")
            if tol < 1e-6 and (not same or off > 1e-4):
                wrong.append(f"multi-task, {design}: {fit.alpha[0]} {peer.alpha_} {off:.0e}")

        contenders: dict[str, Callable[[], Any]] = {
            named("striate", n): partial(multitask_elastic_net_cv, x, y, folds, threads=n)
            for n in (1, 2)
        }
        mine = list(contenders)
        for n in (1, 2):
            contenders[named("scikit-learn", n)] = partial(joint_peer, x, y, folds, n)
        report(contenders, mine, options.repeats, 1, 1)


def joint_peer(x: np.ndarray, y: np.ndarray, folds: np.ndarray, threads: int) -> Any:
    with threadpool_limits(threads):
        return MultiTaskElasticNetCV(cv=splits(folds), max_iter=100_000).fit(x, y)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few targets, one round")
    options = parser.parse_args()
    options.repeats = 1 if options.quick else options.repeats
    warnings.simplefilter("ignore")
    print(machine_line("scikit-learn", "celer", "skglm", "numba", "scipy"))
    x, y = problem("white", 2)
    for solver in (lasso_cv, multitask_elastic_net_cv):
        start = time.perf_counter()
        solver(x[:50, :5], y[:50], np.arange(50) % 3)
        print(f"first call of {solver.__name__}: {time.perf_counter() - start:.1f} s")
    wrong: list[str] = []
    by_target(options, wrong)
    together(options, wrong)
    for line in wrong:
        print("FAILED:", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
