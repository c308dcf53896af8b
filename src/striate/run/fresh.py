"""New images through the model of an earlier run: fitted on all that the run may train on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

from striate.data import Responses, Stimuli, merge
from striate.errors import DataError
from striate.machine import Machine, here, using
from striate.recipe import Recipe
from striate.run.asked import asked, trains
from striate.run.filling import without_broken
from striate.run.leakage import find_leakage
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
        When images cannot be read, unless the recipe skips those, or the recipe predicts pairs of
        stimuli.

    """
    if not images:
        raise DataError("no images to predict: name a folder or zip that holds some")
    with using(machine or here()):
        stems = Stimuli.from_files(images)
        table = stems.table
        table.index = table.index.map(lambda stem: f"new/{stem}")
        new = Stimuli(table)
        plan = Plan(recipe, new)
        if recipe.on_error == "skip":
            plan, left_out = without_broken(plan, {}, new)
            _warn(left_out.get("stimuli", ()), new)
        if recipe.near_duplicates == "group":
            find_leakage(plan)
        answer, work = plan.recipe.member[-1], Work(plan)
        execute(work, asked(plan))
        fits = [work.predictions(answer, train, plan.extra) for train in trains(plan)]
        return merge(b for found in fits for b in found.values())


def _warn(left_out: Iterable[Mapping[str, str]], new: Stimuli) -> None:
    """Tell which of the new images are not predicted."""
    lines = [line for line in left_out if line["stimulus"] in new.ids]
    if lines:
        first = f"{lines[0]['stimulus']}: {lines[0]['error']}"
        warnings.warn(f"{len(lines)} of {len(new)} images left out, such as {first}", stacklevel=3)
