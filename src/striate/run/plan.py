"""What has to be done: the tasks of a recipe, each under a key of all that decides its numbers.

`Plan.tasks` is the recursion: what must be fitted and predicted so that a member, trained on some
stimuli, answers for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from striate.data import (
    Features,
    Opened,
    Order,
    Responses,
    Space,
    Stimuli,
    digest,
    has_truth,
    natural_key,
    slots,
)
from striate.data.responses import roi_names
from striate.errors import DataError, RecipeError, StriateError, unknown
from striate.machine import here
from striate.prepare import Preparation
from striate.recipe import Member, Recipe, expand
from striate.registry import build, identity, key_of, make
from striate.run.content import (
    contents,
    digested,
    without_listed,
    without_rows,
    without_stimuli,
)
from striate.run.groups import Group, Job, jobs_of
from striate.run.rows import Ids, Rows, named, with_rows, with_units
from striate.run.timing import in_natural_order, needed, timed
from striate.scores import SCORES
from striate.splits import Call, folds_of, joined, kept_apart, leak_units
from striate.store import open_store, stored_spaces

Predictions = dict[str, Responses]


@dataclass(frozen=True, eq=False)
class Task:
    """One fit of a member on `train`, and its predictions for the rows of the stimuli `rows`.

    `groups` share the fit's rows; `apart` and `together` are the tasks of the members that are
    this one's features: out-of-fold on `train`, and on `rows`.
    """

    key: str
    rows_key: str
    member: str
    train: Ids
    rows: Ids
    groups: tuple[Group, ...]
    apart: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    together: Mapping[str, tuple[Task, ...]] = field(default_factory=dict)
    start: Task | None = None

    @property
    def needs(self) -> tuple[Task, ...]:
        """The tasks whose products this one reads."""
        inputs = [t for ts in (*self.apart.values(), *self.together.values()) for t in ts]
        return (*inputs, *([self.start] if self.start else []))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects whose targets are fitted."""
        return tuple(dict.fromkeys(s for g in self.groups for s, _ in g))


