"""New images through the model of an earlier run: fitted on all that the run may train on."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data import Responses, Stimuli, merge
from striate.errors import DataError
from striate.machine import Machine, here, using
from striate.recipe import Recipe
from striate.run.leakage import find_leakage
from striate.run.outer import execute
from striate.run.plan import Plan
from striate.run.rows import Ids
from striate.run.work import Work


def predict_images(
    recipe: Recipe, images: Sequence[str], machine: Machine | None = None
) -> dict[str, Responses]:
    """Responses of every subject and target to images that were never shown.

    The answer of the recipe is fitted on every stimulus that is not set aside as a test, or, with
    ``final = "mean of folds"``, the mean of the folds' fits predicts. Fits that are in the store
    are not done again. Rows are named ``new/<stem>``.

    Raises
    ------
    StriateError
        When images cannot be read, or the recipe predicts pairs of stimuli.

    """
    if not images:
        raise DataError("no images to predict: name a folder or zip that holds some")
    with using(machine or here()):
        stems = Stimuli.from_files(images)
        table = stems.table
        table.index = table.index.map(lambda stem: f"new/{stem}")
        plan = Plan(recipe, Stimuli(table))
        if recipe.near_duplicates == "group":
            find_leakage(plan)
        answer, work = plan.recipe.member[-1], Work(plan)
        tasks = [t for train in _trains(plan) for t in plan.tasks(answer, train, plan.extra)]
        execute(work, tasks)
        fits = [work.predictions(answer, train, plan.extra) for train in _trains(plan)]
        return merge(b for found in fits for b in found.values())


def _trains(plan: Plan) -> list[Ids]:
    """Training sets of the folds, or the one of all that may be trained on."""
    outer, last = plan.outer(), [c for c in plan.calls() if c.name == "final"]
    if plan.recipe.final == "mean of folds" and len(outer) > 1:
        return [c.train for c in outer]
    if last:
        return [last[0].train]
    part, new = plan.stimuli.table["part"].astype(str), set(plan.extra)
    return [tuple(i for i in plan.stimuli.ids if part[i] in ("", "train") and i not in new)]
