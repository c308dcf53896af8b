"""A search that lets the targets say where to look: moments propose, folds decide.

The moments of a target estimate how much of its variance each band and the noise have, and so its
weights and its penalty, without any fold. Targets of like shares are gathered around a few centres;
each centre is a candidate, and every target takes of the nearest ones that which predicts held-out
rows best.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from striate.solvers._arrays import Array, Workers
from striate.solvers._banded_kernel import Kernels
from striate.solvers._banded_search import Found, Turned, chosen, draw_losses

CENTRES = 12
"""Of the first look, in which targets gather around better estimates."""
NEAREST = 4
"""Centres that a target tries."""
LEAST_NOISE, LEAST_BAND = 0.02, 1e-4  # shares that no estimate falls below


def shares_of(
    theta: Float[np.ndarray, "part target"], sizes: Float[np.ndarray, " band"]
) -> Float[np.ndarray, "part target"]:
    """Return which share of a target's variance the noise (first) and each band has."""
    share = theta * np.concatenate([[1.0], sizes])[:, None]
    total = np.maximum(share.sum(axis=0), 1e-300)
    share[0] = np.maximum(share[0], LEAST_NOISE * total)
    # a band without variance stays without
    least = np.concatenate([[0.0], np.where(sizes > 0, LEAST_BAND, 0.0)])
    share = np.maximum(share, least[:, None] * total)
    return share / share.sum(axis=0)


def weights_of(
    share: Float[np.ndarray, "part centre"],
    sizes: Float[np.ndarray, " band"],
    bounds: tuple[float, float],
) -> tuple[Float[np.ndarray, "band centre"], Float[np.ndarray, " centre"]]:
    """Return the weights of bands, which sum to one, and the penalty that shares ask for."""
    ratio = share[1:] / np.where(sizes > 0, sizes, np.inf)[:, None] / share[0]
    total = ratio.sum(axis=0)
    if not (sizes > 0).any():
        return np.full_like(ratio, 1.0 / sizes.size), np.full(total.shape, bounds[1])
    return ratio / total, np.clip(1.0 / total, *bounds)


def gather(
    share: Float[np.ndarray, "part target"], count: int, turns: int = 12
) -> tuple[Int[np.ndarray, " target"], Float[np.ndarray, "part centre"]]:
    """Return the centre of every target, and the shares of the centres (k-means of their roots).

    It starts from the mean and goes on with whichever target is farthest from all centres.

    >>> at, centre = gather(np.array([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]]), 2)
    >>> at.tolist(), centre.round(1).tolist()
    ([0, 0, 1], [[0.9, 0.1], [0.1, 0.9]])
    """
    points = np.sqrt(share.T)
    centres = points.mean(axis=0, keepdims=True)
    far = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < min(count, len(points)) and far.max() > 1e-12:
        centres = np.concatenate([centres, points[far.argmax()][None]])
        far = np.minimum(far, ((points - centres[-1]) ** 2).sum(axis=1))
    for _ in range(turns):
        at = distances(points, centres).argmin(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, at, points)
        size = np.bincount(at, minlength=len(centres))[:, None]
        centres = np.where(size > 0, sums / np.maximum(size, 1), centres)
    at = distances(points, centres).argmin(axis=1)
    used, at = np.unique(at, return_inverse=True)
    found = (centres[used] ** 2).T
    return at, found / found.sum(axis=0)


def distances(
    points: Float[np.ndarray, "target part"], centres: Float[np.ndarray, "centre part"]
) -> Float[np.ndarray, "target centre"]:
    """Return squared distances."""
    cross = points @ centres.T
    return (points**2).sum(axis=1)[:, None] - 2 * cross + (centres**2).sum(axis=1)


def guided(
    kernels: Kernels,
    targets: Turned,
    y: Float[Array, "row target"],
    count: int,
    alphas: Float[np.ndarray, " alpha"],
    crew: Workers,
    *,
    together: bool,
) -> Found:
    """Try all bands alike on every target, and `count` centres on the targets nearest to them.

    `alphas` are tried with bands that weigh alike, and bound the penalties of the centres.
    """
    xp = array_namespace(y)
    share, centre, gamma, alpha = candidates(
        kernels, y, count, (float(alphas.min()), float(alphas.max())), crew
    )
    near = np.argsort(distances(np.sqrt(share.T), np.sqrt(centre.T)), axis=1)[:, :NEAREST]
    alike = np.full(len(kernels.each), 1.0 / len(kernels.each))

    def job(k: int) -> tuple[Any, Any]:
        if k == 0:
            loss = draw_losses(kernels, targets, alike, alphas, together=together)
            tried = xp.asarray(alphas, device=device(y))
            return chosen(xp.sum(loss, axis=0), tried, local=True)
        full = xp.full((len(targets),), xp.inf, dtype=xp.float64, device=device(y))
        members = xp.asarray(np.flatnonzero((near == k - 1).any(axis=1)), device=device(y))
        if members.shape[0]:
            own = alpha[k - 1 : k]
            loss = draw_losses(kernels, targets.only(members), gamma[:, k - 1], own)
            full[members] = xp.sum(loss, axis=(0, 1))
        return full, xp.full_like(full, float(alpha[k - 1]))

    done = crew.map(job, range(alpha.size + 1))
    gammas = np.concatenate([alike[None], gamma.T])
    return Found(gammas, xp.stack([d[0] for d in done]), xp.stack([d[1] for d in done]))


def candidates(
    kernels: Kernels,
    y: Float[Array, "row target"],
    count: int,
    bounds: tuple[float, float],
    crew: Workers,
) -> tuple[
    Float[np.ndarray, "part target"],
    Float[np.ndarray, "part centre"],
    Float[np.ndarray, "band centre"],
    Float[np.ndarray, " centre"],
]:
    """Return the shares of targets, and the shares, weights and penalties of the centres."""
    xp, n = array_namespace(y), y.shape[0]
    sizes = np.array([float(xp.linalg.trace(k)) / n for k in kernels.each])
    # to begin with, half of the variance is noise and the bands have equal parts of the rest
    alive = (sizes > 0).astype(np.float64)
    start = np.concatenate([[0.5], 0.5 * alive / max(alive.sum(), 1.0)])
    at, centre = np.zeros(y.shape[1], dtype=np.int64), start[:, None]
    share = np.repeat(centre, y.shape[1], axis=1)
    for most in (CENTRES, count):
        gamma, alpha = weights_of(centre, sizes, bounds)

        def job(k: int, at: Any = at, gamma: Any = gamma, alpha: Any = alpha) -> tuple[Any, Any]:
            (members,) = np.nonzero(at == k)
            part = xp.take(y, xp.asarray(members, device=device(y)), axis=1)
            theta = kernels.moments(kernels.mix(gamma[:, k]), float(alpha[k]), part)
            return members, shares_of(theta, sizes)

        for members, found in crew.map(job, range(centre.shape[1])):
            share[:, members] = found
        at, centre = gather(share, most)
    return share, centre, *weights_of(centre, sizes, bounds)
