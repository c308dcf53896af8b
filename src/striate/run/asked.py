"""The tasks that a run asks for: those of its split, or those that predict new images."""

from __future__ import annotations

from striate.run.plan import Plan, Task
from striate.run.rows import Ids


def asked(plan: Plan) -> list[Task]:
    """The tasks of every call of the split, or of the answer for stimuli beyond the dataset's."""
    if not plan.extra:
        return plan.wanted()
    answer = plan.recipe.member[-1]
    return [t for train in trains(plan) for t in plan.tasks(answer, train, plan.extra)]


def trains(plan: Plan) -> list[Ids]:
    """Training sets of the folds, or the one of all that may be trained on."""
    outer, last = plan.outer(), [c for c in plan.calls() if c.name == "final"]
    if plan.recipe.final == "mean of folds" and len(outer) > 1:
        return [c.train for c in outer]
    if last:
        return [last[0].train]
    part, new = plan.stimuli.table["part"].astype(str), set(plan.extra)
    return [tuple(i for i in plan.stimuli.ids if part[i] in ("", "train") and i not in new)]
