"""Members beside each other: what each scores, and a curve where they differ by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.report.canvas import Picture, Theme, beginning, label, names_on_y, picture
from striate.report.sources import swept
from striate.report.words import higher_is_better, number, title_of

MOST_BARS = 60
MOST_LINES = 8
MOST_PANELS = 9


@dataclass(frozen=True)
class Line:
    """One member: its median, and the answer's minus its own with a 95 % interval."""

    member: str
    middle: float
    difference: float
    interval: tuple[float, float] | None
    is_answer: bool

    def in_words(self, higher: bool) -> str:
        """Whether the answer is better, on the evidence of the interval."""
        if self.is_answer:
            return "the answer"
        if self.interval is None or not np.isfinite(self.interval).all():
            return ""
        low, high = self.interval if higher else (-self.interval[1], -self.interval[0])
        if low > 0:
            return "answer better"
        return "this member better" if high < 0 else "not distinguishable"


def contest(summary: Mapping[str, Any]) -> list[Line]:
    """All members with a score, the best first."""
    score, answer = summary["headline"], summary["member"]
    own = _middle(summary["members"].get(answer, {}), score)
    lines = []
    for name, entry in summary["members"].items():
        middle = _middle(entry, score)
        ends = summary.get("comparisons", {}).get(name, {}).get("interval")
        whole = ends if ends and all(isinstance(e, int | float) for e in ends) else None
        pair = (float(whole[0]), float(whole[1])) if whole else None
        if np.isfinite(middle):
            lines.append(Line(name, middle, own - middle, pair, name == answer))
    sign = -1 if higher_is_better(score) else 1
    return sorted(lines, key=lambda line: sign * line.middle)


def bars(summary: Mapping[str, Any]) -> Picture | None:
    """Bars of the members' medians, beside the answer's paired difference to each."""
    everything = contest(summary)
    if len(everything) < 2:
        return None
    shown = everything[:MOST_BARS]
    shown += [line for line in everything[MOST_BARS:] if line.is_answer]
    title, paired = title_of(summary["headline"]), any(line.interval for line in shown)

    def paint(figure: Figure, theme: Theme) -> None:
        left, *rest = figure.subplots(
            1, 2 if paired else 1, squeeze=False, width_ratios=[1.25, 1] if paired else [1]
        )[0]
        at = np.arange(len(shown))
        colors = [theme.accent if line.is_answer else theme.fill for line in shown]
        left.barh(at, [line.middle for line in shown], height=0.66, color=colors)
        names_on_y(left, [line.member for line in shown], 26)
        left.axvline(0, color=theme.soft, lw=0.9)
        left.set_xlabel(f"median {title}")
        left.locator_params(axis="x", nbins=5)
        for tick, line in zip(left.get_yticklabels(), shown, strict=True):
            tick.set_fontweight("bold" if line.is_answer else "normal")
        for right in rest:
            _differences(right, theme, shown)

    told = "; ".join(f"{label(line.member)} {number(line.middle)}" for line in shown[:12])
    caption = "Members by their median over targets, the answer in the strong colour"
    if paired:
        caption += (
            "; on the right the answer minus each member, with the 95 % interval over stimuli"
            " resampled for both at once"
        )
    more = len(everything) - len(shown)
    caption += f". {more} more are in the table" if more else ""
    height = 0.7 + 0.24 * max(len(shown), 3)
    return picture("members", f"Members by median {title}: {told}.", f"{caption}.", height, paint)


