"""What has to be done: the tasks of a recipe, each under a key of all that decides its numbers.

`Plan.tasks` is the recursion: what must be fitted and predicted so that a member, trained on some
stimuli, answers for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from striate.data import (
    Features,
    Responses,
    Space,
    Stimuli,
    assemble,
    digest,
    has_truth,
    membership,
    natural_key,
    roi_names,
    row_table,
    slots,
    target_table,
)
from striate.errors import DataError, RecipeError, StriateError, unknown
from striate.machine import here
from striate.media import digests
from striate.prepare import Preparation
from striate.recipe import Member, Recipe, expand
from striate.registry import build, identity, key_of, make
from striate.splits import Call, folds_of, leak_units
from striate.store import open_store, stored_spaces

Ids = tuple[str, ...]
Predictions = dict[str, Responses]
Part = tuple[str, np.ndarray]
"""A subject and the positions of some of their targets."""


@dataclass(frozen=True, eq=False)
class Task:
    """One fit of a member on `train`, and its predictions for the rows of the stimuli `rows`.

    `groups` share the fit's rows; `apart` and `together` are the tasks of the members that are
    this one's features: out-of-fold on `train`, and on `rows`. The state of an `inner` fit, which
    only serves another member's training, is not kept.
    """

    key: str
    rows_key: str
    member: str
    train: Ids
    rows: Ids
    groups: tuple[tuple[Part, ...], ...]
    apart: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    together: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    start: Task | None = None
    inner: bool = False

    @property
    def needs(self) -> tuple[Task, ...]:
        """The tasks whose products this one reads."""
        inputs = [t for ts in (*self.apart.values(), *self.together.values()) for t in ts]
        return (*inputs, *([self.start] if self.start else []))


class Plan:
    """A recipe with its data opened, and the tasks that it asks for.

    Parameters
    ----------
    recipe
        Sweeps and all; nothing is extracted or fitted on construction.
    extra
        Stimuli beyond the dataset's, of part ``test``: every subject gets a row without values
        for each, to be predicted.

    """

    def __init__(self, recipe: Recipe, extra: Stimuli | None = None) -> None:
        self.source = recipe
        self.recipe = expand(recipe)
        base = recipe.base
        self.store = open_store(here().store)
        self.dataset = build("dataset", recipe.dataset, base)
        self.preparation: Preparation = make(Preparation, recipe.responses, "responses", base)
        self.split = build("split", recipe.split, base) if recipe.split else self.dataset.split()
        self.features = {n: build("extractor", t, base) for n, t in self.recipe.features.items()}
        self.steps = {
            m.name: tuple(build("step", s, base) for s in m.steps) for m in self.recipe.member
        }
        self.encoders = {m.name: build("encoder", m.encoder, base) for m in self.recipe.member}
        blocks = self.preparation(self.dataset.responses())
        # Rows without values decide no fit, so they are no part of what was fitted on.
        self._block_keys = {s: digest(b[has_truth(b)]) for s, b in blocks.items()}
        self.extra = extra.ids if extra else ()
        if extra:
            blocks = {s: _with_rows(b, extra.ids) for s, b in blocks.items()}
        shown = {s for b in blocks.values() for s in slots(b).ravel()}
        known = self.dataset.stimuli()
        if extra:
            known = Stimuli(pd.concat([known.table, extra.table]))
        lost = sorted(shown - set(known.ids), key=natural_key)
        if lost:
            raise DataError(f"responses name stimulus {lost[0]!r}, which the dataset does not have")
        self.stimuli = digests(known.select(sorted(shown, key=natural_key)))
        self.units = leak_units(self.stimuli)
        self.responses = {s: _with_units(b, self.units) for s, b in blocks.items()}
        self.spaces = dict(self._spaces())
        self._content = dict(
            zip(self.stimuli.ids, self.stimuli.table["digest"].astype(str), strict=True)
        )
        self._row_keys = {s: key_of(list(b.row.values)) for s, b in self.responses.items()}
        self._tasks: dict[tuple[str, str], Task] = {}
        self._planned: dict[tuple[str, str, str], tuple[Task, ...]] = {}
        self._ids_keys: dict[Ids, str] = {}

    def regroup(self, units: pd.Series) -> None:
        """Use other leak units from now on."""
        self.units = units
        self.responses = {s: _with_units(b, units) for s, b in self.responses.items()}
        self._planned.clear()
        self._ids_keys.clear()

    def calls(self) -> list[Call]:
        """The outer calls of the split."""
        stimuli = self.stimuli.with_column("group", [self.units[i] for i in self.stimuli.ids])
        calls: list[Call] = self.split.calls(stimuli)
        return calls

    def tasks(self, member: Member, train: Ids, rows: Ids, inner: bool = False) -> tuple[Task, ...]:
        """What has to be done so that `member`, fitted on `train`, predicts `rows`.

        Where a feature of the member is another member, that one's values on `train` are
        out-of-fold: for each inner part, it is fitted on the rest of `train` alone.
        """
        place = (member.name, self._ids_key(train), self._ids_key(rows))
        if place not in self._planned:
            self._planned[place] = tuple(self._plan(member, train, rows, inner))
        return self._planned[place]

    def find(self, key: str, rows_key: str) -> Task:
        """A task by its keys, among all that the outer calls need."""
        if not self._tasks:
            calls = self.calls()
            outer = [c for c in calls if c.name != "final"]
            for call in calls:
                for member in self.recipe.member:
                    self.tasks(member, call.train, call.test)
                    for fold in outer if call.name == "final" else []:
                        self.tasks(member, fold.train, call.test)
        if (key, rows_key) not in self._tasks:
            raise StriateError(
                f"task {key} is not part of this recipe: do the workers see the same data?"
            )
        return self._tasks[key, rows_key]

    def _plan(self, member: Member, train: Ids, rows: Ids, inner: bool) -> Iterator[Task]:
        names = self.recipe.members_of(member)
        learns = getattr(self.encoders[member.name], "learns", True)
        parts = self._inner(train) if names and learns else []
        apart, together = {}, {}
        for name in names:
            other = self.recipe.named(name)
            together[name] = self.tasks(other, train, rows, inner)
            apart[name] = tuple(
                t for rest, part in parts for t in self.tasks(other, rest, part, inner=True)
            )
        starts: tuple[Task, ...] = ()
        if member.after:
            starts = self.tasks(self.recipe.named(member.after), train, rows)
            self._check_start(member)
        for groups in self._jobs(member):
            start = _containing(starts, groups) if member.after else None
            labels = [
                [(s, self._block_keys[s], key_of(at.tolist())) for s, at in g] for g in groups
            ]
            key = key_of(
                "fit",
                [identity(s) for s in self.steps[member.name]],
                identity(self.encoders[member.name]),
                {n: s.key for n, s in self.spaces_of(member).items()},
                {n: [t.key for t in ts] for n, ts in apart.items()},
                {n: [t.key for t in ts] for n, ts in together.items()},
                self._ids_key(train) if learns else "",
                self.preparation.zscore == "train",
                labels,
                start.key if start else "",
            )
            rows_key = self._ids_key(rows)
            task = Task(
                key, rows_key, member.name, train, rows, groups, apart, together, start, inner
            )
            yield self._tasks.setdefault((key, rows_key), task)

    def _inner(self, train: Ids) -> list[tuple[Ids, Ids]]:
        """Inner parts of a training set: (the rest, the part)."""
        inner = self.recipe.inner
        fold = folds_of([self.units[i] for i in train], inner.folds, inner.seed)
        ids = np.array(train, dtype=object)
        return [(tuple(ids[fold != k]), tuple(ids[fold == k])) for k in range(inner.folds)]

    def _jobs(self, member: Member) -> Iterator[tuple[tuple[Part, ...], ...]]:
        """Groups of targets that share a fit, gathered where all their rows are the same."""
        jobs: dict[str, list[tuple[Part, ...]]] = {}
        for k, group in enumerate(self._groups(member)):
            rows = {self._row_keys[s] for s, _ in group}
            jobs.setdefault(rows.pop() if len(rows) == 1 else f"group {k}", []).append(group)
        yield from (tuple(groups) for groups in jobs.values())

    def _groups(self, member: Member) -> list[tuple[Part, ...]]:
        groups: dict[tuple[str, ...], list[Part]] = {}
        for subject, block in self.responses.items():
            table = target_table(block)
            plain = [label for label in member.per if label != "roi"]
            for label in plain:
                if label not in table and label != "subject":
                    valid = [*(str(c) for c in table if not str(c).startswith("roi:")), "roi"]
                    raise RecipeError(unknown("label in per", label, valid, member.name))
            labels = [
                tuple(subject if p == "subject" else str(table[p].iloc[j]) for p in plain)
                for j in range(len(table))
            ]
            masks = self._regions(member, block) if "roi" in member.per else {"": None}
            for region, mask in masks.items():
                there = np.arange(len(table)) if mask is None else np.flatnonzero(mask)
                found: dict[tuple[str, ...], list[int]] = {}
                for j in there:
                    found.setdefault((*labels[j], region), []).append(int(j))
                for combination, at in found.items():
                    groups.setdefault(combination, []).append((subject, np.array(at)))
        if not groups:
            raise RecipeError(f"member {member.name!r}: per = {list(member.per)} groups no target")
        return [tuple(g) for g in groups.values()]

    def _regions(self, member: Member, block: Responses) -> dict[str, np.ndarray]:
        inside = membership(block)
        named = member.groups or {n: (n,) for n in roi_names(block)}
        known = {n for b in self.responses.values() for n in roi_names(b)}
        if not known:
            raise RecipeError(f"member {member.name!r} is fitted per roi, but targets have none")
        for rois in named.values():
            for roi in rois:
                if roi not in known:
                    raise RecipeError(unknown("roi", roi, known, f"groups of {member.name}"))
        here_too = {n: [r for r in rois if r in inside] for n, rois in named.items()}
        return {n: inside[r].any(axis=1).to_numpy() for n, r in here_too.items() if r}

    def spaces_of(self, member: Member) -> dict[str, Space]:
        """The feature spaces that a member names."""
        patterns = self.recipe.patterns_of(member)
        view = Features(self.spaces, ())
        found: dict[str, Space] = {}
        for pattern in patterns:
            wide = f"{pattern}.*" if pattern in self.features else pattern
            exact = pattern in self.spaces
            found |= view.select([pattern if exact else wide]).spaces
        return found

    def _check_start(self, member: Member) -> None:
        before = self.recipe.named(member.after)
        if before.features != member.features or before.steps != member.steps:
            raise RecipeError(
                f"member {member.name!r} starts after {before.name!r}, so both need the same"
                " features and steps"
            )

    def _spaces(self) -> Iterator[tuple[str, Space]]:
        for name, extractor in self.features.items():
            if getattr(extractor, "by_id", False):
                yield from extractor.space(name).items()
            else:
                key = key_of(identity(extractor))
                yield from stored_spaces(self.store, name, extractor, key, self.stimuli).items()

    def _ids_key(self, ids: Ids) -> str:
        """Digest of stimuli: their ids, contents and leak units."""
        if ids not in self._ids_keys:
            lines = [(i, self._content[i], self.units[i]) for i in ids]
            self._ids_keys[ids] = key_of(lines)
        return self._ids_keys[ids]


def in_order(tasks: Iterable[Task]) -> list[list[Task]]:
    """All tasks that some tasks need, in waves: a wave needs only those before it."""
    level: dict[int, int] = {}
    found: dict[int, Task] = {}

    def visit(task: Task) -> int:
        if id(task) not in level:
            level[id(task)] = 1 + max((visit(t) for t in task.needs), default=-1)
            found[id(task)] = task
        return level[id(task)]

    for task in tasks:
        visit(task)
    waves: list[list[Task]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for key, task in found.items():
        waves[level[key]].append(task)
    return waves


def _with_rows(block: Responses, ids: Ids) -> Responses:
    """The block with a row without values for each stimulus."""
    if slots(block).shape[1] != 1:
        raise DataError("new images can be predicted where a row is one image, but here it is more")
    rows = pd.DataFrame({"stimulus": ids}, index=pd.Index(ids, name="row", dtype=object))
    blank = np.full((len(ids), block.shape[1]), np.nan, dtype=block.dtype)
    table = pd.concat([row_table(block), rows])
    return assemble(np.concatenate([block.values, blank]), table, target_table(block))


def _with_units(block: Responses, units: pd.Series) -> Responses:
    """The block with a label of its rows: the leak units of their stimuli."""
    shown, unit = slots(block), units.to_dict()
    if shown.shape[1] == 1:
        joined = [unit[i] for i in shown[:, 0]]
    else:
        joined = ["|".join(sorted({unit[i] for i in row}, key=natural_key)) for row in shown]
    return block.assign_coords(unit=("row", np.array(joined, dtype=object)))


def _containing(starts: Iterable[Task], groups: tuple[tuple[Part, ...], ...]) -> Task:
    """The parent's task whose targets contain those of the given groups."""
    for task in starts:
        have: dict[str, set[int]] = {}
        for subject, at in (p for g in task.groups for p in g):
            have.setdefault(subject, set()).update(at.tolist())
        if all(set(at.tolist()) <= have.get(s, set()) for g in groups for s, at in g):
            return task
    raise RecipeError(
        "a member that starts after another one needs each of its groups inside one fit of that"
        " one: give the earlier member fewer labels in `per`"
    )
