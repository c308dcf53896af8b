"""A space that is never held, and what a piece of work takes of memory."""

import tracemalloc

import numpy as np


class Watched:
    """Rows made anew whenever they are read; `most` is the most bytes read at once."""

    key = "made-up"

    def __init__(self, rows, width, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = tuple(f"im{k:05d}" for k in range(rows))
        self.latent = rng.standard_normal((rows, 4)).astype(np.float32)
        self.loads = (rng.standard_normal((4, width)) * [[4], [3], [2], [1]]).astype(np.float32)
        self.most = 0

    def read(self, ids):
        at = [int(i[2:]) for i in ids]
        values = self.latent[at] @ self.loads
        values += 3
        self.most = max(self.most, values.nbytes)
        return values


def peak_of(work):
    """What some work returns, and the most memory that it took beyond what there was."""
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
