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

from striate.solvers._active_set import FLAT, add_rows, compiled, enter, exchange, invert, leave

TIGHT = 1e-7  # how far a solution may miss its equations, relative to the penalty
VECTORS = 12  # of work beside the inverse
ROUNDS = 40  # changes of the active set at one penalty, in units of what is usual
STEPS = 40  # of conjugate gradients
WORTH = 2.0  # share of them that a new inverse may be worth, per feature in use
NEARLY = 1e-6  # below which an exchange is tried first
EXCHANGES = 6  # of features that depend on each other, for one that enters
SWEEPS = 5000  # of coordinate descent


@compiled
@no_type_check
def descend(gram, q, w, l1, l2, tight):
    """Coordinate descent on all features until no coefficient misses its equation by `tight`."""
    p = q.size
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
                for t in range(p):
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
def squared_error(held, c, y, order, dense, w, s, product):
    """Return `y - 2 c'w + w'Gw` for the `s` coefficients in use, whose part of `G` is `held`."""
    for i in range(s):
        product[i] = 0.0
    add_rows(product, s, held, dense, w, s)
    total = y
    for i in range(s):
        total += w[i] * (product[i] - 2.0 * c[order[i]])
    return max(total, 0.0)


@compiled
@no_type_check
def glide(w, sign, along, q, drift, s, fall):
    """Move to a penalty lower by `fall`, unless a coefficient changes its sign on the way."""
    least = 0.0
    for i in range(s):
        least = min(least, (w[i] + fall * along[i]) * sign[i])
    if least < 0.0:
        return
    for i in range(s):
        w[i] += fall * along[i]
    for t in range(q.size):
        q[t] -= fall * drift[t]


