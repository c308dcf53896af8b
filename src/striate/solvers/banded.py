"""Banded ridge: several feature spaces, each shrunk by a penalty of its own, chosen per target.

Weights gamma of the bands and one penalty alpha say how much each is shrunk: a band with weight
zero is left out. Draws of gamma are shared by all targets, and so is what is computed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import Array, double, on_cpu, rounded, workers
from striate.solvers._banded_fit import (
    Choice,
    Problem,
    by_kernels,
    by_ridge,
    digits,
    fits,
    kernel_need,
    need_of,
)
from striate.solvers._banded_kernel import Kernels
from striate.solvers._budget import Need, fitting
from striate.solvers._inverses import IndefiniteError
from striate.solvers._ridge_asked import check, check_alphas, check_folds, sized, unit_of
from striate.solvers.ridge import ridge_cv

WIDE = 1e4
"""Largest float32 target, and one over the smallest, that is not scaled before it is fitted."""
SEARCHES = ("exhaustive", "halving", "guided")


@dataclass(frozen=True)
class BandedFit:
    """A fitted banded ridge: predictions are `sum_b (x_b - center_b) @ coef_b + level`.

    `coefs` (feature of the band, target) and `centers` are in the order of the spaces, `level` is
    the mean of each target; all have the type of the input. `gamma` are the weights of the bands,
    which sum to one, and `alpha` the penalty: band b is shrunk by alpha / gamma_b. `loss` is the
    held-out mean squared error of each target under each draw that was tried, at its best penalty,
    and infinite where the search left it; these three are in float64.
    """

    coefs: tuple[Float[Array, "_ target"], ...]
    centers: tuple[Float[Array, " _"], ...]
    level: Float[Array, " target"]
    gamma: Float[Array, "band target"]
    alpha: Float[Array, " target"]
    loss: Float[Array, "draw target"]

    @property
    def intercept(self) -> Float[Array, " target"]:
        """The predictions where all features are zero."""
        xp = array_namespace(self.level)
        shift = double(self.level)
        for center, coef in zip(self.centers, self.coefs, strict=True):
            shift = shift - double(center) @ double(coef)
        return xp.astype(shift, self.level.dtype, copy=False)

    def apart(self, spaces: Sequence[Float[Array, "row _"]]) -> list[Float[Array, "row target"]]:
        """Return what each band adds to the level of the targets; with it they are predictions."""
        if len(spaces) != len(self.coefs):
            raise DataError(f"{len(spaces)} spaces for a fit of {len(self.coefs)}: give as many")
        parts = zip(spaces, self.centers, self.coefs, strict=True)
        return [(x - center) @ coef for x, center, coef in parts]

    def predict(self, spaces: Sequence[Float[Array, "row _"]]) -> Float[Array, "row target"]:
        """Return the predictions for new rows of the same spaces."""
        parts = self.apart(spaces)
        return sum(parts[1:], start=parts[0]) + self.level


def band_draws(bands: int, count: int, seed: int = 0) -> Float[np.ndarray, "draw band"]:
    """Return weights of bands to try: all alike, each alone, then from Dirichlet distributions.

    Their concentrations are .1 and 1 in turn: most of the weight on one band, or anything.

    >>> band_draws(2, 4).round(2).tolist()[:3]
    [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]
    """
    if count < 1:
        raise DataError(f"draws = {count}: ask for at least one")
    if bands == 1:
        return np.ones((1, 1))
    known = np.concatenate([np.full((1, bands), 1.0 / bands), np.eye(bands)])
    rng, drawn = np.random.default_rng(seed), []
    for k in range(max(0, count - len(known))):
        drawn.append(rng.dirichlet(np.full(bands, 0.1 if k % 2 == 0 else 1.0)))
    return np.concatenate([known, np.reshape(drawn, (-1, bands))])[:count]


def banded_ridge_cv(
    spaces: Sequence[Float[Array, "_ _"]],
    y: Float[Array, "row target"],
    alphas: Sequence[float | int] | np.ndarray,
    folds: Int[np.ndarray, " row"],
    *,
    draws: int | Float[np.ndarray, "draw band"] = 20,
    seed: int = 0,
    search: str = "exhaustive",
    local: bool = True,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> BandedFit:
    """Fit a banded ridge with the weights of bands and the penalty that predict held-out rows best.

    Minimises ||y - sum_b X_b w_b - c||^2 + sum_b (alpha / gamma_b) ||w_b||^2 for every target, the
    intercept c unpenalised and every training set centred exactly. The error of a pair (gamma,
    alpha) is pooled over the held-out rows of all folds; of equal pairs the first is chosen.

    - `spaces`: one array per band over the same rows, all float32 or float64 as `y` is; NumPy
      arrays or torch tensors, and the result is of the same kind.
    - `alphas`: penalties to choose from, in units of x^2.
    - `folds`: a label per row; rows with the same label are held out together.
    - `draws`: how many weights to try, see `band_draws` (with `seed`), or the weights themselves,
      at least zero; they are made to sum to one.
    - `search`: "exhaustive" tries every draw with every penalty on every target. "halving" leaves
      a draw for a target that falls behind after some folds: the losses of its choices are within
      .2 % of those of all draws on average, and within 8 % at worst on a few hundred rows.
      "guided" tries all bands alike, and beside them as many weights as `draws` says, proposed by
      moments of the targets (on all rows, so that their losses are a little too hopeful): they
      predict as well as many more at random, in a part of the time. It chooses penalties between
      the ends of `alphas`.
    - `local`: every target has its own weights and penalty, or all have one pair, which only an
      exhaustive search can choose.
    - `memory`: bytes to take beyond the arguments and the result; see `banded_need`.
    - `threads`: workers on the CPU; None means as many as BLAS would use.

    An exhaustive search goes through a ridge on scaled features for every draw where rows
    outnumber features by far or `memory` holds no kernels of all rows; the others need these. Any
    search does so, and is exhaustive, where penalties are below the digits of a kernel.

    Raises `DataError` for shapes that do not fit, NaN, fewer than two folds, wrong weights or
    penalties; `StriateError` when `memory` is too little. Nunez-Elizalde, Huth & Gallant 2019,
    doi:10.1016/j.neuroimage.2019.04.012; Dupré la Tour et al. 2022,
    doi:10.1016/j.neuroimage.2022.119728.

    >>> x, z = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1.0], [-1.0], [-1.0], [1.0]])
    >>> fit = banded_ridge_cv([x, z], 2 * x, [1e-3, 1.0], np.array([0, 1, 0, 1]), draws=3)
    >>> fit.gamma.tolist(), fit.coefs[0].round(2).tolist()
    ([[1.0], [0.0]], [[2.0]])
    """
    if not len(spaces):
        raise DataError("a banded ridge was given no feature spaces: give at least one")
    (y, *given), back = on_cpu(y, *spaces)
    for b, one in enumerate(given):
        try:
            check(one, y)
        except DataError as wrong:
            raise DataError(f"space {b}: {wrong}") from wrong
    candidates = check_alphas(alphas)
    order, bounds = check_folds(folds, y.shape[0])
    gammas = _check_draws(draws, len(given), seed, search, local)
    xp = array_namespace(y)
    if len(given) == 1:
        fit = ridge_cv(
            given[0],
            y,
            candidates,
            folds,
            penalty="target" if local else "global",
            memory=memory,
            threads=threads,
        )
        assert fit.loss is not None
        place = xp.argmin(xp.abs(double(fit.alpha) - xp.asarray(candidates)[:, None]), axis=0)
        loss = xp.take_along_axis(fit.loss, place[None, :], axis=0)
        gamma = xp.ones((1, y.shape[1]), dtype=xp.float64, device=device(y))
        return BandedFit(
            (back(fit.coef),),
            (back(fit.center),),
            back(fit.level),
            back(gamma),
            back(fit.alpha),
            back(loss),
        )
    widths = [one.shape[1] for one in given]
    edges = np.cumsum([0, *widths]).tolist()
    x, center = _centred(xp.concat(given, axis=1), order)
    bands = [slice(a, b) for a, b in pairwise(edges)]
    unit = unit_of(x)  # kernels and their inverses are far from the ends of float32 then
    if unit != 1.0:
        x *= 1.0 / unit
    y, size = sized(y, WIDE)
    rows, level = _centred(y, order)
    tried = candidates / unit**2
    problem = Problem(x, rows, bands, bounds, tried, gammas, search, local, memory)
    choice = _solved(problem, threads)
    if unit != 1.0:
        choice = replace(choice, alpha=choice.alpha * unit**2, coef=choice.coef * (1.0 / unit))
    center, level = rounded(center, level, choice.coef, y.dtype)
    coef, loss = choice.coef, xp.asarray(choice.loss / y.shape[0], device=device(y))
    if size is not None:
        coef, level, loss = (
            xp.astype(double(a) * size, a.dtype, copy=False) for a in (coef, level, loss * size)
        )
    return BandedFit(
        tuple(back(coef[b, :]) for b in bands),
        tuple(back(center[b]) for b in bands),
        back(level),
        back(xp.asarray(choice.gamma, device=device(y))),
        back(xp.asarray(choice.alpha, device=device(y))),
        back(loss),
    )


def _solved(p: Problem, threads: int | None) -> Choice:
    operations = 2.0 * p.x.shape[0] ** 2 * (p.x.shape[0] + p.y.shape[1]) * len(p.draws)
    threads = fitting(threads, operations)
    with workers(threads, gpu=not is_numpy_array(p.x)) as crew:
        together = fits(p, crew.threads)
        if together is None and p.search != "exhaustive":
            need_of(p, crew.threads, together=p.search == "halving").check(p.memory)
        if together is not None:
            kernels = Kernels([p.x[:, b] for b in p.bands], p.bounds)
            if digits(p, kernels):
                try:
                    return by_kernels(p, crew, kernels, together)
                except IndefiniteError:
                    pass
    return by_ridge(p, threads)


def banded_need(
    rows: int, features: int, bands: int, penalties: int = 10, *, threads: int = 1
) -> Need:
    """Return what `banded_ridge_cv` takes of memory by way of kernels, in float64.

    Where that is too much, see `striate.solvers.ridge.ridge_need`.

    >>> banded_need(1000, 900, 3).fixed >> 20
    235
    """
    return kernel_need(rows, features, bands, penalties, threads=threads, single=False)


def band_shares(
    parts: Sequence[Float[Array, "row target"]], y: Float[Array, "row target"]
) -> Float[Array, "band target"]:
    """Return which share of the variance of each target each band explains; they sum to R^2.

    `parts` are the predictions of each band (`BandedFit.apart`) for rows whose measurements are
    `y`. The product measure `sum((2 y - yhat) yhat_b) / sum(y^2)`, all about their means, can be
    negative for a band that hurts. It is 0 for a constant target. Pratt 1987; equation 12 of Dupré
    la Tour et al. 2022, doi:10.1016/j.neuroimage.2022.119728.

    >>> y = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> band_shares([0.75 * y, 0.25 * y], y).ravel().tolist()
    [0.75, 0.25]
    """
    for part in parts:
        if part.shape != y.shape:
            raise DataError(f"predictions of shape {tuple(part.shape)} for y {tuple(y.shape)}")
    xp = array_namespace(y)
    about = [double(a) - xp.mean(double(a), axis=0) for a in (y, *parts)]
    rest = 2.0 * about[0] - sum(about[2:], start=about[1])
    total = xp.sum(about[0] * about[0], axis=0)
    total = xp.where(total > 0, total, xp.full_like(total, xp.inf))
    return xp.stack([xp.sum(rest * part, axis=0) / total for part in about[1:]])


def _centred(a: Array, order: np.ndarray | None) -> tuple[Array, Array]:
    """Return `a` less its means, rows of a fold side by side, and the means in float64."""
    xp = array_namespace(a)
    mean = xp.mean(a, axis=0, dtype=xp.float64)
    if order is not None:
        a = xp.take(a, xp.asarray(order, device=device(a)), axis=0)
    a = a - xp.astype(mean, a.dtype)
    left = xp.mean(a, axis=0, dtype=xp.float64)  # of what rounding of a large mean left
    a -= xp.astype(left, a.dtype)
    return a, mean


def _check_draws(
    draws: int | np.ndarray, bands: int, seed: int, search: str, local: bool
) -> Float[np.ndarray, "draw band"]:
    if search not in SEARCHES:
        raise DataError(f"search {search!r}: choose {', '.join(SEARCHES)}")
    if not local and search != "exhaustive":
        raise DataError(f"one pair for all targets needs search exhaustive, not {search!r}")
    if isinstance(draws, int):
        return band_draws(bands, draws, seed)
    gammas = np.asarray(draws, dtype=np.float64)
    if gammas.ndim != 2 or gammas.shape[1] != bands or not len(gammas):
        raise DataError(f"draws have shape {gammas.shape}: give a row of {bands} weights per draw")
    total = gammas.sum(axis=1)
    bad = np.flatnonzero(~(np.isfinite(gammas) & (gammas >= 0)).all(axis=1) | ~(total > 0))
    if bad.size:
        raise DataError(
            f"draw {bad[0]} has the weights {gammas[bad[0]].tolist()}: they must be finite, at"
            " least 0, and not all 0"
        )
    return gammas / total[:, None]
