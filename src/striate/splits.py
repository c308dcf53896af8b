"""Who may see what: parts of the stimuli that share no image, no duplicate and no leak group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Int

from striate.data import Stimuli, natural_key, places_of
from striate.errors import DataError, some

NAMES = {
    "parts": "striate.splits:Parts",
    "kfold": "striate.splits:KFold",
    "last": "striate.splits:Last",
    "fixed": "striate.splits:Fixed",
    "heldout": "striate.splits:HeldOut",
}


@dataclass(frozen=True)
class Call:
    """One outer call: fit on the stimuli `train`, predict the rows of the stimuli `test`."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@runtime_checkable
class Split(Protocol):
    """Turns stimuli into outer calls; stimuli of part ``test`` are never in a training set."""

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """The outer calls."""


def leak_units(stimuli: Stimuli, columns: Sequence[str] = ("group", "digest")) -> pd.Series:
    """The unit of each stimulus: stimuli of one group or of one content are never parted.

    Equal values in any of `columns` keep stimuli together, unless empty; the group of a chunk of a
    movie is the movie, and that of a piece of a file the file, unless it has another. Returns a
    Series, stimulus id → id of the unit's first member.

    >>> table = pd.DataFrame({"group": ["g", "g", "", ""], "digest": ["", "1", "1", "2"]},
    ...                      index=["a", "b", "c", "d"])
    >>> list(leak_units(Stimuli(table)))
    ['a', 'a', 'a', 'd']
    """
    ids = sorted(stimuli.ids, key=natural_key)
    table = stimuli.table.loc[ids]
    whole = {s.id: s.file for s in stimuli.shown() if s.onset is not None and s.file}
    movie = whole | {i: m for i, (m, _) in places_of(stimuli).items()}
    pairs = []
    for column in columns:
        seen: dict[str, str] = {}
        for i, value in zip(ids, table[column].astype(str), strict=True):
            value = value or (movie.get(i, "") if column == "group" else "")
            if value:
                pairs.append((i, seen.setdefault(value, i)))
    return joined(pd.Series({i: i for i in stimuli.ids}, dtype=object), pairs)


def joined(units: pd.Series, pairs: Iterable[tuple[str, str]]) -> pd.Series:
    """Units in which the stimuli of each pair are never parted either.

    >>> list(joined(pd.Series({"a": "a", "b": "b", "c": "b"}), [("a", "c")]))
    ['a', 'a', 'a']
    """
    parent = {u: u for u in units.unique()}

    def root(u: str) -> str:
        while parent[u] != u:
            parent[u] = parent[parent[u]]
            u = parent[u]
        return u

    for one, other in pairs:
        first, second = sorted((root(units[one]), root(units[other])), key=natural_key)
        parent[second] = first
    return units.map(root)


def duplicates(stimuli: Stimuli) -> list[tuple[str, ...]]:
    """Sets of stimuli with exactly the same content."""
    table = stimuli.table[stimuli.table["digest"] != ""]
    sets = table.groupby("digest", sort=False).groups.values()
    return [tuple(map(str, s)) for s in sets if len(s) > 1]


def folds_of(
    units: Sequence[str], folds: int, seed: int, shuffle: bool = True
) -> Int[np.ndarray, " row"]:
    """A fold label per row so that rows of one unit share a fold.

    Units are ordered by name before they are shuffled, so the order of rows does not matter; with
    one unit per row in order the folds are those of scikit-learn's `KFold`.

    Raises
    ------
    DataError
        When there are fewer units than folds.

    """
    unique = sorted(set(units), key=natural_key)
    if folds < 2 or len(unique) < folds:
        raise DataError(
            f"{folds} folds need at least two folds and as many independent stimuli, but there are"
            f" {len(unique)}; ask for fewer folds or bring more stimuli"
        )
    order = np.arange(len(unique))
    if shuffle:
        np.random.RandomState(seed).shuffle(order)
    sizes = _sizes(len(unique), folds)
    label = np.empty(len(unique), dtype=np.int64)
    label[order] = np.repeat(np.arange(folds), sizes)
    fold = dict(zip(unique, label.tolist(), strict=True))
    return np.array([fold[u] for u in units], dtype=np.int64)


