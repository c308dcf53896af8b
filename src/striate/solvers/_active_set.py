"""The features in use of a sparse solution: the inverse of their Gram matrix, as they come and go.

One that enters borders the inverse by a row and a column, one that leaves takes its own along;
features that depend on each other are exchanged. Compiled by numba at the first call, and kept on
disk where that can be written. What is kept of `_lasso_paths` holds these functions, too, and
those of `_lasso_knots`: numba looks only at the time of that file, so that a change here needs a
new time there.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from striate.solvers._compiled import compiled

LANES = 16  # rows end with zeros, at multiples of this many numbers
FLAT = 1e-11  # share of a feature outside of the span of others, below which it depends on them


@compiled
@no_type_check
def padded(size):
    """Return the least multiple of `LANES` that is not less."""
    return (size + LANES - 1) // LANES * LANES


@compiled
@no_type_check
def add_rows(out, size, matrix, rows, factors, count):
    """Add `sum_i factors[i] matrix[rows[i], :size]` to `out`, four rows at once."""
    i = 0
    while i + 3 < count:  # a view of a row would count references, which takes longer than the row
        a, b, c, d = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        x, y, z, v = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for t in range(size):
            out[t] += (a * matrix[x, t] + b * matrix[y, t]) + (c * matrix[z, t] + d * matrix[v, t])
        i += 4
    while i < count:
        a, x = factors[i], rows[i]
        for t in range(size):
            out[t] += a * matrix[x, t]
        i += 1


@compiled
@no_type_check
def enter(inverse, s, u, schur):
    """Border the inverse of the first `s` by one more, with `u = inverse g` and its complement."""
    size = padded(s)
    for i in range(s):
        factor = u[i] / schur
        for t in range(size):
            inverse[i, t] += factor * u[t]
        inverse[i, s] = -factor
    for t in range(s):
        inverse[s, t] = -u[t] / schur
    inverse[s, s] = 1.0 / schur


@compiled
@no_type_check
def leave(inverse, s, out, order, place, w, sign):
    """Take number `out` from the `s` features in use; the last one moves to its place."""
    last = s - 1
    place[order[out]] = -1
    if out != last:
        for t in range(s):
            inverse[out, t], inverse[last, t] = inverse[last, t], inverse[out, t]
        for t in range(s):
            inverse[t, out], inverse[t, last] = inverse[t, last], inverse[t, out]
        order[out], w[out], sign[out] = order[last], w[last], sign[last]
        place[order[out]] = out
    gone, size = inverse[last], padded(s)
    for i in range(last):
        factor = gone[i] / gone[last]
        for t in range(size):
            inverse[i, t] -= factor * gone[t]
        inverse[i, last] = 0.0
    for t in range(size):
        gone[t] = 0.0


@compiled
@no_type_check
def invert(inverse, gram, order, dense, s, ridge):
    """Set the first `s` of `inverse` to that of `gram + ridge` on `order`; False if singular."""
    p, width = inverse.shape
    for i in range(p):
        for t in range(width):
            inverse[i, t] = 0.0
    r, u = np.zeros(width), np.zeros(width)
    for k in range(s):
        j, size = order[k], padded(k)
        for i in range(k):
            r[i] = gram[j, order[i]]
        for t in range(size):
            u[t] = 0.0
        add_rows(u, size, inverse, dense, r, k)
        schur = gram[j, j] + ridge
        for i in range(k):
            schur -= r[i] * u[i]
        if schur <= FLAT * 1e-3 * (gram[j, j] + ridge):
            return False
        enter(inverse, k, u, schur)
    return True


@compiled
@no_type_check
def exchange(inverse, gram, s, order, place, w, sign, q, u, j, theta, far):
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
    width, row = q.size, gram[j]
    for i in range(s):
        w[i] -= best * theta * u[i]
        u[i] *= best * theta
    for t in range(width):
        q[t] -= best * theta * row[t]
    add_rows(q, width, gram, order, u, s)
    w[out] = 0.0
    leave(inverse, s, out, order, place, w, sign)
    return best * theta, out
