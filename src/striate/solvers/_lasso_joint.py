"""Solutions that many targets share the features of, along penalties, from a Gram matrix.

Minimises `tr(W'GW) / 2 - tr(C'W) + l1 sum_j |w_j| + l2 |W|^2 / 2` over rows `w_j`, by coordinate
descent on the rows in use and a look at the others when those have come to rest (Simon, Friedman
& Hastie 2013, arXiv:1311.6529). Only norms of rows are asked for, so that the targets may be
rotated: more of them than features are first brought to as many as there are features.

Compiled by numba at the first call, and kept on disk where that can be written.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from striate.solvers._active_set import compiled

TIGHT = 1e-6  # how far a solution may miss its equations, relative to the penalty
SWEEPS = 20000


@compiled
@no_type_check
def subtract_from(q, rows, count, column, step):
    """Subtract `column[i] * step` from every row `i` of those named."""
    for n in range(count):
        i = rows[n]
        factor, row = column[i], q[i]
        for t in range(step.size):
            row[t] -= factor * step[t]


@compiled
@no_type_check
def walk_jointly(gram, c, alphas, ratio, count, held_gram, held_c, held_y, loss, w):
    """Solve for the first `count` penalties; write held-out errors and the last coefficients.

    Returns 0, or 1 if coordinate descent did not come to rest. Without `held_gram` no errors.
    """
    p, targets = c.shape
    q, w[:, :] = c.copy(), 0.0
    new, old = np.empty(targets), np.empty(targets)
    used, others = np.empty(p, np.int64), np.empty(p, np.int64)
    inside = np.zeros(p, np.bool_)
    s, status, largest = 0, 0, 0.0
    for j in range(p):
        largest = max(largest, np.sqrt(np.sum(c[j] * c[j])))
    for k in range(count):
        l1, l2 = alphas[k] * ratio, alphas[k] * (1.0 - ratio)
        tight = TIGHT * l1 + 1e-12 * largest
        sweeps = 0
        while True:
            worst = 2.0 * tight
            while worst > tight and sweeps < SWEEPS:
                worst = 0.0
                sweeps += 1
                for n in range(s):
                    j = used[n]
                    size, row, mine = gram[j, j], q[j], w[j]
                    norm = 0.0
                    for t in range(targets):
                        new[t] = row[t] + size * mine[t]
                        norm += new[t] * new[t]
                    norm = np.sqrt(norm)
                    keep = (1.0 - l1 / norm) / (size + l2) if norm > l1 else 0.0
                    moved = 0.0
                    for t in range(targets):
                        new[t] = keep * new[t] - mine[t]
                        moved += new[t] * new[t]
                    if moved > 0.0:
                        for t in range(targets):
                            mine[t] = mine[t] + new[t] if keep > 0.0 else 0.0
                        subtract_from(q, used, s, gram[j], new)
                        worst = max(worst, np.sqrt(moved) * (size + l2))
            # rows not in use were left alone: look at them again, and at those that became zero
            live = 0
            for n in range(s):
                j, alive = used[n], False
                for t in range(targets):
                    alive = alive or w[j, t] != 0.0
                inside[j] = alive
                if alive:
                    used[live] = j
                    live += 1
            s, rest = live, 0
            for j in range(p):
                if not inside[j]:
                    others[rest] = j
                    rest += 1
                    q[j] = c[j]
            for n in range(s):
                subtract_from(q, others, rest, gram[used[n]], w[used[n]])
            entered = 0
            for n in range(rest):
                j = others[n]
                norm = 0.0
                for t in range(targets):
                    norm += q[j, t] * q[j, t]
                if gram[j, j] > 0.0 and np.sqrt(norm) > l1 + tight:
                    used[s + entered], inside[j] = j, True
                    entered += 1
            s += entered
            if sweeps >= SWEEPS:
                status = 1
                break
            if entered == 0:
                break
        if held_gram.shape[0] > 0:
            total = held_y
            for n in range(s):
                j = used[n]
                old[:] = 0.0
                for m in range(s):
                    factor, row = held_gram[j, used[m]], w[used[m]]
                    for t in range(targets):
                        old[t] += factor * row[t]
                for t in range(targets):
                    total += w[j, t] * (old[t] - 2.0 * held_c[j, t])
            loss[k] = max(total, 0.0)
    return status
