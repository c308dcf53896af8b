"""Which rows are whose: prepared responses, found by the stimuli that their rows answer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int

from striate.data import (
    OnDisk,
    Responses,
    assemble,
    has_truth,
    natural_key,
    row_table,
    slots,
    target_table,
)
from striate.errors import DataError, some
from striate.registry import key_of

Ids = tuple[str, ...]


class Rows:
    """The rows of all subjects.

    Parameters
    ----------
    blocks
        Prepared responses by subject.
    ids
        All stimuli, in natural order.

    Raises
    ------
    DataError
        When rows of one name answer to other stimuli in another subject.

    """

    def __init__(self, blocks: Mapping[str, Responses], ids: Ids) -> None:
        self.ids = ids
        self._names = {s: b.row.values for s, b in blocks.items()}
        self._place = {i: k for k, i in enumerate(ids)}
        self._measured = {s: has_truth(b) for s, b in blocks.items()}
        self._shown: dict[str, Int[np.ndarray, "row slot"]] = {}
        known: dict[str, tuple[str, ...]] = {}
        for subject, block in blocks.items():
            shown = slots(block)
            for row, own in zip(block.row.values, map(tuple, shown), strict=True):
                if known.setdefault(row, own) != own:
                    raise DataError(
                        f"row {row!r} of subject {subject!r} answers to {', '.join(own)}, but to"
                        f" {', '.join(known[row])} in another subject; give rows of other stimuli"
                        " names of their own"
                    )
            self._shown[subject] = np.array(
                [[self._place[i] for i in own] for own in shown], dtype=np.int64
            ).reshape(shown.shape)

    def of(self, subject: str, ids: Ids, measured: bool = False) -> Int[np.ndarray, " row"]:
        """Positions of a subject's rows whose stimuli are all among `ids`."""
        among = np.zeros(len(self.ids), dtype=bool)
        among[[self._place[i] for i in ids]] = True
        there = among[self._shown[subject]].all(axis=1)
        return np.flatnonzero(there & self._measured[subject] if measured else there)

    def seen(self, subjects: Iterable[str], train: Ids) -> tuple[Ids, int]:
        """The stimuli of the measured training rows, in natural order, and how many rows these are.

        A row that several subjects share counts once.
        """
        stimuli: set[int] = set()
        names: set[str] = set()
        for subject in subjects:
            rows = self.of(subject, train, measured=True)
            stimuli.update(self._shown[subject][rows].ravel().tolist())
            names.update(self._names[subject][rows])
        return tuple(self.ids[k] for k in sorted(stimuli)), len(names)

    def layout(self, subject: str) -> str:
        """Digest of the rows of a subject and of which of them were measured."""
        return key_of(list(self._names[subject]), self._measured[subject].tolist())

    def key(self, subject: str, ids: Ids) -> str:
        """Digest of the names of the rows that some stimuli have."""
        return key_of(list(self._names[subject][self.of(subject, ids)]))


def named(block: Responses, subject: str) -> Responses:
    """The block with its subject as a label of the targets."""
    if "subject" not in block.coords:
        names = np.full(block.sizes["target"], subject, dtype=object)
        return block.assign_coords(subject=("target", names))
    others = sorted(set(block.subject.values.astype(str)) - {subject})
    if others:
        raise DataError(
            f"responses of {subject!r} hold targets of subject {some(others)}; the dataset must"
            " give each subject a block of its own"
        )
    return block


def with_rows(block: Responses, ids: Ids) -> Responses:
    """The block with a row without values for each stimulus."""
    if slots(block).shape[1] != 1:
        raise DataError("new images can be predicted where a row is one image, but here it is more")
    rows = pd.DataFrame({"stimulus": ids}, index=pd.Index(ids, name="row", dtype=object))
    table = pd.concat([row_table(block), rows])
    return assemble(OnDisk.over(block).below(len(ids)), table, target_table(block))


def with_units(block: Responses, units: pd.Series) -> Responses:
    """The block with a label of its rows: the leak units of their stimuli."""
    shown, unit = slots(block), units.to_dict()
    if shown.shape[1] == 1:
        joined = [unit[i] for i in shown[:, 0]]
    else:
        joined = ["|".join(sorted({unit[i] for i in row}, key=natural_key)) for row in shown]
    return block.assign_coords(unit=("row", np.array(joined, dtype=object)))
