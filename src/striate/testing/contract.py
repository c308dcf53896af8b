"""Conditions that a component must meet, each broken one told in a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.errors import StriateError
from striate.registry import identity, key_of

CLOSE = 1e-4
"""How much two numbers that should be the same may differ, in parts of their spread."""


class ContractError(StriateError, AssertionError):
    """A component does not do what the loop relies on."""


def same(one: np.ndarray, other: np.ndarray, what: str) -> None:
    """Insist that two arrays are the same but for rounding."""
    must(one.shape == other.shape, f"{what} ({one.shape} and {other.shape} values)")
    if one.size:
        first, second = (np.asarray(v, dtype=np.float64) for v in (one, other))
        scale = max(float(first.std()), 1e-6 * float(np.abs(first).max()), 1e-30)
        worst = float(np.abs(first - second).max()) / scale
        must(worst <= CLOSE, f"{what} (by {worst:.2g} of their spread)")


def must(true: bool | np.bool_, otherwise: str) -> None:
    """Insist that something is true."""
    if not true:
        raise ContractError(otherwise)


@contextmanager
def unchanged(component: Any) -> Iterator[None]:
    """Insist that the fields and the key of a component are the same at the end."""
    name = type(component).__name__
    must(dataclasses.is_dataclass(component), f"{name} is no dataclass: decorate it")

    def state() -> tuple[str, str]:
        fields = {f.name: getattr(component, f.name) for f in dataclasses.fields(component)}
        return repr(fields), key_of(identity(component))

    before = state()
    yield
    must(state() == before, f"{name}: using it changes its fields or its key")
