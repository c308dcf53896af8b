"""Targets that share rows are stacked, so that per-target solvers decompose the features once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.data import Responses, assemble, row_table, target_table, target_tables
from striate.errors import DataError, RecipeError
from striate.interfaces import Encoder, Group
from striate.splits import folds_of


@dataclass(frozen=True, eq=False)
class Bucket:
    """Targets measured on exactly the same rows: their rows, their labels, their values."""

    rows: Responses
    targets: pd.DataFrame
    values: Float[np.ndarray, "row target"]

    def folds(self, folds: int, seed: int) -> Int[np.ndarray, " row"]:
        """Inner folds that part no unit; as many as there are units, when there are fewer."""
        units = self.units()
        return folds_of(units, min(folds, len(set(units))), seed)

    def units(self) -> list[str]:
        """The leak unit of each row."""
        table = row_table(self.rows)
        units: list[str] = table["unit" if "unit" in table else "stimulus"].astype(str).tolist()
        return units


def buckets(groups: Sequence[Group]) -> Iterator[Bucket]:
    """All targets of all groups, bucketed by the rows on which they were measured.

    Raises
    ------
    DataError
        When a target was measured on fewer than two rows.

    """
    stacks: dict[tuple[str, ...], list[Responses]] = {}
    for group in groups:
        for block in group:
            stacks.setdefault(tuple(block.row.values), []).append(block)
    for blocks in stacks.values():
        values = _beside(blocks)
        targets = target_tables([target_table(b) for b in blocks])
        rows = blocks[0][:, :0]
        gaps = np.isnan(values)
        if not gaps.any():
            yield Bucket(rows, targets, values)
            continue
        patterns: dict[bytes, list[int]] = {}
        for j in range(values.shape[1]):
            patterns.setdefault(np.packbits(gaps[:, j]).tobytes(), []).append(j)
        for columns in patterns.values():
            kept = np.flatnonzero(~gaps[:, columns[0]])
            if len(kept) < 2:
                raise DataError(
                    f"target {targets.index[columns[0]]!r} was measured on {len(kept)} training"
                    " rows; leave it out with responses.keep"
                )
            part = values[np.ix_(kept, np.array(columns))]
            yield Bucket(rows.isel(row=kept), targets.iloc[columns], part)


def _beside(blocks: Sequence[Responses]) -> Float[np.ndarray, "row target"]:
    """Values of blocks that share their rows, without a second copy of all of them."""
    if len(blocks) == 1:
        return np.asarray(blocks[0].values)
    ends = np.cumsum([b.shape[1] for b in blocks])
    dtype = np.result_type(*[b.dtype for b in blocks])
    values = np.empty((blocks[0].shape[0], ends[-1]), dtype=dtype)
    for block, end in zip(blocks, ends, strict=True):
        values[:, end - block.shape[1] : end] = block.values
    return values


def predicted(
    rows: Responses, parts: Sequence[tuple[Float[np.ndarray, "row _"], pd.DataFrame]]
) -> Responses:
    """Predictions of several buckets as one block."""
    values = [v for v, _ in parts]
    return assemble(
        values[0] if len(values) == 1 else np.concatenate(values, axis=1),
        row_table(rows),
        target_tables([t for _, t in parts]),
    )


def check_folds(name: str, folds: int) -> None:
    """Refuse fewer than two inner folds."""
    if folds < 2:
        raise RecipeError(f"{name}: folds = {folds!r} must be 2 or more")


def from_nothing(encoder: Encoder, start: object) -> None:
    """Refuse to start from another member's fit, which `encoder` would not look at."""
    if start is not None:
        raise RecipeError(
            f"{type(encoder).__name__} cannot start from another fit: leave out `after`, or use an"
            " encoder that can, such as ridge"
        )
