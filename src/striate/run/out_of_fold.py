"""Predictions of what a member was not fitted on, among the training stimuli of a call."""

from __future__ import annotations

from pathlib import Path

from striate.data import Responses
from striate.errors import RecipeError, unknown
from striate.machine import Machine, here, using
from striate.recipe import Recipe
from striate.report import read_run
from striate.run.outer import execute, in_calls
from striate.run.reopened import planned, recipe_of
from striate.run.work import Work


def out_of_fold(
    run: Recipe | Path | str, member: str = "", call: str = "", machine: Machine | None = None
) -> dict[str, Responses]:
    """Out-of-fold predictions of a member on the training stimuli of a call, by subject.

    For each inner part of the training stimuli, the member is fitted on the rest of them: what an
    ensemble of it would be fitted to. Fits that are in the store are not done again. The label
    ``call`` of a row names its part: ``part0``, ``part1``, … These rows can be scored with
    `striate.scores.score_table`.

    Parameters
    ----------
    run
        The folder of a run, or a recipe.
    member
        By default the answer.
    call
        Name of a call of the split; by default the first.
    machine
        Whose store, device and threads to use.

    Raises
    ------
    RecipeError
        When there is no such member or call.

    """
    with using(machine or here()):
        if isinstance(run, Recipe):
            plan = planned(run)
        else:
            report = read_run(Path(run))
            plan = planned(recipe_of(report), report)
        names = [m.name for m in plan.recipe.member]
        if member and member not in names:
            raise RecipeError(unknown("member", member, names))
        one = plan.recipe.named(member or names[-1])
        calls = {c.name: c for c in [*plan.calls()[::-1], *plan.outer()[::-1]]}
        chosen = call or plan.calls()[0].name
        if chosen not in calls:
            raise RecipeError(unknown("call", chosen, calls))
        parts = plan.inner(calls[chosen].train)
        work = Work(plan)
        execute(work, [t for rest, part in parts for t in plan.tasks(one, rest, part, inner=True)])
        return in_calls(
            (f"part{k}", work.predictions(one, rest, part)) for k, (rest, part) in enumerate(parts)
        )
