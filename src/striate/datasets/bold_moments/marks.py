"""Voxels are known again in another file by their place, or by what they answer to the films."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt64

from striate.datasets.bold_moments.files import REPEATS, read_voxels
from striate.errors import StriateError

FIRST = 4
"""Test films whose responses tell most voxels from each other, whatever follows."""
TOGETHER = 32
"""Films that are looked at together."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What the voxels of a file are known by.

    Parameters
    ----------
    whole, first
        A number of all responses of a voxel, and of those to the first test films, in their order.
    places
        Indices i, j, k of the voxels in the volume, where a file tells them.

    """

    whole: UInt64[np.ndarray, " target"]
    first: UInt64[np.ndarray, " target"]
    places: tuple[tuple[int, ...], ...] = ()

    def among(self, other: Marks) -> tuple[int, int, int]:
        """How many voxels are the same in another file, are others there, and are not in it.

        A voxel stands in both where the place is the same, or, without places, where the
        responses to the first test films are.
        """
        if self.places and other.places:
            known = dict(zip(other.places, other.whole.tolist(), strict=True))
            pairs = list(zip(map(known.get, self.places), self.whole.tolist(), strict=True))
            same = sum(k == m for k, m in pairs)
            unknown = sum(k is None for k, _ in pairs)
            return same, len(pairs) - same - unknown, unknown
        found = np.isin(self.whole, other.whole)
        seen = np.isin(self.first, other.first) & ~found
        return int(found.sum()), int(seen.sum()), int((~found & ~seen).sum())


def marks_of(arrays: Mapping[str, np.ndarray], index: Path) -> Marks:
    """The marks of what `read_region` read, with places where the file `index` tells them."""
    whole = sum((_mixed(arrays[part], k + 1) for k, part in enumerate(REPEATS)), start=np.uint64(0))
    first = _mixed(arrays["test"][:FIRST], 0)
    places: tuple[tuple[int, ...], ...] = ()
    if index.is_file():
        try:
            found = read_voxels(index)["voxels"]
        except StriateError:
            found = np.empty((0, 3), dtype=np.int32)  # told where it is looked at by itself
        if len(found) == len(first):
            places = tuple(map(tuple, found.tolist()))
    return Marks(np.asarray(whole), first, places)


def never_vary(responses: Float32[np.ndarray, "row repeat target"]) -> Bool[np.ndarray, " target"]:
    """Which targets have the same response to every film in every repeat."""
    same = np.ones(responses.shape[2], dtype=bool)
    for start in range(0, len(responses), TOGETHER):
        same &= (responses[start : start + TOGETHER] == responses[0, 0]).all(axis=(0, 1))
        if not same.any():
            break
    return same


def _mixed(
    responses: Float32[np.ndarray, "row repeat target"], seed: int
) -> UInt64[np.ndarray, " target"]:
    """One number for each target of all its responses, to the last bit and in their order."""
    rng = np.random.default_rng(seed)
    total = np.zeros(responses.shape[2], dtype=np.uint64)
    for film in responses:
        bits = np.ascontiguousarray(film).view(np.uint32).astype(np.uint64)
        factors = rng.integers(1, 1 << 63, len(film), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        total += (bits * factors[:, None]).sum(axis=0, dtype=np.uint64)
    return total
