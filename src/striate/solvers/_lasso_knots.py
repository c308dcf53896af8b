"""One target's lasso along all penalties, from one change of its features in use to the next.

Between these the path is straight, so that the penalties asked for cost nothing but to be written
down (Osborne et al. 2000, doi:10.1093/imanum/20.3.389; Efron et al. 2004). The features in use are
kept orthonormal, as in a Gram-Schmidt process: `basis` has their weights, `products` those with
all features. One that enters adds a row to both, one that leaves is turned into the last row.
Features in the span of those in use have to wait until one leaves.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from striate.solvers._active_set import padded
from striate.solvers._compiled import compiled

FLAT = 1e-11  # share of a feature outside of the span of others, below which it waits
NEAR = 1e-8  # how far a solution may miss its equations, relative to the penalty
EVENTS = 12  # features that come or go, in units of the features
FAR = 1e300
TINY = 1e-12  # a slope relative to that of the penalty, below which they hardly meet
ROWS = 8  # of work


@compiled
@no_type_check
def subtract_rows(out, matrix, factors, count, size):
    """Subtract `sum_i factors[i] matrix[i, :size]` from `out`, four rows at once.

    Where there is no `size`, that of a lower triangle, whose rows end with zeros.
    """
    i = 0
    while i + 3 < count:
        a, b, c, d = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        x, y, z, v = i, i + 1, i + 2, i + 3
        for t in range(size if size > 0 else padded(i + 4)):
            out[t] -= (a * matrix[x, t] + b * matrix[y, t]) + (c * matrix[z, t] + d * matrix[v, t])
        i += 4
    while i < count:
        a = factors[i]
        for t in range(size if size > 0 else padded(i + 1)):
            out[t] -= a * matrix[i, t]
        i += 1


@compiled
@no_type_check
def turn(matrix, i, cos, sin, size):
    """Turn rows `i` and `i + 1` into each other."""
    for t in range(size):
        x, y = matrix[i, t], matrix[i + 1, t]
        matrix[i, t], matrix[i + 1, t] = cos * x - sin * y, sin * x + cos * y


@compiled
@no_type_check
def turn_out(basis, products, s, out, width):
    """Turn the rows from number `out` on until only the last has a weight of that feature."""
    for i in range(out, s - 1):
        a, b = basis[i, out], basis[i + 1, out]
        length = np.sqrt(a * a + b * b)
        turn(basis, i, b / length, a / length, padded(i + 2))
        turn(products, i, b / length, a / length, width)


@compiled
@no_type_check
def next_to_enter(q, drift, shut, level, when):
    """Return which feature reaches the falling penalty first, after what fall, if it may."""
    for t in range(q.size):
        up, down = 1.0 - drift[t], 1.0 + drift[t]
        rise = max(level - q[t], 0.0) / up if up > TINY else FAR
        sink = max(level + q[t], 0.0) / down if down > TINY else FAR
        when[t] = shut[t] + (rise if rise < sink else sink)
    first, least = -1, level
    for t in range(q.size):
        if when[t] < least:
            first, least = t, when[t]
    return first, least


@compiled
@no_type_check
def knots(gram, c, alphas, count, path, basis, products, rows, order):
    """Write the coefficients at the first `count` penalties to `path`; False if it went astray.

    `gram` has rows that end with zeros, at a multiple of `LANES`.
    """
    p, width = c.size, gram.shape[1]
    q, drift, h, shut = rows[0, :width], rows[1, :width], rows[2, :width], rows[3, :width]
    w, slope, u, sign = rows[4], rows[5], rows[6], rows[7]
    largest = 0.0
    for j in range(p):
        q[j], drift[j], shut[j] = c[j], 0.0, 0.0 if gram[j, j] > 0.0 else FAR
        largest = max(largest, abs(c[j]))
    for j in range(p, width):
        q[j], drift[j], shut[j] = 0.0, 0.0, FAR
    for j in range(rows.shape[1]):
        w[j], slope[j], sign[j] = 0.0, 0.0, 0.0
    s, k, waiting, level = 0, 0, 0, largest
    if not largest > 0.0:
        level = 0.0
    for _ in range(EVENTS * p + 50):
        j, fall = next_to_enter(q, drift, shut, level, h)
        out = -1
        for i in range(s):
            if slope[i] * sign[i] < 0.0 and -w[i] * sign[i] > fall * slope[i] * sign[i]:
                fall, out = max(-w[i] / slope[i], 0.0), i
        while k < count and (alphas[k] >= level - fall or alphas[k] >= level):
            step = max(level - alphas[k], 0.0)
            tight = alphas[k] * (1.0 + NEAR) + 1e-13 * largest
            row = path[k]
            over = 0.0
            for t in range(width):
                over += max(abs(q[t] - step * drift[t]) - tight, 0.0)
            if over > 0.0 and alphas[k] < level:
                return False
            for t in range(p):
                row[t] = 0.0
            for i in range(s):
                row[order[i]] = w[i] + step * slope[i]
            k += 1
        if k >= count:
            break
        for i in range(s):
            w[i] += fall * slope[i]
        for t in range(width):
            q[t] -= fall * drift[t]
        level -= fall
        if out >= 0:
            turn_out(basis, products, s, out, width)
            s -= 1
            gone, last = basis[s], products[s]
            share = slope[out] / gone[out]
            for t in range(width):
                drift[t] -= share * last[t]
            for i in range(s + 1):
                slope[i] -= share * gone[i]
            shut[order[out]] = 0.0
            for i in range(out, s):
                row = basis[i]
                for t in range(out, i + 1):
                    row[t] = row[t + 1]
                row[i + 1] = 0.0
                order[i], w[i], slope[i], sign[i] = (
                    order[i + 1],
                    w[i + 1],
                    slope[i + 1],
                    sign[i + 1],
                )
            w[s], slope[s], sign[s] = 0.0, 0.0, 0.0
            if waiting > 0:
                waiting = 0
                for t in range(p):
                    shut[t] = 0.0 if gram[t, t] > 0.0 else FAR
                for i in range(s):
                    shut[order[i]] = FAR
            continue
        if j < 0:
            return False
        shut[j] = FAR
        source = gram[j]
        for t in range(width):
            h[t] = source[t]
        new = basis[s]  # its factors first, then the row itself
        for i in range(s):
            u[i] = products[i, j]
        subtract_rows(h, products, u, s, width)
        schur = h[j]
        if schur <= FLAT * source[j]:
            waiting += 1
            continue
        size = padded(s + 1)
        for t in range(padded(s + 4)):
            new[t] = 0.0
        subtract_rows(new, basis, u, s, 0)
        new[s] = 1.0
        sign[s] = 1.0 if q[j] > 0.0 else -1.0
        share, scale, last = (sign[s] - drift[j]) / schur, 1.0 / np.sqrt(schur), products[s]
        for t in range(width):
            drift[t] += share * h[t]
            last[t] = scale * h[t]
        for i in range(size):
            slope[i] += share * new[i]
            new[i] *= scale
        order[s], w[s] = j, 0.0
        s += 1
    return k >= count
