"""Models beside each other: scores on the rows and targets that all of them predicted, by label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from striate.data import Responses, align, identities, membership, row_table, slots, target_table
from striate.data.responses import IDENTITY
from striate.errors import DataError
from striate.scores.correlation import SCORES
from striate.scores.paired import Side, shared_things

Blocks = Mapping[str, Responses]


@dataclass(frozen=True, eq=False)
class Beside:
    """One subject: the truth of what all models predicted, and their predictions.

    `rows_left` and `targets_left` count what some model did not predict.
    """

    subject: str
    rows: pd.DataFrame
    stimuli: np.ndarray
    targets: pd.DataFrame
    regions: pd.DataFrame
    truth: Float[np.ndarray, "row target"]
    predicted: Sequence[Float[np.ndarray, "row target"]]
    rows_left: int = 0
    targets_left: int = 0

    @property
    def things(self) -> np.ndarray:
        """What is drawn, by row: leak units, or the two stimuli of a pair."""
        if self.stimuli.shape[1] == 2:
            return self.stimuli.astype(str)
        return self.rows["unit" if "unit" in self.rows else "stimulus"].to_numpy(str)

    def values(self, score: str) -> Float[np.ndarray, "model target"]:
        """The score of every model and target."""
        return np.stack([SCORES[score](self.truth, p) for p in self.predicted])


def beside(truth: Blocks, models: Mapping[str, Blocks]) -> Iterator[Beside]:
    """The rows and targets of each subject that the truth and all models have, matched by label.

    Subjects of whom nothing is left are left out.

    Raises
    ------
    DataError
        When a model predicts a target on some of these rows only.

    """
    for subject, block in truth.items():
        table = target_table(block).reset_index()
        rows = np.ones(len(block), dtype=bool)
        columns = np.ones(block.shape[1], dtype=bool)
        for blocks in models.values():
            found = [b for b in blocks.values() if _speaks_of(b, subject)]
            rows &= _any(pd.Index(block.row.values).isin(b.row.values) for b in found)
            columns &= _any(_among(table, b) for b in found)
        kept: Any = block.isel(row=np.flatnonzero(rows), target=np.flatnonzero(columns))
        if not kept.size:
            continue
        aligned = [align(kept, blocks) for blocks in models.values()]
        gaps = [np.isnan(a) for a in aligned]
        there = ~np.any([g.all(axis=1) for g in gaps], axis=0)
        known = ~np.any([g[there].all(axis=0) for g in gaps], axis=0)
        for name, gap in zip(models, gaps, strict=True):
            partly = gap[np.ix_(there, known)].any(axis=0)
            if partly.any():
                target = kept.target.values[known][partly][0]
                raise DataError(
                    f"{name} lacks some predictions of target {target!r} of {subject!r}: it has to"
                    " predict all rows of a target or none to be compared"
                )
        if not there.any() or not known.any():
            continue
        at: Any = np.ix_(there, known)
        kept = kept.isel(row=np.flatnonzero(there), target=np.flatnonzero(known))
        yield Beside(
            subject,
            row_table(kept),
            slots(kept),
            target_table(kept),
            membership(kept),
            np.asarray(kept.values),
            [a[at] for a in aligned],
            len(block) - len(kept),
            block.shape[1] - kept.shape[1],
        )


def sides(
    found: Sequence[Beside], groups: Bool[np.ndarray, "target group"]
) -> tuple[list[Side], int]:
    """What `paired` takes: sides with numbers for what is drawn, and how many things these are.

    `groups` are sets of the targets of all subjects, one after the other.
    """
    count, places = shared_things([b.things for b in found])
    parts = np.split(groups, np.cumsum([len(b.targets) for b in found])[:-1])
    made = [Side(b.truth, b.predicted, p, g) for b, p, g in zip(found, places, parts, strict=True)]
    return made, count


def _speaks_of(block: Responses, subject: str) -> bool:
    if "subject" not in block.coords:
        return True
    return bool((block.subject.values.astype(str) == subject).any())


def _among(table: pd.DataFrame, block: Responses) -> Bool[np.ndarray, " target"]:
    """Which targets of a table a block has, by every label of theirs that it knows."""
    other = target_table(block).reset_index()
    keys = [c for c in IDENTITY if c in other and c in table]
    return np.asarray(identities(table, keys).isin(identities(other, keys)))


def _any(masks: Iterator[np.ndarray]) -> np.ndarray:
    found = list(masks)
    return np.any(found, axis=0) if found else np.asarray(False)
