"""Features before fits: every row that tasks will read is extracted before the first one starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.data import ArraySpace, Stimuli, natural_key, slots
from striate.errors import DataError, StriateError
from striate.machine import here, track
from striate.media.files import SUFFIXES as IMAGES
from striate.run.plan import Plan, Task
from striate.run.remote import Shard, Source, fill_remotely
from striate.store import Broken, Piece, StoredSpace, Table, fill

TOGETHER = 4
"""Tables over films that are filled in step; the networks of so many are in memory at once."""
SHARDS = 16
"""Parts of a table per worker: a dead or slow one holds up no more than its part."""

Tables = dict[Table, tuple[str, ...]]
"""Tables of features, and the nodes of each that are read."""
Told = dict[str, dict[str, Any]]
"""What became of each table of features, for the report."""


def fill_for(plan: Plan, tasks: Sequence[Task], told: Told) -> None:
    """Extract all rows that are missing of the feature tables that some tasks read.

    What was done is added to `told`.

    Raises
    ------
    StriateError
        When a row cannot be made, or a task needs a stimulus that there is nothing to read of.

    """
    tables = tables_of(plan, (t.member for t in tasks))
    for table, nodes in tables.items():
        lost = set(table.without())
        for task in tasks if lost else ():
            if table in tables_of(plan, [task.member]) and (need := lost & _needs(plan, task)):
                space = f"{table.name}.{nodes[0]}" if nodes[0] else table.name
                table.digests(sorted(need, key=natural_key), space)
    _fill(plan, tables, told)


def without_broken(
    plan: Plan, told: Told, extra: Stimuli | None = None
) -> tuple[Plan, dict[str, Any]]:
    """The same plan for the stimuli whose features can be computed, and what was left out.

    All tables of all members are filled on the way. `extra` is what the plan was made with.

    Raises
    ------
    DataError
        When no stimulus is left.

    """
    tables = tables_of(plan, (m.name for m in plan.recipe.member))
    broken: Broken = {}
    _fill(plan, tables, told, broken)
    reasons: dict[str, str] = {}
    failed = {d: r for rows in broken.values() for d, r in rows.items()}
    for table in tables:
        for i, content in table.digest.items():
            if reason := failed.get(content) if content else table.nothing(i):
                reasons.setdefault(i, reason)
    for member in plan.recipe.member:
        for name, space in plan.spaces_of(member).items():
            known = set(space.ids) if isinstance(space, ArraySpace) else set(plan.stimuli.ids)
            for i in plan.stimuli.ids:
                if i not in known:
                    reasons.setdefault(i, f"has no row in features {name!r}")
    if not reasons:
        return plan, {}
    if set(plan.stimuli.ids) <= set(reasons):
        first = next(i for i in plan.stimuli.ids if i in reasons)
        raise DataError(
            f"features can be computed for none of the stimuli; of {first!r}: {reasons[first]}"
        )
    files = plan.around.table["file"].astype(str)
    gone = [i for i in plan.around.ids if i in reasons]
    lines = [{"stimulus": i, "file": files[i], "error": reasons[i]} for i in gone]
    rows = {
        s: sum(not set(gone).isdisjoint(row) for row in slots(b)) for s, b in plan.responses.items()
    }
    return Plan(plan.source, extra, reasons), {"stimuli": lines, "rows": rows}


def tables_of(plan: Plan, members: Iterable[str]) -> Tables:
    """The stored tables that some members read, with the nodes that they read of each."""
    found: dict[Table, dict[str, None]] = {}
    for name in dict.fromkeys(members):
        for space in plan.spaces_of(plan.recipe.named(name)).values():
            if isinstance(space, StoredSpace):
                found.setdefault(space.table, {})[space.node] = None
    return {t: tuple(nodes) for t, nodes in found.items()}


def _needs(plan: Plan, task: Task) -> set[str]:
    """The stimuli whose features a task reads."""
    member = plan.recipe.named(task.member)
    found: set[str] = set()
    for subject in task.subjects:
        rows = plan.rows.of(subject, task.rows)
        found.update(slots(plan.responses[subject].isel(row=rows)).ravel())
    if plan.learns(member) or plan.steps[member.name]:
        found.update(plan.rows.seen(task.subjects, task.train)[0])
    return found


def _fill(plan: Plan, tables: Tables, told: Told, broken: Broken | None = None) -> None:
    # Tables of the same extractor, under several names, have their rows in common.
    first: dict[str, Table] = {}
    nodes: dict[str, dict[str, None]] = {}
    for table, read in tables.items():
        first.setdefault(table.entry.key, table)
        nodes.setdefault(table.entry.key, {}).update(dict.fromkeys(read))
    remote = bool(here().scheduler)
    # Workers check the files that they read themselves.
    todo = {t: t.missing(() if remote else nodes[k]) for k, t in first.items()}
    todo = {t: pieces for t, pieces in todo.items() if pieces}
    seconds: dict[str, float] = {}
    if todo:
        run = _fill_remotely if remote else _fill_here
        seconds = run(plan, todo, broken)
    for table in tables:
        failed = (broken or {}).get(table.name, {})
        asked = sum(map(len, todo.get(table, ())))
        _tell(told, table, asked - len(failed), seconds.get(table.name, 0.0))


def _fill_here(
    plan: Plan, todo: Mapping[Table, Sequence[Piece]], broken: Broken | None
) -> dict[str, float]:
    files = plan.around.table["file"].astype(str)
    # Images are cheap to decode again, and networks take memory.
    films = any(f and not f.lower().endswith(IMAGES) for f in files)
    return fill(todo, TOGETHER if films else 1, broken)


def _fill_remotely(
    plan: Plan, todo: Mapping[Table, Sequence[Piece]], broken: Broken | None
) -> dict[str, float]:
    machine, source = here(), Source.of(plan)
    lent, count = machine.lent(), SHARDS * machine.workers()
    shards: list[tuple[Shard, int]] = []
    for table, missing in todo.items():
        pieces, lost = table.pieces(), {d for p in missing for d in p}
        size = math.ceil(len(pieces) / count)
        for k in range(0, len(pieces), size):
            rows = sum(d in lost for p in pieces[k : k + size] for d in p)
            shard = Shard(source, lent, table.name, k, k + size, broken is not None)
            shards += [(shard, rows)] if rows else []
    seconds = {t.name: 0.0 for t in todo}
    found = zip(shards, machine.map(fill_remotely, [s for s, _ in shards]), strict=True)
    total = sum(rows for _, rows in shards)
    for (shard, _), (spent, bad) in track(found, total, "extracting", lambda f: f[0][1]):
        seconds[shard.table] += spent
        if broken is not None:
            broken.setdefault(shard.table, {}).update(bad)
    for table in todo:
        failed = (broken or {}).get(table.name, {})
        left = sum(d not in failed for p in table.missing(()) for d in p)
        if left:
            raise StriateError(
                f"workers left {left} rows of features {table.name!r} out of"
                f" {table.entry.folder}: do they see the same data and the same store?"
            )
    return seconds


def _tell(told: Told, table: Table, extracted: int, seconds: float) -> None:
    """Add what was done for a table to what is told of it."""
    facts = table.entry.facts(d for piece in table.pieces() for d in piece)
    line = told.setdefault(table.name, {"extracted": 0, "seconds": 0.0})
    line["extracted"] += extracted
    line["seconds"] = round(line["seconds"] + seconds, 3)
    line["found"] = max(0, facts.pop("rows") - line["extracted"])
    line["spaces"] = len(table.nodes)
    line |= facts
