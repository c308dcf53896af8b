"""Predictions under close penalties are nearly combinations of a few: compute those, mix the rest.

A ridge prediction depends on its penalty by `1 / (l + alpha)` alone, for the eigenvalues l of a
kernel in [0, top]. Over a grid of penalties these functions have a low numerical rank.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

POINTS = 200


def skeleton(
    alphas: Float[np.ndarray, " alpha"], top: float, tolerance: float, least: float = 0.0
) -> tuple[list[int], Float[np.ndarray, "rest kept"]]:
    """Return which penalties to compute, and how to mix their predictions for each of the others.

    The rest are in their order in `alphas`. What they miss is at most `tolerance` of the spread of
    a target, whatever eigenvalues the kernel has from `least` to `top`; `tolerance` 0 keeps all.

    >>> kept, mix = skeleton(np.array([1.0, 1e6, 2e6]), top=1.0, tolerance=1e-8)
    >>> sorted(kept), abs(mix).round(3).tolist()
    ([0, 1], [[0.0, 0.5]])
    """
    count = alphas.size
    if tolerance <= 0 or count < 3:
        return list(range(count)), np.zeros((0, count))
    values = np.geomspace(max(least, 1e-12 * top), top, POINTS)
    weight = np.sqrt(values * np.maximum(values, top / 30))
    functions = weight[:, None] / (values[:, None] + alphas)
    # differences between huge penalties count as little as their predictions do
    order = scipy.linalg.qr(functions, mode="r", pivoting=True)[1]
    for r in range(1, count):
        kept, rest = sorted(order[:r].tolist()), sorted(order[r:].tolist())
        size = np.linalg.norm(functions[:, kept], axis=0)
        mix = np.linalg.lstsq(functions[:, kept] / size, functions[:, rest], rcond=1e-13)[0]
        mix = (mix / size[:, None]).T
        if np.abs(functions[:, kept] @ mix.T - functions[:, rest]).max() <= tolerance:
            return kept, mix
    return list(range(count)), np.zeros((0, count))
