"""Finished runs opened again: what their models predicted, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses
from striate.errors import DataError, FileError, StriateError, some
from striate.machine import here, using
from striate.recipe import Recipe, load_recipe
from striate.report import Report, read_run
from striate.run.leakage import find_leakage
from striate.run.outer import Pooled
from striate.run.plan import Plan
from striate.run.work import Work
from striate.scores.beside import beside

Blocks = Mapping[str, Responses]
COLUMNS = ("member", "subject", "roi", "target", "score", "value", "normalised")


class DiffersError(DataError):
    """Runs that measured something else, as opposed to data that cannot be read."""


@dataclass(frozen=True, eq=False)
class Model:
    """A member of a run, by the name that it has in the comparison."""

    name: str
    report: Report
    member: str
    predicted: Callable[[], Blocks]


def opened(folder: Path) -> Report:
    """The record of a finished run, if it has what a comparison needs.

    Raises
    ------
    FileError
        When the folder is no run, or damaged.

    """
    report = read_run(folder)
    summary, table = report.summary, report.scores
    whole = all(isinstance(summary.get(k), str) for k in ("headline", "member"))
    whole = whole and isinstance(summary.get("members"), Mapping)
    whole = whole and summary["member"] in summary["members"]
    if not whole or not set(COLUMNS) <= set(table.columns):
        raise FileError(
            f"the run in {folder} is damaged (its summary or scores.csv lack what runs have); run"
            " it again"
        )
    return report


def models_of(reports: Sequence[Report], members: str) -> list[Model]:
    """The answers of runs, or all their members, under names that differ."""
    names = [str(r.summary.get("recipe") or "run") for r in reports]
    runs = [
        n if names.count(n) == 1 else Path(str(r.folder)).name for n, r in _both(names, reports)
    ]
    runs = [n if runs.count(n) == 1 else str(r.folder) for n, r in _both(runs, reports)]
    found = []
    for run, report in _both(runs, reports):
        if members == "answer":
            found.append(Model(run, report, report.summary["member"], lambda r=report: r.predicted))  # type: ignore[misc]
            continue
        pooled = _stored(report)
        for member in pooled:
            name = member if len(reports) == 1 else f"{run}: {member}"
            found.append(Model(name, report, member, lambda p=pooled, m=member: p[m]))  # type: ignore[misc]
    return found


def _both(first: Sequence[Any], second: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(first, second, strict=True)


def recipe_of(report: Report) -> Recipe:
    """The resolved recipe of a finished run."""
    return load_recipe(Path(str(report.folder)) / "recipe.toml")


def planned(recipe: Recipe, report: Report | None = None) -> Plan:
    """The plan that a run had: without what it left out, with the pairs that it kept together."""
    left = report.summary.get("left_out", {}).get("stimuli", ()) if report else ()
    plan = Plan(recipe, without=[str(line["stimulus"]) for line in left])
    if recipe.near_duplicates == "group":
        find_leakage(plan)
    return plan


def _stored(report: Report) -> Pooled:
    """Predictions of all members of a run, from the store; nothing is fitted again."""
    recorded = Path(str(report.machine.get("store", "")))
    places = dict.fromkeys([here().store, *([recorded] if recorded.is_dir() else [])])
    lost = ""
    for place in places:
        with using(replace(here(), store=place)):
            plan = planned(recipe_of(report), report)
            work = Work(plan)
            calls = plan.outer()
            asked = [
                t for c in calls for m in plan.recipe.member for t in plan.tasks(m, c.train, c.test)
            ]
            gone = [t.member for t in asked if not work.has(t)]
            if not gone:
                return Pooled(work, [m.name for m in plan.recipe.member], calls)
            lost = lost or gone[0]
    raise StriateError(
        f"predictions of member {lost!r} of {report.folder} are not in the store"
        f" ({some(places)}): name the store that the run used with --store, or run its recipe again"
    )


def check_dataset(reports: Sequence[Report]) -> None:
    """Refuse runs on different data sets."""
    used = {str(r.folder): str(recipe_of(r).dataset.get("use")) for r in reports}
    first, *others = used.items()
    for folder, name in others:
        if name != first[1]:
            raise DiffersError(
                f"{folder} is a run on {name!r} and {first[0]} on {first[1]!r}: only runs on one"
                " data set can be compared"
            )


def truth_of(reports: Sequence[Report]) -> dict[str, Responses]:
    """What was measured of the rows that all runs were scored on, by subject.

    Data are opened once for all runs that name the same data, preparation and split.
    """
    opened: dict[str, tuple[str, dict[str, Responses]]] = {}
    for report in reports:
        recipe = recipe_of(report)
        left = report.summary.get("left_out", {}).get("stimuli", ())
        grouped = recipe.near_duplicates if recipe.near_duplicates == "group" else ""
        place = repr((recipe.dataset, recipe.responses, recipe.split, left, grouped))
        if place not in opened:
            # Features and members decide nothing here, and weights need not be there any more.
            plan = planned(recipe.model_copy(update={"features": {}, "member": ()}), report)
            opened[place] = str(report.folder), plan.measured(plan.outer())
    (folder, common), *others = opened.values()
    for other, blocks in others:
        common = _shared(folder, common, other, blocks)
    return common


def _shared(
    folder: str, first: Mapping[str, Responses], other: str, second: Mapping[str, Responses]
) -> dict[str, Responses]:
    """The rows and targets that two measurements have in common, which must be alike."""
    found = {}
    for subject in (s for s in first if s in second):
        a = first[subject]
        pieces = list(beside({subject: a}, {"second": {subject: second[subject]}}))
        for piece in pieces:
            if not np.allclose(piece.truth, piece.predicted[0], 1e-5, 1e-6, equal_nan=True):
                raise DiffersError(
                    f"{other} and {folder} measured {subject!r} differently (other data, or other"
                    " [responses] in their recipes): scores against different truths cannot be"
                    " compared"
                )
            rows = pd.Index(a.row.values).isin(piece.rows.index)
            found[subject] = a.isel(row=np.flatnonzero(rows))
    if not found:
        raise DiffersError(
            f"{other} and {folder} were scored on no rows and targets in common: nothing to compare"
        )
    return found
