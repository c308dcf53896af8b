"""Named feature spaces over stimuli: on disk until indexed, a view until asked for values."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from striate.data.responses import Responses, row_table, slots
from striate.data.stimuli import Stimuli
from striate.errors import DataError, RecipeError, some, unknown

CHUNK = re.compile(r"(.+)#(\d{4,})")
"""Ids of chunks: ``movie#0007`` is chunk 7 of a movie."""


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
class Computed:
    """A feature space that is never held: its values are computed from others when it is read.

    `compute` takes the values of each of the `sources` for some stimuli, and must not depend on
    which other stimuli are asked for.

    >>> halves = Computed((ArraySpace(("a", "b"), np.eye(2)),), lambda x: x / 2)
    >>> halves.read(["b"])
    array([[0. , 0.5]])
    """

    sources: tuple[Space, ...]
    compute: Callable[..., Shaped[np.ndarray, "stimulus ..."]]
    key: str = ""

    def read(self, ids: Sequence[str]) -> Shaped[np.ndarray, "stimulus ..."]:
        """Values of the named stimuli, in the order asked for."""
        return self.compute(*[s.read(ids) for s in self.sources])


@dataclass(frozen=True, eq=False)
class Order:
    """Where chunks lie in their movies, so that steps find what was shown before and after.

    Parameters
    ----------
    places
        Stimulus → its movie and its index there, counted in chunks; what is no chunk is left out.

    Raises
    ------
    DataError
        When two stimuli are the same chunk of a movie.

    >>> order = Order({"m#0003": ("m", 3), "m#0004": ("m", 4)})
    >>> order.at("m", 3), order.at("m", 2), order.at("m", 2, hold=True)
    ('m#0003', None, 'm#0003')

    """

    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chunks: dict[str, dict[int, str]] = {}
        for stimulus, (movie, index) in self.places.items():
            other = chunks.setdefault(movie, {}).setdefault(index, stimulus)
            if other != stimulus:
                raise DataError(
                    f"stimuli {other!r} and {stimulus!r} are both chunk {index} of movie {movie!r};"
                    " correct the labels `movie` and `index`"
                )
        object.__setattr__(self, "_chunks", chunks)
        object.__setattr__(self, "_indices", {m: sorted(c) for m, c in chunks.items()})

    @classmethod
    def of(cls, stimuli: Stimuli) -> Order:
        """The order of the stimuli that are chunks of movies; see `places_of`."""
        return cls(places_of(stimuli))

    def place(self, stimulus: str) -> tuple[str, int]:
        """The movie of a stimulus and its index there.

        Raises
        ------
        RecipeError
            When the stimulus is no chunk of a movie.

        """
        if stimulus not in self.places:
            raise RecipeError(
                f"stimulus {stimulus!r} has no place in a movie, but a step asks what was shown"
                " before it: give the stimuli labels `movie` and `index`, or ids such as"
                " movie#0007, or leave the step out"
            )
        return self.places[stimulus]

    def span(self, movie: str) -> tuple[int, int]:
        """Indices of the first and the last chunk of a movie."""
        known = self._indices[movie]  # type: ignore[attr-defined]
        return known[0], known[-1]

    def at(self, movie: str, index: int, hold: bool = False) -> str | None:
        """The chunk of a movie with that index, or None when there is none.

        With `hold` it is the nearest earlier chunk in the place of one that is missing, and the
        movie's first chunk where nothing is earlier.
        """
        chunks: dict[int, str] = self._chunks[movie]  # type: ignore[attr-defined]
        if index in chunks or not hold:
            return chunks.get(index)
        known: list[int] = self._indices[movie]  # type: ignore[attr-defined]
        return chunks[known[max(0, bisect_right(known, index) - 1)]]


def places_of(stimuli: Stimuli) -> dict[str, tuple[str, int]]:
    """Movie and index of each chunk: labels ``movie`` and ``index``, else ids as ``movie#0007``.

    Raises
    ------
    DataError
        When an index is no whole number.

    >>> places_of(Stimuli.from_files(["m#0003.mp4", "still.png"]))
    {'m#0003': ('m', 3)}

    """
    table, ids = stimuli.table, stimuli.ids
    none = [""] * len(ids)
    movies, indices = (list(table[c]) if c in table else none for c in ("movie", "index"))
    places = {}
    for stimulus, movie, index in zip(ids, movies, indices, strict=True):
        if _given(movie) and _given(index):
            places[stimulus] = (str(movie), _whole(index, stimulus))
        elif "#" in stimulus and (found := CHUNK.fullmatch(stimulus)):
            places[stimulus] = (found[1], int(found[2]))
    return places


def _given(label: object) -> bool:
    return label is not None and label == label and label != ""


def _whole(index: object, stimulus: str) -> int:
    try:
        number = float(str(index))
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise DataError(
        f"stimulus {stimulus!r} has index {index!r}, but an index counts chunks: give whole numbers"
    )


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
    order
        Where all known chunks lie in their movies, in view or not.

    """

    spaces: Mapping[str, Space]
    ids: tuple[str, ...]
    members: Mapping[str, Mapping[str, Responses]] = field(default_factory=dict)
    order: Order = field(default_factory=Order)

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
