"""Loops over plain arrays, compiled by numba at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

FAST = {"nsz", "arcp", "contract", "reassoc"}
"""All of fast mathematics that keeps NaN and infinity."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled, kept on disk if a folder for that can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no such folder
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
