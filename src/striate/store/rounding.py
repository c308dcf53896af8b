"""Features in the type that they are stored in, and what rounding to it costs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

DTYPES = ("float16", "float32")
"""Types that an extractor may ask for; any other word keeps the type that it gives."""


def stored_as(
    values: Shaped[np.ndarray, "stimulus ..."], dtype: str
) -> tuple[Shaped[np.ndarray, "stimulus ..."], float | None]:
    """Floating values in the type `dtype`, and the error of rounding them to half precision.

    The error is ``max |x - float16(x)|`` relative to the root mean square of all values; None where
    nothing is rounded to half precision. What is too large for the type becomes infinite.

    >>> stored_as(np.array([1.0, 2.0, 3.001], dtype=np.float32), "float16")[1]
    0.000441
    """
    if dtype not in DTYPES or values.dtype.kind != "f" or values.dtype == np.dtype(dtype):
        return values, None
    with np.errstate(over="ignore"):
        kept = values.astype(dtype)
    if dtype != "float16" or not values.size:
        return kept, None
    exact = values.astype(np.float64)
    scale = float(np.sqrt(np.mean(np.square(exact))))
    worst = float(np.abs(exact - kept).max())
    return kept, float(f"{worst / scale:.3g}") if scale > 0 else 0.0