@compiled
@no_type_check
def turn(gram, order, u, s, j, theta, schur, missing, w, sign, along, q, drift, h):
    """Change the direction of the path as `j` enters; return the coefficient it can be given."""
    p, row = q.size, gram[j]
    for t in range(p):
        h[t] = 0.0
    add_rows(h, p, gram, order, u, s)
    share, step, least = theta, missing / schur, 0.0
    for i in range(s):
        share -= u[i] * sign[i]
        least = min(least, (w[i] - step * u[i]) * sign[i])
    share /= schur
    step = step if least >= 0.0 else 0.0
    for t in range(p):
        h[t] = row[t] - h[t]
        drift[t] += share * h[t]
        q[t] -= step * h[t]
    for i in range(s):
        along[i] -= share * u[i]
        w[i] -= step * u[i]
    along[s] = share
    return step


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
            z[i] = 0.0
            worst = max(worst, abs(r[i]))
        if worst <= tight:
            return iteration
        add_rows(z, s, inverse, dense, r, s)
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
def walk(gram, c, alphas, ratio, count, held_gram, held_c, held_y, loss, coef, room, numbers):
    """Solve for the first `count` penalties; write held-out errors and the last coefficients.

    Returns 0 if the active set did it, 1 if coordinate descent had to help, 2 if even that did
    not come to rest. Without `held_gram` no errors are written.
    """
    p = c.size
    inverse, held, rows = room[:p], room[p : 2 * p], room[2 * p :]
    q, w, sign, r, delta, u = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    z, d, ad = rows[6], rows[7], rows[8]
    along, drift, h = rows[9], rows[10], rows[11]
    order, place, dense = numbers[0], numbers[1], numbers[2]
    with_errors = held_gram.shape[0] > 0
    largest = 0.0
    for j in range(p):
        q[j], drift[j] = c[j], 0.0
        place[j], dense[j] = -1, j
        largest = max(largest, abs(q[j]))
    s, status, base = 0, 0, 0.0
    ok, spent = True, 0
    lasso = ratio == 1.0  # the path is straight from one change of the active set to the next
    straight = lasso
    for k in range(count):
        l1, l2 = alphas[k] * ratio, alphas[k] * (1.0 - ratio)
        tight = (TIGHT if lasso else 10.0 * TIGHT) * l1 + 1e-13 * largest
        before = 1e300
        if ok:
            done = False
            if straight and k > 0:
                glide(w, sign, along, q, drift, s, alphas[k - 1] - alphas[k])
            for attempt in range(ROUNDS + 2 * p):
                worst = 0.0
                for i in range(s):
                    r[i] = q[order[i]] - l1 * sign[i] - l2 * w[i]
                    worst = max(worst, abs(r[i]))
                if worst > tight:
                    if worst > 0.2 * before or spent > WORTH * s:
                        if not invert(inverse, gram, order, s, l2):
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
                    add_rows(q, p, gram, order, delta, s)
                    if out >= 0:
                        w[out] = 0.0
                        leave(inverse, held, s, out, order, place, w, sign)
                        s -= 1
                        before, straight = 1e300, False
                    continue
                # the features in use are right: is one missing?
                entered = 0
                most = 0.0
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
                            u[i] = 0.0
                        add_rows(u, s, inverse, dense, r, s)
                        schur = row[j] + base
                        for i in range(s):
                            schur -= r[i] * u[i]
                        singular = schur <= FLAT * (row[j] + base)
                        if base > 0.0 or s == 0 or schur > NEARLY * row[j]:
                            break
                        if entered > 0:  # when those before have found their places
                            singular = True
                            break
                        far = (abs(q[j]) - l1) / schur if not singular else np.inf
                        moved, out = exchange(
                            inverse, held, gram, s, order, place, w, sign, q, u, j, theta, far
                        )
                        if out < 0:
                            break
                        start += moved
                        s -= 1
                        straight = False
                    if singular:
                        for t in range(p):
                            q[t] += start * row[t]
                        break
                    if straight:
                        missing = q[j] - l1 * theta
                        start = turn(
                            gram, order, u, s, j, theta, schur, missing, w, sign, along, q, drift, h
                        )
                    enter(inverse, s, u, schur)
                    if with_errors:
                        for i in range(s):
                            held[s, i] = held_gram[j, order[i]]
                            held[i, s] = held[s, i]
                        held[s, s] = held_gram[j, j]
                    order[s], place[j], w[s], sign[s] = j, s, start, theta
                    s += 1
                    entered += 1
                    if most > 0.0:
                        break
                if entered == 0 and not singular:
                    done = True
                    break
                if singular and entered == 0:
                    break
                before = 1e300
            ok = done
            if lasso and not straight:
                for i in range(s):
                    along[i] = 0.0
                add_rows(along, s, inverse, dense, sign, s)
                for t in range(p):
                    drift[t] = 0.0
                add_rows(drift, p, gram, order, along, s)
                straight = True
        if not ok:  # by coordinate descent, and from its features on as before
            for i in range(s):
                r[i] = w[i]
            for j in range(p):
                delta[j] = r[place[j]] if place[j] >= 0 else 0.0
            calm = descend(gram, q, delta, l1, l2, 10.0 * tight)
            status = max(status, 1 if calm else 2)
            s = 0
            for j in range(p):
                place[j] = -1
                if delta[j] != 0.0:
                    order[s], place[j], w[s] = j, s, delta[j]
                    sign[s] = 1.0 if delta[j] > 0.0 else -1.0
                    s += 1
            ok, base = invert(inverse, gram, order, s, l2), l2
            straight = False
            if with_errors:
                for i in range(s):
                    for t in range(s):
                        held[i, t] = held_gram[order[i], order[t]]
        if with_errors:
            loss[k] += squared_error(held, held_c, held_y, order, dense, w, s, z)
    for j in range(p):
        coef[j] = 0.0
    for i in range(s):
        coef[order[i]] = w[i]
    return status


@compiled
@no_type_check
def walk_all(
    grams, c, alphas, ratios, counts, held_grams, held_c, held_y, loss, coef, status, low, high
):
    """Walk through all training sets (the first axis) for the targets in [low, high).

    `c` is (set, target, feature), `alphas` (target, alpha). Errors are added to `loss` (target,
    alpha) where there are held-out rows; `coef` (target, feature) is left at the last set's.
    """
    p = c.shape[2]
    room = np.zeros((2 * p + VECTORS, p))
    numbers = np.empty((3, p), np.int64)
    with_errors = held_grams.shape[0] > 0
    for target in range(low, high):
        for k in range(grams.shape[0]):
            done = walk(
                grams[k],
                c[k, target],
                alphas[target],
                ratios[target],
                counts[target],
                held_grams[k] if with_errors else grams[k, :0],
                held_c[k, target] if with_errors else c[k, target],
                held_y[k, target] if with_errors else 0.0,
                loss[target],
                coef[target],
                room,
                numbers,
            )
            status[target] = max(status[target], done)
