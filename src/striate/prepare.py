"""What is predicted: which targets are kept, how repeats and subjects are averaged, and ceilings.

The steps happen in the order of the fields. Nothing here looks at features; only ``zscore =
"train"`` depends on a training set, and the loop applies it inside of each fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from striate.data import (
    Responses,
    assemble,
    check_responses,
    has_truth,
    natural_key,
    row_table,
    slots,
    target_table,
)
from striate.data.responses import ROI
from striate.errors import DataError, RecipeError, some, unknown
from striate.scores import split_half

Blocks = Mapping[str, Responses]


@dataclass(frozen=True)
class Preparation:
    """`[responses]` of a recipe.

    Parameters
    ----------
    keep
        ``subject`` and ``roi``: lists of names; ``ceiling``: targets whose ceiling is greater;
        any other target label: a list of values.
    repeats
        ``mean`` of the repeats there are, with split-half ceilings unless the data bring their
        own; ``keep``: each repeat is a row.
    average
        Labels to average over: ``("subject",)`` gives group responses, ``("subject", "time")``
        their mean over time too.
    zscore
        ``session``: each target within each session (a label of the rows). ``train``: with mean
        and standard deviation of the training rows, undone in predictions.
    range
        Rescale all values of a block to lie between two numbers.
    clip
        Clip values to lie between two numbers.

    """

    keep: dict[str, Any] = field(default_factory=dict)
    repeats: Literal["mean", "keep"] = "mean"
    average: tuple[str, ...] = ()
    zscore: Literal["none", "session", "train"] = "none"
    range: tuple[float, ...] = ()
    clip: tuple[float, ...] = ()

    def __call__(self, blocks: Blocks) -> dict[str, Responses]:
        """Prepared responses by subject, rows and targets in natural order of their labels."""
        chosen = self._subjects(blocks)
        done: dict[str, Responses] = {}
        for subject, block in chosen.items():
            check_responses(block, f"responses of {subject!r}")
            block = _repeats(self._targets(block), self.repeats)
            done[subject] = block
        if self.average:
            done = _averaged(done, self.average)
        if self.zscore == "session":
            done = {s: _by_session(b) for s, b in done.items()}
        for limits, change in ((self.range, _rescaled), (self.clip, np.clip)):
            if limits:
                if len(limits) != 2 or limits[0] >= limits[1]:
                    raise RecipeError(f"responses: {limits} is no pair of lower and upper limits")
                done = {s: b.copy(data=change(b.values, *limits)) for s, b in done.items()}
        return {s: _in_order(b) for s, b in sorted(done.items(), key=lambda i: natural_key(i[0]))}

    def _subjects(self, blocks: Blocks) -> dict[str, Responses]:
        wanted = self.keep.get("subject")
        if wanted is None:
            return dict(blocks)
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in blocks:
                raise RecipeError(unknown("subject", name, blocks, "responses.keep"))
        return {n: blocks[n] for n in names}

    def _targets(self, block: Responses) -> Responses:
        kept = np.ones(block.sizes["target"], dtype=bool)
        table = target_table(block)
        for label, wanted in self.keep.items():
            if label == "subject":
                continue
            if label == "roi":
                names = [wanted] if isinstance(wanted, str) else list(wanted)
                known = [n for n in names if ROI + n in table]
                if not known:
                    have = [c.removeprefix(ROI) for c in table if c.startswith(ROI)]
                    raise RecipeError(unknown("roi", names[0], have, "responses.keep"))
                kept &= table[[ROI + n for n in known]].any(axis=1).to_numpy()
            elif label not in table:
                raise RecipeError(unknown("target label", label, [*table, "roi", "subject"]))
            elif label == "ceiling":
                kept &= table["ceiling"].to_numpy(float) > float(wanted)
            else:
                values = wanted if isinstance(wanted, list | tuple) else [wanted]
                kept &= table[label].astype(str).isin([str(v) for v in values]).to_numpy()
        if not kept.any():
            raise RecipeError(f"responses.keep = {self.keep} leaves no target")
        return block if kept.all() else block.isel(target=np.flatnonzero(kept))


def _repeats(block: Responses, how: str) -> Responses:
    if "repeat" not in block.dims:
        return block
    values = np.asarray(block.values)
    rows, targets = row_table(block), target_table(block)
    if how == "keep":
        pieces, tables = [], []
        for k in range(values.shape[2]):
            there = ~np.isnan(values[:, :, k]).all(axis=1)
            pieces.append(values[there, :, k])
            table = rows[there].copy()
            table.index = pd.Index([f"{r}#{k}" for r in table.index], name="row", dtype=object)
            tables.append(table)
        return assemble(np.concatenate(pieces), pd.concat(tables), targets)
    if "ceiling" not in targets and values.shape[2] > 1:
        shown = has_truth(block)
        targets["ceiling"] = np.clip(np.nan_to_num(split_half(values[shown])), 0, 1)
    count = (~np.isnan(values)).sum(axis=2)
    mean = np.where(count > 0, np.nansum(values, axis=2) / np.maximum(count, 1), np.nan)
    return assemble(mean.astype(values.dtype), rows, targets)


def _averaged(blocks: Blocks, labels: Sequence[str]) -> dict[str, Responses]:
    """Mean over the values of some target labels, within each set of blocks with the same rows."""
    tables = [target_table(b) for b in blocks.values()]
    for label in labels:
        if not any(label in t for t in tables):
            raise RecipeError(unknown("label in responses.average", label, tables[0]))
    pooled: dict[tuple[str, ...], list[Responses]] = {}
    for subject, block in blocks.items():
        rows = tuple(block.row.values) if "subject" in labels else (subject, *block.row.values)
        pooled.setdefault(rows, []).append(block)
    done = {}
    for k, same in enumerate(pooled.values()):
        values = np.concatenate([b.values for b in same], axis=1)
        targets = pd.concat([target_table(b) for b in same])
        lost = [*labels, *([] if "subject" not in labels else ["ceiling"])]
        left = [c for c in targets if c not in lost and not str(c).startswith(ROI)]
        keys = pd.MultiIndex.from_frame(targets[left].reset_index().astype(str))
        first = ~keys.duplicated()
        place = keys[first].get_indexer(keys)
        with np.errstate(invalid="ignore"):
            mean = np.stack(
                [np.nanmean(values[:, place == j], axis=1) for j in range(first.sum())], axis=1
            )
        table = targets[first].drop(columns=[c for c in lost if c in targets])
        name = ("group" if len(pooled) == 1 else f"group{k + 1}") if "subject" in labels else ""
        done[name or str(same[0].subject.values[0])] = assemble(mean, row_table(same[0]), table)
    return done


def _by_session(block: Responses) -> Responses:
    rows = row_table(block)
    if "session" not in rows:
        raise DataError(
            'responses.zscore = "session" needs a row label `session`; rows have'
            f" {some(rows.columns)}"
        )
    values = block.values.copy()
    for session in rows["session"].unique():
        here = (rows["session"] == session).to_numpy()
        spread = values[here].std(axis=0)
        values[here] = (values[here] - values[here].mean(axis=0)) / np.where(spread > 0, spread, 1)
    return block.copy(data=values)


def _rescaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    least, most = np.nanmin(values), np.nanmax(values)
    if most <= least:
        raise DataError("responses.range cannot rescale responses that are all the same")
    return np.asarray(low + (values - least) * ((high - low) / (most - least)), dtype=values.dtype)


def _in_order(block: Responses) -> Responses:
    """Rows and targets in natural order, so that the order of files changes no number."""
    rows = _order([*slots(block).T, block.row.values])
    names = target_table(block).reset_index()
    keys = [c for c in ("subject", "target", "time") if c in names]
    targets = _order([names[k].to_numpy() for k in keys])
    if rows == list(range(len(rows))) and targets == list(range(len(targets))):
        return block
    return block.isel(row=rows, target=targets)


def _order(columns: Sequence[np.ndarray]) -> list[int]:
    """Natural order of lines, by the first column, then the next."""
    ranks = []
    for column in columns:
        unique, place = np.unique(column.astype(str), return_inverse=True)
        keys = [natural_key(str(u)) for u in unique]
        rank = np.empty(len(unique), dtype=np.int64)
        rank[sorted(range(len(unique)), key=keys.__getitem__)] = np.arange(len(unique))
        ranks.append(rank[place])
    return [int(i) for i in np.lexsort(ranks[::-1])]
