"""Whole seasons and films held out: what a model has never seen any part of."""

from __future__ import annotations

from dataclasses import dataclass

from striate.data import Stimuli, natural_key
from striate.errors import DataError, some
from striate.splits import Call, KFold, kept_apart, leak_units


@dataclass(frozen=True)
class HeldOut:
    """Hold out the stimuli whose `label` has one of some `values`.

    Where none or all of the training stimuli have one of them, as in a copy with few files, there
    are `folds` folds over leak groups instead.

    Parameters
    ----------
    values
        Of the label, such as ``("friends-s6",)``.
    label
        A label of the stimuli.
    folds
        Where nothing can be held out by the label.

    """

    values: tuple[str, ...]
    label: str = "season"
    folds: int = 5

    def calls(self, stimuli: Stimuli) -> list[Call]:
        """One call, ``held out``, and ``final`` for stimuli set aside as test."""
        if self.label not in stimuli.table:
            raise DataError(
                f"split.label names column {self.label!r}, but stimuli have"
                f" {some(stimuli.table.columns, 20)}"
            )
        table = stimuli.table[["part", self.label]].astype(str)
        ids = sorted(stimuli.ids, key=natural_key)
        values = dict(zip(table.index, table[self.label], strict=True))
        parts = dict(zip(table.index, table["part"], strict=True))
        known = [i for i in ids if parts[i] in ("", "train")]
        held = [i for i in known if values[i] in self.values]
        if not held or len(held) == len(known):
            return KFold(folds=self.folds).calls(stimuli)
        units, test = leak_units(stimuli), [i for i in ids if parts[i] == "test"]
        rest = [i for i in known if values[i] not in self.values]
        calls = [Call("held out", tuple(rest), tuple(held))]
        calls += [Call("final", tuple(known), tuple(test))] if test else []
        return [kept_apart(call, units) for call in calls]
