"""The features in use of a sparse solution: the inverse of their Gram matrix, as they come and go.

One that enters borders the inverse by a row and a column, one that leaves takes its own along;
features that depend on each other are exchanged. Compiled by numba at the first call, and kept on
disk where that can be written. What is kept of `_lasso_paths` holds these functions, too: numba
looks only at the time of that file, so that a change here needs a new time there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check

import numba

FLAT = 1e-11  # share of a feature outside of the span of others, below which it depends on them


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled by numba, kept on disk if a folder for that can be written."""
    fast = {"nsz", "arcp", "contract", "reassoc"}  # all of fast math that keeps NaN and infinity
    try:
        return numba.njit(nogil=True, fastmath=fast, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no such folder
        return numba.njit(nogil=True, fastmath=fast)(function)  # type: ignore[no-any-return]


@compiled
@no_type_check
def add_rows(out, size, matrix, rows, factors, count):
    """Add `sum_i factors[i] matrix[rows[i], :size]` to `out`, four rows at once."""
    i = 0
    while i + 3 < count:
        a, b, c, d = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        x, y = matrix[rows[i]], matrix[rows[i + 1]]
        z, v = matrix[rows[i + 2]], matrix[rows[i + 3]]
        for t in range(size):
            out[t] += (a * x[t] + b * y[t]) + (c * z[t] + d * v[t])
        i += 4
    while i < count:
        a = factors[i]
        x = matrix[rows[i]]
        for t in range(size):
            out[t] += a * x[t]
        i += 1


@compiled
@no_type_check
def enter(inverse, s, u, schur):
    """Border the inverse of the first `s` by one more, with `u = inverse g` and its complement."""
    for i in range(s):
        factor, row = u[i] / schur, inverse[i]
        for t in range(s):
            row[t] += factor * u[t]
        row[s] = -factor
    last = inverse[s]
    for t in range(s):
        last[t] = -u[t] / schur
    last[s] = 1.0 / schur


@compiled
@no_type_check
def leave(inverse, held, s, out, order, place, w, sign):
    """Take number `out` from the `s` features in use; the last one moves to its place."""
    last = s - 1
    place[order[out]] = -1
    if out != last:
        for t in range(s):
            inverse[out, t], inverse[last, t] = inverse[last, t], inverse[out, t]
        for t in range(s):
            inverse[t, out], inverse[t, last] = inverse[t, last], inverse[t, out]
        for t in range(s):
            held[out, t] = held[last, t]
        for t in range(s):
            held[t, out] = held[t, last]
        order[out], w[out], sign[out] = order[last], w[last], sign[last]
        place[order[out]] = out
    gone = inverse[last]
    for i in range(last):
        factor, row = gone[i] / gone[last], inverse[i]
        for t in range(last):
            row[t] -= factor * gone[t]


@compiled
@no_type_check
def invert(inverse, gram, order, s, ridge):
    """Set the first `s` of `inverse` to that of `gram + ridge` on `order`; False if singular."""
    for i in range(s):
        row, source = inverse[i], gram[order[i]]
        for t in range(s):
            row[t] = source[order[t]]
        row[i] += ridge
    for k in range(s):  # Gauss-Jordan in place, without pivots: the matrix is positive definite
        pivot = inverse[k, k]
        if pivot <= FLAT * 1e-3 * (gram[order[k], order[k]] + ridge):
            return False
        row = inverse[k]
        for t in range(s):
            row[t] /= pivot
        row[k] = 1.0 / pivot
        for i in range(s):
            if i != k:
                other = inverse[i]
                factor = other[k]
                other[k] = 0.0
                for t in range(s):
                    other[t] -= factor * row[t]
    return True


@compiled
@no_type_check
def exchange(inverse, held, gram, s, order, place, w, sign, q, u, j, theta, far):
    """Move along features that depend on each other until one is zero; give its number or -1.

    Feature `j` is (almost) the sum of `u` times those in use: to raise it and lower them changes
    (almost) no prediction, but the penalty falls. The first to reach zero leaves, and `j` can
    enter; unless `far` comes first, where the change of predictions would outweigh it.
    """
    best, out = -1.0, -1
    for i in range(s):
        slope = -theta * u[i]
        if slope * sign[i] < 0.0:
            t = -w[i] / slope
            if out < 0 or t < best:
                best, out = t, i
    if out < 0 or best >= far:
        return 0.0, -1
    p, row = q.size, gram[j]
    for i in range(s):
        w[i] -= best * theta * u[i]
        u[i] *= best * theta
    for t in range(p):
        q[t] -= best * theta * row[t]
    add_rows(q, p, gram, order, u, s)
    w[out] = 0.0
    leave(inverse, held, s, out, order, place, w, sign)
    return best * theta, out
