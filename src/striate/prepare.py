"""What is predicted: which targets are kept, how repeats and subjects are averaged, and ceilings.

The steps happen in the order of the fields. Nothing here looks at features; only ``zscore =
"train"`` depends on a training set, and the loop applies it inside of each fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    roi_names,
    row_table,
    slots,
    stays_on_disk,
    target_table,
    target_tables,
)
from striate.data.responses import IDENTITY, ROI, identities
from striate.errors import DataError, RecipeError, some, unknown
from striate.scores import means_ceiling, split_half

Blocks = Mapping[str, Responses]

PIECE = 1 << 28
"""Bytes of repeats that are averaged at once."""


@dataclass(frozen=True)
class Preparation:
    """`[responses]` of a recipe.

    Parameters
    ----------
    keep
        ``subject`` and ``roi``: lists of names; ``ceiling``: targets whose ceiling is greater
        (their split-half ceiling, where the data bring repeats and no ceilings); any other target
        label: a list of values. A subject without any such target is left out.
    repeats
        ``mean`` of the repeats there are, with split-half ceilings unless the data bring their
        own; ``keep``: each repeat is a row.
    average
        ``("subject",)`` gives group responses, ``("subject", "time")`` their mean over time too.
        Ceilings of what is averaged are dropped.
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
        self._check_rois(chosen.values())
        done: dict[str, Responses] = {}
        for subject, block in chosen.items():
            # Repeats are dealt into halves by place, so order comes first.
            block = _in_order(check_responses(block, f"responses of {subject!r}"))
            # Ceilings that follow from repeats are known only behind those.
            behind = "ceiling" not in block.coords and "repeat" in block.dims
            late = [c for c in self.keep if c == "ceiling" and behind]
            block = self._targets(block, [c for c in self.keep if c not in late])
            if block.size:
                block = self._targets(_repeats(block, self.repeats), late)
            if block.sizes["target"]:
                done[subject] = block
        if not done:
            raise RecipeError(f"responses.keep = {self.keep} leaves no target")
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
        names = _listed(wanted)
        for name in names:
            if name not in blocks:
                raise RecipeError(unknown("subject", name, blocks, "responses.keep"))
        return {n: blocks[n] for n in names}

    def _check_rois(self, blocks: Iterable[Responses]) -> None:
        have = dict.fromkeys(n for b in blocks for n in roi_names(b))
        for name in _listed(self.keep.get("roi", ())):
            if name not in have:
                raise RecipeError(unknown("roi", name, have, "responses.keep"))

    def _targets(self, block: Responses, labels: Iterable[str]) -> Responses:
        kept = np.ones(block.sizes["target"], dtype=bool)
        table = target_table(block).reset_index()
        for label in labels:
            wanted = _listed(self.keep[label])
            if label == "roi":
                known = [ROI + n for n in wanted if ROI + n in table]
                kept &= table[known].any(axis=1).to_numpy(bool)
            elif label == "ceiling" and label in table:
                kept &= table["ceiling"].to_numpy(float) > _number(self.keep[label])
            elif label in table:
                kept &= table[label].astype(str).isin(wanted).to_numpy()
            elif label != "subject":
                plain = {str(c) for c in table if not str(c).startswith(ROI)}
                raise RecipeError(unknown("target label", label, plain | {"roi", "subject"}))
        return block if kept.all() else block.isel(target=np.flatnonzero(kept))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"responses.keep.ceiling = {value!r} is no number, such as 0.1"
        ) from error


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


