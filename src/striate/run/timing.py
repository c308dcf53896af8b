"""Steps that look at what was shown before: what they must be given so that some stimuli come out.

A step may have a method ``reach(ids, order)`` that names the stimuli whose features its
`transform` reads for those in view. Steps before it then answer for these too, but they are fitted
on the training stimuli alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from striate.data import Features, Order, natural_key
from striate.run.rows import Ids


def timed(steps: Iterable[Any]) -> bool:
    """Whether any of the steps looks beyond the stimuli in view."""
    return any(hasattr(s, "reach") for s in steps)


def needed(steps: Sequence[Any], ids: Ids, order: Order) -> list[Ids]:
    """The stimuli that each step must be given so that `ids` come out, and `ids` at the end.

    Each holds all of the one behind it, in natural order where it is larger.
    """
    found = [ids]
    for step in reversed(steps):
        further = set(step.reach(found[0], order)) - set(found[0]) if timed([step]) else set()
        found.insert(0, in_natural_order({*found[0], *further}) if further else found[0])
    return found


def applied(step: Any, view: Features, ids: Ids) -> Features:
    """The features behind a fitted step for some stimuli; later steps may need the order."""
    return replace(step.transform(view.rows(ids)), order=view.order)


def in_natural_order(ids: Iterable[str]) -> Ids:
    """The ids, sorted."""
    return tuple(sorted(ids, key=natural_key))