def _sizes(count: int, folds: int) -> list[int]:
    return [count // folds + (k < count % folds) for k in range(folds)]


def _parts(stimuli: Stimuli) -> tuple[list[str], list[str]]:
    """Stimuli that may be trained on, and those set aside as tests, in natural order."""
    part = stimuli.table["part"].astype(str)
    odd = sorted(set(part) - {"", "train", "test", "unused"})
    if odd:
        raise DataError(f"unknown part {some(odd)}; a stimulus is `train`, `test` or `unused`")
    ids = sorted(stimuli.ids, key=natural_key)
    return [i for i in ids if part[i] in ("", "train")], [i for i in ids if part[i] == "test"]


@dataclass(frozen=True)
class Parts:
    """The dataset's own split: fit on part ``train``, predict part ``test``."""

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call; training stimuli that share a unit with a test one are left out."""
        train, test = _parts(stimuli)
        if not test:
            raise DataError(
                "the dataset sets no stimuli aside as test; choose a split, such as"
                ' split = { use = "kfold", folds = 5 }'
            )
        return [_clean("test", train, test, leak_units(stimuli))]


@dataclass(frozen=True)
class KFold:
    """K folds over independent stimuli: grouped by leak group and by exact content.

    `group` names a further column of the stimuli whose values are never parted.
    """

    folds: int = 5
    seed: int = 0
    shuffle: bool = True
    group: str = "group"

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call per fold, and a last one, ``final``, for stimuli set aside as test."""
        if self.group not in stimuli.table:
            raise DataError(
                f"split.group names column {self.group!r}, but stimuli have"
                f" {some(stimuli.table.columns, 20)}"
            )
        train, test = _parts(stimuli)
        units = leak_units(stimuli, ("group", "digest", self.group))
        fold = folds_of([units[i] for i in train], self.folds, self.seed, self.shuffle)
        calls = [
            Call(
                f"fold{k}",
                tuple(i for i, f in zip(train, fold, strict=True) if f != k),
                tuple(i for i, f in zip(train, fold, strict=True) if f == k),
            )
            for k in range(self.folds)
        ]
        return [*calls, *_final(train, test, units)]


@dataclass(frozen=True)
class Last:
    """Hold out the last stimuli in natural order: a `fraction` of them, or `count`."""

    fraction: float = 0.1
    count: int | None = None

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call, and ``final`` for stimuli set aside as test.

        Stimuli of the training side that share a unit with a held-out one are held out of both.
        """
        train, test = _parts(stimuli)
        size = self.count if self.count is not None else round(self.fraction * len(train))
        if not 0 < size < len(train):
            raise DataError(f"cannot hold out the last {size} of {len(train)} stimuli")
        units = leak_units(stimuli)
        held = train[-size:]
        return [_clean("last", train[:-size], held, units), *_final(train, test, units)]


@dataclass(frozen=True)
class Fixed:
    """Lists of stimulus ids, from the recipe: `test`, and `train` (all others when empty)."""

    test: tuple[str, ...] = ()
    train: tuple[str, ...] = ()

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call, and ``final`` for stimuli set aside as test."""
        both = sorted(set(self.test) & set(self.train))
        if both or not self.test:
            raise DataError(
                f"split.fixed needs a `test` list that shares nothing with `train`: {some(both)}"
            )
        stimuli.select([*self.test, *self.train])
        train, test = _parts(stimuli)
        units = leak_units(stimuli)
        held = dict.fromkeys(self.test)
        rest = [i for i in train if i not in held]
        wanted = set(self.train)
        chosen = [i for i in rest if i in wanted] if wanted else rest
        return [
            _clean("test", chosen, list(held), units),
            *_final(train, [t for t in test if t not in held], units),
        ]


@dataclass(frozen=True)
class HeldOut:
    """Hold out whole seasons, sessions, categories: what a model has never seen any part of.

    Parameters
    ----------
    label
        A column of the stimuli, such as ``season`` or ``session``.
    values
        Of the label, as text: stimuli that have one of them are held out.
    folds
        Where none or all of the stimuli have one, as in a copy with few files, this many folds
        over leak units instead; 0 makes that an error.

    """

    label: str
    values: tuple[str, ...]
    folds: int = 0

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call, ``held out``, and ``final`` for stimuli set aside as test.

        Raises
        ------
        DataError
            When there is no such label or value, nothing would be left to train on, or a leak unit
            has stimuli on both sides.

        """
        if self.label not in stimuli.table:
            raise DataError(
                f"split.label names column {self.label!r}, but stimuli have"
                f" {some(stimuli.table.columns, 20)}"
            )
        train, test = _parts(stimuli)
        value, wanted = stimuli.table[self.label].astype(str), set(self.values)
        of = dict(zip(value.index, value, strict=True))
        valid = sorted({of[i] for i in train}, key=natural_key)
        lost = [v for v in self.values if v not in valid]
        held = [i for i in train if of[i] in wanted]
        rest = [i for i in train if of[i] not in wanted]
        if self.folds and not (held and rest):
            return KFold(folds=self.folds).calls(stimuli)
        if not self.folds and (lost or not held):
            raise DataError(
                f"split.values names {some(lost) or 'nothing'}, but {self.label!r} of the stimuli"
                f" to learn from is {some(valid, 20)}"
            )
        if not rest:
            raise DataError(
                f"split.values names every {self.label!r} there is ({some(valid, 20)}), so that"
                " nothing is left to train on: hold out fewer"
            )
        units = leak_units(stimuli)
        both = {units[i] for i in held} & {units[i] for i in rest}
        if both:
            shared = [i for i in train if units[i] in both]
            inside = sorted({of[i] for i in shared}, key=natural_key)
            raise DataError(
                f"split.values {some(self.values)} parts stimuli that belong together, such as"
                f" {some(shared, 4)}, whose {self.label!r} is {some(inside, 20)}: hold out all of"
                " these, or none"
            )
        return [Call("held out", tuple(rest), tuple(held)), *_final(train, test, units)]


def kept_apart(call: Call, units: pd.Series) -> Call:
    """The call without training stimuli that share a unit with one of its test stimuli."""
    return _clean(call.name, call.train, call.test, units)


def _clean(name: str, train: Iterable[str], test: Sequence[str], units: pd.Series) -> Call:
    held = {units[i] for i in test}
    return Call(name, tuple(i for i in train if units[i] not in held), tuple(test))


def _final(train: Sequence[str], test: Sequence[str], units: pd.Series) -> list[Call]:
    return [_clean("final", train, test, units)] if test else []
