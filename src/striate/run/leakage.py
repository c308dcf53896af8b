"""Near-duplicate images on both sides of a split: found, told, and measured for what they give."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from striate.data import slots
from striate.media import near_duplicates
from striate.run.plan import Plan
from striate.splits import Call

MOST = 20_000
"""Stimuli beyond which no pairs are compared."""

Pair = tuple[str, str, float]


class LeakageWarning(UserWarning):
    """Stimuli that look nearly the same stand on both sides of a split."""


@dataclass(frozen=True)
class Leakage:
    """Near-duplicate pairs, those that a split parts, and what they were worth.

    `worth` has the headline as split, in the same folds without the partners of their test stimuli
    in training, and the difference, to which the smaller training sets add.
    """

    pairs: tuple[Pair, ...] = ()
    crossing: tuple[Pair, ...] = ()
    action: str = "ignore"
    looked: bool = False
    worth: dict[str, float] | None = None

    @property
    def to_measure(self) -> bool:
        """Whether the answer should be fitted again without these pairs across the folds."""
        return bool(self.crossing) and self.action == "measure"

    def with_worth(self, split: float, grouped: float) -> Leakage:
        """The same with the headline with and without the pairs across the folds."""
        worth = {"as split": split, "grouped": grouped, "leakage": split - grouped}
        return replace(self, worth=worth)

    def note(self) -> dict[str, Any]:
        """What a report tells."""
        return {
            "looked_for_near": self.looked,
            "near": len(self.pairs),
            "near_pairs": [[a, b, round(s, 3)] for a, b, s in self.pairs[:1000]],
            "near_crossing": len(self.crossing),
            "near_action": self.action,
            "leakage": self.worth,
        }


def find_leakage(plan: Plan) -> Leakage:
    """Look for near-duplicates; group them, or warn about those that the split parts."""
    action = plan.recipe.near_duplicates
    images, new = plan.stimuli, set(plan.extra)
    images = images.select(i for i in images.ids if i not in new)
    if "onset" in images.table:
        images = images.select(images.table.index[images.table["onset"].isna()])
    images = images.select(images.table.index[images.table["digest"] != ""])
    if action == "ignore" or not 2 <= len(images) <= MOST:
        return Leakage(action=action)
    pairs = tuple(near_duplicates(images))
    if action == "group":
        plan.regroup([(a, b) for a, b, _ in pairs])
    crossing = _crossing(pairs, plan.calls())
    # Pairs of images that nothing was fitted to, as in fixed RDMs, leak nothing.
    learns = any(getattr(e, "learns", True) for e in plan.encoders.values())
    paired = any(slots(b).shape[1] > 1 for b in plan.responses.values())
    if crossing and learns:
        a, b, similarity = crossing[0]
        advice = 'near_duplicates = "group" or a `group` column of the stimuli'
        if action == "group":
            advice = 'a split that does, such as split = { use = "kfold", folds = 5 }'
        warnings.warn(
            f"{len(crossing)} pairs of nearly identical stimuli stand on both sides of the split,"
            f" such as {a} and {b} (similarity {similarity:.2f}): scores are too high. Keep them"
            f" together with {advice}",
            LeakageWarning,
            stacklevel=3,
        )
    if action == "measure" and (paired or not learns or not _can_group(plan, pairs)):
        action = "warn"
    return Leakage(pairs, crossing, action, looked=True)


def _crossing(pairs: Sequence[Pair], calls: Sequence[Call]) -> tuple[Pair, ...]:
    """The pairs of which one is trained on and the other predicted."""
    sides = [(frozenset(c.train), frozenset(c.test)) for c in calls]
    return tuple(
        (a, b, similarity)
        for a, b, similarity in pairs
        if any((a in t and b in r) or (b in t and a in r) for t, r in sides)
    )


def _can_group(plan: Plan, pairs: Sequence[Pair]) -> bool:
    """Whether the split keeps pairs together when it is told to; fixed ones do not."""
    plan.regroup([(a, b) for a, b, _ in pairs])
    parted = _crossing(pairs, plan.calls())
    plan.regroup(())
    return not parted
