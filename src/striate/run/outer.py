"""From a recipe to a report: split, tasks, predictions, scores, in this order."""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, has_truth, merge
from striate.errors import DataError
from striate.machine import Machine, here, track, using
from striate.recipe import Recipe
from striate.report import Report, write_run
from striate.run.filling import Told, fill_for, without_broken
from striate.run.leakage import Leakage, find_leakage
from striate.run.looks import example
from striate.run.outcome import DRAWS, expected, headline, intervals, rdm_permutation
from striate.run.plan import Plan, Task, in_order
from striate.run.remote import Fit, Source, fit_remotely
from striate.run.resolve import resolved
from striate.run.work import Work
from striate.scores import score_table
from striate.scores.correlation import FEWEST_ROWS
from striate.splits import Call, duplicates

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
        plan, features = Plan(recipe), Told()
        left_out: dict[str, Any] = {}
        if recipe.on_error == "skip":
            plan, left_out = without_broken(plan, features)
        text = resolved(plan).toml()
        leakage = find_leakage(plan)
        outer, final = plan.outer(), plan.final()
        truth, told = plan.measured(outer), plan.measured(final)
        if not truth:
            raise DataError(
                "none of the rows that the split predicts was measured, so nothing can be scored;"
                ' choose a split of the training stimuli, such as split = { use = "kfold" }'
            )
        most = max(has_truth(b).sum() for b in truth.values())
        if most < FEWEST_ROWS:
            raise DataError(
                f"the split predicts {most} measured rows, but a score needs {FEWEST_ROWS}: hold"
                " out more stimuli"
            )
        wanted = plan.wanted()
        work = Work(plan)
        execute(work, wanted, features)

        members, first = [m.name for m in plan.recipe.member], recipe.scores[0]
        answer = members[-1]
        predicted = Pooled(work, members, outer)
        ended = Pooled(work, [m.name for m in plan.ending()], final)
        scores, table = _scored(plan, truth, predicted)
        found, comparisons = intervals(truth, predicted, first, answer, scores)
        scores[answer][first]["resampled"] = found
        fits = list(_fits(plan, work, outer))
        leakage = _measure(plan, work, leakage, truth, scores[answer][first]["median"])
        summary: dict[str, Any] = {
            "title": recipe.title,
            "recipe": name,
            "member": answer,
            "headline": first,
            "scores": scores[answer],
            "members": scores,
            "comparisons": comparisons,
            "split": _split_note(plan, outer, [c for c in plan.calls() if c.name == "final"]),
            "duplicates": {
                "exact": [list(d) for d in duplicates(plan.stimuli)],
                "leak_units": int(plan.units.nunique()),
                **leakage.note(),
            },
            "expect": expected(recipe, scores[answer]),
        }
        if left_out:
            summary["left_out"] = left_out
        if told:
            summary["final"] = _scored(plan, told, ended)[0]
        report = Report(
            recipe=text,
            summary=summary,
            scores=table,
            fits=fits,
            predicted=merge([*predicted[answer].values(), *ended[answer].values()]),
            truth=truth,
            machine=_machine(time.perf_counter() - started) | {"features": features},
            looks=example(plan),
        )
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = write_run(report, Path(out) / f"{stamp}-{name.replace('/', '-')}")
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
        scored = table[table["score"] == names[0]]
        for name in names:
            scores[member][name]["not_predicted"] = int(
                sum(b.shape[1] for b in truth.values()) - len(scored)
            )
        p = rdm_permutation(truth, blocks) if member == answer else {}
        if p:
            scores[member][names[0]]["permutation_p"] = p
        tables.append(table)
    return scores, pd.concat(tables, ignore_index=True)


def execute(work: Work, wanted: Sequence[Task], told: Told | None = None) -> None:
    """Do all tasks and those that they need, wave by wave, here or on Dask.

    The features that they read are extracted first, and `told` is what became of these.
    """
    waves = in_order(wanted)
    total = sum(map(len, waves))
    machine = here()
    todo = [t for wave in waves for t in wave if not work.has(t)]
    fill_for(work.plan, todo, {} if told is None else told)

    def done() -> Iterator[Any]:
        for wave in waves:
            # Fits on the same stimuli follow each other, so that they share fitted steps.
            todo = sorted((t for t in wave if not work.has(t)), key=lambda t: (t.train, t.member))
            yield from [None] * (len(wave) - len(todo))
            if not machine.scheduler:
                yield from map(work.execute, todo)
                continue
            if not todo:
                continue
            plan, source, lent = work.plan, Source.of(work.plan), machine.lent()
            jobs = [Fit(source, plan.pairs, plan.same_folds, lent, t.key, t.rows_key) for t in todo]
            for key, seconds in machine.map(fit_remotely, jobs):
                work.seconds[key] = seconds
                yield None

    for _ in track(done(), total, "fitting"):
        pass


class Pooled(Mapping[str, Blocks]):
    """Members' predictions over some calls, by subject, loaded when asked for: one at a time.

    The label ``call`` of a row names the call that predicted it.
    """

    def __init__(self, work: Work, members: Sequence[str], calls: Sequence[Call]) -> None:
        self.work, self.members, self.calls = work, members, calls

    def __getitem__(self, member: str) -> Blocks:
        line, ask = self.work.plan.recipe.named(member), self.work.predictions
        return in_calls((c.name, ask(line, c.train, c.test)) for c in self.calls)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def in_calls(found: Iterable[tuple[str, Mapping[str, Responses]]]) -> Blocks:
    """Predictions of several calls as one block per subject, whose rows name their ``call``."""
    blocks: list[Responses] = []
    called: dict[str, dict[str, None]] = {}
    for name, predictions in found:
        for block in predictions.values():
            blocks.append(block)
            for row in block.row.values:
                called.setdefault(row, {})[name] = None
    names = {row: ";".join(calls) for row, calls in called.items()}

    def told(block: Responses) -> Responses:
        column = np.array([names[r] for r in block.row.values], dtype=object)
        return block.assign_coords(call=("row", column))

    return {s: told(b) for s, b in merge(blocks).items()}


def _measure(
    plan: Plan, work: Work, leakage: Leakage, truth: Mapping[str, Responses], split: float
) -> Leakage:
    """Fit the answer again without partners of test stimuli, and tell the difference."""
    if not leakage.to_measure:
        return leakage
    # The same folds, so that the difference is the leak and not other folds.
    plan.regroup([(a, b) for a, b, _ in leakage.pairs], same_folds=True)
    answer, score = plan.recipe.member[-1], plan.recipe.scores[0]
    calls = plan.outer()
    execute(work, [t for c in calls for t in plan.tasks(answer, c.train, c.test)])
    table = score_table(
        truth, Pooled(work, [answer.name], calls)[answer.name], [score], answer.name
    )
    plan.regroup(())
    return leakage.with_worth(split, headline(table, [score])[score]["median"])


def _fits(plan: Plan, work: Work, calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """What was fitted on what, in the outer calls."""
    for call in calls:
        for member in plan.recipe.member:
            for task in plan.tasks(member, call.train, call.test):
                yield {
                    "call": call.name,
                    "key": task.key,
                    **work.note(task),
                    "member": member.name,
                }


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
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
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
