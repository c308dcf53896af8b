"""Named feature spaces over stimuli: on disk until indexed, a view until asked for values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from striate.data.responses import Responses, row_table, slots
from striate.errors import DataError, some, unknown


@runtime_checkable
class Space(Protocol):
    """One feature space: an array over stimuli that may live on disk."""

    @property
    def key(self) -> str:
        """Identity of everything that made the values."""

    def read(self, ids: Sequence[str]) -> Shaped[np.ndarray, "stimulus ..."]:
        """Values of the named stimuli, in the order asked for."""


@dataclass(frozen=True, eq=False)
class ArraySpace:
    """A feature space held in memory: `values[i]` belongs to `ids[i]`.

    >>> ArraySpace(("a", "b"), np.eye(2)).read(["b"])
    array([[0., 1.]])
    """

    ids: tuple[str, ...]
    values: Shaped[np.ndarray, "stimulus ..."]
    key: str = ""

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.values):
            raise DataError(f"{len(self.values)} rows of features for {len(self.ids)} stimulus ids")
        object.__setattr__(self, "_place", {s: i for i, s in enumerate(self.ids)})

    def read(self, ids: Sequence[str]) -> Shaped[np.ndarray, "stimulus ..."]:
        """Values of the named stimuli, in the order asked for."""
        place: dict[str, int] = self._place  # type: ignore[attr-defined]
        missing = [i for i in ids if i not in place]
        if missing:
            raise DataError(f"no features for stimulus {some(missing)}; extract them or drop it")
        index = [place[i] for i in ids]
        if index == list(range(len(self.ids))):
            return self.values
        return self.values[index]


@dataclass(frozen=True, eq=False)
class Features:
    """Feature spaces and member predictions that an encoder may use, seen for some stimuli.

    Parameters
    ----------
    spaces
        Name → `Space`.
    ids
        The stimuli in view; `rows` changes the view without touching values.
    members
        Name of a member → its predictions by subject (`Responses`), when the features of an
        encoder are other encoders.

    """

    spaces: Mapping[str, Space]
    ids: tuple[str, ...]
    members: Mapping[str, Mapping[str, Responses]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the spaces."""
        return tuple(self.spaces)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[str]) -> Features:
        """The same spaces seen for other stimuli: a view, nothing is read."""
        return replace(self, ids=tuple(ids))

    def select(self, patterns: Iterable[str]) -> Features:
        """The spaces whose names match any of the glob patterns."""
        wanted: dict[str, Space] = {}
        for pattern in patterns:
            exact = {pattern: self.spaces[pattern]} if pattern in self.spaces else {}
            found = exact or {n: s for n, s in self.spaces.items() if fnmatchcase(n, pattern)}
            if not found:
                raise DataError(unknown("feature space", pattern, self.spaces))
            wanted |= found
        return replace(self, spaces=wanted)

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "stimulus ..."]:
        """Values of one space for the stimuli in view."""
        if name not in self.spaces:
            raise DataError(unknown("feature space", name, self.spaces))
        return self.spaces[name].read(self.ids)

    def matrix(self, name: str) -> Float[np.ndarray, "stimulus feature"]:
        """One space as a matrix, float32 unless it is float64."""
        values = self[name].reshape(len(self.ids), -1)
        return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)


def design(features: Features, rows: Responses) -> Float[np.ndarray, "row feature"]:
    """Design matrix of some rows: all spaces side by side, and all stimuli of a row in order.

    Where a feature is another member, its predictions for these rows are the columns.

    Raises
    ------
    DataError
        When there are no spaces, or a member predicted none of the rows.

    """
    shown = slots(rows)
    unique, place = np.unique(shown, return_inverse=True)
    place = place.reshape(shown.shape)
    view = features.rows(unique.tolist())
    columns = []
    for name in view.names:
        values = view.matrix(name)
        columns += [values[place[:, slot]] for slot in range(shown.shape[1])]
    for name, blocks in features.members.items():
        for block in blocks.values():
            index = row_table(block).index.get_indexer(row_table(rows).index)
            if (index < 0).any():
                raise DataError(f"member {name!r} predicted only some of the rows asked for")
            columns.append(np.asarray(block.values)[index])
    if not columns:
        raise DataError("an encoder was given no features: name some under `features`")
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
