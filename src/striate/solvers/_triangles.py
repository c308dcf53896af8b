"""Sums over the rows of square matrices of which one triangle is stored, in a compiled loop."""

from __future__ import annotations

from typing import no_type_check

from striate.solvers._compiled import compiled


@compiled
@no_type_check
def row_sums(pairs, weights, sums):
    """Add D w to `sums`, for D the symmetric matrix with these entries above its diagonal."""
    n, start = weights.size, 0
    for i in range(n):
        w, total = weights[i], 0.0
        row = pairs[start : start + n - 1 - i]
        later, below = weights[i + 1 :], sums[i + 1 :]
        for j in range(row.size):
            value = float(row[j])
            total += value * later[j]
            below[j] += value * w
        sums[i] += total
        start += n - 1 - i