class Plan:
    """A recipe with its data opened, and the tasks that it asks for.

    Parameters
    ----------
    recipe
        Sweeps and all; nothing is extracted or fitted on construction.
    extra
        Stimuli beyond the dataset's and its split: every subject gets a row without values for
        each, to be predicted.
    without
        Stimuli to leave out, with all rows that answer to them, as if they were not there.

    """

    def __init__(
        self, recipe: Recipe, extra: Stimuli | None = None, without: Iterable[str] = ()
    ) -> None:
        self.source, self.without = recipe, tuple(without)
        self.recipe = expand(recipe)
        base = recipe.base
        for score in recipe.scores:
            if score not in SCORES:
                raise RecipeError(unknown("score", score, SCORES))
        self.store = open_store(here().store)
        self.dataset = build("dataset", recipe.dataset, base)
        self.preparation: Preparation = make(Preparation, recipe.responses, "responses", base)
        split = build("split", recipe.split, base) if recipe.split else self.dataset.split()
        self.split = without_listed(split, self.without)
        self.features = {n: build("extractor", t, base) for n, t in self.recipe.features.items()}
        self.steps = {
            m.name: tuple(build("step", s, base) for s in m.steps) for m in self.recipe.member
        }
        self.encoders = {m.name: build("encoder", m.encoder, base) for m in self.recipe.member}
        given = self.dataset.responses()
        blocks = self.preparation(
            Opened(tuple(given), lambda s: without_rows(named(given[s], s), self.without))
        )
        # Rows without values decide no fit, so they are no part of what was fitted on.
        self._block_keys = {s: digest(b[has_truth(b)]) for s, b in blocks.items()}
        extra = without_stimuli(extra, self.without) if extra else None
        self.extra = extra.ids if extra else ()
        if extra:
            blocks = {s: with_rows(b, extra.ids) for s, b in blocks.items()}
        shown = {s for b in blocks.values() for s in slots(b).ravel()}
        known = without_stimuli(self.dataset.stimuli(), self.without)
        if extra:
            known = Stimuli(pd.concat([known.table, extra.table]))
        lost = sorted(shown - set(known.ids), key=natural_key)
        if lost:
            raise DataError(f"responses name stimulus {lost[0]!r}, which the dataset does not have")
        steps, ids = self.steps.values(), in_natural_order(shown)
        self.order = Order.of(known) if any(map(timed, steps)) else Order()
        # A chunk that nobody answered to may yet be a feature of those behind it.
        around = shown.union(*(needed(s, ids, self.order)[0] for s in steps if timed(s)))
        skip = recipe.on_error == "skip"
        self.around = digested(known.select(in_natural_order(around)), skip)
        self.stimuli = self.around.select(ids)
        self.rows = Rows(blocks, self.stimuli.ids)
        self._layouts = {s: self.rows.layout(s) for s in blocks}
        self.spaces = dict(self._spaces())
        self._content = contents(self.around, self.spaces)
        self._others: dict[str, tuple[str, ...]] = {}
        self._spaces_of: dict[str, dict[str, Space]] = {}
        self._jobs: dict[object, tuple[tuple[Job, str], ...]] = {}
        self._tasks: dict[tuple[str, str], Task] = {}
        self._blocks = blocks
        self._check_members()
        self.regroup(())

    def regroup(self, pairs: Sequence[tuple[str, str]], same_folds: bool = False) -> None:
        """Never part the stimuli of these pairs from now on, beside those of one leak unit.

        With `same_folds` the test sides stay as they are without the pairs: what forms a pair with
        a test stimulus leaves the training side.
        """
        self.pairs, self.same_folds = tuple(pairs), same_folds
        # New images are never scored, so their copies may be trained on.
        known = self.stimuli.select(
            sorted(set(self.stimuli.ids) - set(self.extra), key=natural_key)
        )
        # What a split keeps together in its folds stays together in the folds inside of them.
        further = getattr(self.split, "group", "group")
        columns = ("group", "digest", *({further} & set(known.table) - {"group"}))
        units = joined(leak_units(known, columns), pairs)
        self.units = pd.concat([units, pd.Series({i: i for i in self.extra}, dtype=object)])
        self.responses = {s: with_units(b, self.units) for s, b in self._blocks.items()}
        self._planned: dict[tuple[str, str, str], tuple[Task, ...]] = {}
        self._ids_keys: dict[Ids, str] = {}
        self._seen_keys: dict[tuple[str, Ids], str] = {}
        self._rows_keys: dict[tuple[str, str], str] = {}
        self.kept: set[str] = set()
        given = leak_units(known, columns) if same_folds else units
        self._calls: list[Call] = self.split.calls(
            known.with_column("group", [given[i] for i in known.ids])
        )
        if same_folds:
            self._calls = [kept_apart(c, units) for c in self._calls]

    def calls(self) -> list[Call]:
        """All calls of the split."""
        return self._calls

    def outer(self) -> list[Call]:
        """The calls whose predictions are scored."""
        return [c for c in self._calls if c.name != "final"]

    def final(self) -> list[Call]:
        """The calls for stimuli outside of every fold: by a refit, or by the fits of the folds."""
        last = [c for c in self._calls if c.name == "final"]
        if self.recipe.final == "refit":
            return last
        # What shares a unit with a test stimulus is in no training set of the last call.
        clean = [(f, set(f.train)) for f in last]
        return [
            Call("final", tuple(i for i in c.train if i in kept), f.test)
            for f, kept in clean
            for c in self.outer()
        ]

    def ending(self) -> tuple[Member, ...]:
        """The members that predict the final calls: all where there is truth, else the answer."""
        members = self.recipe.member
        return members if self.measured(self.final()) else members[-1:]

    def wanted(self) -> list[Task]:
        """The tasks of every outer and final call."""
        asked = [(m, c) for c in self.outer() for m in self.recipe.member]
        asked += [(m, c) for c in self.final() for m in self.ending()]
        return [t for m, c in asked for t in self.tasks(m, c.train, c.test)]

    def measured(self, calls: Iterable[Call]) -> Predictions:
        """The measured rows that some calls predict, by subject."""
        found = {}
        for subject, block in self.responses.items():
            rows = [self.rows.of(subject, c.test, measured=True) for c in calls]
            at = np.unique(np.concatenate(rows)) if rows else np.empty(0)
            if len(at):
                found[subject] = block.isel(row=at).load()
        return found

    def tasks(self, member: Member, train: Ids, rows: Ids, inner: bool = False) -> tuple[Task, ...]:
        """What has to be done so that `member`, fitted on `train`, predicts `rows`.

        Where a feature of the member is another member, that one's values on `train` are
        out-of-fold: for each inner part, it is fitted on the rest of `train` alone. The fits of an
        `inner` call, which only serves another member's training, need not be kept.
        """
        place = (member.name, self._ids_key(train), self._ids_key(rows))
        if place not in self._planned:
            self._planned[place] = tuple(self._plan(member, train, rows, inner))
        if not inner:
            self.kept.update(t.key for t in self._planned[place])
        return self._planned[place]

    def find(self, key: str, rows_key: str) -> Task:
        """A task by its keys, among all that the calls of the recipe need."""
        if not self._planned:
            self.wanted()
        if (key, rows_key) not in self._tasks:
            raise StriateError(
                f"task {key} is not part of this recipe: do the workers see the same data?"
            )
        return self._tasks[key, rows_key]

    def _plan(self, member: Member, train: Ids, rows: Ids, inner: bool) -> Iterator[Task]:
        names = self._members_of(member)
        steps, learns = self.steps[member.name], self.learns(member)
        parts = self.inner(train) if names and learns else []
        apart, together = {}, {}
        for name in names:
            other = self.recipe.named(name)
            together[name] = self.tasks(other, train, rows, inner)
            apart[name] = tuple(
                t for rest, part in parts for t in self.tasks(other, rest, part, inner=True)
            )
        starts: tuple[Task, ...] | None = None
        if member.after:
            starts = self.tasks(self.recipe.named(member.after), train, rows)
            self._check_start(member)
        fitted = learns or steps or self.preparation.zscore == "train"
        # Lists, not tables: the order of features and members decides numbers too.
        shared = key_of(
            [identity(s) for s in steps],
            identity(self.encoders[member.name]),
            [[n, s.key] for n, s in self.spaces_of(member).items()],
            [[n, [t.key for t in ts]] for n, ts in apart.items()],
            [[n, [t.key for t in ts]] for n, ts in together.items()],
            self._seen_key(member, train) if fitted else "",
            self.preparation.zscore == "train",
        )
        for job, labels in self._jobs_of(member, starts):
            start = starts[job.start] if starts and job.start is not None else None
            key = key_of("fit", shared, labels, start.key if start else "")
            subjects = {s: self._rows_key(s, rows) for g in job.groups for s, _ in g}
            rows_key = key_of(self._seen_key(member, rows), subjects)
            task = Task(key, rows_key, member.name, train, rows, job.groups, apart, together, start)
            yield self._tasks.setdefault((key, rows_key), task)

    def inner(self, train: Ids) -> list[tuple[Ids, Ids]]:
        """Inner parts of a training set: (the rest, the part)."""
        inner = self.recipe.inner
        fold = folds_of([self.units[i] for i in train], inner.folds, inner.seed)
        ids = np.array(train, dtype=object)
        return [(tuple(ids[fold != k]), tuple(ids[fold == k])) for k in range(inner.folds)]

    def learns(self, member: Member) -> bool:
        """Whether a member's encoder depends on what it is fitted on."""
        return bool(getattr(self.encoders[member.name], "learns", True))

    def _jobs_of(
        self, member: Member, starts: Sequence[Task] | None
    ) -> tuple[tuple[Job, str], ...]:
        """The fits of a member, each with a digest of the responses that it sees."""
        place = (member.per, tuple(member.groups.items()), member.after)
        if place not in self._jobs:
            before = None if starts is None else [t.groups for t in starts]
            jobs = jobs_of(member, self.responses, self._layouts, before)
            self._jobs[place] = tuple((j, self._labels(j)) for j in jobs)
        return self._jobs[place]

    def _labels(self, job: Job) -> str:
        return key_of(
            [[(s, self._block_keys[s], at.tolist()) for s, at in group] for group in job.groups]
        )

    def _members_of(self, member: Member) -> tuple[str, ...]:
        """The earlier members that a member names."""
        if member.name not in self._others:
            self._others[member.name] = self.recipe.members_of(member)
        return self._others[member.name]

    def spaces_of(self, member: Member) -> dict[str, Space]:
        """The feature spaces that a member names."""
        if member.name not in self._spaces_of:
            view = Features(self.spaces, ())
            found: dict[str, Space] = {}
            for pattern in self.recipe.patterns_of(member):
                wide = f"{pattern}.*" if pattern in self.features else pattern
                exact = pattern in self.spaces
                found |= view.select([pattern if exact else wide]).spaces
            self._spaces_of[member.name] = found
        return self._spaces_of[member.name]

    def _check_start(self, member: Member) -> None:
        before = self.recipe.named(member.after)
        if before.features != member.features or before.steps != member.steps:
            raise RecipeError(
                f"member {member.name!r} starts after {before.name!r}, so both need the same"
                " features and steps"
            )

    def _check_members(self) -> None:
        """Ask encoders that can tell whether they fit their members and the regions."""
        regions = dict.fromkeys(n for b in self._blocks.values() for n in roi_names(b))
        for member in self.recipe.member:
            check = getattr(self.encoders[member.name], "check", None)
            if check is not None:
                check(self._members_of(member), tuple(regions))

    def _spaces(self) -> Iterator[tuple[str, Space]]:
        for name, extractor in self.features.items():
            if hasattr(extractor, "open_spaces"):  # reads where its rows are; nothing is stored
                yield from extractor.open_spaces(name, self.around).items()
            else:
                key = key_of(identity(extractor))
                yield from stored_spaces(self.store, name, extractor, key, self.around).items()

    def _ids_key(self, ids: Ids) -> str:
        """Digest of stimuli: their ids, contents and leak units."""
        if ids not in self._ids_keys:
            lines = [(i, self._content[i], self.units[i]) for i in ids]
            self._ids_keys[ids] = key_of(lines)
        return self._ids_keys[ids]

    def _seen_key(self, member: Member, ids: Ids) -> str:
        """Digest of stimuli, and of the chunks around them that make the member's features."""
        place = member.name, ids
        if place not in self._seen_keys:
            around = in_natural_order(self._reached(member, ids))
            lines = [(i, self._content[i], *self.order.places.get(i, ())) for i in around]
            own = self._ids_key(ids)
            self._seen_keys[place] = key_of(own, lines) if lines else own
        return self._seen_keys[place]

    def _reached(self, member: Member, ids: Ids) -> set[str]:
        """The chunks that decide features of some stimuli, of its members too; none without time.

        The stimuli themselves are among them: their places decide too.
        """
        steps = self.steps[member.name]
        found = set(needed(steps, ids, self.order)[0]) if timed(steps) else set()
        for name in self._members_of(member):
            found |= self._reached(self.recipe.named(name), ids)
        return found

    def _rows_key(self, subject: str, ids: Ids) -> str:
        """Digest of the rows of a subject that some stimuli have."""
        place = (subject, self._ids_key(ids))
        if place not in self._rows_keys:
            self._rows_keys[place] = self.rows.key(subject, ids)
        return self._rows_keys[place]


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
