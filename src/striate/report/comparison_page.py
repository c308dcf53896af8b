"""The page of a comparison: bars by region, differences with intervals, ranks before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.errors import FileError
from striate.report.canvas import Picture, Theme, label, names_on_y, picture
from striate.report.comparison import Comparison
from striate.report.folder import as_json
from striate.report.markup import document, figure, folded, paragraph, table
from striate.report.words import count, higher_is_better, number, percent, span, title_of
from striate.store.temporary import write_bytes

MOST_MODELS = 8
MOST_REGIONS = 30
MOST_PAIRS = 28
MOST_PANELS = 9
FOOT = "Made by striate. All numbers stand in comparison.json and the tables beside this page."


def write_comparison(found: Comparison, folder: Path) -> Comparison:
    """Write ``comparison.html``, ``.csv`` and ``.json`` into a folder, which may be there already.

    Raises
    ------
    FileError
        When the folder cannot be written.

    """
    record = vars(found) | {"agreement": dict(found.agreement), "notes": list(found.notes)}
    tables = {n: t.to_dict("records") for n, t in record.items() if isinstance(t, pd.DataFrame)}
    record = {n: v for n, v in (record | tables).items() if n != "folder"}

    def csv(table: pd.DataFrame) -> bytes:
        return table.to_csv(index=False, float_format="%.6g").encode()

    unwritable = f"{folder} cannot be written; name another folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{unwritable}: {error}") from error
    files = {
        "comparison.html": page_of(found).encode("utf-8", "replace"),
        "comparison.json": as_json(record).encode(),
        "comparison.csv": csv(found.scores),
        "differences.csv": csv(found.differences),
    }
    try:
        for name, content in files.items():
            write_bytes(folder / name, content)
    except OSError as error:
        raise FileError(f"{unwritable}: {error}") from error
    return replace(found, folder=folder)


def page_of(found: Comparison) -> str:
    """The page as text."""
    score, scores, pairs = found.score, found.scores, found.differences
    drawn = pictures(found)

    def show(name: str) -> str:
        return figure(drawn.get(name))

    told = [paragraph(verdict(found), "verdict")]
    told += [paragraph(n, "warn" if n.startswith("Beware") else "") for n in found.notes]
    sections = {
        "answer": ("The answer", told),
        "models": ("Models by region", [show("models"), *_tables(score, scores)]),
        "differences": ("Differences", [show("differences"), *_pairs(pairs)]),
        "ranks": ("Validation rank against test rank", [show("ranks"), *_ranks(found)]),
    }
    title = f"{count(len(found.models), 'model')} compared"
    return document(title, [title_of(score)], sections, foot=FOOT)


def verdict(found: Comparison) -> str:
    """Which model is best over all targets, and which ones cannot be told from it."""
    best = _over_all(found.scores).iloc[0]
    text = f"“{best['model']}” has the best mean {title_of(found.score)},"
    text += f" {number(float(best['mean']))}"
    ends = span([best["mean_low"], best["mean_high"]])
    text += f" (95 % interval {ends})" if ends else ""
    pairs = _over_all(found.differences)
    if not pairs["p"].notna().any():
        return f"{text}."
    own = pairs[(pairs["model"] == best["model"]) | (pairs["other"] == best["model"])]
    alike = own[~(own["p"] <= 0.05)]
    others = [m if m != best["model"] else o for m, o in alike[["model", "other"]].to_numpy()]
    if not others:
        return f"{text}; the interval of its difference to every other model excludes 0."
    listed = ", ".join(f"“{o}”" for o in others[:4]) + (", …" if others[4:] else "")
    return f"{text}; it cannot be told from {listed} (p > 0.05, two-sided)."


def pictures(found: Comparison) -> dict[str, Picture]:
    """All figures that there is something for, by name."""
    score = found.score
    drawn = [
        _bars(score, found.scores),
        _intervals(score, found.differences),
        _scatter(score, found.ranks),
    ]
    return {p.name: p for p in drawn if p is not None}


def _over_all(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["subject"] == "") & (table["roi"] == "")]


def _sets(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Lines by set of targets: all, regions, subjects, regions of subjects."""
    parts = {}
    for (subject, roi), own in table.groupby(["subject", "roi"], sort=False):
        parts[" · ".join(p for p in (str(subject), str(roi)) if p) or "all targets"] = own
    return parts


def _bars(score: str, scores: pd.DataFrame) -> Picture | None:
    models = list(dict.fromkeys(scores["model"]))[:MOST_MODELS]
    everything = _sets(scores[scores["model"].isin(models)])
    sets = dict(list(everything.items())[: MOST_REGIONS + 1])
    if not sets:
        return None

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        high = 0.8 / len(models)
        for k, model in enumerate(models):
            color = theme.lines[k % len(theme.lines)]
            own = [t[t["model"] == model].iloc[0] for t in sets.values()]
            at = np.arange(len(sets)) + (k - (len(models) - 1) / 2) * high
            means = [float(o["mean"]) for o in own]
            axes.barh(at, means, height=0.9 * high, color=color, label=label(model, 30))
            for y, line in zip(at, own, strict=True):
                ends = [line["mean_low"], line["mean_high"]]
                if np.isfinite(ends).all():
                    axes.plot(ends, [y, y], color=theme.ink, lw=1.1, solid_capstyle="butt")
        names_on_y(axes, list(sets), 24)
        axes.axvline(0, color=theme.soft, lw=0.9)
        axes.set_xlabel(f"mean {title_of(score)}")
        figure.legend(loc="outside upper center", ncols=2)

    known = bool(np.isfinite(scores["mean_low"].to_numpy(float)).any())
    caption = "Mean over targets" + (
        ", with 95 % intervals over resampled stimuli" if known else ""
    )
    hidden = scores["model"].nunique() - len(models), len(everything) - len(sets)
    caption += f"; {hidden[0]} more models are in the table" if hidden[0] else ""
    caption += f"; {hidden[1]} more sets of targets are in the table" if hidden[1] else ""
    first = next(iter(sets.values()))
    told = "; ".join(f"{label(o.model)} {number(float(o.mean))}" for o in first.itertuples())
    height = 0.9 + len(sets) * (0.12 + 0.13 * len(models)) + 0.1 * len(models)
    alt = f"Bars of the mean {title_of(score)} by model and region; {next(iter(sets))}: {told}."
    return picture("models", alt, f"{caption}.", height, paint)


def _intervals(score: str, differences: pd.DataFrame) -> Picture | None:
    pairs = _over_all(differences)
    if not len(pairs) or not np.isfinite(pairs["low"].to_numpy(float)).any():
        return None
    shown = pairs.head(MOST_PAIRS)

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        for k, line in enumerate(shown.itertuples()):
            color = theme.accent if line.p <= 0.05 else theme.soft
            axes.plot([line.low, line.high], [k, k], color=color, lw=2.4, solid_capstyle="round")
            axes.plot(line.mean, k, "o", ms=4, color=color)
        names = [
            f"{label(a, 20)} − {label(b, 20)}" for a, b in shown[["model", "other"]].to_numpy()
        ]
        names_on_y(axes, names, 46)
        axes.axvline(0, color=theme.soft, lw=0.9)
        axes.set_xlabel(f"difference in {title_of(score)}")

    caption = "Mean over all targets of the difference of each, with 95 % intervals over stimuli"
    caption += " resampled for all models at once; in the strong colour where p ≤ 0.05 (two-sided)"
    more = len(pairs) - len(shown)
    caption += f". {more} more pairs are in differences.csv" if more else ""
    alt = f"Differences in {title_of(score)} between {count(len(shown), 'pair')} of models."
    return picture("differences", alt, f"{caption}.", 0.7 + 0.24 * max(len(shown), 3), paint)


def _scatter(score: str, ranks: pd.DataFrame) -> Picture | None:
    panels = {
        str(roi): own
        for roi, own in ranks.groupby("roi", sort=False)
        if len(own[["validation", "test"]].dropna()) > 1
    }
    panels = dict(list(panels.items())[:MOST_PANELS])
    if not panels:
        return None
    models = list(dict.fromkeys(ranks["model"]))
    across = min(3, len(panels))
    down = -(-len(panels) // across)

    def paint(figure: Figure, theme: Theme) -> None:
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.ravel()[len(panels) :]:
            axes.set_visible(False)
        for axes, (roi, own) in zip(grid.ravel(), panels.items(), strict=False):
            _points(axes, theme, own, models)
            axes.set_title(label(roi or "all targets", 24))
        figure.supxlabel(f"validation {title_of(score)}", fontsize=9)
        figure.supylabel(f"test {title_of(score)}", fontsize=9)
        if len(models) <= MOST_MODELS:
            handles, names = grid[0, 0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside upper center", ncols=2)

    caption = "Each model's score where models are chosen, and on stimuli that decided nothing; the"
    caption += " line is where both are equal."
    alt = f"Scatter plot of test against validation {title_of(score)} of {len(models)} models."
    return picture("ranks", alt, caption, 0.6 + 1.9 * down + 0.1 * min(len(models), 8), paint)


def _points(axes: Axes, theme: Theme, own: pd.DataFrame, models: Sequence[str]) -> None:
    axes.grid()
    for line in own.itertuples():
        k = models.index(line.model)
        color = theme.lines[k % len(theme.lines)] if len(models) <= MOST_MODELS else theme.accent
        axes.plot(line.validation, line.test, "o", ms=4.5, color=color, label=label(line.model, 30))
    ends = own[["validation", "test"]].to_numpy(float)
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    axes.plot([low, high], [low, high], color=theme.soft, lw=0.9, zorder=1)
    axes.locator_params(nbins=4)


def _tables(score: str, scores: pd.DataFrame) -> Iterator[str]:
    models, sets = list(dict.fromkeys(scores["model"])), _sets(scores)
    best = np.argmax if higher_is_better(score) else np.argmin
    for title, cell in (
        ("Mean over targets, with 95 % intervals", _mean_cell),
        ("Median over targets", lambda o: number(float(o["median"]))),
        ("Median share of the noise ceiling", lambda o: percent(float(o["of_ceiling"]))),
    ):
        lines = []
        for name, own in sets.items():
            by_model = own.set_index("model")
            each = [by_model.loc[m] for m in models]
            means = [float(e["mean"]) for e in each]
            top = models[int(best(np.nan_to_num(means, nan=-np.inf)))] if len(models) > 1 else ""
            lines.append([name, f"{int(each[0]['targets']):,}", *map(cell, each), top])
        if any(c not in ("", "–") for line in lines for c in line[2:-1]):
            head = ["targets of", "targets", *models, "best mean"]
            shown = table(head, lines, words=(0, len(head) - 1))
            yield shown if cell is _mean_cell and len(lines) <= 40 else folded(title, shown)


def _mean_cell(line: pd.Series) -> str:
    ends = span([line["mean_low"], line["mean_high"]])
    return number(float(line["mean"])) + (f" ({ends})" if ends else "")


def _pairs(differences: pd.DataFrame) -> list[str]:
    if not len(differences):
        return []

    def shown(lines: pd.DataFrame, where: bool) -> str:
        head = [*(["targets of"] if where else []), "model", "minus", "mean of differences"]
        head += ["95 % interval", "p (two-sided)", "difference of medians", "its interval"]
        rows = [
            [
                *([" · ".join(p for p in (o.subject, o.roi) if p) or "all targets"] * where),
                o.model,
                o.other,
                number(float(o.mean)),
                span([o.low, o.high]),
                number(float(o.p)),
                number(float(o.median)),
                span([o.median_low, o.median_high]),
            ]
            for o in lines.itertuples()
        ]
        return table(head, rows, words=range(2 + where))

    whole = _over_all(differences)
    rest = differences.drop(whole.index)
    parts = (
        [shown(whole, False)] if len(whole) <= 40 else [folded("All pairs", shown(whole, False))]
    )
    if 0 < len(rest) <= 2000:
        parts.append(folded("By region and subject", shown(rest, True)))
    told = "The mean of differences, its interval and P are of each target's own difference; the"
    told += " page of a run compares the medians of its members, which may come out differently."
    told += " P values are of single differences: none of them is corrected for how many there are."
    return [*parts, paragraph(told, "soft")]


def _ranks(found: Comparison) -> list[str]:
    ranks = found.ranks
    if not len(ranks):
        return []
    told = [
        [roi or "all targets", f"{int((ranks['roi'] == roi).sum())}", number(float(r))]
        for roi, r in found.agreement.items()
    ]
    lines = [
        [o.roi or "all targets", o.model, number(float(o.validation)), number(float(o.test))]
        for o in ranks.itertuples()
    ]
    shown = [table(["targets of", "models", "Spearman correlation"], told)] if told else []
    head = ["targets of", "model", "validation", "test"]
    return [*shown, folded("Every score", table(head, lines, words=(0, 1)))]
