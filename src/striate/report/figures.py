"""The answer's scores as pictures: their distribution, their ceilings, their course over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from striate.report.canvas import Picture, Theme, label, names_on_y, picture
from striate.report.words import count, number, title_of
from striate.scores import SCORES

MOST_ROWS = 60
"""Regions that a figure shows; the table has all."""
FEW = 60
"""Up to so many targets are drawn as dots, more as a density."""


def regions_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Region → which lines of a score table belong to it; a target may be in several."""
    joined = table["roi"].fillna("").astype(str)
    code, unique = pd.factorize(joined)
    parts = [set(u.split(";")) for u in unique]
    names = dict.fromkeys(r for u in unique for r in u.split(";") if r)
    return {n: np.array([n in p for p in parts], dtype=bool)[code] for n in names}


def reachable(table: pd.DataFrame, score: str) -> np.ndarray:
    """What the noise leaves reachable of a score, per target; NaN where it is not known."""
    ceiling = table["ceiling"].to_numpy(float)
    kind = SCORES[score].ceiling if score in SCORES else "none"
    if kind == "none":
        return np.full(len(ceiling), np.nan)
    usable = np.where(ceiling > 0, ceiling, np.nan)
    return np.sqrt(usable) if kind == "root" else usable


def distribution(
    table: pd.DataFrame, score: str, intervals: Mapping[str, tuple[float, float]]
) -> Picture | None:
    """How a score is spread over targets: by region, else by subject, else as a histogram.

    `intervals` are those of medians, by region; under the empty name that of all targets.
    """
    table = table[table["value"].notna()]
    if table.empty:
        return None
    subjects = table["subject"].astype(str)
    masks = regions_of(table)
    by = "region"
    if not masks and len(subjects.unique()) > 1:
        masks, by = {s: (subjects == s).to_numpy() for s in subjects.unique()}, "subject"
    few = FEW if max((int(m.sum()) for m in masks.values()), default=0) <= FEW else FEW // 5
    hidden = max(0, len(masks) - MOST_ROWS)
    rows = {"all": np.ones(len(table), dtype=bool), **masks} if len(masks) > 1 else masks
    rows = dict(list(rows.items())[: MOST_ROWS + 1])
    values, top = table["value"].to_numpy(float), reachable(table, score)
    known = bool(np.isfinite(top).any())
    title = title_of(score)
    if len(rows) < 2:
        name, ends = next(iter(masks), "all targets"), intervals.get("")

        def paint_one(figure: Figure, theme: Theme) -> None:
            _histogram(figure.add_subplot(), theme, values, top, ends, title)

        alt = f"Histogram of the {title} of {count(len(values), 'target')}"
        caption = "How the score is spread over targets; the dashed line is the median"
        caption += ", the band its 95 % interval" if ends else ""
        caption += ", outlined the scores that the noise leaves reachable" if known else ""
        alt += f" ({name}): median {number(float(np.median(values)))}."
        return picture("distribution", alt, f"{caption}.", 2.6, paint_one)
    groups = [(s, (subjects == s).to_numpy()) for s in subjects.unique()]
    # A subject's median is worth a mark where it has several targets.
    several = len(table) > len(groups) * max(len(masks), 1)
    dots = groups if by == "region" and 1 < len(groups) <= 20 and several else []

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        low, high = _limits(values, top, [e for pair in intervals.values() for e in pair])
        for k, (name, mask) in enumerate(rows.items()):
            _strip(axes, theme, k, values[mask], (low, high), few)
            for _, own in dots:
                if (mask & own).any():
                    middle = np.median(values[mask & own])
                    axes.plot(middle, k + 0.24, "|", ms=5, mew=1, color=theme.soft)
            _middle(axes, theme, k, values[mask], intervals.get("" if name == "all" else name))
            if np.isfinite(top[mask]).any():
                axes.plot(
                    np.nanmedian(top[mask]), k, marker="D", ms=4.5, color=theme.mark, zorder=5
                )
        names_on_y(axes, list(rows), 24)
        axes.set_xlim(low, high)
        axes.set_xlabel(title)
        _zero(axes, theme)

    told = "; ".join(f"{label(n)} {number(float(np.median(values[m])))}" for n, m in rows.items())
    caption = f"Every {by} on its own line: the spread over targets, the median (ring)"
    caption += " with its 95 % interval (bar)" if len(intervals) > 1 else ""
    caption += ", medians of single subjects (ticks)" if dots else ""
    caption += ", and the median of what the noise leaves reachable (diamond)" if known else ""
    caption += f". {hidden} more are in the table" if hidden else ""
    return picture(
        "distribution",
        f"{title} by {by}; medians: {told}.",
        f"{caption}.",
        0.75 + (0.36 if len(rows) <= 12 else 0.27) * len(rows),
        paint,
    )


