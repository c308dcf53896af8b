"""From a recipe to a report: split, tasks, predictions, scores, in this order."""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from striate.data import Responses, has_truth, merge
from striate.machine import Machine, here, track, using
from striate.recipe import Recipe
from striate.report import Report
from striate.run.leakage import Leakage, find_leakage
from striate.run.outcome import DRAWS, expected, headline, intervals, measured, rdm_permutation
from striate.run.plan import Ids, Plan, Task, in_order
from striate.run.resolve import resolved
from striate.run.work import Work, execute_remotely
from striate.scores import score_table
from striate.splits import Call, duplicates, joined

Blocks = dict[str, Responses]


def run_recipe(
    recipe: Recipe, out: Path | str = "runs", machine: Machine | None = None, name: str = "run"
) -> Report:
    """Do what a recipe says and write the run's folder under `out`.

    Parameters
    ----------
    recipe
        From `striate.load_recipe`, or built in Python.
    out
        Folder of runs; each run gets a folder of its own, named by time and `name`.
    machine
        Device, batch size, threads, store; none of it changes a number.
    name
        Of the recipe, for the folder's name.

    Raises
    ------
    StriateError
        On anything wrong with recipe or data; the folder of the run is then not written.

    """
    with using(machine or here()):
        started = time.perf_counter()
        plan = Plan(recipe)
        leakage = find_leakage(plan)
        work = Work(plan)
        calls = plan.calls()
        outer = [c for c in calls if c.name != "final"]
        final = [c for c in calls if c.name == "final"]
        members = plan.recipe.member
        answer = members[-1]
        wanted = [t for c in outer for m in members for t in plan.tasks(m, c.train, c.test)]
        ends = [(c.train, f.test) for f in final for c in (outer if _folds(plan) else [f])]
        told = measured(plan.responses, final)
        wanted += [
            t
            for train, test in ends
            for m in (members if told else [answer])
            for t in plan.tasks(m, train, test)
        ]
        execute(work, wanted)

        truth = measured(plan.responses, outer)
        predicted = {m.name: pooled(work, m.name, outer) for m in members}
        scores, table = _scored(plan, truth, predicted)
        first = recipe.scores[0]
        found, comparisons = intervals(truth, predicted, first, answer.name)
        scores[answer.name][first]["resampled"] = found
        leakage = _measure(plan, work, leakage, truth, scores[answer.name][first]["median"])
        ended = {
            m.name: merge([b for train, test in ends for b in _blocks(work, m.name, train, test)])
            for m in (members if told else [answer])
        }
        summary: dict[str, Any] = {
            "title": recipe.title,
            "recipe": name,
            "member": answer.name,
            "headline": first,
            "scores": scores[answer.name],
            "members": scores,
            "comparisons": comparisons,
            "split": _split_note(plan, outer, final),
            "duplicates": {
                "exact": [list(d) for d in duplicates(plan.stimuli)],
                "leak_units": int(plan.units.nunique()),
                **leakage.note(),
            },
            "expect": expected(recipe, scores[answer.name]),
        }
        if told:
            summary["final"] = _scored(plan, told, ended)[0]
        report = Report(
            recipe=resolved(plan).toml(),
            summary=summary,
            scores=table,
            fits=list(_fits(plan, work, outer)),
            predicted=merge([*predicted[answer.name].values(), *ended[answer.name].values()]),
            truth=truth,
            machine=_machine(time.perf_counter() - started),
        )
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = report.write(Path(out) / f"{stamp}-{name.replace('/', '-')}")
        return Report(**{**vars(report), "folder": folder})


def _scored(
    plan: Plan, truth: Blocks, predicted: Mapping[str, Blocks]
) -> tuple[dict[str, dict[str, Any]], pd.DataFrame]:
    """Summaries of all members, and their scores target by target."""
    names, answer = plan.recipe.scores, plan.recipe.member[-1].name
    scores, tables = {}, []
    for member, blocks in predicted.items():
        table = score_table(truth, blocks, names, member, DRAWS if member == answer else 0)
        scores[member] = headline(table, names) | dict(plan.dataset.official_score(truth, blocks))
        p = rdm_permutation(truth, blocks) if member == answer else {}
        if p:
            scores[member][names[0]]["permutation_p"] = p
        tables.append(table)
    return scores, pd.concat(tables, ignore_index=True)


def execute(work: Work, wanted: Sequence[Task]) -> None:
    """Do all tasks and those that they need, wave by wave, here or on Dask."""
    waves = in_order(wanted)
    total = sum(map(len, waves))
    machine = here()

    def done() -> Iterator[Any]:
        for wave in waves:
            # Fits on the same stimuli follow each other, so that they share fitted steps.
            todo = sorted((t for t in wave if not work.has(t)), key=lambda t: (t.train, t.member))
            yield from [None] * (len(wave) - len(todo))
            if machine.scheduler:
                recipe = resolved(work.plan).toml()
                jobs = [(recipe, machine, t.key, t.rows_key) for t in todo]
                yield from machine.map(execute_remotely, jobs)
            else:
                yield from map(work.execute, todo)

    for _ in track(done(), total, "fitting"):
        pass


def pooled(work: Work, member: str, calls: Sequence[Call]) -> Blocks:
    """A member's predictions over all outer calls, by subject."""
    return merge([b for c in calls for b in _blocks(work, member, c.train, c.test)])


def _blocks(work: Work, member: str, train: Ids, test: Ids) -> list[Responses]:
    return list(work.predictions(work.plan.recipe.named(member), train, test).values())


def _folds(plan: Plan) -> bool:
    return plan.recipe.final == "mean of folds"


def _measure(
    plan: Plan, work: Work, leakage: Leakage, truth: Mapping[str, Responses], split: float
) -> Leakage:
    """Fit the answer again with near-duplicates kept together, and tell the difference."""
    if not leakage.to_measure:
        return leakage
    before = plan.units
    plan.regroup(joined(before, [(a, b) for a, b, _ in leakage.pairs]))
    answer = plan.recipe.member[-1]
    calls = [c for c in plan.calls() if c.name != "final"]
    execute(work, [t for c in calls for t in plan.tasks(answer, c.train, c.test)])
    score = plan.recipe.scores[0]
    table = score_table(truth, pooled(work, answer.name, calls), [score], answer.name)
    plan.regroup(before)
    return leakage.with_worth(split, headline(table, [score])[score]["median"])


def _fits(plan: Plan, work: Work, calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """What was fitted on what, in the outer calls."""
    for call in calls:
        for member in plan.recipe.member:
            for task in plan.tasks(member, call.train, call.test):
                yield {"call": call.name, **work.note(task)}


def _split_note(plan: Plan, outer: Sequence[Call], final: Sequence[Call]) -> dict[str, Any]:
    rows = {s: int(has_truth(b).sum()) for s, b in plan.responses.items()}
    return {
        "use": type(plan.split).__name__,
        "calls": [{"name": c.name, "train": len(c.train), "test": len(c.test)} for c in outer],
        "final": [{"train": len(c.train), "test": len(c.test)} for c in final],
        "stimuli": len(plan.stimuli),
        "groups": len(set(plan.stimuli.table["group"].astype(str)) - {""}),
        "subjects": {
            s: {
                "rows": rows[s],
                "hidden": len(b) - rows[s],
                "targets": b.shape[1],
            }
            for s, b in plan.responses.items()
        },
    }


def _machine(seconds: float) -> dict[str, Any]:
    packages = ("striate", "numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 2),
        "peak_memory_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "device": here().device,
        "threads": here().threads,
        "batch": here().batch,
        "store": str(here().store),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }
