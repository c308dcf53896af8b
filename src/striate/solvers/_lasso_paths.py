"""One target's solutions along its penalties, from a Gram matrix, with an exact active set.

Minimises `w'Gw / 2 - c'w + l1 |w|_1 + l2 |w|^2 / 2`. On the features in use the solution is linear
in their signs, so that it is solved for exactly: the inverse of their part of `G` is kept, and
changed by one row and column when a feature comes or goes. From one penalty to the next only few
do. Where the features in use depend on each other, one of them is exchanged for the new one; where
that fails, too, coordinate descent goes on (Friedman et al. 2010, doi:10.18637/jss.v033.i01).

Compiled by numba at the first call, and kept on disk where that can be written.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from striate.solvers._active_set import (
    FLAT,
    LANES,
    add_rows,
    enter,
    exchange,
    invert,
    leave,
    padded,
)
from striate.solvers._compiled import compiled
from striate.solvers._lasso_knots import ROWS, knots

ON_THE_WAY = 3e-4  # how far solutions may miss their equations, relative to the penalty
AT_THE_END = 1e-7
DESCENDED = 1e-6  # the same, by coordinate descent
VECTORS = 11  # of work beside the inverse
ROUNDS = 40  # changes of the active set at one penalty, in units of what is usual
STEPS = 40  # of conjugate gradients
WORTH = 1.0  # share of them that a new inverse may be worth, per feature in use
NEARLY = 1e-6  # below which an exchange is tried first
EXCHANGES = 6  # of features that depend on each other, for one that enters
SWEEPS = 5000  # of coordinate descent


@compiled
@no_type_check
def descend(gram, q, w, l1, l2, tight):
    """Coordinate descent on all features until no coefficient misses its equation by `tight`."""
    p = gram.shape[0]
    everything = True
    for _ in range(SWEEPS):
        worst = 0.0
        for j in range(p):
            if not (everything or w[j] != 0.0) or gram[j, j] == 0.0:
                continue
            size, old = gram[j, j], w[j]
            z = q[j] + size * old
            new = 0.0
            if z > l1:
                new = (z - l1) / (size + l2)
            elif z < -l1:
                new = (z + l1) / (size + l2)
            step = new - old
            if step != 0.0:
                w[j] = new
                row = gram[j]
                for t in range(q.size):
                    q[t] -= step * row[t]
                worst = max(worst, abs(step) * (size + l2))
        if worst <= tight:
            if everything:
                return True
            everything = True
        else:
            everything = False
    return False


@compiled
@no_type_check
def go_on(gram, q, w, older_q, older_w, sign, order, place, s, far):
    """Go on from the last two solutions, `far` times their distance or to the first sign change."""
    p, width = gram.shape
    for i in range(s):
        step = w[i] - older_w[order[i]]
        if (w[i] + far * step) * sign[i] < 0.0:
            far = -w[i] / step
    for t in range(width):
        now = q[t]
        q[t], older_q[t] = now + far * (now - older_q[t]), now
    for j in range(p):
        if place[j] >= 0:
            i = place[j]
            now = w[i]
            w[i], older_w[j] = now + far * (now - older_w[j]), now
        elif older_w[j] != 0.0:  # it left, and stays out
            factor, row = far * older_w[j], gram[j]
            older_w[j] = 0.0
            for t in range(width):
                q[t] -= factor * row[t]


@compiled
@no_type_check
def solve(inverse, excess, r, s, dense, tight, delta, z, d, ad):
    """Solve `(G + l2) delta = r` given the inverse of `G + l2 + excess`; return the iterations.

    Conjugate gradients with that inverse as preconditioner: since its product with `G` is known,
    an iteration costs one product. Without excess the first is the solution.
    """
    for i in range(s):
        delta[i] = 0.0
    before = 0.0
    for iteration in range(STEPS):
        worst = 0.0
        for i in range(s):
            worst = max(worst, abs(r[i]))
        if worst <= tight:
            return iteration
        for i in range(padded(s)):
            z[i] = 0.0
        add_rows(z, padded(s), inverse, dense, r, s)
        if excess == 0.0:
            for i in range(s):
                delta[i] = z[i]
            return 1
        now = 0.0
        for i in range(s):
            now += r[i] * z[i]
        keep = now / before if iteration > 0 else 0.0
        before = now
        curve = 0.0
        for i in range(s):
            d[i] = z[i] + (keep * d[i] if iteration > 0 else 0.0)
            ad[i] = r[i] - excess * z[i] + (keep * ad[i] if iteration > 0 else 0.0)
            curve += d[i] * ad[i]
        if not curve > 0.0:
            return STEPS
        step = now / curve
        for i in range(s):
            delta[i] += step * d[i]
            r[i] -= step * ad[i]
    return STEPS


@compiled
@no_type_check
def walk(gram, c, alphas, ratio, count, path, room, numbers):
    """Write the coefficients at the first `count` penalties to `path`.

    Returns 0 if the active set did it, 1 if coordinate descent had to help, 2 if even that did
    not come to rest.
    """
    p = c.size
    inverse, rows = room[:p], room[p:]
    q, w, sign, r, delta, u = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    z, d, ad, older_q, older_w = rows[6], rows[7], rows[8], rows[9], rows[10]
    order, place, dense = numbers[0], numbers[1], numbers[2]
    largest = 0.0
    width = gram.shape[1]
    for i in range(p):
        for t in range(width):
            inverse[i, t] = 0.0
    for t in range(width):
        q[t] = older_q[t] = older_w[t] = 0.0
    for j in range(p):
        q[j] = older_q[j] = c[j]
        place[j], dense[j] = -1, j
        largest = max(largest, abs(q[j]))
    s, status, base = 0, 0, 0.0
    ok, spent = True, 0
    for k in range(count):
        l1, l2 = alphas[k] * ratio, alphas[k] * (1.0 - ratio)
        tight = (AT_THE_END if k == count - 1 else ON_THE_WAY) * l1 + 1e-13 * largest
        before = 1e300
        if ok:
            done = False
            far = 0.0
            if k > 1 and alphas[k - 2] > alphas[k - 1]:
                far = (alphas[k - 1] - alphas[k]) / (alphas[k - 2] - alphas[k - 1])
            go_on(gram, q, w, older_q, older_w, sign, order, place, s, far)
            for attempt in range(ROUNDS + 2 * p):
                worst = 0.0
                for i in range(s):
                    r[i] = q[order[i]] - l1 * sign[i] - l2 * w[i]
                    worst = max(worst, abs(r[i]))
                rested = worst <= tight
                if not rested and (attempt > 0 or s == 0):
                    if worst > 0.2 * before or spent > WORTH * s:
                        if not invert(inverse, gram, order, dense, s, l2):
                            break
                        base, spent = l2, 0
                    before = worst
                    steps = solve(inverse, base - l2, r, s, dense, 0.3 * tight, delta, z, d, ad)
                    spent += steps - 1 if steps < STEPS else s
                    step, out = 1.0, -1
                    for i in range(s):
                        if (w[i] + delta[i]) * sign[i] < 0.0:
                            t = w[i] / (w[i] - (w[i] + delta[i]))
                            if t < step:
                                step, out = t, i
                    for i in range(s):
                        delta[i] *= -step
                        w[i] -= delta[i]
                    add_rows(q, width, gram, order, delta, s)
                    if out >= 0:
                        w[out] = 0.0
                        leave(inverse, s, out, order, place, w, sign)
                        s -= 1
                        before = 1e300
                    continue
                # the features in use are right: is one missing?
                entered = 0
                most, bar, over = 0.0, l1 + tight, 0.0
                for t in range(p):
                    over += max(abs(q[t]) - bar, 0.0) if place[t] < 0 else 0.0
                if rested and over == 0.0:
                    done = True
                    break
                if attempt > ROUNDS:  # one at a time cannot run in circles
                    for j in range(p):
                        if place[j] < 0:
                            most = max(most, abs(q[j]))
                singular = False
                for j in range(p):
                    if place[j] >= 0 or abs(q[j]) <= l1 + tight or abs(q[j]) < most:
                        continue
                    theta = 1.0 if q[j] > 0.0 else -1.0
                    if s == 0:
                        base = l2
                    start = 0.0
                    for _ in range(EXCHANGES):
                        row = gram[j]
                        for i in range(s):
                            r[i] = row[order[i]]
                        for i in range(padded(s)):
                            u[i] = 0.0
                        add_rows(u, padded(s), inverse, dense, r, s)
                        schur = row[j] + base
                        for i in range(s):
                            schur -= r[i] * u[i]
                        singular = schur <= FLAT * (row[j] + base)
                        if base > 0.0 or s == 0 or schur > NEARLY * row[j]:
                            break
                        if entered > 0 or not rested:  # when the others have found their places
                            singular = True
                            break
                        far = (abs(q[j]) - l1) / schur if not singular else np.inf
                        moved, out = exchange(
                            inverse, gram, s, order, place, w, sign, q, u, j, theta, far
                        )
                        if out < 0:
                            break
                        start += moved
                        s -= 1
                    if singular:
                        for t in range(width):
                            q[t] += start * row[t]
                        break
                    enter(inverse, s, u, schur)
                    order[s], place[j], w[s], sign[s] = j, s, start, theta
                    s += 1
                    entered += 1
                    if most > 0.0:
                        break
                if entered == 0 and rested:
                    done = not singular
                    break
                before = 1e300
            ok = done
        if not ok:  # by coordinate descent, and from its features on as before
            for i in range(s):
                r[i] = w[i]
            for j in range(p):
                delta[j] = r[place[j]] if place[j] >= 0 else 0.0
            calm = descend(gram, q, delta, l1, l2, DESCENDED * l1 + 1e-12 * largest)
            status = max(status, 1 if calm else 2)
            s = 0
            for j in range(p):
                place[j] = -1
                if delta[j] != 0.0:
                    order[s], place[j], w[s] = j, s, delta[j]
                    sign[s] = 1.0 if delta[j] > 0.0 else -1.0
                    s += 1
            ok, base = invert(inverse, gram, order, dense, s, l2), l2
        row = path[k]
        for j in range(p):
            row[j] = 0.0
        for i in range(s):
            row[order[i]] = w[i]
    return status


@compiled
@no_type_check
def walk_all(gram, c, alphas, ratios, counts, paths, status):
    """Write the coefficients of every target (target, alpha, feature) to `paths`.

    `gram` has rows that end with zeros, at a multiple of `LANES`.
    """
    p, width = gram.shape
    room = np.empty((p + VECTORS, width))
    basis, products = np.zeros((p, width + 2 * LANES)), np.empty((p, width))
    rows = np.zeros((ROWS, width + 2 * LANES))
    numbers = np.empty((3, p), np.int64)
    for n in range(c.shape[0]):
        told = gram, c[n], alphas[n], counts[n], paths[n]
        if ratios[n] == 1.0 and knots(*told, basis, products, rows, numbers[0]):
            continue
        done = walk(gram, c[n], alphas[n], ratios[n], counts[n], paths[n], room, numbers)
        status[n] = max(status[n], done)
