"""Scores of labelled responses: one line per member, subject, target and score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.data import Responses, align, membership, row_table, slots, target_table
from striate.errors import DataError, StriateError, unknown
from striate.machine import here
from striate.scores.correlation import SCORES, average, flat, normalise, rows_used
from striate.scores.resampling import bootstrap
from striate.scores.significance import fdr, permutation_p

Blocks = Mapping[str, Responses]
LABELS = ("hemisphere", "time")
LARGEST = 200_000_000


@dataclass(frozen=True, eq=False)
class Scored:
    """Truth and prediction of one subject, matched by label: the targets that were predicted."""

    subject: str
    rows: pd.DataFrame
    stimuli: np.ndarray
    targets: pd.DataFrame
    regions: pd.DataFrame
    truth: Float[np.ndarray, "row target"]
    predicted: Float[np.ndarray, "row target"]
    left_out: int


def matched(truth: Blocks, predicted: Blocks, member: str = "prediction") -> Iterator[Scored]:
    """Match predictions to the truth by label.

    Targets that were not predicted at all are left out and counted; a target predicted on some of
    the rows is an error.
    """
    for subject, block in truth.items():
        values = align(block, predicted)
        gaps = np.isnan(values)
        known = ~gaps.all(axis=0)
        if gaps.any() and gaps[:, known].any():
            t = block.target.values[known][gaps[:, known].any(axis=0)][0]
            raise DataError(
                f"{member} lacks {int(gaps[:, known].sum())} predictions of {subject!r}, among them"
                f" of target {t!r}: predict all rows of a target or none"
            )
        if known.any():
            at: Any = slice(None) if known.all() else np.flatnonzero(known)
            yield Scored(
                subject,
                row_table(block),
                slots(block),
                target_table(block).iloc[at],
                membership(block).iloc[at],
                np.asarray(block.values)[:, at],
                values[:, at],
                int((~known).sum()),
            )


def score_table(
    truth: Blocks, predicted: Blocks, names: Sequence[str], member: str, draws: int = 0
) -> pd.DataFrame:
    """Every score of every target, with its ceiling and the score divided by it.

    Columns: member, subject, roi (joined by ``;``), target, hemisphere and time where known, score,
    value, ceiling (explainable fraction of variance), normalised, flat (truth or prediction without
    variance, whose correlation is 0), rows; with `draws` also p and q of the Pearson correlation
    (permutations of leak units, false discovery rate over all targets of the member).
    """
    for name in names:
        if name not in SCORES:
            raise StriateError(unknown("score", name, SCORES))
    tables = []
    for part in matched(truth, predicted, member):
        rois = _joined(part.regions)
        base: dict[str, Any] = {
            "member": member,
            "subject": part.subject,
            "roi": rois if len(rois) else "",
            "target": part.targets.index,
        }
        base |= {c: part.targets[c].to_numpy() for c in LABELS if c in part.targets}
        ceiling = (
            part.targets["ceiling"].to_numpy(float)
            if "ceiling" in part.targets
            else np.full(len(part.targets), np.nan)
        )
        still = flat(part.truth, part.predicted)
        p = np.full(len(ceiling), np.nan)
        if draws and part.stimuli.shape[1] == 1:
            p = _p(part, draws)
        for name in names:
            value = SCORES[name](part.truth, part.predicted)
            over = np.full(len(value), np.nan)
            if SCORES[name].ceiling != "none":
                over = normalise(value, ceiling, name)
            more: dict[str, Any] = {
                "score": name,
                "value": value,
                "ceiling": ceiling,
                "normalised": over,
            }
            more |= {"flat": still, "rows": rows_used(part.truth), "p": p}
            tables.append(pd.DataFrame(base | more))
    if not tables:
        raise DataError(f"member {member!r} predicted none of the measured targets")
    table = pd.concat(tables, ignore_index=True)
    table["q"] = np.nan
    for name in names:
        here = (table["score"] == name).to_numpy()
        if table.loc[here, "p"].notna().any():
            table.loc[here, "q"] = fdr(table.loc[here, "p"].to_numpy(float))
    return table


def summarise(table: pd.DataFrame, value: str = "value") -> dict[str, Any]:
    """Median and mean over targets, by region and by subject too, of one member and score."""

    def middle(numbers: np.ndarray) -> dict[str, Any]:
        median = average(numbers, "median")
        return {
            "median": median.value,
            "mean": average(numbers, "mean").value,
            "targets": median.used,
            "left_out": median.left_out,
        }

    every = table[value].to_numpy(float)
    found = middle(every)
    place, joined = pd.factorize(table["roi"])
    parts = [set(rois.split(";")) for rois in joined]
    regions = dict.fromkeys(r for rois in joined for r in rois.split(";") if r)
    found["by_roi"] = {r: middle(every[np.array([r in p for p in parts])[place]]) for r in regions}
    whose, subjects = pd.factorize(table["subject"])
    found["by_subject"] = {s: middle(every[whose == k]) for k, s in enumerate(subjects)}
    return found


def resampled(
    truth: Blocks,
    predicted: Blocks,
    score: str,
    reduce: Callable[[np.ndarray], np.ndarray],
    draws: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, "draw ..."]:
    """A number over all targets, in `draws` resamplings of stimuli (leak units together).

    A stimulus that several subjects saw is drawn for all of them at once. Draws of two members
    with the same truth and seed are paired.
    """
    parts = list(matched(truth, predicted))
    if not parts:
        raise DataError("nothing to resample: none of the measured targets was predicted")
    rows = pd.concat([p.rows for p in parts])
    rows = rows[~rows.index.duplicated()]
    width = sum(p.truth.shape[1] for p in parts)
    if len(rows) * width > LARGEST:
        raise StriateError(
            f"resampling {len(rows)} rows of {width} targets needs too much memory; score fewer"
            " regions at a time with responses.keep"
        )
    t = np.full((len(rows), width), np.nan, dtype=np.float32)
    p = np.zeros((len(rows), width), dtype=np.float32)
    start = 0
    shown: dict[str, np.ndarray] = {}
    for part in parts:
        at = rows.index.get_indexer(part.rows.index)
        stop = start + part.truth.shape[1]
        t[at, start:stop], p[at, start:stop] = part.truth, part.predicted
        shown |= dict(zip(part.rows.index, part.stimuli, strict=True))
        start = stop
    if parts[0].stimuli.shape[1] == 2:
        pairs = _pairs(np.stack([shown[r] for r in rows.index]))
        return bootstrap(t, p, score, draws, seed=seed, pairs=pairs, reduce=reduce)
    units = rows["unit" if "unit" in rows else "stimulus"].to_numpy(str)
    return bootstrap(t, p, score, draws, units, seed, reduce=reduce)


def membership_of(truth: Blocks, predicted: Blocks) -> pd.DataFrame:
    """Membership (target × region) of all predicted targets, subject by subject.

    Rows stand in the order of the columns that `resampled` reduces.
    """
    table = pd.concat([part.regions for part in matched(truth, predicted)])
    return table.eq(True)


def _joined(regions: pd.DataFrame) -> np.ndarray:
    """Names of the regions of each target, joined by ``;``; many targets share theirs."""
    inside = regions.to_numpy(bool)
    if not inside.size:
        return np.full(len(inside), "", dtype=object)
    bits = np.packbits(inside, axis=1)
    _, first, place = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    names = np.array([";".join(regions.columns[inside[k]]) for k in first], dtype=object)
    return names[place.ravel()]


def _pairs(stimuli: np.ndarray) -> Int[np.ndarray, "row 2"]:
    _, place = np.unique(stimuli.astype(str), return_inverse=True)
    return np.asarray(place.reshape(stimuli.shape), dtype=np.int64)


def _p(part: Scored, draws: int) -> Float[np.ndarray, " target"]:
    """Permutation p of every target; NaN where no two leak units can trade places."""
    groups = _groups(part)
    if groups is not None:
        sizes = pd.Series(groups).value_counts()
        # Only units of one size trade places.
        if sizes.value_counts().max() < 2:
            return np.full(part.truth.shape[1], np.nan)
    return permutation_p(part.truth, part.predicted, draws, groups, threads=here().threads)


def _groups(part: Scored) -> np.ndarray | None:
    """Leak units of the rows, where any has more than one row: units trade places whole."""
    if "unit" not in part.rows:
        return None
    units = part.rows["unit"].to_numpy(str)
    return units if len(set(units)) < len(units) else None
