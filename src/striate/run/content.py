"""What stimuli hold, as far as it can be read, and data without those of which it cannot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from striate.data import Responses, Space, Stimuli, slots
from striate.errors import DataError, FileError
from striate.media import digests
from striate.registry import key_of
from striate.splits import Fixed, Split
from striate.store import StoredSpace


def digested(stimuli: Stimuli, skip: bool) -> Stimuli:
    """The stimuli with digests of their contents; `skip` leaves it empty where nothing is read."""
    try:
        return digests(stimuli)
    except FileError:
        if not skip:
            raise
    return stimuli.with_column("digest", [_digest(stimuli.select([i])) for i in stimuli.ids])


def _digest(one: Stimuli) -> str:
    try:
        return str(digests(one).table["digest"].iloc[0])
    except FileError:
        return ""


def contents(stimuli: Stimuli, spaces: Mapping[str, Space]) -> dict[str, str]:
    """A digest of each stimulus that changes with all that features are made of."""
    plain = dict(zip(stimuli.ids, stimuli.table["digest"].astype(str), strict=True))
    tables = {s.table.name: s.table for s in spaces.values() if isinstance(s, StoredSpace)}
    further = [t.digest for _, t in sorted(tables.items()) if t.reads_content]
    if not further:
        return plain
    return {i: key_of(d, [f[i] for f in further]) for i, d in plain.items()}


def without_stimuli(stimuli: Stimuli, gone: Collection[str]) -> Stimuli:
    """The stimuli that are not among the `gone`.

    Raises
    ------
    DataError
        When none is left.

    """
    left = [i for i in stimuli.ids if i not in gone]
    if not left:
        raise DataError("no stimulus is left whose features can be computed: look at their files")
    return stimuli.select(left) if len(left) < len(stimuli) else stimuli


def without_listed(split: Split, gone: Collection[str]) -> Split:
    """The split, whose lists of stimuli no longer name the `gone`, if it has any."""
    if not gone or not isinstance(split, Fixed):
        return split
    test, train = (tuple(i for i in ids if i not in gone) for ids in (split.test, split.train))
    return replace(split, test=test, train=train)


def without_rows(block: Responses, gone: Collection[str]) -> Responses:
    """The rows that answer to none of some stimuli."""
    kept = [gone.isdisjoint(row) for row in slots(block)] if (gone := set(gone)) else []
    return block if all(kept) else block.isel(row=[k for k, keep in enumerate(kept) if keep])
