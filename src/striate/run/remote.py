"""Work on other machines: each plans the recipe itself, and finds what it is asked for by name."""

from __future__ import annotations

import threading
import tomllib
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from striate.data import Stimuli
from striate.machine import Machine, keep_freed_memory, using
from striate.recipe import parse
from striate.registry import key_of
from striate.run.asked import asked
from striate.run.plan import Ids, Plan
from striate.run.resolve import resolved
from striate.run.work import Work
from striate.store import StoredSpace, fill

_PLANNING = threading.Lock()


@dataclass(frozen=True)
class Source:
    """What a plan is made from, as text: the recipe, further images, and stimuli left out.

    `data` is a digest of what stimuli held when the plan was made: workers that live longer than a
    run must not go on with what files held before.
    """

    recipe: str
    extra: tuple[tuple[str, str], ...] = ()
    without: Ids = ()
    data: str = ""

    @classmethod
    def of(cls, plan: Plan) -> Source:
        """The source of a plan."""
        files = plan.stimuli.table["file"].astype(str)
        extra = tuple((i, files[i]) for i in plan.extra)
        held = plan.around.table["digest"].astype(str)
        return cls(resolved(plan).toml(), extra, plan.without, key_of(list(held.items())))


@dataclass(frozen=True)
class Fit:
    """One task, by its keys."""

    source: Source
    pairs: tuple[tuple[str, str], ...]
    same_folds: bool
    machine: Machine
    key: str
    rows_key: str


@dataclass(frozen=True)
class Shard:
    """Pieces of a table of features, by their places among all pieces of the table."""

    source: Source
    machine: Machine
    table: str
    first: int
    last: int
    skip: bool


def fit_remotely(job: Fit) -> tuple[str, float]:
    """Do one task; returns its key and its seconds."""
    _at_start()
    with using(job.machine):
        with _PLANNING:
            work = _work_of(job.source, job.pairs, job.same_folds)
        return job.key, work.execute(work.plan.find(job.key, job.rows_key))


def fill_remotely(job: Shard) -> tuple[float, dict[str, str]]:
    """Extract what is still missing; returns seconds, and the rows that cannot be made."""
    _at_start()
    with using(job.machine):
        with _PLANNING:
            plan = _plan_of(job.source)
        spaces = [s for s in plan.spaces.values() if isinstance(s, StoredSpace)]
        table = next(s.table for s in spaces if s.table.name == job.table)
        with table.lock:
            pieces = table.missing((), table.pieces()[job.first : job.last])
            broken: dict[str, dict[str, str]] | None = {} if job.skip else None
            seconds = fill({table: pieces}, broken=broken) if pieces else {}
        return sum(seconds.values(), 0.0), (broken or {}).get(table.name, {})


@lru_cache(maxsize=1)
def _at_start() -> None:
    """What the command line does for its own process."""
    keep_freed_memory()


@lru_cache(maxsize=1)
def _plan_of(source: Source) -> Plan:
    extra = None
    if source.extra:
        ids, files = zip(*source.extra, strict=True)
        extra = Stimuli(pd.DataFrame({"file": files}, index=list(ids)))
    return Plan(parse(tomllib.loads(source.recipe)), extra, source.without)


@lru_cache(maxsize=1)
def _work_of(source: Source, pairs: tuple[tuple[str, str], ...], same_folds: bool) -> Work:
    plan = copy(_plan_of(source))  # grouping replaces attributes, and changes nothing in place
    plan.regroup(pairs, same_folds)
    asked(plan)
    return Work(plan)
