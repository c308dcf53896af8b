"""Two ways through a banded ridge: kernels of the bands, or a ridge on scaled features per draw.

Kernels are faster while rows do not outnumber features by much, and search in more ways; a ridge on
features scaled by the roots of the weights is the same mathematics, for many rows and for penalties
so small that a kernel has no digits for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, to_device
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers, double
from striate.solvers._banded_guided import guided
from striate.solvers._banded_halving import halving
from striate.solvers._banded_kernel import DIGITS, Kernels
from striate.solvers._banded_search import Found, Turned, exhaustive, ranges
from striate.solvers._budget import Need
from striate.solvers.ridge import ridge, ridge_cv

TINY_LOSS = 1e-4
"""Part of a target's variance below which float32 predictions are too rough for its loss."""
TOGETHER = 16384
"""Targets that a guided search looks at together."""


@dataclass(frozen=True)
class Problem:
    """What is asked: features side by side and targets, rows of a fold side by side, centred."""

    x: Float[Array, "row feature"]
    y: Float[Array, "row target"]
    bands: list[slice]
    bounds: list[tuple[int, int]]
    alphas: Float[np.ndarray, " alpha"]
    draws: Float[np.ndarray, "draw band"]
    search: str
    local: bool
    memory: int


@dataclass(frozen=True)
class Choice:
    """What was chosen for every target, and the coefficients that follow from it."""

    gamma: Float[np.ndarray, "band target"]
    alpha: Float[np.ndarray, " target"]
    loss: Float[np.ndarray, "draw target"]
    coef: Float[Array, "feature target"]


def kernel_need(
    rows: int, features: int, bands: int, penalties: int, *, threads: int, single: bool
) -> Need:
    """Return what the way through kernels takes; `penalties` are those computed together."""
    size = 4 if single else 8
    # kernels, features joined and centred, and as float64 while kernels grow of them
    fixed = 8 * rows * rows * bands + (2 * size + 8) * rows * features
    each_thread = (24 + 8 * bands + size * (penalties + 2)) * rows * rows
    fixed += threads * (each_thread + 512 * size * (penalties + 4) * rows)
    each = (4 * size + 24) * rows + threads * 8 * penalties * 8 + 8 * 200
    what = f"banded ridge of {features:,} features in {bands} bands on {rows:,} rows"
    return Need(what, fixed, each)


def need_of(p: Problem, threads: int, *, together: bool) -> Need:
    """Return what a problem takes by way of kernels."""
    penalties = p.alphas.size if together else 1
    single = p.x.dtype == array_namespace(p.x).float32
    n, width = p.x.shape
    return kernel_need(n, width, len(p.bands), penalties, threads=threads, single=single)


def by_kernels(p: Problem, crew: Workers, kernels: Kernels, together: bool) -> Choice:
    """Search and fit through the kernels of the bands."""
    xp, targets = array_namespace(p.x), p.y.shape[1]
    need = need_of(p, crew.threads, together=together)
    if p.search == "guided":
        parts = ranges(targets, TOGETHER)
        Need(need.what, need.fixed, need.each * min(targets, TOGETHER)).check(p.memory)
    elif p.local:
        parts = [slice(a, b) for a, b in need.batches(targets, p.memory)]
    else:  # all targets have a say in what is chosen
        parts = [slice(0, targets)]
        Need(need.what, need.fixed, need.each * targets).check(p.memory)

    found = [_by_kernels(p, p.y[:, part], crew, kernels, together) for part in parts]
    return Choice(
        np.concatenate([f.gamma for f in found], axis=1),
        np.concatenate([f.alpha for f in found]),
        _beside([f.loss for f in found]),
        found[0].coef if len(found) == 1 else xp.concat([f.coef for f in found], axis=1),
    )


def _by_kernels(p: Problem, y: Array, crew: Workers, kernels: Kernels, together: bool) -> Choice:
    targets, alphas = Turned.of(y, p.bounds), p.alphas
    if p.search == "guided":
        found = guided(kernels, targets, y, len(p.draws), alphas, crew, together=together)
    elif p.search == "halving":
        found = halving(kernels, targets, p.draws, alphas, crew)
    else:
        found = exhaustive(
            kernels, targets, p.draws, alphas, crew, local=p.local, together=together
        )
    loss, draw, alpha = chosen_draws(found, local=p.local)
    xp = array_namespace(y)
    variance = on_cpu(xp.sum(double(y) * double(y), axis=0))
    (tiny,) = np.nonzero(loss.min(axis=0) < TINY_LOSS * variance)
    if tiny.size and y.dtype == xp.float32 and p.local and p.search != "guided":
        few = Turned.of(double(xp.take(y, xp.asarray(tiny, device=device(y)), axis=1)), p.bounds)
        again = exhaustive(kernels, few, p.draws, alphas, crew, local=True, together=together)
        loss[:, tiny], draw[tiny], alpha[tiny] = chosen_draws(again, local=True)
    return Choice(
        found.gamma[draw].T, alpha, loss, refit(kernels, y, found.gamma, draw, alpha, crew)
    )