def layers(summary: Mapping[str, Any]) -> Picture | None:
    """The score of swept members by layer: a line per other setting, a panel per region."""
    score = summary["headline"]
    parts = [s for s in map(swept, summary["members"]) if s is not None]
    order = list(dict.fromkeys(p.layer for p in parts))
    settings = list(dict.fromkeys(p.setting for p in parts))
    if len(order) < 2 or not any(
        len({p.layer for p in parts if p.setting == s}) > 1 for s in settings
    ):
        return None
    regions: list[str] = []
    for part in parts:
        by_roi = summary["members"][part.name].get(score, {}).get("by_roi", {})
        regions += [r for r in by_roi if r not in regions]
    # Panel → line → scores in the order of the layers.
    panels: dict[str, dict[str, np.ndarray]] = {}
    if len(settings) == 1:
        names = ["all targets", *regions] if len(regions) > 1 else ["all targets"]
        panels[""] = {r: _curve(summary, settings[0], order, r) for r in names}
    else:
        for region in ["all targets", *(regions if len(regions) > 1 else [])][:MOST_PANELS]:
            panels[region] = {s: _curve(summary, s, order, region) for s in settings}
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    several = max(map(len, panels.values())) > 1

    def paint(figure: Figure, theme: Theme) -> None:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes in grid.ravel()[len(panels) :]:
            axes.set_visible(False)
        for k, (name, lines) in enumerate(panels.items()):
            axes = grid.ravel()[k]
            below = k + across >= len(panels)
            _lines(axes, theme, lines, order, 16 // across, below)
            axes.set_title(label(name, 30) if name else "")
            if k % across == 0:
                axes.set_ylabel(f"median {title_of(score)}")
        if several:
            handles, names = grid.ravel()[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside upper center", ncols=2 if several else 1)

    first = next(iter(panels.values()))
    top = first[next(iter(first))]
    best = int(np.nanargmax(top) if higher_is_better(score) else np.nanargmin(top))
    alt = f"Median {title_of(score)} by layer; best overall at {label(order[best])}."
    caption = "Swept members by the feature space that they were given, in the recipe's order"
    dropped = max(map(len, panels.values())) - MOST_LINES
    caption += f"; the {MOST_LINES} best lines in colour, {dropped} in grey" if dropped > 0 else ""
    deep = 0.012 * max(map(len, order))
    lines = min(MOST_LINES, max(map(len, panels.values())))
    height = (2.6 if down == 1 else 1.9 * down) + deep + (0.12 * lines if several else 0)
    return picture("layers", alt, f"{caption}.", height, paint)


def _middle(entry: Mapping[str, Any], score: str, region: str = "") -> float:
    found = entry.get(score, {})
    found = found.get("by_roi", {}).get(region, {}) if region else found
    value = found.get("median")
    return float(value) if isinstance(value, int | float) else float("nan")


def _curve(summary: Mapping[str, Any], setting: str, order: Sequence[str], region: str) -> Any:
    found = np.full(len(order), np.nan)
    for name, entry in summary["members"].items():
        part = swept(name)
        if part is not None and part.setting == setting:
            inside = "" if region == "all targets" else region
            found[order.index(part.layer)] = _middle(entry, summary["headline"], inside)
    return found


def _differences(axes: Axes, theme: Theme, shown: Sequence[Line]) -> None:
    for k, line in enumerate(shown):
        if line.is_answer:
            continue
        sure = line.interval is not None and (line.interval[0] > 0 or line.interval[1] < 0)
        color = theme.accent if sure else theme.soft
        if line.interval is not None:
            axes.plot(line.interval, [k, k], color=color, lw=2.4, solid_capstyle="round")
        axes.plot(line.difference, k, "o", ms=4, color=color)
    names_on_y(axes, [""] * len(shown))
    axes.axvline(0, color=theme.soft, lw=0.9)
    axes.set_xlabel("answer − member")
    axes.locator_params(axis="x", nbins=4)


def _lines(
    axes: Axes,
    theme: Theme,
    lines: Mapping[str, np.ndarray],
    order: Sequence[str],
    most: int,
    below: bool,
) -> None:
    axes.grid(axis="y")
    axes.axhline(0, color=theme.soft, lw=0.9)
    strength = {n: np.nanmax(v) if np.isfinite(v).any() else -np.inf for n, v in lines.items()}
    ranked = sorted(strength, key=lambda n: -strength[n])
    colored = [n for n in lines if n in ranked[:MOST_LINES]]
    for name, values in lines.items():
        known = np.flatnonzero(np.isfinite(values))
        if name not in colored:
            axes.plot(known, values[known], color=theme.grid, lw=1, zorder=1)
            continue
        whole = name == "all targets" and len(lines) > 1
        color = theme.ink if whole else theme.lines[colored.index(name) % len(theme.lines)]
        axes.plot(
            known,
            values[known],
            color=color,
            lw=2.4 if whole else 1.6,
            marker="o",
            ms=4,
            label=label(name, 36),
        )
    common = beginning(order).rfind(".") + 1
    step = -(-len(order) // most)
    ticks = range(0, len(order), step)
    axes.set_xticks(list(ticks), [label(order[k][common:], 18) for k in ticks])
    axes.set_xlim(-0.3, len(order) - 0.7)
    axes.tick_params(axis="x", labelbottom=below)
    if below and common:
        axes.set_xlabel(label(order[0][: common - 1], 30))
    if max(len(order[k]) - common for k in ticks) * len(ticks) > 3 * most:
        axes.tick_params(axis="x", labelrotation=40)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
            tick.set_rotation_mode("anchor")
