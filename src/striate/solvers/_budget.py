"""What a solver needs of the memory, said before it is taken, and targets in batches that fit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from striate.errors import StriateError

SMALL = 2e7
"""Floating-point operations below which a second thread costs more than it brings."""


@dataclass(frozen=True)
class Need:
    """Bytes that a solver takes: `fixed` for all targets together, and `each` for one target.

    `what` names the work in errors, such as ``"ridge of 1,000 features on 9,000 rows"``.
    """

    what: str
    fixed: int
    each: int

    def batches(
        self, targets: int, memory: int, *, largest: int = 0, shares: int = 1
    ) -> list[tuple[int, int]]:
        """Return ranges of targets, each of which fits into `memory` beside what is fixed.

        `largest` is the most targets of a range (0: no limit); `shares` says how many ranges are
        worked on at once. Raises `StriateError` when not even `shares` targets fit.

        >>> Need("a sum", fixed=100, each=50).batches(5, memory=250)
        [(0, 2), (2, 5)]
        """
        self.check(memory, shares)
        most = max(1, (memory - self.fixed) // max(1, self.each) // shares)
        most = min(most, largest) if largest else most
        count = max(1, -(-targets // most))
        if targets >= 64 * shares:  # an equal share for every worker
            count = -(-count // shares) * shares
        edges = np.linspace(0, targets, count + 1).astype(int).tolist()
        return [(a, b) for a, b in pairwise(edges) if a < b]

    def check(self, memory: int, shares: int = 1) -> None:
        """Raise a `StriateError` with the estimate when not even the least fits into `memory`."""
        least = self.fixed + shares * self.each
        if least > memory:
            raise StriateError(
                f"{self.what} needs at least {size(least)} of working memory, but may take"
                f" {size(memory)}: allow more (--memory), or use fewer features (steps pca or"
                " projection)"
            )


def size(count: float | int) -> str:
    """Return a number of bytes for people.

    >>> size(3 << 30), size(5 << 20)
    ('3.0 GiB', '5 MiB')
    """
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GiB"
    return f"{max(1, round(count / (1 << 20)))} MiB"


def fitting(threads: int | None, operations: float | int) -> int | None:
    """Return the threads worth opening for so many operations: one where the work is small.

    >>> fitting(8, 1e6), fitting(8, 1e10)
    (1, 8)
    """
    return 1 if operations < SMALL else threads
