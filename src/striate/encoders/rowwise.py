"""Feature spaces a block of rows at a time, so that those larger than memory are never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from striate.data import ArraySpace, Computed, Features, Space
from striate.machine import here

Change: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Rows of a space in their own shape → what becomes of them, row by row."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One space, or several side by side, seen for the stimuli in view.

    Rows are in their own shape (side by side: flat) and float32 unless they are float64. What does
    not fit into the machine's memory twice is `large`, and read a block at a time.
    """

    features: Features
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def first(self) -> Float[np.ndarray, "_ ..."]:
        """The first row, or none where no stimulus is in view."""
        return self.read(slice(0, 1))

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return int(np.prod(self.first.shape[1:]))

    @property
    def large(self) -> bool:
        """Whether the rows and what becomes of them would take more than the machine's memory."""
        return 2 * len(self) * self.width * self.first.itemsize > here().memory

    def read(self, part: slice) -> Float[np.ndarray, "stimulus ..."]:
        """Some of the rows."""
        return beside(*[s.read(self.features.ids[part]) for s in self.sources])

    @property
    def sources(self) -> tuple[Space, ...]:
        """The spaces that are read."""
        return tuple(self.features.spaces[n] for n in self.names)

    @cached_property
    def whole(self) -> Float[np.ndarray, "stimulus ..."]:
        """All rows."""
        return self.read(slice(0, len(self)))

    def part(self, part: slice) -> Float[np.ndarray, "stimulus feature"]:
        """Some of the rows, flat; a view where all are held."""
        values = self.read(part) if self.large else self.whole[part]
        return values.reshape(len(values), self.width)

    def blocks(self) -> Iterator[Float[np.ndarray, "stimulus feature"]]:
        """All rows, flat: at once, or where they are large in blocks."""
        for part in self.parts():
            yield self.part(part)

    def parts(self) -> Iterator[slice]:
        """Where the blocks lie."""
        step = len(self)
        if self.large:
            # An eighth of memory for a block leaves room for the copies that a step makes of it.
            step = max(1, here().memory // (8 * self.width * self.first.itemsize))
        for start in range(0, len(self), max(step, 1)):
            yield slice(start, min(start + step, len(self)))


def rows_of(features: Features, joint: str = "") -> dict[str, Rows]:
    """Every space by name, or all of them side by side under the name `joint`."""
    if joint:
        return {joint: Rows(features, features.names)}
    return {n: Rows(features, (n,)) for n in features.names}


def changed(
    features: Features, rows: Mapping[str, Rows], changes: Mapping[str, Change]
) -> Features:
    """Features in view with changed rows in the place of spaces; empty spaces are left out.

    What would be too large to hold is computed whenever it is read.
    """
    spaces: dict[str, Space] = {}
    for name, change in changes.items():
        have = rows[name]
        if not len(have) or not have.width:
            continue
        sample = change(have.first)
        if 2 * len(have) * sample.nbytes > here().memory:
            spaces[name] = Computed(have.sources, _computed(change))
        elif have.large:
            values = np.empty((len(have), *sample.shape[1:]), dtype=sample.dtype)
            for part in have.parts():
                values[part] = change(have.read(part))
            spaces[name] = ArraySpace(features.ids, values)
        elif sample.size:
            spaces[name] = ArraySpace(features.ids, change(have.whole))
    return replace(features, spaces=spaces)


def beside(*arrays: Shaped[np.ndarray, "stimulus ..."]) -> Float[np.ndarray, "stimulus ..."]:
    """Spaces side by side, flat; a single one in its own shape. Floats, at least float32."""
    floats = [a if a.dtype == np.float64 else a.astype(np.float32, copy=False) for a in arrays]
    if len(floats) == 1:
        return floats[0]
    return np.concatenate([a.reshape(len(a), -1) for a in floats], axis=1)


def _computed(change: Change) -> Callable[..., np.ndarray]:
    def compute(*arrays: np.ndarray) -> np.ndarray:
        return change(beside(*arrays))

    return compute


def matrix(x: Float[np.ndarray, "stimulus ..."]) -> Float[np.ndarray, "stimulus feature"]:
    """Rows made flat."""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))
