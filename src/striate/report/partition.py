"""Unique and shared explained variance, where a run's members form a family of feature spaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from striate.report.canvas import Picture, Theme, label, names_on_y, picture
from striate.report.figures import regions_of
from striate.report.markup import figure, paragraph
from striate.report.markup import table as as_table
from striate.report.record import Report
from striate.report.sources import read_recipe, swept
from striate.report.words import count, number, percent
from striate.scores.partition import SHARED, Spaces, partition, partitionable

IDENTITY = ("subject", "target", "hemisphere", "time")
MOST_PARTS = 8
"""Parts with a colour of their own; the rest are drawn as one."""
MOST_REGIONS = 40
MOST_FAMILIES = 4
"""Families with a figure, words and a table; ``partition.csv`` has all."""


@dataclass(frozen=True, eq=False)
class Family:
    """Members that differ in their feature spaces only, and what each part explains.

    `parts` has a line per target: its labels, its regions (`roi`) and a column per part, which
    add up to `whole`, what the member of all spaces explains.
    """

    member: str
    spaces: tuple[str, ...]
    score: str
    names: dict[Spaces, str]
    parts: pd.DataFrame
    left_out: int

    @property
    def columns(self) -> list[str]:
        """The names of the parts."""
        return list(self.names.values())


def families(report: Report) -> list[Family]:
    """All families of a run: the same model fitted on spaces, on all but each, and on all."""
    found = []
    for members in _by_model(report).values():
        for union in partitionable(members):
            own = {s: name for s, name in members.items() if s <= union}
            family = _family(report.scores, own, union)
            if family is not None:
                found.append(family)
    return found


def table_of(found: Sequence[Family]) -> pd.DataFrame:
    """The parts of every target as ``partition.csv`` has them, one line per part."""
    tables = []
    for family in found:
        labels = [c for c in family.parts if c in (*IDENTITY, "roi")]
        long = family.parts.melt(labels, [*family.columns, "whole"], "part", "value")
        long.insert(0, "member", family.member)
        long.insert(1, "score", family.score)
        tables.append(long)
    return pd.concat(tables, ignore_index=True)


def stacks(found: Sequence[Family]) -> list[Picture]:
    """A stacked bar per region for every family: the mean of each part over targets."""
    return [_stack(f, name) for name, f in _shown(found).items()]


def told(found: Sequence[Family], drawn: Mapping[str, Picture]) -> list[str]:
    """The section of the page: figure, words and table of every family."""
    parts = []
    for name, family in _shown(found).items():
        parts += [paragraph(in_words(family)), figure(drawn.get(name)), _table(family)]
    if len(found) > MOST_FAMILIES:
        parts.append(paragraph(f"partition.csv beside this page has all {len(found)} families."))
    return parts


def in_words(family: Family) -> str:
    """What is whose, in a few sentences."""
    means = family.parts[[*family.columns, "whole"]].mean()
    whole = float(means["whole"])
    alone = [f"{s} alone {_share(means[n], whole)}" for t, n in family.names.items() if _own(t)
             for s in t]  # fmt: skip
    shared = sum(float(means[n]) for t, n in family.names.items() if not _own(t))
    words = (
        f"{_listed(family.spaces)} together explain a mean {_title(family.score)} of"
        f" {number(whole)} over {count(len(family.parts), 'target')}: {', '.join(alone)}, and what"
        f" they share {_share(shared, whole)}."
    )
    below = (family.parts[family.columns] < 0).sum()
    below = below[below > 0]
    if len(below):
        cases = ", ".join(f"{n} in {k:,}" for n, k in below.items())
        words += (
            f" Parts below zero are kept ({count(len(family.parts), 'target')}; {cases}): a shared"
            " part below zero says that the spaces predict better together than their sum, a"
            " unique one that the space only added noise."
        )
    if family.left_out:
        words += f" {count(family.left_out, 'target')} without a score in some member left out."
    return words


def _shown(found: Sequence[Family]) -> dict[str, Family]:
    """The families that the page shows, by the names of their figures."""
    return {f"partition-{k + 1}" if k else "partition": f
            for k, f in enumerate(found[:MOST_FAMILIES])}  # fmt: skip


def _by_model(report: Report) -> dict[str, dict[Spaces, str]]:
    """Model → feature spaces → member: of members with spaces of their own."""
    recipe = read_recipe(report.recipe)
    lines, spaces = recipe.get("member", []), recipe.get("features", {})
    lines = lines if isinstance(lines, list) else []
    bases = {str(m.get("name")): m for m in lines if isinstance(m, Mapping)}
    found: dict[str, dict[Spaces, str]] = {}
    for name in report.summary["members"]:
        line = bases.get(name.partition("@")[0])
        if line is None:
            continue
        patterns, setting = [str(p) for p in line.get("features", [])], ""
        if "@" in name:
            part = swept(name)
            if "features" in line.get("sweep", {}):
                if part is None:
                    continue
                patterns = part.layer.split("+")
                # everything after the name of the base, which another member may share
                setting = part.setting.partition(", ")[2]
            else:
                setting = name.partition("@")[2]
        if not patterns or any(_is_member(p, bases, spaces) for p in patterns):
            continue  # an ensemble
        same = {k: line.get(k) for k in ("steps", "encoder", "per", "groups", "after")}
        model = json.dumps([same, setting], sort_keys=True, default=str)
        found.setdefault(model, {}).setdefault(frozenset(patterns), name)
    return found


def _is_member(pattern: str, bases: Iterable[str], spaces: Mapping[str, Any]) -> bool:
    """Whether one of a member's features is another member."""
    if pattern.partition(".")[0] in spaces:
        return False
    return any(fnmatchcase(base, pattern.partition("@")[0]) for base in bases)


