"""Linear maps from features to targets: fitted bucket by bucket, kept as coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from striate.data import Features, Responses, design
from striate.encoders.targets import Bucket, buckets, predicted
from striate.errors import RecipeError
from striate.interfaces import Group
from striate.machine import here

Part: TypeAlias = dict[str, Any]
"""Of one bucket: ``targets``, ``coef`` (feature × target), ``intercept``, and what else is kept."""
Solve: TypeAlias = Callable[[Any, Any, Bucket], Mapping[str, Any]]
"""(x, y, bucket) → ``coef``, ``intercept`` and what else is to be kept, as arrays."""


def fitted(
    features: Features, groups: Sequence[Group], solve: Solve, *, apart: bool = False
) -> list[Part]:
    """Coefficients of every bucket of targets; with `apart`, no two groups share a fit.

    `x` and `y` have one type, and lie on the machine's GPU where it has one.
    """
    parts = []
    for x, bucket in designs(features, groups, apart=apart):
        x, y = lent(x, bucket.values.astype(x.dtype, copy=False))
        kept = {n: on_cpu(v) for n, v in solve(x, y, bucket).items()}
        parts.append({**kept, "targets": bucket.targets})
    return parts


def designs(
    features: Features, groups: Sequence[Group], *, apart: bool = False
) -> Iterator[tuple[Float[np.ndarray, "row feature"], Bucket]]:
    """Every bucket of targets, with all features of its rows side by side."""
    for shared in [[g] for g in groups] if apart else [groups]:
        for bucket in buckets(shared):
            yield design(features, bucket.rows), bucket


def answered(parts: Sequence[Part], features: Features, rows: Responses) -> Responses:
    """Predictions of all parts: features times coefficients, plus intercepts.

    A part with ``center`` and ``level`` is answered about the means of its training rows, which
    leaves features far from zero their digits.
    """
    x = design(features, rows)
    return predicted(
        rows,
        [
            (
                (x - p["center"]) @ p["coef"] + p["level"]
                if "center" in p
                else x @ p["coef"] + p["intercept"],
                p["targets"],
            )
            for p in parts
        ],
    )


def held_out(bucket: Bucket, folds: int | str, seed: int) -> Int[np.ndarray, " row"] | str:
    """Inner folds that part no unit, or the closed form that was asked for instead.

    Raises
    ------
    RecipeError
        When rows are to be left out one at a time, but a unit has several of them.

    """
    if not isinstance(folds, str):
        return bucket.folds(folds, seed)
    units = bucket.units()
    if len(set(units)) < len(units):
        raise RecipeError(
            f'folds = "{folds}" leaves out one row at a time, but {len(units)} rows belong to'
            f" {len(set(units))} independent units, whose rows would predict each other: ask for a"
            " number of folds"
        )
    return folds


def lent(*arrays: np.ndarray) -> tuple[Any, ...]:
    """The arrays on the machine's GPU, as tensors; where it has none, as they are."""
    if not here().has_gpu():  # and torch is not imported for nothing
        return arrays
    import torch

    device = here().torch_device()
    return tuple(torch.as_tensor(a, device=device) for a in arrays)


def on_cpu(value: Any) -> np.ndarray:
    """An array of NumPy, from wherever it lies."""
    return np.asarray(value.cpu() if hasattr(value, "cpu") else value)
