"""Doing one task: features in, steps and encoder fitted, rows predicted, product stored."""

from __future__ import annotations

import time
import tomllib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from striate.data import (
    Features,
    Responses,
    Space,
    assemble,
    has_truth,
    merge,
    natural_key,
    row_table,
    slots,
)
from striate.errors import DataError, RecipeError, StriateError
from striate.interfaces import learned, with_learned
from striate.machine import Machine, using
from striate.recipe import Member, parse
from striate.registry import identity, key_of
from striate.run.plan import Ids, Plan, Predictions, Task
from striate.store import Products, Unstorable

REMEMBERED = 3
"""Training features that are kept in memory behind steps."""


class Work:
    """Executes the tasks of a plan; what is in the store already is not done again."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.products = Products(plan.store)
        self._views: OrderedDict[str, tuple[Any, Features]] = OrderedDict()

    def predictions(self, member: Member, train: Ids, rows: Ids) -> Predictions:
        """Predictions by subject, from the store; the tasks must have been executed."""
        return self._load(self.plan.tasks(member, train, rows))

    def _load(self, tasks: Iterable[Task]) -> Predictions:
        blocks: list[Responses] = []
        for task in tasks:
            found = self.products.load_predictions(task.key, task.rows_key)
            if found is None:
                self.execute(task)
                found = self.products.load_predictions(task.key, task.rows_key)
            if found is None:
                raise StriateError(f"task {task.key} left no product in {self.plan.store}")
            blocks += found.values()
        return merge(blocks)

    def has(self, task: Task) -> bool:
        """Whether the task's predictions are in the store."""
        return self.products.load_predictions(task.key, task.rows_key, mmap=True) is not None

    def note(self, task: Task) -> dict[str, Any]:
        """What the fit of a task told about itself."""
        return dict(self.products.load_note(task.key) or {})

    def execute(self, task: Task) -> None:
        """Do one task, unless its product is in the store already."""
        if self.has(task):
            return
        started = time.perf_counter()
        member = self.plan.recipe.named(task.member)
        scale = self._scales(task) if self.plan.preparation.zscore == "train" else {}
        groups = [[self._train(s, at, task, scale) for s, at in g] for g in task.groups]
        seen = sorted({i for g in groups for b in g for i in slots(b).ravel()}, key=natural_key)
        template = self._template(task)
        asked = sorted(set(slots(template).ravel()), key=natural_key)
        spaces = self.plan.spaces_of(member)
        steps, encoder = self._restore(task)
        stored = encoder is not None
        if encoder is None:
            fresh = self.plan.encoders[member.name]
            learns = getattr(fresh, "learns", True)
            if learns and not seen:
                raise DataError(
                    f"member {member.name!r} has no training rows in this call; change the split"
                )
            start = self._start(task) if task.start else None
            before = start[0] if start else None
            steps, view = self._fit_steps(member, spaces, tuple(seen), before)
            view = replace(view, members={n: self._load(t) for n, t in task.apart.items()})
            # Subjects of other image sets may have no training rows: there is nothing to learn.
            given = [[b for b in g if len(b) or not learns] for g in groups]
            encoder = fresh.fit(view, given, start=start[1] if start else None)
        view = self._transformed(steps, Features(spaces, tuple(asked)))
        view = replace(view, members={n: self._load(t) for n, t in task.together.items()})
        predicted = merge([encoder.predict(view, template)]) if len(template) else {}
        predicted = {s: self._finish(s, b, scale) for s, b in predicted.items()}
        note = {
            "member": member.name,
            "seconds": round(time.perf_counter() - started, 3),
            "stimuli": len(seen),
            "targets": int(sum(len(at) for g in task.groups for _, at in g)),
            "steps": [getattr(s, "note_", {}) for s in steps],
            "encoder": getattr(encoder, "note_", {}),
        }
        state = None if stored or task.inner else _state(steps, encoder)
        try:
            self.products.save(task.key, task.rows_key, predicted, state, note)
        except Unstorable:
            self.products.save(task.key, task.rows_key, predicted, None, note)

    def _fit_steps(
        self, member: Member, spaces: Mapping[str, Space], seen: Ids, before: list[Any] | None
    ) -> tuple[list[Any], Features]:
        """Fitted steps and the training features behind them.

        What stands behind the last few steps is remembered, because members that differ in later
        steps or in their encoder alone share it.
        """
        view = Features(spaces, seen)
        fitted: list[Any] = []
        if not spaces:
            return fitted, view
        place = key_of({n: s.key for n, s in spaces.items()}, list(seen))
        for k, step in enumerate(self.plan.steps[member.name]):
            if before is not None:
                fitted.append(before[k])
                view = before[k].transform(view)
                continue
            place = key_of(place, identity(step))
            if place not in self._views:
                done = step.fit(view)
                self._views[place] = (done, done.transform(view))
            self._views.move_to_end(place)
            while len(self._views) > REMEMBERED:
                self._views.popitem(last=False)
            done, view = self._views[place]
            fitted.append(done)
        return fitted, view

    def _transformed(self, steps: Iterable[Any], view: Features) -> Features:
        for step in steps:
            view = step.transform(view)
        return view

    def _restore(self, task: Task) -> tuple[list[Any], Any]:
        """The fitted steps and encoder of an earlier fit with the same key, or no encoder."""
        state = self.products.load_state(task.key)
        if state is None:
            return [], None
        steps = self.plan.steps[task.member][: len(state["steps"])]
        fitted = [with_learned(s, **v) for s, v in zip(steps, state["steps"], strict=True)]
        return fitted, with_learned(self.plan.encoders[task.member], **state["encoder"])

    def _start(self, task: Task) -> tuple[list[Any], Any]:
        start = task.start
        if start is None:
            raise StriateError(f"task {task.key} has nothing to start from")
        self.execute(start)
        steps, encoder = self._restore(start)
        if encoder is None:
            raise RecipeError(
                f"member {task.member!r} cannot start after {start.member!r}, whose fit cannot be"
                " stored; use an encoder whose learned attributes are arrays and tables"
            )
        return steps, encoder

    def _train(
        self, subject: str, at: np.ndarray, task: Task, scale: Mapping[str, Any]
    ) -> Responses:
        block = self.plan.responses[subject]
        inside = np.isin(slots(block), np.array(task.train, dtype=object)).all(axis=1)
        part = block.isel(row=np.flatnonzero(inside & has_truth(block)), target=at)
        if subject in scale:
            mean, spread = scale[subject]
            part = part.copy(data=((part.values - mean[at]) / spread[at]).astype(part.dtype))
        return part

    def _template(self, task: Task) -> Responses:
        """The labels of the rows to predict: those whose stimuli are all in `task.rows`."""
        tables = []
        wanted = np.array(task.rows, dtype=object)
        for subject in dict.fromkeys(s for g in task.groups for s, _ in g):
            block = self.plan.responses[subject]
            inside = np.isin(slots(block), wanted).all(axis=1)
            tables.append(row_table(block)[inside])
        rows = pd.concat(tables)
        rows = rows[~rows.index.duplicated()]
        empty = pd.DataFrame(index=pd.Index([], name="target", dtype=object))
        return assemble(np.empty((len(rows), 0), dtype=np.float32), rows, empty)

    def _scales(self, task: Task) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of each target on the training rows."""
        scales = {}
        for subject in dict.fromkeys(s for g in task.groups for s, _ in g):
            everything = np.arange(self.plan.responses[subject].sizes["target"])
            values = self._train(subject, everything, task, {}).values.astype(np.float64)
            spread = np.nanstd(values, axis=0)
            scales[subject] = (np.nanmean(values, axis=0), np.where(spread > 0, spread, 1.0))
        return scales

    def _finish(self, subject: str, block: Responses, scale: Mapping[str, Any]) -> Responses:
        """Predictions of a subject's own rows, in the units that the responses came in."""
        if subject not in self.plan.responses:
            if scale:
                raise RecipeError(
                    'responses.zscore = "train" needs predictions that name their subject'
                )
            return block
        truth = self.plan.responses[subject]
        own = np.isin(block.row.values, truth.row.values)
        block = block if own.all() else block.isel(row=np.flatnonzero(own))
        if subject in scale:
            mean, spread = scale[subject]
            keys = [c for c in ("target", "time") if c in truth.coords]
            known = pd.MultiIndex.from_arrays([truth[k].values.astype(str) for k in keys])
            asked = pd.MultiIndex.from_arrays([block[k].values.astype(str) for k in keys])
            at = known.get_indexer(asked)
            block = block.copy(data=(block.values * spread[at] + mean[at]).astype(block.dtype))
        return block


def _state(steps: Iterable[Any], encoder: Any) -> dict[str, Any]:
    return {"steps": [learned(s) for s in steps], "encoder": learned(encoder)}


@lru_cache(maxsize=1)
def _work_of(recipe: str) -> Work:
    return Work(Plan(parse(tomllib.loads(recipe))))


def execute_remotely(job: tuple[str, Machine, str, str]) -> None:
    """Do one task on another machine: the recipe is planned there, and the task found by its key.

    `job` is (resolved recipe, machine, key, rows key); the machine's store must be shared.
    """
    recipe, machine, key, rows_key = job
    with using(machine):
        work = _work_of(recipe)
        work.execute(work.plan.find(key, rows_key))
