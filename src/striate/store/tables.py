"""What one extractor makes of some stimuli: which rows are missing, and how they get stored."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from striate.data import Stimuli, natural_key
from striate.errors import DataError, StriateError, some
from striate.interfaces import Extractor
from striate.machine import here
from striate.store.rounding import stored_as
from striate.store.rows import Entry

Piece: TypeAlias = dict[str, str]
"""Digests of rows that are extracted in one pass, each with the stimulus that stands for it."""
Arrays: TypeAlias = dict[str, np.ndarray]

LEAST, MOST = 4, 64
"""A piece is so many batches at least, and a table so many pieces at most."""


@dataclass(frozen=True, eq=False)
class Table:
    """What one extractor makes of some stimuli; rows are found by what they are made of."""

    name: str
    entry: Entry
    extractor: Extractor
    stimuli: Stimuli
    nodes: tuple[str, ...]
    digest: dict[str, str] = field(init=False, repr=False)
    lock: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        content: Any = self.extractor
        files = self.stimuli.table["digest"]
        digests = [str(d) for d in (content.content(self.stimuli) if self.reads_content else files)]
        if len(digests) != len(self.stimuli):
            raise DataError(
                f"the extractor of {self.name!r} gave the content of {len(digests)} stimuli, but"
                f" there are {len(self.stimuli)}; it must give one digest for each, in order"
            )
        object.__setattr__(self, "digest", dict(zip(self.stimuli.ids, digests, strict=True)))
        object.__setattr__(self, "lock", threading.RLock())

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.name, self.entry, self.extractor, self.stimuli, self.nodes)

    @property
    def reads_content(self) -> bool:
        """Whether the extractor says itself what its rows are made of."""
        return callable(getattr(self.extractor, "content", None))

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
        raise DataError(
            f"stimulus {lost!r}{others} {self.nothing(lost)}, but features {space!r} need it; put"
            " what is missing in its place or leave the stimulus out"
        )

    def nothing(self, stimulus: str) -> str:
        """Why there is nothing to make a row of."""
        if self.reads_content:
            return "holds nothing that they can be made of"
        file = str(self.stimuli.table.loc[stimulus, "file"])
        return f"has no readable file ({file or 'none is named'})"

    def without(self) -> tuple[str, ...]:
        """The stimuli that have nothing to make a row of."""
        return tuple(i for i, d in self.digest.items() if not d)

    def pieces(self) -> list[Piece]:
        """All rows that there could be, in natural order, exact duplicates once, cut into pieces.

        The cuts follow from the list of stimuli, so that whoever fills a piece, here or elsewhere,
        the first time or after an interruption, gives the extractor the same batches.
        """
        first: Piece = {}
        for i in sorted(self.digest, key=natural_key):
            first.setdefault(self.digest[i], i)
        first.pop("", None)
        rows, block = list(first.items()), here().block
        size = block * max(LEAST, math.ceil(len(rows) / (block * MOST)))
        return [dict(rows[k : k + size]) for k in range(0, len(rows), size)]

    def missing(self, nodes: Iterable[str], pieces: Sequence[Piece] | None = None) -> list[Piece]:
        """What is not stored of some pieces, of all unless they are given.

        Stored rows count when their files of these `nodes` are as they were written.
        """
        pieces = self.pieces() if pieces is None else pieces
        lost = set(self.entry.missing([d for p in pieces for d in p], nodes))
        left = [{d: i for d, i in p.items() if d in lost} for p in pieces]
        return [p for p in left if p]

    def filling(
        self, pieces: Iterable[Piece], broken: dict[str, str] | None = None
    ) -> Generator[tuple[str, int], None, None]:
        """Extract and store the rows of some pieces, in order, while one goes through this.

        Yields after each batch which stimulus was the last and how many were done. With `broken`,
        a stimulus whose row cannot be made is left out and told there: digest → reason.
        """
        with self.lock:
            for piece in pieces:
                left = dict(piece)
                while left:
                    try:
                        yield from self._store(left, list(left))
                    except Exception as error:
                        if broken is None or not left:
                            raise
                        yield from self._narrow(left, broken, error)

    def _store(self, left: Piece, digests: list[str]) -> Iterator[tuple[str, int]]:
        """One pass over some rows of a piece; those that are stored are taken away from it.

        Batches are stored one by one, or several small ones together.
        """
        ids = [left[d] for d in digests]
        held: list[Arrays] = []
        start = done = 0
        for arrays in self._batches(ids):
            rows = len(arrays[self.nodes[0]])
            done += rows
            if done - start < here().block and done < len(ids):
                # An extractor may use the memory of its batch again.
                held.append({n: np.array(a) for n, a in arrays.items()})
            else:
                block = digests[start:done]
                kept = self._kept(self._joined([*held, arrays]), ids[start:done])
                self.entry.append(block, *kept)
                for d in block:
                    del left[d]
                held, start = [], done
            yield ids[done - 1], rows

    def _narrow(
        self, left: Piece, broken: dict[str, str], error: Exception
    ) -> Iterator[tuple[str, int]]:
        """Get beyond an error: the next few rows by themselves, else without those that fail alone.

        What fails together but not alone is no matter of the stimuli.
        """
        near = list(left)[: here().block]
        try:
            yield from self._store(left, near)
        except Exception:
            bad = {d: r for d in near if d in left and (r := self._fails(left[d]))}
            if not bad:
                raise error from None
            broken |= bad
            for d in bad:
                del left[d]

    def _fails(self, stimulus: str) -> str:
        """Why the row of one stimulus cannot be made; nothing when it can."""
        try:
            for arrays in self._batches([stimulus]):
                self._kept(arrays, [stimulus])
        except StriateError as error:
            return str(error)
        except Exception as error:  # a user's own extractor may raise anything
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return ""

    def _batches(self, ids: list[str]) -> Iterator[Arrays]:
        """What the extractor gives, checked; its memory may be used again after each batch."""
        done = 0
        for batch in self.extractor(self.stimuli.select(ids)):
            arrays = {str(n): np.asarray(a) for n, a in batch.items()}
            done += self._check(arrays, ids[done:])
            yield arrays
        if done < len(ids):
            raise DataError(
                f"the extractor of {self.name!r} gave {done} rows for {len(ids)} stimuli and left"
                f" out {some(ids[done:])}; it must give one row for each stimulus, in order"
            )

    def _joined(self, held: list[Arrays]) -> Arrays:
        if len(held) == 1:
            return held[0]
        for node in self.nodes:
            forms = {f"{a[node].shape[1:]} {a[node].dtype}": None for a in held}
            if len(forms) > 1:
                raise DataError(
                    f"the extractor of {self.name!r} gave rows of different shapes for {node!r}:"
                    f" {some(forms)}; all stimuli must have rows of one shape"
                )
        return {n: np.concatenate([a[n] for a in held]) for n in self.nodes}

    def _kept(self, arrays: Arrays, ids: Iterable[str]) -> tuple[Arrays, dict[str, float]]:
        """The rows as they are stored, and the error of rounding by space."""
        dtype = str(getattr(self.extractor, "dtype", ""))
        found = {n: stored_as(a, dtype) for n, a in arrays.items()}
        for node, (array, _) in found.items():
            if array is not arrays[node]:
                self._check_finite(node, array, list(ids))
        return (
            {n: a for n, (a, _) in found.items()},
            {n: r for n, (_, r) in found.items() if r is not None},
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
            self._check_finite(node, array, ids)
        return rows

    def _check_finite(self, node: str, array: np.ndarray, ids: Sequence[str]) -> None:
        if array.dtype.kind not in "fc":
            return
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            bad = [i for i, good in zip(ids, finite, strict=False) if not good]
            raise DataError(
                f"features {self.name!r}, node {node!r}: values of stimulus {some(bad)} are not"
                f" finite ({array.dtype}); look at the stimulus, or store float32 if a smaller"
                " type overflows"
            )
