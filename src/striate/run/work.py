"""Doing one task: features in, steps and encoder fitted, rows predicted, product stored."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from striate.data import (
    Features,
    Responses,
    Space,
    assemble,
    in_pieces,
    merge,
    natural_key,
    row_table,
    slots,
)
from striate.errors import DataError, RecipeError, StriateError
from striate.interfaces import learned, with_learned
from striate.recipe import Member
from striate.registry import identity, key_of
from striate.run.plan import Ids, Plan, Predictions, Task
from striate.run.timing import applied, needed
from striate.store import Products, Unstorable

Scales: TypeAlias = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation of the targets of each subject; empty when units are kept."""

REMEMBERED = 3
"""Training features that are kept in memory behind steps."""


class Work:
    """Executes the tasks of a plan; what is in the store already is not done again.

    `seconds` tells how long each fit took that was not in the store.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.products = Products(plan.store)
        self.seconds: dict[str, float] = {}
        self._there: set[tuple[str, str]] = set()
        self._views: OrderedDict[str, tuple[Any, Features]] = OrderedDict()
        self._lock = threading.Lock()

    def predictions(self, member: Member, train: Ids, rows: Ids) -> Predictions:
        """Predictions by subject, from the store; what is not there is done."""
        return self._load(self.plan.tasks(member, train, rows))

    def _load(self, tasks: Iterable[Task]) -> Predictions:
        return merge([b for t in tasks for b in self._product(t).values()])

    def _product(self, task: Task) -> Predictions:
        for _ in range(2):
            found = self.products.load_predictions(task.key, task.rows_key, mmap=True)
            if found is not None:
                return found
            self._there.discard((task.key, task.rows_key))
            self.execute(task)
        raise StriateError(f"task {task.key} left no product in {self.plan.store}")

    def has(self, task: Task) -> bool:
        """Whether the task's predictions are in the store."""
        place = (task.key, task.rows_key)
        if place not in self._there:
            if self.products.load_predictions(*place, mmap=True) is None:
                return False
            self._there.add(place)
        return True

    def note(self, task: Task) -> dict[str, Any]:
        """What the fit of a task told about itself."""
        note = dict(self.products.load_note(task.key) or {})
        return note | {"seconds": self.seconds.get(task.key)}

    def execute(self, task: Task) -> float:
        """Do one task, unless its product is in the store already; returns its seconds."""
        if self.has(task):
            return 0.0
        started = time.perf_counter()
        scale = self._scales(task)
        steps, encoder = self._restore(task)
        stored = encoder is not None
        if not stored:
            steps, encoder = self._fit(task, scale)
        predicted = self._predict(task, steps, encoder, scale)
        seen, rows = self.plan.rows.seen(task.subjects, task.train)
        note = {
            "stimuli": len(seen),
            "rows": rows,
            "targets": int(sum(len(at) for g in task.groups for _, at in g)),
            "steps": [getattr(s, "note_", {}) for s in steps],
            "encoder": getattr(encoder, "note_", {}),
        }
        state = None if stored or task.key not in self.plan.kept else _state(steps, encoder)
        try:
            self.products.save(task.key, task.rows_key, predicted, state, note)
        except Unstorable:
            self.products.save(task.key, task.rows_key, predicted, None, note)
        self._there.add((task.key, task.rows_key))
        self.seconds[task.key] = round(time.perf_counter() - started, 3)
        return self.seconds[task.key]

    def _fit(self, task: Task, scale: Scales) -> tuple[list[Any], Any]:
        """Steps and encoder, fitted on the training rows of a task."""
        member = self.plan.recipe.named(task.member)
        fresh, learns = self.plan.encoders[member.name], self.plan.learns(member)
        spaces = self.plan.spaces_of(member)
        seen, _ = self.plan.rows.seen(task.subjects, task.train)
        if not seen and (learns or self.plan.steps[member.name]):
            raise DataError(
                f"member {member.name!r} has no training rows in this call; change the split"
            )
        before, start = self._start(task.start) if task.start else (None, None)
        steps, view = self._fit_steps(member, spaces, seen, before)
        view = replace(view, members=self._members(task.apart, scale))
        blocks = [[self._train(s, at, task, scale) for s, at in g] for g in task.groups]
        # Subjects of other image sets may have no training rows: there is nothing to learn.
        given = [[b for b in g if len(b) or not learns] for g in blocks]
        return steps, fresh.fit(view, given, start=start)

    def _predict(
        self, task: Task, steps: Sequence[Any], encoder: Any, scale: Scales
    ) -> Predictions:
        template = self._template(task)
        if not len(template):
            return {}
        spaces = self.plan.spaces_of(self.plan.recipe.named(task.member))
        asked = tuple(sorted(set(slots(template).ravel()), key=natural_key))
        view = Features(spaces, asked, order=self.plan.order)
        wanted = needed(steps, asked, self.plan.order)
        for step, ids in zip(steps, wanted[1:], strict=True):
            view = applied(step, view, ids)
        view = replace(view.rows(asked), members=self._members(task.together, scale))
        predicted = merge([encoder.predict(view, template)])
        return {s: self._finish(s, b, scale) for s, b in predicted.items()}

    def _members(
        self, tasks: Mapping[str, tuple[Task, ...]], scale: Scales
    ) -> dict[str, Predictions]:
        """Predictions of members, in the units that the responses have in this fit."""
        loaded = {n: self._load(ts) for n, ts in tasks.items()}
        if not scale:
            return loaded
        return {
            n: {s: self._rescaled(s, b, scale, to_units=False) for s, b in blocks.items()}
            for n, blocks in loaded.items()
        }

    def _fit_steps(
        self, member: Member, spaces: Mapping[str, Space], seen: Ids, before: list[Any] | None
    ) -> tuple[list[Any], Features]:
        """Fitted steps and the training features behind them.

        What stands behind the last few steps is remembered, because members that differ in later
        steps or in their encoder alone share it.
        """
        view = Features(spaces, seen, order=self.plan.order)
        fitted: list[Any] = []
        if not spaces:
            return fitted, view
        place = key_of([[n, s.key] for n, s in spaces.items()], list(seen))
        steps = self.plan.steps[member.name]
        wanted = needed(steps, seen, self.plan.order)
        for k, (step, ids) in enumerate(zip(steps, wanted[1:], strict=True)):
            if before is not None:
                fitted.append(before[k])
                view = applied(before[k], view, ids)
                continue
            place = key_of(place, identity(step))
            # Steps learn from `seen` alone, but later ones may need what stands around it.
            wide = place if ids == seen else key_of(place, list(ids))
            with self._lock:
                if wide not in self._views:
                    done = step.fit(view.rows(seen))
                    self._views[wide] = (done, applied(done, view, ids))
                self._views.move_to_end(wide)
                done, view = self._views[wide]
                while len(self._views) > REMEMBERED:
                    self._views.popitem(last=False)
            fitted.append(done)
        return fitted, view

    def _restore(self, task: Task) -> tuple[list[Any], Any]:
        """The fitted steps and encoder of an earlier fit with the same key, or no encoder."""
        state = self.products.load_state(task.key)
        if state is None:
            return [], None
        steps = self.plan.steps[task.member][: len(state["steps"])]
        fitted = [with_learned(s, **v) for s, v in zip(steps, state["steps"], strict=True)]
        return fitted, with_learned(self.plan.encoders[task.member], **state["encoder"])

    def _start(self, task: Task) -> tuple[list[Any], Any]:
        """An earlier fit to start from; one whose state was not stored is fitted again."""
        self.execute(task)
        steps, encoder = self._restore(task)
        return (steps, encoder) if encoder is not None else self._fit(task, self._scales(task))

    def _train(self, subject: str, at: np.ndarray, task: Task, scale: Scales) -> Responses:
        rows = self.plan.rows.of(subject, task.train, measured=True)
        part = self.plan.responses[subject].isel(row=rows, target=at)
        if subject in scale:
            mean, spread = (v[at] for v in scale[subject])
            values = np.empty(part.shape, dtype=part.dtype)
            done = 0
            for piece in in_pieces(part):
                values[done : done + len(piece)] = (piece.values - mean) / spread
                done += len(piece)
            part = part.copy(data=values)
        return part

    def _template(self, task: Task) -> Responses:
        """The labels of the rows to predict: those whose stimuli are all in `task.rows`."""
        tables = [
            row_table(self.plan.responses[s]).iloc[self.plan.rows.of(s, task.rows)]
            for s in task.subjects
        ]
        rows = pd.concat(tables)
        rows = rows[~rows.index.duplicated()]
        empty = pd.DataFrame(index=pd.Index([], name="target", dtype=object))
        return assemble(np.empty((len(rows), 0), dtype=np.float32), rows, empty)

    def _scales(self, task: Task) -> Scales:
        """Mean and standard deviation of each target on the training rows, where asked for."""
        if self.plan.preparation.zscore != "train":
            return {}
        scales = {}
        for subject in self.plan.responses if task.together else task.subjects:
            rows = self.plan.rows.of(subject, task.train, measured=True)
            block = self.plan.responses[subject].isel(row=rows)
            count, total, squared = np.zeros((3, block.shape[1]))
            for piece in in_pieces(block):
                count += (~np.isnan(piece.values)).sum(axis=0)
                total += np.nansum(piece.values, axis=0, dtype=np.float64)
            count = np.maximum(count, 1)
            mean = total / count
            for piece in in_pieces(block):
                squared += np.nansum((piece.values.astype(np.float64) - mean) ** 2, axis=0)
            spread = np.sqrt(squared / count)
            scales[subject] = (mean, np.where(spread > 0, spread, 1.0))
        return scales

    def _finish(self, subject: str, block: Responses, scale: Scales) -> Responses:
        """Predictions of a subject's own rows, in the units that the responses came in."""
        if subject in self.plan.responses:
            own = pd.Index(block.row.values).isin(self.plan.responses[subject].row.values)
            block = block if own.all() else block.isel(row=np.flatnonzero(own))
        return self._rescaled(subject, block, scale, to_units=True) if scale else block

    def _rescaled(self, subject: str, block: Responses, scale: Scales, to_units: bool) -> Responses:
        """Standardised predictions in the units of the responses, or the other way round."""
        if subject not in scale and len(self.plan.responses) == 1:
            subject = next(iter(scale))  # averaged over subjects, so none is named
        truth = self.plan.responses.get(subject)
        keys = [c for c in ("target", "time") if truth is not None and c in truth.coords]
        if truth is None or any(k not in block.coords for k in keys):
            raise RecipeError(
                'responses.zscore = "train" needs predictions that name their subject and time'
            )
        known = pd.MultiIndex.from_arrays([truth[k].values.astype(str) for k in keys])
        at = known.get_indexer(
            pd.MultiIndex.from_arrays([block[k].values.astype(str) for k in keys])
        )
        if (at < 0).any():
            raise DataError(
                f"target {block.target.values[at < 0][0]!r} was predicted for {subject!r}, who has"
                " no such target"
            )
        mean, spread = (v[at] for v in scale[subject])
        values = block.values * spread + mean if to_units else (block.values - mean) / spread
        return block.copy(data=values.astype(block.dtype))


def _state(steps: Iterable[Any], encoder: Any) -> dict[str, Any]:
    return {"steps": [learned(s) for s in steps], "encoder": learned(encoder)}
