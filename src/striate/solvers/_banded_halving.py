"""A search that lets hopeless draws go: after each fold a target leaves draws that fall behind.

The first draws are tried in full and set a mark for every target. A later draw meets the folds one
after the other; a target leaves it when, over the folds so far, it is behind the mark by more than
chance would explain. What a target leaves, it is not tried on any further.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import Workers
from striate.solvers._banded_kernel import Kernels
from striate.solvers._banded_search import (
    MISSED,
    Found,
    Turned,
    chosen,
    draw_losses,
    fold_losses,
    grouped,
)

LAG = 1.0
"""Relative lag behind the mark that is hopeless, times the root of the rows it was seen on."""


def halving(
    kernels: Kernels,
    targets: Turned,
    draws: Float[np.ndarray, "draw band"],
    alphas: Float[np.ndarray, " alpha"],
    crew: Workers,
) -> Found:
    """Try the first draws on every target, later ones as long as they keep up."""
    xp, first = array_namespace(targets.twice), min(len(draws), draws.shape[1] + 1)
    where = device(targets.twice)
    tried = xp.asarray(alphas, device=where)

    def whole(gamma: np.ndarray) -> tuple[Any, Any, Any]:
        loss = draw_losses(kernels, targets, gamma, alphas)
        best, alpha = chosen(xp.sum(loss, axis=0), tried, local=True)
        place = xp.argmin(xp.sum(loss, axis=0), axis=0)
        return best, alpha, xp.take_along_axis(loss, place[None, None, :], axis=1)[:, 0, :]

    done = crew.map(whole, list(draws[:first]))
    losses, penalties = [d[0] for d in done], [d[1] for d in done]
    best = xp.argmin(xp.stack(losses), axis=0)
    mark = xp.take_along_axis(xp.stack([d[2] for d in done]), best[None, None, :], axis=0)[0, ...]

    def partly(gamma: np.ndarray) -> tuple[Any, Any]:
        mixed = kernels.mix(gamma)
        tolerance = MISSED if targets.twice.dtype == xp.float32 else 0.0
        groups = grouped(alphas, mixed.top, tolerance, together=True)
        kept, rest, _ = groups[0]
        each = [kernels.predictors(mixed, float(alphas[a]), targets.twice.dtype) for a in kept]
        order = xp.asarray(np.argsort([*kept, *rest]), device=where)
        full = xp.full((len(targets),), xp.inf, dtype=xp.float64, device=where)
        alpha, members, total = xp.full_like(full, xp.nan), xp.arange(len(targets)), 0.0
        members = xp.asarray(members, device=where)
        for fold in range(len(targets.bounds)):
            few = targets if members.shape[0] == len(targets) else targets.only(members)
            loss = fold_losses([w[fold] for w in each], groups[0], few, fold)
            total = total + xp.take(loss, order, axis=0)
            so_far = xp.sum(xp.take(mark[: fold + 1, :], members, axis=1), axis=0)
            hopeless = 1.0 + LAG / targets.bounds[fold][1] ** 0.5
            (keep,) = xp.nonzero(xp.min(total, axis=0) <= hopeless * so_far)
            if fold + 1 == len(targets.bounds) or keep.shape[0] == 0:
                break
            members, total = xp.take(members, keep), xp.take(total, keep, axis=1)
        if keep.shape[0]:
            full[members], alpha[members] = chosen(total, tried, local=True)
        return full, alpha

    later = crew.map(partly, list(draws[first:]))
    losses, penalties = [*losses, *(d[0] for d in later)], [*penalties, *(d[1] for d in later)]
    return Found(draws, xp.stack(losses), xp.stack(penalties))