def _family(scores: pd.DataFrame, members: dict[Spaces, str], union: Spaces) -> Family | None:
    """The parts of the targets that all members predicted; None without a score of variance."""
    names = set(scores["score"])
    score = next((s for s in ("r2", "pearson") if s in names), "")
    labels = [c for c in IDENTITY if c in scores and scores[c].notna().any()]
    if not score:
        return None
    own = scores[scores["score"] == score]
    columns: dict[Spaces, pd.Series] = {}
    for models, member in members.items():
        part = own[own["member"] == member]
        values = part.set_index(pd.MultiIndex.from_frame(part[labels].astype(str)))["value"]
        columns[models] = values if score == "r2" else values * values.abs()
    wide = pd.DataFrame(dict(enumerate(columns.values())))
    known = wide.notna().all(axis=1)
    wide = wide[known]
    if wide.empty:
        return None
    explained = {s: wide[k].to_numpy(float) for k, s in enumerate(columns)}
    parts = partition(explained)
    spaces = tuple(sorted(union))
    called = {t: _name(t, spaces) for t in parts}
    whole = own[own["member"] == members[union]]
    table = whole[[*labels, "roi"]].copy()
    table.index = pd.MultiIndex.from_frame(whole[labels].astype(str))
    table = table.loc[wide.index].reset_index(drop=True)
    for t, values in parts.items():
        table[called[t]] = values
    table["whole"] = explained[union]
    return Family(members[union], spaces, score, called, table, int((~known).sum()))


def _name(part: Spaces, spaces: Sequence[str]) -> str:
    if _own(part):
        return f"{next(iter(part))} alone"
    if SHARED in part:
        return SHARED
    return _listed([s for s in spaces if s in part])


def _own(part: Spaces) -> bool:
    return len(part) == 1 and SHARED not in part


def _share(value: Any, whole: float) -> str:
    told = number(float(value))
    return f"{told} ({percent(float(value) / whole)})" if whole > 0 else told


def _title(score: str) -> str:
    return "R²" if score == "r2" else "squared correlation (its sign kept)"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _rows(family: Family) -> dict[str, np.ndarray]:
    """Region → mean of each part over its targets, all targets first."""
    everything = np.ones(len(family.parts), dtype=bool)
    masks = {"all targets": everything, **regions_of(family.parts)}
    values = family.parts[[*family.columns, "whole"]].to_numpy(float)
    return {n: values[m].mean(axis=0) for n, m in masks.items() if m.any()}


def _stack(family: Family, name: str) -> Picture:
    rows = dict(list(_rows(family).items())[: MOST_REGIONS + 1])
    means = np.stack(list(rows.values()))
    parts, columns = means[:, :-1], list(family.columns)
    if len(columns) > MOST_PARTS:
        order = np.argsort(-np.abs(parts[0]))
        kept, rest = np.sort(order[: MOST_PARTS - 1]), order[MOST_PARTS - 1 :]
        parts = np.column_stack([parts[:, kept], parts[:, rest].sum(axis=1)])
        columns = [*(columns[k] for k in kept), "other parts"]

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        at = np.arange(len(rows))
        right, left = np.zeros(len(rows)), np.zeros(len(rows))
        for k, column in enumerate(columns):
            values = parts[:, k]
            start = np.where(values >= 0, right, left)
            axes.barh(at, values, 0.66, start, color=theme.lines[k % len(theme.lines)],
                      label=label(column, 40))  # fmt: skip
            right, left = right + np.maximum(values, 0), left + np.minimum(values, 0)
        axes.plot(means[:, -1], at, "D", ms=4.5, color=theme.ink, label="all together")
        names_on_y(axes, list(rows), 24)
        axes.axvline(0, color=theme.soft, lw=0.9)
        axes.set_xlabel(f"mean {_title(family.score)}")
        figure.legend(loc="outside upper center", ncols=2)

    shown = "; ".join(f"{label(c)} {number(float(v))}" for c, v in zip(columns, parts[0],
                                                                       strict=True))  # fmt: skip
    caption = (
        "What each feature space explains alone and what they share, as means over targets; parts"
        " add up to the model of all spaces (diamond), and those below zero stand left of zero"
    )
    hidden = len(_rows(family)) - len(rows)
    caption += f". {hidden} more regions are in the table" if hidden > 0 else ""
    height = 0.9 + 0.15 * len(columns) + 0.27 * max(len(rows), 2)
    return picture(name, f"Variance partitioning: {shown}.", f"{caption}.", height, paint)


def _table(family: Family) -> str:
    lines = [[name, *(number(float(v)) for v in values)] for name, values in _rows(family).items()]
    return as_table(["region", *family.columns, "all together"], lines)