def against_ceiling(table: pd.DataFrame, score: str) -> Picture | None:
    """Every target's score against its noise ceiling, with the most that the noise allows."""
    if score not in SCORES or SCORES[score].ceiling == "none":
        return None
    known = table[table["value"].notna() & table["ceiling"].notna()]
    if known.empty or not (known["ceiling"] > 0).any():
        return None
    x, y = known["ceiling"].to_numpy(float), known["value"].to_numpy(float)
    over = int((y > reachable(known, score)).sum())

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        line = np.linspace(0, 1, 201)
        top = np.sqrt(line) if SCORES[score].ceiling == "root" else line
        axes.grid()
        axes.plot(line, top, color=theme.mark, lw=1.6, label="most that the noise allows")
        axes.plot(line, top / 2, color=theme.mark, lw=0.9, ls=(0, (4, 3)), label="half of it")
        size, ink = (14, 0.75) if len(x) < 500 else (5, 0.35) if len(x) < 5000 else (2, 0.15)
        axes.scatter(x, y, s=size, color=theme.accent, alpha=ink, linewidths=0)
        axes.set_xlim(-0.02, max(0.1, min(1.0, float(x.max()) * 1.08)))
        axes.set_xlabel("noise ceiling (explainable share of variance)")
        axes.set_ylabel(title_of(score))
        figure.legend(loc="outside upper center", ncols=2)
        _zero(axes, theme, "y")

    caption = f"One dot per target; {count(len(x), 'target')} with a known ceiling"
    caption += f", {over:,} above it (ceilings are estimates)" if over else ""
    dropped = int((x <= 0).sum())
    caption += f". {dropped:,} of them have a ceiling of 0 and are left out of percentages"
    alt = f"Scatter plot of the {title_of(score)} against the noise ceiling of each target."
    return picture(
        "ceiling", alt, (caption if dropped else caption.split(". ")[0]) + ".", 3.4, paint
    )


def over_time(table: pd.DataFrame, score: str) -> Picture | None:
    """The mean score at every time sample, by region, with the standard error over subjects."""
    if "time" not in table or table["time"].dropna().nunique() < 2:
        return None
    table = table[table["value"].notna() & table["time"].notna()]
    numeric = pd.to_numeric(table["time"], errors="coerce")
    if numeric.isna().any():
        order = {t: k for k, t in enumerate(dict.fromkeys(table["time"]))}
        numeric = table["time"].map(order)
    table = table.assign(at=numeric.to_numpy(float))
    masks = dict(list(regions_of(table).items())[:8]) or {"all targets": np.ones(len(table), bool)}
    curves = {n: _course(table[m]) for n, m in masks.items()}

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.grid(axis="y")
        for k, (name, (at, mean, error)) in enumerate(curves.items()):
            color = theme.lines[k % len(theme.lines)]
            axes.plot(at, mean, color=color, lw=1.8, marker="o", ms=3, label=label(name, 24))
            if np.isfinite(error).all():
                axes.fill_between(
                    at, mean - error, mean + error, color=color, alpha=0.2, linewidth=0
                )
        axes.set_xlabel("time")
        whole = bool((numeric % 1 == 0).all())
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=whole))
        axes.set_ylabel(f"mean {title_of(score)}")
        axes.legend(loc="best", ncols=2)
        _zero(axes, theme, "y")

    peaks = [
        f"{label(n)} peaks at {at[int(np.argmax(mean))]:g} with {number(float(mean.max()))}"
        for n, (at, mean, _) in curves.items()
    ]
    caption = "Mean over targets and subjects at each sample"
    several = len(table["subject"].unique()) > 1
    caption += "; bands are standard errors over subjects." if several else "."
    alt = f"Mean {title_of(score)} over time: {'; '.join(peaks)}."
    return picture("time", alt, caption, 2.8, paint)