def _repeats(block: Responses, how: str) -> Responses:
    if "repeat" not in block.dims:
        return block
    rows, targets = row_table(block), target_table(block)
    if how == "keep":
        values = np.asarray(block.values)
        pieces, tables = [], []
        for k in range(values.shape[2]):
            # A hidden row has no repeat; it is kept once, to be predicted.
            there = ~np.isnan(values[:, :, k]).all(axis=1) | (~has_truth(block) & (k == 0))
            pieces.append(values[there, :, k])
            table = rows[there].copy()
            table.index = pd.Index([f"{r}#{k}" for r in table.index], name="row", dtype=object)
            tables.append(table)
        # A ceiling of the mean over repeats is no ceiling of a single one.
        targets = targets.drop(columns="ceiling", errors="ignore")
        return assemble(np.concatenate(pieces), pd.concat(tables), targets)
    wanted = "ceiling" not in targets and block.shape[2] > 1
    mean = np.empty(block.shape[:2], dtype=block.dtype)
    ceiling = np.empty(block.shape[1])
    step = max(1, PIECE // max(1, block[:, :1].nbytes)) if stays_on_disk(block) else len(ceiling)
    parts = [slice(start, start + step) for start in range(0, len(ceiling), max(1, step))]
    shown = has_truth(block) if wanted else np.zeros(0, dtype=bool)
    # One estimate for all targets: which one it is must not depend on the pieces.
    fewest = min((_fewest(block[shown, p].values) for p in parts), default=0) if wanted else 0
    for part in parts:
        values = np.asarray(block[:, part].values)
        mean[:, part] = _moments(values, axis=2)[0]
        if wanted:
            ceiling[part] = _reliability(values[shown], fewest)
    if wanted:
        targets["ceiling"] = ceiling
    return assemble(mean, rows, targets)


def _fewest(values: np.ndarray) -> int:
    """Repeats of the response that has the fewest."""
    return int((~np.isnan(values)).sum(axis=2).min(initial=values.shape[2]))


def _reliability(values: np.ndarray, fewest: int) -> np.ndarray:
    """Ceiling of the mean over the repeats there are, from their split halves."""
    # Split halves leave out rows shown once; their means are noisier and are scored too.
    found = split_half(values) if fewest > 1 else means_ceiling(values)
    return np.asarray(np.clip(np.nan_to_num(found), 0, 1))


def _averaged(blocks: Blocks, labels: Sequence[str]) -> dict[str, Responses]:
    """Mean over the values of some target labels, within each set of blocks with the same rows."""
    valid = [c for c in IDENTITY if c != "target" and any(c in b.coords for b in blocks.values())]
    for label in labels:
        if label not in valid:
            raise RecipeError(unknown("label in responses.average", label, valid))
    pooled: dict[tuple[str, ...], list[Responses]] = {}
    for subject, block in blocks.items():
        rows = block.row.values.tolist()
        pooled.setdefault((("" if "subject" in labels else subject), *rows), []).append(block)
    if "subject" in labels:
        sets = [
            set().union(*(b.row.values[has_truth(b)].tolist() for b in same))
            for same in pooled.values()
        ]
        if sum(map(len, sets)) > len(set().union(*sets)):
            raise RecipeError(
                'responses.average = "subject" needs subjects who all saw the same rows of an image'
                " set, but some rows were measured in some of them only; leave these subjects or"
                " rows out"
            )
    done = {}
    for k, (key, same) in enumerate(pooled.items()):
        values = np.concatenate([b.values for b in same], axis=1)
        targets = target_tables([target_table(b) for b in same])
        left = [c for c in IDENTITY if (c in targets or c == "target") and c not in labels]
        keys = identities(targets.reset_index(), left)
        first = ~keys.duplicated()
        place = keys[first].get_indexer(keys)
        means = [_moments(values[:, place == j], axis=1)[0] for j in range(first.sum())]
        table = targets[first].drop(columns=[*labels, "ceiling"], errors="ignore")
        name = key[0] or ("group" if len(pooled) == 1 else f"group{k + 1}")
        done[name] = assemble(np.stack(means, axis=1), row_table(same[0]), table)
    return done


def _moments(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the values there are; NaN where there are none."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    least = np.maximum(count, 1)
    mean = np.where(known, values, 0).sum(axis=axis, dtype=np.float64) / least
    centred = np.where(known, values - np.expand_dims(mean, axis), 0)
    spread = np.sqrt((centred**2).sum(axis=axis) / least)
    mean, spread = (np.where(count > 0, m, np.nan).astype(values.dtype) for m in (mean, spread))
    return mean, spread


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
        mean, spread = _moments(values[here], axis=0)
        values[here] = (values[here] - mean) / np.where(spread > 0, spread, 1)
    return block.copy(data=values)


def _rescaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    known = values[~np.isnan(values)]
    if not known.size:
        return values
    least, most = known.min(), known.max()
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
