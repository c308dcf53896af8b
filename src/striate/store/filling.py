"""Tables filled in step with each other, so that a film that several need is decoded once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

from striate.data import natural_key
from striate.machine import track
from striate.store.tables import Piece, Table

Broken = dict[str, dict[str, str]]
"""Rows that could not be made: name of the table → digest → reason."""


def fill(
    todo: Mapping[Table, Sequence[Piece]], together: int = 1, broken: Broken | None = None
) -> dict[str, float]:
    """Extract and store the rows of some pieces of some tables; returns seconds by table.

    Parameters
    ----------
    todo
        Tables and the pieces of each that are to be filled.
    together
        Tables that are filled in step: all go through the stimuli in natural order, and it is
        always the turn of the one that is least far. The networks of so many are in memory.
    broken
        Where to tell stimuli whose rows cannot be made, and go on; None: the first one is an
        error.

    """
    seconds = {t.name: 0.0 for t in todo}
    total = sum(len(p) for pieces in todo.values() for p in pieces)
    names = [t.name for t in todo]
    label = names[0] if len(names) == 1 else f"{len(names)} features"
    for _ in track(_steps(todo, together, broken, seconds), total, label, lambda s: s[1]):
        pass
    return seconds


def _steps(
    todo: Mapping[Table, Sequence[Piece]],
    together: int,
    broken: Broken | None,
    seconds: dict[str, float],
) -> Iterator[tuple[str, int]]:
    tables = list(todo)
    for start in range(0, len(tables), together):
        with ExitStack() as stack:
            running: dict[str, Iterator[tuple[str, int]]] = {}
            place = {t.name: natural_key("") for t in tables}
            for table in tables[start : start + together]:
                told = None if broken is None else broken.setdefault(table.name, {})
                steps = table.filling(todo[table], told)
                running[table.name] = stack.enter_context(closing(steps))
            while running:
                name = min(running, key=lambda n: place[n])
                began = time.perf_counter()
                step = next(running[name], None)
                seconds[name] += time.perf_counter() - began
                if step is None:
                    del running[name]
                    continue
                place[name] = natural_key(step[0])
                yield step
