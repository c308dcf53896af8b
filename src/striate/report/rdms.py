"""Brain and model dissimilarity matrices side by side, in percentiles, one row per region."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata

from striate.data import Responses, align, membership, natural_key, slots
from striate.report.canvas import Picture, Theme, label, picture

MOST_REGIONS = 6
MOST_STIMULI = 400
"""Larger matrices are thinned to about this size for the figure."""

Blocks = Mapping[str, Responses]


def is_paired(truth: Blocks) -> bool:
    """Whether rows are pairs of stimuli."""
    return bool(truth) and all(slots(b).shape[1] == 2 for b in truth.values())


def matrices(truth: Blocks, predicted: Blocks) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Region → (brain RDM, model RDM) in percentiles; NaN where no pair was measured.

    The brain's is the mean over subjects, times and targets of the region; ranks are taken over
    the pairs that both have.
    """
    shown = [slots(b).astype(str) for b in truth.values()]
    ids = sorted(set(np.concatenate(shown).ravel().tolist()), key=natural_key)
    place = {i: k for k, i in enumerate(ids)}
    sums: dict[str, np.ndarray] = {}
    for pairs, block in zip(shown, truth.values(), strict=True):
        first, second = (np.array([place[i] for i in column], dtype=int) for column in pairs.T)
        model = align(block, predicted)
        inside = membership(block)
        masks = {str(r): inside[r].to_numpy(bool) for r in inside}
        masks = masks or {str(t): block.target.values == t for t in block.target.values}
        for region, mask in masks.items():
            if not mask.any():
                continue
            total = sums.setdefault(region, np.zeros((4, len(ids), len(ids))))
            for k, values in enumerate((block.values[:, mask], model[:, mask])):
                known = np.isfinite(values)
                np.add.at(total[2 * k], (first, second), np.where(known, values, 0).sum(axis=1))
                np.add.at(total[2 * k + 1], (first, second), known.sum(axis=1))
        if len(sums) > MOST_REGIONS:
            sums = dict(list(sums.items())[:MOST_REGIONS])
    found = {}
    for region, total in sums.items():
        total = total + total.transpose(0, 2, 1)
        both = (total[1] > 0) & (total[3] > 0) & ~np.eye(len(ids), dtype=bool)
        if both.any():
            found[region] = (
                _percentiles(total[0], total[1], both),
                _percentiles(total[2], total[3], both),
            )
    return found


def _percentiles(total: np.ndarray, count: np.ndarray, both: np.ndarray) -> np.ndarray:
    result = np.full(total.shape, np.nan)
    ranks = rankdata(total[both] / count[both])
    result[both] = 100.0 * (ranks - ranks.min()) / max(np.ptp(ranks), 1e-12)
    return result


def side_by_side(truth: Blocks, predicted: Blocks) -> Picture | None:
    """Draw the matrices of each region; None without pairs that both have."""
    if not is_paired(truth):
        return None
    pairs = matrices(truth, predicted)
    if not pairs:
        return None
    size = len(next(iter(pairs.values()))[0])
    step = max(1, -(-size // MOST_STIMULI))
    people = len(truth)

    def paint(figure: Figure, theme: Theme) -> None:
        grid = figure.subplots(len(pairs), 2, squeeze=False)
        for axes, (region, both) in zip(grid, pairs.items(), strict=True):
            for place, kind, values in zip(axes, ("brain", "model"), both, strict=True):
                place.imshow(
                    values[::step, ::step],
                    cmap="viridis",
                    vmin=0,
                    vmax=100,
                    interpolation="nearest",
                )
                place.set_title(f"{label(region, 22)}: {kind}")
                place.set_xticks([])
                place.set_yticks([])
                for spine in place.spines.values():
                    spine.set_visible(False)
        bar = figure.colorbar(
            grid[0, 0].images[0], ax=grid, shrink=min(1.0, 0.7 if len(pairs) == 1 else 0.4)
        )
        bar.set_label("dissimilarity (percentile)")
        bar.outline.set_visible(False)

    names = ", ".join(label(r) for r in pairs)
    caption = f"Dissimilarity of every pair of {size} stimuli, as percentiles"
    caption += f"; the brain's is the mean over {people} subjects" if people > 1 else ""
    caption += f". Every {step}th stimulus is drawn" if step > 1 else ""
    alt = f"Dissimilarity matrices of brain and model side by side, for {names}."
    return picture("rdms", alt, f"{caption}.", 0.25 + 2.45 * len(pairs), paint)
