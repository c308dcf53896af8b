"""New images through the model of an earlier run: fitted on all that the run may train on."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data import Responses, Stimuli, merge
from striate.errors import DataError
from striate.machine import Machine, here, using
from striate.recipe import Recipe
from striate.run.outer import execute
from striate.run.plan import Plan
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
        table = stems.table.assign(part="test")
        table.index = table.index.map(lambda stem: f"new/{stem}")
        plan = Plan(recipe, Stimuli(table))
        new = plan.extra
        calls = plan.calls()
        whole = [c for c in calls if set(new) <= set(c.test)]
        folds = [c for c in calls if c.name != "final"]
        fits = folds if recipe.final == "mean of folds" and len(folds) > 1 else whole
        answer = plan.recipe.member[-1]
        work = Work(plan)
        execute(work, [t for c in fits for t in plan.tasks(answer, c.train, new)])
        return merge(b for c in fits for b in work.predictions(answer, c.train, new).values())
