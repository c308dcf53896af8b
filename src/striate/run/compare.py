"""Finished runs beside each other: the same rows, the same targets, the same draws of stimuli."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from striate.errors import RecipeError, StriateError, some, unknown
from striate.machine import Machine, here, using
from striate.report import Report
from striate.report.chosen import candidates, held_out
from striate.report.comparison import Comparison
from striate.report.comparison_page import write_comparison
from striate.run.reopened import (
    Blocks,
    DiffersError,
    Model,
    check_dataset,
    models_of,
    opened,
    recipe_of,
    truth_of,
)
from striate.scores import SCORES
from striate.scores.beside import Beside, beside, sides
from striate.scores.contests import (
    about,
    averages,
    ceilings,
    of_ceiling,
    sets_of,
    tables_of,
)
from striate.scores.paired import paired

KEYS = ["subject", "target", "time"]


def compare(
    runs: Sequence[Path | str],
    *,
    members: str = "answer",
    score: str = "",
    by: str = "roi",
    out: Path | str | None = None,
    draws: int = 1000,
    machine: Machine | None = None,
) -> Comparison:
    """Compare the models of finished runs on the rows and targets that all of them predicted.

    Everything is matched by label. Intervals and P values come from resampling stimuli (leak units
    whole), the same draws for all models, about what was measured. Runs keep no truth: the data
    are opened again by way of each run's recipe. Where that cannot be done, scores come from
    ``scores.csv``, without intervals, and a note says so.

    Parameters
    ----------
    runs
        Folders of runs; one is enough with ``members="all"``.
    members
        The answer of each run, or all its members, whose predictions are read from the store.
    score
        A per-target score; by default the first run's headline.
    by
        Sets of targets beside all of them: regions, subjects, or both and regions of subjects.
    out
        Folder for ``comparison.html``, ``.json`` and tables; nothing is written without.
    draws
        Resamplings of the stimuli.
    machine
        Whose store and threads to use.

    Raises
    ------
    StriateError
        When a folder is no run, or runs have no data set, measured values, rows or targets in
        common.

    """
    if not runs:
        raise RecipeError("no runs to compare: name folders of finished runs")
    folders = [Path(r) for r in runs]
    twice = sorted({str(f) for f in folders if folders.count(f) > 1})
    if twice:
        raise RecipeError(f"run {twice[0]} is named twice; name each run once")
    for name, value, valid in (("members", members, _MEMBERS), ("by", by, _BY)):
        if value not in valid:
            raise RecipeError(unknown(f"value of {name}", value, valid))
    with using(machine or here()):
        reports = [opened(f) for f in folders]
        score = score or str(reports[0].summary["headline"])
        if score not in SCORES:
            raise RecipeError(unknown("score", score, SCORES))
        models = models_of(reports, members)
        if len(models) < 2:
            raise RecipeError(
                "one model has nothing to be compared with: name several runs, or compare the"
                ' members of one with --members all (members="all")'
            )
        check_dataset(reports)
        notes: list[str] = []
        try:
            truth = truth_of(reports)
        except DiffersError:
            raise
        except (StriateError, OSError) as error:
            truth = {}
            notes.append(
                f"Beware: the data could not be read again ({error}), so there are no intervals,"
                " and scores are those of each run's own rows."
            )
        _tell_splits(reports, notes)
        if truth:
            found = _resampled(truth, models, score, by, draws, notes, members)
        else:
            found = _as_written(models, score, by, notes, members)
        ranks, agreement = _ranks(models, score, notes)
        done = Comparison(score, *found, ranks, agreement, notes, draws if truth else 0)
        return done if out is None else write_comparison(done, Path(out))


_MEMBERS = ("answer", "all")
_BY = ("roi", "subject", "both")


def _resampled(
    truth: Blocks,
    models: Sequence[Model],
    score: str,
    by: str,
    draws: int,
    notes: list[str],
    members: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and differences with intervals, on the common rows and targets."""
    found = list(beside(truth, {m.name: m.predicted() for m in models}))
    if not found:
        raise DiffersError(
            f"{some([m.name for m in models])} predicted no rows and targets of the truth in"
            f" common: {_nothing(members)}"
        )
    _tell_common(found, truth, notes)
    values = np.concatenate([b.values(score) for b in found], axis=1)
    ceiling = np.concatenate([ceilings(b.targets) for b in found])
    subjects = np.repeat([b.subject for b in found], [len(b.targets) for b in found])
    sets = sets_of(subjects, pd.concat([b.regions for b in found]), by)
    inside = np.stack(list(sets.values()), axis=1)
    given, things = sides(found, inside)
    drawn = paired(given, things, score, draws, threads=here().threads)
    measured = averages(values, inside)
    return tables_of(
        [m.name for m in models],
        list(sets),
        inside,
        measured,
        averages(of_ceiling(values, ceiling, score), inside)[1],
        [about(d, m) for d, m in zip(drawn, measured, strict=True)],
        score,
    )


