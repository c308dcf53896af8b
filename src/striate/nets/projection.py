"""A seeded sparse random projection on the device: wide features shrink before they are copied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from striate.errors import RecipeError


@dataclass(frozen=True)
class Projection:
    """Sparse random projection (Li, Hastie & Church 2006), the same as the step ``projection``.

    Distances between stimuli are kept up to a factor of about ``1 ± sqrt(8 log n / components)``
    (Johnson & Lindenstrauss 1984), whatever the responses are: nothing is learned.

    Parameters
    ----------
    components
        Columns that are left; narrower features stay as they are, and so do all with 0.
    seed
        Of the random matrix, which follows from the seed and the width alone.

    """

    components: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.components < 0:
            raise RecipeError(f"projection {self.components}: name the columns to keep, or 0")

    def __call__(self, values: Shaped[Tensor, "stimulus ..."]) -> Shaped[Tensor, "stimulus ..."]:
        """Projected rows, one line each, or `values` where they are narrow already."""
        width = values[0].numel()
        if not self.components or width <= self.components:
            return values
        matrix = _matrix(width, self.components, self.seed, str(values.device))
        return (matrix @ values.flatten(1).float().T).T.contiguous()


@lru_cache(maxsize=64)
def _matrix(
    width: int, components: int, seed: int, device: str
) -> Float32[Tensor, "component feature"]:
    from sklearn.random_projection import SparseRandomProjection

    solver = SparseRandomProjection(components, random_state=seed)
    found = solver.fit(np.zeros((1, width), dtype=np.float32)).components_.tocoo()
    places = torch.from_numpy(np.stack([found.row, found.col]).astype(np.int64))
    values = torch.from_numpy(found.data.astype(np.float32))
    shape = (components, width)
    made = torch.sparse_coo_tensor(places, values, shape, check_invariants=True)
    return made.coalesce().to(device)