def refit(
    kernels: Kernels,
    y: Float[Array, "row target"],
    draws: Float[np.ndarray, "draw band"],
    draw: np.ndarray,
    alpha: np.ndarray,
    crew: Workers,
) -> Float[Array, "feature target"]:
    """Return the coefficients of all rows; targets of the same draw and penalty share a solution.

    With the dual solution `a = (K + alpha)^-1 y`, the weights of a band are `gamma_b X_b'a`.
    """
    xp = array_namespace(y)
    # the dual is large where a penalty is small, and what it is large in is lost on the features
    dual = xp.empty(y.shape, dtype=xp.float64, device=device(y))

    def job(which: int) -> None:
        (own,) = np.nonzero(draw == which)
        mixed = kernels.mix(draws[which])
        for value in np.unique(alpha[own]):
            members = xp.asarray(own[alpha[own] == value], device=device(y))
            dual[:, members] = kernels.dual(mixed, float(value), xp.take(y, members, axis=1))

    crew.map(job, np.unique(draw).tolist())
    gamma = xp.asarray(draws[draw].T, device=device(y))
    found = []
    for b, x in enumerate(kernels.spaces):
        found.append(xp.astype((double(x).T @ dual) * gamma[b, :], y.dtype, copy=False))
    return xp.concat(found)


def by_ridge(p: Problem, threads: int | None) -> Choice:
    """Search and fit with a ridge on scaled features for every draw: always all of them."""
    xp, targets = array_namespace(p.x), p.y.shape[1]
    folds = np.repeat(np.arange(len(p.bounds)), [b - a for a, b in p.bounds])
    spare = max(1, p.memory - 16 * p.x.shape[0] * p.x.shape[1])
    room = {"memory": spare, "threads": threads}
    losses, alphas = [], []
    for gamma in p.draws:
        fit = ridge_cv(
            _scaled(p, gamma),
            p.y,
            p.alphas,
            folds,
            penalty="target" if p.local else "global",
            **room,
        )
        place = np.searchsorted(np.sort(p.alphas), on_cpu(fit.alpha))
        alphas.append(np.sort(p.alphas)[place])
        each = on_cpu(fit.loss) * p.x.shape[0]
        order = np.argsort(p.alphas, kind="stable")
        losses.append(np.take_along_axis(each[order], place[None], axis=0)[0])
    found = Found(p.draws, np.stack(losses), np.stack(alphas))
    loss, draw, alpha = chosen_draws(found, local=p.local)
    coef = xp.empty((p.x.shape[1], targets), dtype=p.y.dtype, device=device(p.y))
    for which in np.unique(draw).tolist():
        members = xp.asarray(np.flatnonzero(draw == which), device=device(p.y))
        own = xp.asarray(alpha[draw == which], device=device(p.y))
        fit = ridge(_scaled(p, p.draws[which]), xp.take(p.y, members, axis=1), own, **room)
        coef[:, members] = fit.coef * _roots(p, p.draws[which])[:, None]
    return Choice(p.draws[draw].T, alpha, loss, coef)


def _roots(p: Problem, gamma: Float[np.ndarray, " band"]) -> Float[Array, " feature"]:
    xp = array_namespace(p.x)
    widths = [b.stop - b.start for b in p.bands]
    return xp.asarray(np.repeat(np.sqrt(gamma), widths), dtype=p.x.dtype, device=device(p.x))


def _scaled(p: Problem, gamma: Float[np.ndarray, " band"]) -> Float[Array, "row feature"]:
    return p.x * _roots(p, gamma)


def chosen_draws(found: Found, *, local: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return losses, and of every target the first draw with the least one, and its alpha."""
    loss, alpha = on_cpu(found.loss).copy(), on_cpu(found.alpha)
    shared = np.full(loss.shape[1], loss.sum(axis=1).argmin())
    draw = loss.argmin(axis=0) if local else shared
    return loss, draw, np.take_along_axis(alpha, draw[None], axis=0)[0].copy()


def fits(p: Problem, threads: int) -> bool | None:
    """Return whether penalties fit into memory together, None when kernels do not fit at all.

    Kernels are not wanted, either, where rows outnumber features by far or digits are missing.
    """
    n, width = p.x.shape
    if n > 1.5 * width and p.search == "exhaustive":
        return None
    for together in (True,) if p.search == "halving" else (True, False):
        need = need_of(p, threads, together=together)
        if need.fixed + need.each <= p.memory:
            return together
    return None


def digits(p: Problem, kernels: Kernels) -> bool:
    """Return whether the kernels have digits for the smallest penalty."""
    xp = array_namespace(p.x)
    most = max(float(xp.linalg.trace(k)) for k in kernels.each)
    return bool(p.alphas.min() > DIGITS * most)


def _beside(losses: list[np.ndarray]) -> np.ndarray:
    """Losses of all targets; where parts had draws of their own, the rest is infinite."""
    most = max(len(one) for one in losses)
    return np.concatenate(
        [np.pad(a, ((0, most - len(a)), (0, 0)), constant_values=np.inf) for a in losses], axis=1
    )


def on_cpu(a: Any) -> np.ndarray:
    """Return an array as NumPy's."""
    return np.asarray(to_device(a, "cpu"))