def _as_written(
    models: Sequence[Model], score: str, by: str, notes: list[str], members: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and differences from the runs' own tables, without intervals."""
    tables = []
    for model in models:
        own = model.report.scores
        own = own[(own["member"] == model.member) & (own["score"] == score)]
        if own.empty:
            raise RecipeError(
                f"{model.name} was not scored by {score!r}, and its data cannot be read again;"
                f" scores it has: {some(sorted(set(model.report.scores['score'])), 9)}"
            )
        keys = [c for c in KEYS if c in own]
        names = own[keys].astype(str).agg("|".join, axis=1)
        tables.append(own.set_axis(pd.Index(names, name="key")))
    common = tables[0].index
    for other in tables[1:]:
        common = common[common.isin(other.index)]
    if common.empty:
        raise DiffersError(
            f"{some([m.name for m in models])} predicted no targets in common: {_nothing(members)}"
        )
    most = max(map(len, tables))
    if most > len(common):
        notes.append(f"{len(common):,} targets are common to all models, of up to {most:,}.")
    first = tables[0].loc[common]
    rois = first["roi"].fillna("").astype(str)
    regions = rois.str.get_dummies(";").astype(bool) if rois.any() else pd.DataFrame(index=common)
    subjects = first["subject"].fillna("").astype(str).to_numpy(object)
    sets = sets_of(subjects, regions, by)
    inside = np.stack(list(sets.values()), axis=1)
    values = np.stack([t.loc[common, "value"].to_numpy(float) for t in tables])
    share = np.stack([t.loc[common, "normalised"].to_numpy(float) for t in tables])
    measured = averages(values, inside)
    none = np.full((len(models), 0, inside.shape[1]), np.nan)
    names = [m.name for m in models]
    over = averages(share, inside)[1]
    return tables_of(names, list(sets), inside, measured, over, [none, none], score)


def _nothing(members: str) -> str:
    """What is left to do where models have nothing in common."""
    if members == "answer":
        return "nothing to compare"
    return (
        "where members are for regions of their own, compare the answers of runs, which join them"
        ' (--members answer, or members="answer")'
    )


def _tell_splits(reports: Sequence[Report], notes: list[str]) -> None:
    """Say that scores are of common rows, but fits of other ones."""
    if len({repr(recipe_of(r).split) for r in reports}) > 1:
        notes.append(
            "Beware: the runs have other splits, so their models were fitted to other stimuli: a"
            " difference may come from what was fitted to."
        )


def _tell_common(found: Sequence[Beside], truth: Blocks, notes: list[str]) -> None:
    units = len({u for b in found for u in b.things.ravel()})
    rows, targets = sum(len(b.rows) for b in found), sum(len(b.targets) for b in found)
    lost = sum(b.rows_left for b in found), sum(b.targets_left for b in found)
    people = len(truth) - len(found)
    notes.append(
        f"{rows:,} rows ({units:,} units that are resampled) and {targets:,} targets of"
        f" {len(found)} subject{'s' if len(found) > 1 else ''} are common to all models."
    )
    if any(lost) or people:
        notes.append(
            f"Left out, because some model did not predict them: {lost[0]:,} rows, {lost[1]:,}"
            f" targets, {people} subjects."
        )


def _ranks(
    models: Sequence[Model], score: str, notes: list[str]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Scores before and on a test, of models that have both.

    Before are the rows of the split where stimuli were set aside as a test; else what a member that
    chooses saw, out-of-fold on training rows, before the rows of the split.
    """
    lines = [line for m in models for line in _set_aside(m, score)]
    if not lines and score == "pearson":
        lines = [line for m in models for line in _seen_by_choice(m)]
        if lines:
            notes.append(
                "Validation scores are those that the choice between members was made on (training"
                " rows, out-of-fold), test scores those of the rows of the split."
            )
    table = pd.DataFrame(lines, columns=["model", "roi", "validation", "test"])
    if table.empty:
        notes.append(
            "Validation ranks cannot be set against test ranks: the models have one score each."
            " They have two where the split sets measured stimuli aside as a test: its folds give"
            " the first score, and its last call, final, the second."
        )
    agreement = {}
    for roi, own in table.groupby("roi", sort=False):
        ends = own[["validation", "test"]].to_numpy(float)
        if len(ends) > 2 and (np.ptp(ends, axis=0) > 0).all():
            agreement[str(roi)] = float(stats.spearmanr(*ends.T).statistic)
    return table, agreement


def _set_aside(model: Model, score: str) -> Iterator[dict[str, Any]]:
    summary = model.report.summary
    before = summary["members"].get(model.member, {}).get(score, {})
    after = summary.get("final", {}).get(model.member, {}).get(score, {})
    regions = [r for r in before.get("by_roi", {}) if r in after.get("by_roi", {})]
    for roi in ["", *regions]:
        own, later = (e["by_roi"][roi] if roi else e for e in (before, after))
        if own.get("mean") is not None and later.get("mean") is not None:
            line = {"model": model.name, "roi": roi}
            yield line | {"validation": own["mean"], "test": later["mean"]}


def _seen_by_choice(model: Model) -> Iterator[dict[str, Any]]:
    found = candidates(model.report.fits)
    own = found[found["of"] == model.member]
    if own.empty:
        return
    own = own[own["member"] == own["member"].iloc[0]]
    seen = {"": float(np.average(own["score"], weights=own["targets"]))}
    seen |= {str(o.roi): float(o.score) for o in own.itertuples() if o.roi}
    for roi, value in seen.items():
        test = held_out(model.report.summary, model.member, roi)
        if np.isfinite([value, test]).all():
            yield {"model": model.name, "roi": roi, "validation": value, "test": test}
