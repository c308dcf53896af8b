"""Feature spaces that live in the store and are extracted when they are first read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from striate.data import Space, Stimuli
from striate.errors import DataError, some
from striate.interfaces import Extractor
from striate.store.atomic import digest_of
from striate.store.filling import fill
from striate.store.rows import Entry, RowsMissingError
from striate.store.tables import Table


def stored_spaces(
    store: Path, name: str, extractor: Extractor, key: str, stimuli: Stimuli
) -> dict[str, Space]:
    """The spaces that one extractor fills for some stimuli, by name.

    Nothing is read or computed before a space is read. Reading a row that is not stored extracts
    all stimuli that have content and are not stored, in natural order, exact duplicates once.

    Parameters
    ----------
    store
        Folder of the store.
    name
        Name of the feature table; the spaces are ``name.node``, or just `name` for an extractor
        whose one space has the empty name.
    extractor, key
        What makes the rows, and the key that stands for it. An extractor with a field ``dtype``
        (``float16``, ``float32``) has its floating values stored in that type. One with a method
        ``content(stimuli)`` names what each row is made of, by a digest per stimulus; an empty one
        stands for a stimulus that it cannot make a row of. Otherwise that is the stimulus' file.
    stimuli
        All stimuli that a row may be wanted for; rows are found by ``digest`` or `content`.

    Raises
    ------
    DataError
        When the extractor names no spaces, or one twice, or tells the content of too few stimuli.

    """
    nodes = [str(n) for n in extractor.names()]
    if not nodes or len(set(nodes)) != len(nodes):
        raise DataError(f"features {name!r} name no spaces, or one twice: {some(nodes) or 'none'}")
    identity = {"extractor": type(extractor).__name__, **extractor.identity()}
    table = Table(name, Entry(store, key, identity), extractor, stimuli, tuple(nodes))
    return {f"{name}.{n}" if n else name: StoredSpace(table, n) for n in nodes}


@dataclass(frozen=True, eq=False)
class StoredSpace:
    """One feature space in the store; reading it extracts what is not there."""

    table: Table = field(repr=False)
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
                with self.table.lock:
                    if pieces := self.table.missing([self.node]):
                        fill({self.table: pieces})
        return self.table.entry.read(self.node, digests)
