"""Banded ridge through kernels: one inverse predicts the held-out rows of every fold at once.

With `K = sum_b gamma_b X_b X_b'` and `A = (K + alpha)^-1`, the rows of a fold v are predicted from
the other rows t as `W y_t`, `W = -A_vv^-1 A_vt` (the inverse of a block matrix): no training set is
decomposed of its own. The intercept is a row and a column of ones beside K; as K is centred, it
takes one number off A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from striate.solvers._arrays import Array, double, gram
from striate.solvers._inverses import SINGLE, inverse, largest, mirrored, raised, solver

DIGITS = 1e-9
"""Penalties relative to the kernel's largest eigenvalue below which float64 inverts too roughly."""


@dataclass(frozen=True)
class Mixed:
    """A weighted sum of kernels, ready to be inverted: the mean of all rows has length `level`."""

    kernel: Float[Array, "row row"]
    level: float
    top: float  # its largest eigenvalue, or a little more


class Kernels:
    """A centred kernel of every band, rows of a fold side by side in the ranges `bounds`."""

    def __init__(
        self, spaces: Sequence[Float[Array, "row _"]], bounds: list[tuple[int, int]]
    ) -> None:
        self.spaces, self.bounds = spaces, bounds
        self.each = [gram(x.T) for x in spaces]

    def mix(self, gamma: np.ndarray) -> Mixed:
        """Return the kernels weighted by `gamma` and summed."""
        xp, n = array_namespace(self.each[0]), self.each[0].shape[0]
        kernel = xp.zeros_like(self.each[0])
        for weight, one in zip(gamma.tolist(), self.each, strict=True):
            if weight > 0:
                kernel += weight * one
        level = float(xp.linalg.trace(kernel)) / n or 1.0
        top = largest(kernel)
        # ones are an eigenvector without length; with the mean length they cost no digits
        kernel += level / n
        return Mixed(kernel, level, max(top, level))

    def predictors(
        self, mixed: Mixed, alpha: float, kind: Any
    ) -> list[Float[Array, "rest held_out"]]:
        """Return W' of every fold, less the mean of the training rows, in the type `kind`.

        Training rows are in turn: those behind the fold, then those before it.
        """
        xp, n = array_namespace(mixed.kernel), mixed.kernel.shape[0]
        work = kind if alpha >= SINGLE * mixed.top else xp.float64
        lower = inverse(raised(xp.astype(mixed.kernel, work), alpha))
        ones = 1.0 / (n * (alpha + mixed.level))  # what the intercept takes off
        found = []
        for low, high in self.bounds:
            inner = lower[low:high, low:high] - ones
            cross = xp.concat([lower[high:, low:high], lower[low:high, :low].T], axis=0)
            w = (cross - ones) @ mirrored(inverse(inner))
            found.append(xp.astype(-w - 1.0 / w.shape[0], kind, copy=False))
        return found

    def dual(
        self, mixed: Mixed, alpha: float, y: Float[Array, "row target"]
    ) -> Float[Array, "row target"]:
        """Return `(K + alpha)^-1 y`, the intercept being free: its columns sum to zero."""
        xp, y = array_namespace(y), double(y)
        work = xp.float32 if alpha >= SINGLE * mixed.top else xp.float64
        inverted = solver(raised(xp.astype(mixed.kernel, work), alpha))
        solved = double(inverted(xp.astype(y, work)))
        if work != xp.float64:  # half the time, and one correction brings the digits back
            missed = y - mixed.kernel @ solved - alpha * solved
            solved = solved + double(inverted(xp.astype(missed, work)))
        return solved - xp.mean(solved, axis=0)

    def moments(
        self, mixed: Mixed, alpha: float, y: Float[Array, "row target"]
    ) -> Float[np.ndarray, "part target"]:
        """Return the variance of the noise and of the weights of every band, each at least zero.

        The targets' covariance is taken to be `theta_0 + sum_b theta_b K_b`. The quadratic forms
        `y'A K_i A y` have the expectations `sum_j tr(A K_i A K_j) theta_j` for any `A`; with an A
        close to the inverse covariance this is a step of restricted maximum likelihood (Rao 1971,
        doi:10.1016/0047-259X(71)90001-7). It needs no folds and no grid.
        """
        xp, n = array_namespace(y), y.shape[0]
        a = mirrored(inverse(raised(xp.asarray(mixed.kernel, copy=True), alpha)))
        a = xp.astype(a - 1.0 / (n * (alpha + mixed.level)), y.dtype, copy=False)
        x = self.spaces
        turned = [a @ one for one in x]
        residual = a @ y
        count = len(x) + 1
        form = np.empty((count, count))
        form[0, 0] = _squares(a)
        forms = [xp.sum(residual * residual, axis=0)]
        for i, one in enumerate(x):
            form[0, i + 1] = form[i + 1, 0] = _squares(turned[i])
            for j in range(i, len(x)):
                form[i + 1, j + 1] = form[j + 1, i + 1] = _squares(one.T @ turned[j])
            along = one.T @ residual
            forms.append(xp.sum(along * along, axis=0))
        right = np.asarray(array_api_compat.to_device(double(xp.stack(forms)), "cpu"))
        scale = np.sqrt(np.maximum(np.diag(form), 1e-300))
        theta = np.linalg.lstsq(form / scale / scale[:, None], right / scale[:, None], rcond=1e-10)
        return np.maximum(theta[0] / scale[:, None], 0.0)


def _squares(a: Float[Array, "row column"]) -> float:
    xp = array_namespace(a)
    return float(xp.sum(double(xp.vecdot(a, a))))
