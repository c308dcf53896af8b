"""Feature spaces that live in the store and are extracted when they are first read."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from striate.data import Space, Stimuli, natural_key
from striate.errors import DataError, some
from striate.interfaces import Extractor
from striate.machine import track
from striate.store.atomic import digest_of
from striate.store.rows import Entry, RowsMissingError


def stored_spaces(
    store: Path, name: str, extractor: Extractor, key: str, stimuli: Stimuli
) -> dict[str, Space]:
    """The spaces that one extractor fills for some stimuli, by name.

    Nothing is read or computed before a space is read. Reading a row that is not stored extracts
    all stimuli that have a file and are not stored, in natural order, exact duplicates once.

    Parameters
    ----------
    store
        Folder of the store.
    name
        Name of the feature table; the spaces are ``name.node``, or just `name` for an extractor
        whose one space has the empty name.
    extractor, key
        What makes the rows, and the key that stands for it.
    stimuli
        All stimuli that a row may be wanted for; rows are found by their ``digest``.

    Raises
    ------
    DataError
        When the extractor names no spaces, or one twice.

    """
    nodes = [str(n) for n in extractor.names()]
    if not nodes or len(set(nodes)) != len(nodes):
        raise DataError(f"features {name!r} name no spaces, or one twice: {some(nodes) or 'none'}")
    identity = {"extractor": type(extractor).__name__, **extractor.identity()}
    table = _Table(name, Entry(store, key, identity), extractor, stimuli, tuple(nodes))
    return {f"{name}.{n}" if n else name: StoredSpace(table, n) for n in nodes}


@dataclass(frozen=True, eq=False)
class _Table:
    """What one extractor makes of some stimuli."""

    name: str
    entry: Entry
    extractor: Extractor
    stimuli: Stimuli
    nodes: tuple[str, ...]
    digest: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        digests = self.stimuli.table["digest"].astype(str)
        object.__setattr__(self, "digest", dict(zip(self.stimuli.ids, digests, strict=True)))
        object.__setattr__(self, "_lock", threading.Lock())

    def __reduce__(self) -> tuple[Any, ...]:
        return _Table, (self.name, self.entry, self.extractor, self.stimuli, self.nodes)

    def digests(self, ids: Sequence[str], space: str) -> list[str]:
        """Digests of the named stimuli; each must have one."""
        found = [self.digest.get(i, "") for i in ids]
        if all(found):
            return found
        lost = next(i for i, d in zip(ids, found, strict=True) if not d)
        if lost not in self.digest:
            raise DataError(
                f"no such stimulus: {lost!r}, for which {space!r} is wanted; there are"
                f" {len(self.stimuli)} stimuli, such as {some(self.stimuli.ids)}"
            )
        count = sum(not d for d in found)
        others = f" (and {count - 1} more)" if count > 1 else ""
        file = str(self.stimuli.table.loc[lost, "file"])
        raise DataError(
            f"stimulus {lost!r}{others} has no readable file ({file or 'none is named'}), but"
            f" features {space!r} need it; put the file in its place or leave the stimulus out"
        )

    def fill(self, node: str) -> None:
        """Extract and store every stimulus whose row of `node` is not stored."""
        with self._lock:  # type: ignore[attr-defined]
            first: dict[str, str] = {}
            for i in sorted(self.digest, key=natural_key):
                first.setdefault(self.digest[i], i)
            first.pop("", None)
            todo = self.entry.missing(first, [node])
            if todo:
                self._extract([first[d] for d in todo], todo)

    def _extract(self, ids: list[str], digests: list[str]) -> None:
        done = 0
        batches = self.extractor(self.stimuli.select(ids))
        for batch in track(batches, len(ids), self.name, _size):
            arrays = {str(n): np.asarray(a) for n, a in batch.items()}
            rows = self._check(arrays, ids[done:])
            self.entry.append(digests[done : done + rows], arrays)
            done += rows
        if done < len(ids):
            raise DataError(
                f"the extractor of {self.name!r} gave {done} rows for {len(ids)} stimuli and left"
                f" out {some(ids[done:])}; it must give one row for each stimulus, in order"
            )

    def _check(self, arrays: Mapping[str, np.ndarray], ids: list[str]) -> int:
        """The number of rows of a batch, once it is known to fit the stimuli it is for."""
        if set(arrays) != set(self.nodes):
            raise DataError(
                f"the extractor of {self.name!r} announces the spaces {some(self.nodes)} but gave"
                f" {some(arrays) or 'none'}"
            )
        sizes = {n: len(a) if a.ndim else 0 for n, a in arrays.items()}
        rows = sizes[self.nodes[0]]
        if len(set(sizes.values())) > 1 or not 0 < rows <= len(ids):
            raise DataError(
                f"the extractor of {self.name!r} gave batches of"
                f" {some(f'{n!r}: {s}' for n, s in sizes.items())} rows where 1 to {len(ids)}"
                " stimuli are left; all spaces must have one row for each stimulus"
            )
        for node, array in arrays.items():
            if array.dtype.kind not in "fc":
                continue
            finite = np.isfinite(array).reshape(rows, -1).all(axis=1)
            if not finite.all():
                bad = [i for i, good in zip(ids, finite, strict=False) if not good]
                raise DataError(
                    f"features {self.name!r}, node {node!r}: values of stimulus {some(bad)} are not"
                    f" finite ({array.dtype}); look at the stimulus, or store float32 if a smaller"
                    " type overflows"
                )
        return rows


@dataclass(frozen=True, eq=False)
class StoredSpace:
    """One feature space in the store; reading it extracts what is not there."""

    table: _Table = field(repr=False)
    node: str

    @property
    def key(self) -> str:
        """Identity of everything that made the values."""
        return digest_of(self.table.entry.key, self.node)

    def read(self, ids: Sequence[str]) -> Shaped[np.ndarray, "stimulus ..."]:
        """Values of the named stimuli, in the order asked for.

        Raises
        ------
        DataError
            When a stimulus has no file, or the extractor gives other rows than it must.

        """
        name = f"{self.table.name}.{self.node}" if self.node else self.table.name
        digests = self.table.digests(ids, name)
        for _ in range(3):
            try:
                return self.table.entry.read(self.node, digests)
            except RowsMissingError:
                self.table.fill(self.node)
        return self.table.entry.read(self.node, digests)


def _size(batch: Mapping[str, Any]) -> int:
    return len(next(iter(batch.values())))
