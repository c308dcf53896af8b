"""Products of all rows of one set with all of another in one pass over memory, compiled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Num

from striate.solvers._arrays import workers
from striate.solvers._budget import fitting
from striate.solvers._compiled import compiled

STEP = 512
"""Pairs worked on at once: four rows of each set lie in the first cache."""


def moments(
    a: Num[np.ndarray, "layer pair"],
    b: Num[np.ndarray, "subject pair"],
    pilots: tuple[Float[np.ndarray, " layer"], Float[np.ndarray, " subject"]] | None,
    threads: int | None,
) -> list[Any]:
    """Return a'b, |a|^2, |b|^2 and the sums of rows, in float64, of all rows minus `pilots`."""
    pairs, (m, k) = a.shape[1], (len(a), len(b))
    shifts = (np.zeros(m), np.zeros(k)) if pilots is None else pilots

    def part(ends: tuple[int, int]) -> list[Any]:
        cross = np.zeros((m + -m % 4, k + -k % 4))
        own = [np.zeros(size) for size in (m, k, m, k)]
        _moments(a, b, *shifts, *ends, STEP, cross, *own)
        return [cross[:m, :k], *own]

    many = fitting(threads, 2.0 * pairs * (m + 2) * (k + 2))
    if many == 1:
        return part((0, pairs))
    with workers(many) as pool:
        edges = np.linspace(0, pairs, pool.threads + 1).astype(int).tolist()
        found = pool.map(part, pairwise(edges))
    return [sum(column[1:], column[0]) for column in zip(*found, strict=True)]


@compiled
@no_type_check
def _moments(a, b, shift_a, shift_b, start, stop, step, cross, size_a, size_b, sum_a, sum_b):
    for low in range(start, stop, step):
        high = min(stop, low + step)
        for i in range(0, a.shape[0], 4):
            for j in range(0, b.shape[0], 4):
                _four_by_four(a, b, shift_a, shift_b, i, j, low, high, cross)
        _own(a, shift_a, low, high, size_a, sum_a)
        _own(b, shift_b, low, high, size_b, sum_b)


@compiled
@no_type_check
def _own(rows, shift, low, high, size, total):
    for i in range(rows.shape[0]):
        row, middle, squares, values = rows[i, low:high], shift[i], 0.0, 0.0
        for t in range(row.size):
            value = float(row[t]) - middle
            squares += value * value
            values += value
        size[i] += squares
        total[i] += values


@compiled
@no_type_check
def _four_by_four(a, b, shift_a, shift_b, i, j, low, high, cross):
    """Add 16 products, in as many registers, to `cross`, whose sizes are multiples of four."""
    # beyond the end the last row again: what it adds lies outside of what is asked
    last, end = a.shape[0] - 1, b.shape[0] - 1
    i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
    j1, j2, j3 = min(j + 1, end), min(j + 2, end), min(j + 3, end)
    x0, x1, x2, x3 = a[i, low:high], a[i1, low:high], a[i2, low:high], a[i3, low:high]
    y0, y1, y2, y3 = b[j, low:high], b[j1, low:high], b[j2, low:high], b[j3, low:high]
    p0, p1, p2, p3 = shift_a[i], shift_a[i1], shift_a[i2], shift_a[i3]
    q0, q1, q2, q3 = shift_b[j], shift_b[j1], shift_b[j2], shift_b[j3]
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
    for t in range(high - low):
        u0, u1 = float(x0[t]) - p0, float(x1[t]) - p1
        u2, u3 = float(x2[t]) - p2, float(x3[t]) - p3
        v0, v1 = float(y0[t]) - q0, float(y1[t]) - q1
        v2, v3 = float(y2[t]) - q2, float(y3[t]) - q3
        s00 += u0 * v0
        s01 += u0 * v1
        s02 += u0 * v2
        s03 += u0 * v3
        s10 += u1 * v0
        s11 += u1 * v1
        s12 += u1 * v2
        s13 += u1 * v3
        s20 += u2 * v0
        s21 += u2 * v1
        s22 += u2 * v2
        s23 += u2 * v3
        s30 += u3 * v0
        s31 += u3 * v1
        s32 += u3 * v2
        s33 += u3 * v3
    for k, s in enumerate((s00, s01, s02, s03)):
        cross[i, j + k] += s
    for k, s in enumerate((s10, s11, s12, s13)):
        cross[i + 1, j + k] += s
    for k, s in enumerate((s20, s21, s22, s23)):
        cross[i + 2, j + k] += s
    for k, s in enumerate((s30, s31, s32, s33)):
        cross[i + 3, j + k] += s
