"""What ensembles made of their members: weights by region, optimistic and held-out scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from striate.report.canvas import Picture, Theme, label, labels, picture
from striate.report.markup import folded, paragraph, table
from striate.report.words import number

TOLD = "mean correlation on the rows of the weights"
"""What a fitted blend calls its score on the rows that its weights were fitted on."""
MOST_MEMBERS = 40
MOST_REGIONS = 24
MOST_FIGURES = 4
COLUMNS = ["call", "member", "subject", "roi", "of", "weight", "targets"]

Fits = Sequence[Mapping[str, Any]]


def weights(fits: Fits) -> pd.DataFrame:
    """The mean weight of each of its members in every ensemble, by call, subject and region.

    Columns: call, member (the ensemble), subject, roi, of (the member that weighs), weight, and
    the number of targets that the mean is over. Empty where nothing was weighed.
    """
    lines = [
        {
            "call": str(fit.get("call", "")),
            "member": str(fit.get("member", "")),
            "subject": str(entry.get("subject", "")),
            "roi": str(entry.get("roi", "")),
            "of": str(name),
            "weight": float(weight),
            "targets": int(entry.get("targets", 0)),
        }
        for fit in fits
        for entry in (fit.get("encoder") or {}).get("weights") or []
        for name, weight in entry["of"].items()
        if weight is not None
    ]
    return _means(pd.DataFrame(lines, columns=COLUMNS), ["call", "member", "subject", "roi", "of"])


def heat(fits: Fits) -> list[Picture]:
    """A map of weights, member × region, for every ensemble; the first few of them."""
    found = weights(fits)
    names = list(dict.fromkeys(found["member"]))[:MOST_FIGURES]
    return [
        _map(f"weights-{k + 1}" if k else "weights", name, found[found["member"] == name])
        for k, name in enumerate(names)
    ]


def told(fits: Fits, summary: Mapping[str, Any]) -> list[str]:
    """Scores of ensembles on the rows of their weights and held out, and the weights as tables."""
    found = weights(fits)
    parts = []
    lines, gaps = _scores(fits, summary)
    if lines:
        parts.append(
            paragraph(
                "Weights are found on training rows, from predictions by members that had not seen"
                " these rows. The score on the same rows is optimistic, since the weights were"
                " made for them; published scores of ensembles often are of this kind. The held-out"
                " score is on rows that neither members nor weights have seen."
            )
        )
        head = ["ensemble", "on the rows of its weights", "held out", "optimism"]
        parts.append(table(head, lines, caption="Mean correlation over targets"))
        if any(gap is not None and gap < 0 for gap in gaps):
            parts.append(
                paragraph(
                    "Where the held-out score is the higher one: the members that predicted the"
                    " rows of the weights were fitted to fewer rows (inner folds), so the score"
                    " there can be lower although the weights were fitted to it."
                )
            )
    for name in dict.fromkeys(found["member"]):
        own = found[found["member"] == name]
        wide = _wide(own)
        rows = [[of, *map(number, values)] for of, *values in wide.itertuples(name=None)]
        shown = table(["member", *(r or "all targets" for r in wide.columns)], rows)
        parts.append(folded(f"Weights of {name}", shown))
    return parts


def _scores(fits: Fits, summary: Mapping[str, Any]) -> tuple[list[list[str]], list[float | None]]:
    """A line of the table for every ensemble, and by how much its score is optimistic."""
    own: dict[str, list[tuple[float, int]]] = {}
    for fit in fits:
        value = (fit.get("encoder") or {}).get(TOLD)
        if isinstance(value, int | float):
            count = int(fit.get("targets") or 1)
            own.setdefault(str(fit.get("member", "")), []).append((float(value), count))
    lines, gaps = [], []
    for name, entries in own.items():
        values, counts = np.array(entries).T
        optimistic = float(np.average(values, weights=counts))
        nested = summary.get("members", {}).get(name, {}).get("pearson", {}).get("mean")
        gap = None if nested is None else optimistic - float(nested)
        lines.append([name, number(optimistic), number(nested), number(gap)])
        gaps.append(gap)
    return lines, gaps


def _means(lines: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over lines with equal keys, weighted by targets, in the order of the lines."""
    if lines.empty:
        return lines
    weighted = lines.assign(weight=lines["weight"] * lines["targets"])
    sums = weighted.groupby(keys, sort=False, as_index=False)[["weight", "targets"]].sum()
    return sums.assign(weight=sums["weight"] / sums["targets"].clip(lower=1))[
        [c for c in COLUMNS if c in sums]
    ]


def _wide(own: pd.DataFrame) -> pd.DataFrame:
    """Weights of one ensemble, member × region, over its subjects and fits."""
    means = _means(own, ["roi", "of"])
    order = [list(dict.fromkeys(means[c])) for c in ("of", "roi")]
    wide = means.pivot_table("weight", "of", "roi", sort=False)
    return wide.reindex(index=order[0], columns=order[1])


def _map(file: str, name: str, own: pd.DataFrame) -> Picture:
    everything = _wide(own)
    weight = everything.abs().max(axis=1).sort_values(ascending=False, kind="stable")
    kept = weight.index[:MOST_MEMBERS]
    wide = everything.loc[[n for n in everything.index if n in kept]].iloc[:, :MOST_REGIONS]
    values = wide.to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    signed = low < 0
    size = max(abs(low), abs(high)) or 1.0
    rows, columns = values.shape

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        image = axes.imshow(
            values,
            cmap="RdBu_r" if signed else theme.map,
            vmin=-size if signed else 0.0,
            vmax=size,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_yticks(range(rows), labels(list(wide.index), 26))
        regions = [label(r or "all targets", 16) for r in wide.columns]
        axes.set_xticks(range(columns), regions)
        axes.tick_params(length=0)
        if columns > 6:
            for tick in axes.get_xticklabels():
                tick.set(rotation=60, ha="right", rotation_mode="anchor")
        for spine in axes.spines.values():
            spine.set_visible(False)
        if columns <= 10:
            _write(axes, values, signed, size)
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("mean weight")
        bar.outline.set_visible(False)

    top = wide.mean(axis=1).sort_values(ascending=False, kind="stable").head(3)
    best = ", ".join(f"{label(n)} {number(float(w))}" for n, w in top.items())
    caption = f"Weights of {label(name)}, means over targets and fits"
    caption += "; negative ones are blue" if signed else ""
    more = len(everything) - rows
    caption += f". {more} members of least weight are in the table" if more else ""
    alt = f"Weights of the members of {label(name)} by region; the largest: {best}."
    return picture(file, alt, f"{caption}.", 1.1 + 0.26 * max(rows, 3), paint)


def _write(axes: Any, values: np.ndarray, signed: bool, size: float) -> None:
    """Numbers into the cells, in the ink that can be read on their colour."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            share = value / size
            dark = abs(share) > 0.6 if signed else share < 0.6
            ink = "#ffffff" if dark else "#000000"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=7.5)