def _course(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    each = table.pivot_table("value", "at", "subject", aggfunc="mean")
    mean = each.mean(axis=1).to_numpy()
    people = each.notna().sum(axis=1).to_numpy()
    error = np.full(len(mean), np.nan)
    if (people > 1).all():
        error = each.std(axis=1).to_numpy() / np.sqrt(people)
    return each.index.to_numpy(float), mean, error


def _limits(values: np.ndarray, top: np.ndarray, more: Sequence[float] = ()) -> tuple[float, float]:
    low, high = np.quantile(values, [0.002, 0.998])
    ends = [e for e in more if np.isfinite(e)]
    low, high = min([low, *ends]), max([high, *ends])
    if np.isfinite(top).any():
        high = max(high, float(np.nanmedian(top)))
    low, high = min(0.0, float(low)), max(0.0, float(high))
    room = 0.05 * (high - low) or 0.1
    return low - room, high + room


def _zero(axes: Axes, theme: Theme, along: str = "x") -> None:
    if along == "x":
        axes.axvline(0, color=theme.soft, lw=0.9)
    else:
        axes.axhline(0, color=theme.soft, lw=0.9)


def _strip(
    axes: Axes, theme: Theme, k: int, values: np.ndarray, limits: tuple[float, float], few: int
) -> None:
    if len(values) <= few:
        # Golden-ratio steps spread dots evenly and the same way every time.
        shift = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.5
        axes.scatter(values, k + shift, s=13, color=theme.fill, linewidths=0, zorder=2)
        return
    edges = np.linspace(*limits, 121)
    height = np.histogram(np.clip(values, *limits), edges)[0].astype(float)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
    height = np.convolve(height, kernel / kernel.sum(), mode="same")
    height *= 0.42 / height.max()
    at = (edges[1:] + edges[:-1]) / 2
    axes.fill_between(at, k - height, k + height, color=theme.fill, linewidth=0, zorder=2)


def _middle(
    axes: Axes, theme: Theme, k: int, values: np.ndarray, ends: tuple[float, float] | None
) -> None:
    if ends is not None and np.isfinite(ends).all():
        axes.plot(ends, [k, k], color=theme.accent, lw=3.5, solid_capstyle="round", zorder=3)
    axes.plot(
        np.median(values), k, "o", ms=5.5, color=theme.face, mec=theme.accent, mew=1.6, zorder=4
    )


def _histogram(
    axes: Axes,
    theme: Theme,
    values: np.ndarray,
    top: np.ndarray,
    ends: tuple[float, float] | None,
    title: str,
) -> None:
    low, high = _limits(values, top)
    bins = np.linspace(low, high, int(np.clip(len(values) ** 0.5 * 2.5, 12, 60)) + 1).tolist()
    axes.hist(np.clip(values, low, high), bins, color=theme.fill)
    if np.isfinite(top).any():
        kept = np.clip(top[np.isfinite(top)], low, high)
        axes.hist(kept, bins, histtype="step", color=theme.mark, lw=1.4, label="reachable")
        axes.legend(loc="upper left")
    if ends is not None and np.isfinite(ends).all():
        axes.axvspan(*ends, color=theme.accent, alpha=0.25, linewidth=0)
    axes.axvline(float(np.median(values)), color=theme.accent, lw=1.8, ls=(0, (4, 2)))
    axes.set_xlim(low, high)
    axes.set_xlabel(title)
    axes.set_ylabel("targets")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _zero(axes, theme)
