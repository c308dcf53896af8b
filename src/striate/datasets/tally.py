"""What the responses of one subject hold, counted in one pass over pieces that fit in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.data import Responses, has_truth, in_pieces, membership
from striate.errors import some
from striate.scores import split_half

CEILING_BYTES = 1 << 27
"""Bytes of repeats that split halves are taken of; of more, evenly spaced targets are."""


@dataclass(frozen=True)
class Tally:
    """Counts over the measured rows of one subject.

    Parameters
    ----------
    rows, hidden
        Rows in all, and those without any response.
    values, missing
        Responses (of repeats: each row and target once), and how many are NaN in every repeat.
    repeats
        Fewest and most repeats of a measured response; (1, 1) without an axis of repeats.
    flat
        Targets that never vary.

    """

    rows: int
    hidden: int
    values: int
    missing: int
    repeats: tuple[int, int]
    flat: int


def tally(block: Responses) -> Tally:
    """Count what a block holds; what stays on disk is read once, piece by piece."""
    truth = has_truth(block)
    low = np.full(block.shape[1], np.inf)
    high = np.full(block.shape[1], -np.inf)
    values = missing = start = 0
    fewest, most = np.iinfo(np.int64).max, 0
    for piece in in_pieces(block):
        mine = truth[start : start + len(piece)]
        start += len(piece)
        known = np.asarray(piece.values)[mine]
        if not len(known):
            continue
        there = ~np.isnan(known)
        each = there.sum(axis=2) if known.ndim == 3 else there.astype(np.int64)
        fewest, most = min(fewest, int(each.min())), max(most, int(each.max()))
        missing += int((each == 0).sum())
        values += each.size
        over = (0, 2) if known.ndim == 3 else (0,)
        low = np.minimum(low, np.where(there, known, np.inf).min(axis=over))
        high = np.maximum(high, np.where(there, known, -np.inf).max(axis=over))
    return Tally(
        rows=len(truth),
        hidden=int((~truth).sum()),
        values=values,
        missing=missing,
        repeats=(fewest, most) if values else (0, 0),
        flat=int((low == high).sum()),
    )


def measured(block: Responses) -> list[str]:
    """The counts of a block, its regions and ceilings, in lines."""
    found = tally(block)
    line = f"{block.sizes['row']} rows × {block.sizes['target']} targets"
    regions = membership(block)
    if len(regions.columns):
        told = [f"{name} {int(count)}" for name, count in regions.sum().items()]
        rest = int((~regions.any(axis=1)).sum())
        line += f"; {some(told, 12)}" + (f", in no region {rest}" if rest else "")
    if "time" in block.coords:
        line += f"; {len(np.unique(block.time.values))} samples in time"
    if "stimulus_2" in block.coords:
        line += "; a row is a pair of stimuli"
    lines = [line]
    if "repeat" in block.dims:
        span = " to ".join(map(str, dict.fromkeys(found.repeats)))
        lines.append(f"  repeats: {span}; {found.missing} responses without any")
    else:
        lines.append(f"  missing: {found.missing} of {found.values} responses")
    if found.hidden:
        lines.append(f"  hidden: {found.hidden} rows without responses")
    if found.flat:
        lines.append(f"  constant: {found.flat} targets never vary")
    return [*lines, _ceilings(block, found)]


def _ceilings(block: Responses, found: Tally) -> str:
    regions = membership(block)
    if "ceiling" in block.coords:
        ceiling, source = block.ceiling.values.astype(float), "given"
    elif "repeat" in block.dims and found.repeats[1] > 1 and found.rows - found.hidden > 2:
        chosen = _spaced(block)
        part = block.isel(target=chosen)
        rows = np.flatnonzero(has_truth(part))
        ceiling = split_half(np.asarray(part.isel(row=rows).values), splits=20)
        source = "split halves of the repeats"
        if len(chosen) < block.shape[1]:
            source += f" of {len(chosen)} targets"
        regions = regions.iloc[chosen]
    else:
        return "  ceiling: unknown (no repeats, and targets have none)"
    told = [f"median {_median(ceiling)}"]
    told += [f"{name} {_median(ceiling[regions[name].to_numpy()])}" for name in regions]
    return f"  ceiling ({source}): {some(told, 12)}"


def _spaced(block: Responses) -> np.ndarray:
    """Positions of evenly spaced targets, as many as are cheap to hold."""
    one = max(1, block.shape[0] * block.shape[2] * block.dtype.itemsize)
    count = min(block.shape[1], max(1, CEILING_BYTES // one))
    return np.unique(np.linspace(0, block.shape[1] - 1, count).round().astype(int))


def _median(values: np.ndarray) -> str:
    kept = values[~np.isnan(values)]
    return f"{np.median(kept):.3f}" if len(kept) else "none"
