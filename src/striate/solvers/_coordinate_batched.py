"""Coordinate descent for all targets and training sets at once, one feature after another.

For tensors on a GPU, and where numba is not to be had: the same solutions as `_lasso_paths` and,
for features that all targets share, as `_lasso_joint`, through the array API.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Bool, Float

from striate.solvers._arrays import Array

TIGHT = 1e-7  # how far a solution may miss its equations, relative to the penalty
SWEEPS = 2000


def descend_all(
    grams: Float[Array, "training feature feature"],
    c: Float[Array, "training target feature"],
    alphas: Float[Array, "each alpha"],
    ratios: Float[Array, " each"],
    counts: np.ndarray,
    held: tuple[Array, Array, Array] | None,
    *,
    joint: bool = False,
) -> tuple[
    Float[Array, "training each alpha"],
    Float[Array, "training target feature"],
    Bool[np.ndarray, " each"],
]:
    """Return held-out errors, the coefficients after `counts` penalties, and who came to rest.

    Each of the targets has its own `alphas`; with `joint` they share a single row of them, and
    the features.
    """
    xp = array_namespace(c)
    sets, p = c.shape[0], c.shape[2]
    q = xp.asarray(xp.permute_dims(c, (2, 0, 1)), copy=True)
    w = xp.zeros_like(q)
    coef = xp.zeros_like(q)
    each, steps = alphas.shape
    loss = xp.zeros((sets, each, steps), dtype=xp.float64, device=device(c))
    sizes = xp.linalg.diagonal(grams)
    largest = xp.max(_length(xp, q, joint), axis=(0, 1))
    calm = np.ones(each, dtype=bool)
    for k in range(int(counts.max())):
        l1, l2 = alphas[:, k] * ratios, alphas[:, k] * (1.0 - ratios)
        scale = l1 + 1e-6 * largest
        tight = (TIGHT * l1 + 1e-13 * largest) / scale
        everything = True
        for _ in range(SWEEPS):
            features = list(range(p))
            if not everything:
                in_use = np.asarray(xp.any(w != 0.0, axis=(1, 2)).tolist())
                features = np.flatnonzero(in_use).tolist()
            worst = xp.zeros_like(l1)
            for j in features:
                size = sizes[:, j][:, None]
                weight = xp.where(size > 0, size + l2, xp.ones_like(size + l2))
                z = q[j, ...] + size * w[j, ...]
                length = _length(xp, z, joint)
                kept = xp.clip(length - l1, min=0.0)
                kept = kept / xp.where(length > 0, length, xp.ones_like(length)) / weight
                step = kept * z - w[j, ...]
                w[j, ...] += step
                q -= grams[:, j, :].T[:, :, None] * step
                missed = xp.max(_length(xp, step, joint) * weight, axis=0)
                worst = xp.maximum(worst, missed / scale)
            over = worst > tight
            if bool(xp.any(over)):
                everything = False
            elif everything:
                break
            else:
                everything = True
        else:
            calm &= ~np.asarray(over.tolist())
        if held is not None:
            loss[:, :, k] = _errors(xp, w, held, joint)
        last = xp.asarray(counts == k + 1, device=device(c))
        coef = xp.where(last, w, coef)
    return loss, xp.permute_dims(coef, (1, 2, 0)), calm


def _length(xp: Array, a: Array, joint: bool) -> Array:
    return xp.sqrt(xp.sum(a * a, axis=-1, keepdims=True)) if joint else xp.abs(a)


def _errors(
    xp: Array, w: Float[Array, "feature fold target"], held: tuple[Array, Array, Array], joint: bool
) -> Float[Array, "fold each"]:
    gram, c, y = held
    by_set = xp.permute_dims(w, (1, 2, 0))
    total = y + xp.sum(by_set * (by_set @ gram - 2.0 * c), axis=-1)
    total = xp.sum(total, axis=-1, keepdims=True) if joint else total
    return xp.clip(total, min=0.0)
