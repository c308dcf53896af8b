"""One stimulus as the features see it: an example for the report, or any file.

An extractor may have a method ``picture(stimuli)``; the first line of its words is the caption.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.data import Stimuli
from striate.errors import DataError, FileError, RecipeError
from striate.machine import Machine, here, using
from striate.media import digests, is_film
from striate.recipe import Recipe, expand
from striate.registry import build
from striate.report import Look, Looks
from striate.run.plan import Plan

MOST = 24
"""Tables of features that are asked for the report: a sweep can have hundreds."""


def example(plan: Plan) -> Looks | None:
    """What the features of the recipe's members see of one stimulus; never an error.

    It is the first film, or else the first stimulus with a file.
    """
    table = plan.stimuli.table
    there = [i for i, d in zip(plan.stimuli.ids, table["digest"], strict=True) if d]
    files = {i: str(table.loc[i, "file"]) for i in there}
    films = [i for i in there if is_film(files[i])]
    chosen = next(iter(films or [i for i in there if files[i]]), None)
    if chosen is None:
        return None
    read = {s for m in plan.recipe.member for s in plan.spaces_of(m)}
    used = [n for n in plan.features if any(f"{s}.".startswith(f"{n}.") for s in read)]
    extractors = {n: plan.features[n] for n in used[:MOST]}
    found = _looks(extractors, plan.stimuli.select([chosen]))
    return found if found.seen else None


def look(recipe: Recipe, file: str, machine: Machine | None = None) -> Looks:
    """What the features of a recipe see of one image, film or sound; no data set is opened.

    Raises
    ------
    RecipeError
        When the recipe has no features.
    FileError
        When there is no such file.
    DataError
        When none of the features has a picture of it.

    """
    with using(machine or here()):
        features = expand(recipe).features
        if not features:
            raise RecipeError("the recipe has no features that could see a file; choose another")
        shown = digests(Stimuli.from_files([file]))
        if not shown.table["digest"].iloc[0]:
            raise FileError(f"{file}: there is no such file")
        extractors = {n: build("extractor", t, recipe.base) for n, t in features.items()}
        found = _looks(extractors, shown)
    if not found.seen:
        name, why = next(iter(found.without.items()))
        raise DataError(f"none of the features has a picture of {file}; {name!r}: {why}")
    return found


def _looks(extractors: Mapping[str, Any], stimulus: Stimuli) -> Looks:
    seen, without = [], {}
    for name, extractor in extractors.items():
        try:
            seen.append(_look(name, extractor, stimulus))
        # A picture is for people to look at: whatever befalls it, numbers do not depend on it.
        except Exception as error:
            without[name] = str(error) or type(error).__name__
    return Looks(stimulus.ids[0], tuple(seen), without)


def _look(name: str, extractor: Any, stimulus: Stimuli) -> Look:
    draw = getattr(extractor, "picture", None)
    pixels = draw(stimulus) if callable(draw) else None
    if pixels is None:
        raise DataError("draws no picture")
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"its picture is an array {pixels.shape} of {pixels.dtype}, not (row, column, 3) of"
            " uint8"
        )
    words = (inspect.getdoc(draw) or "").strip().partition("\n")[0]
    return Look(name, pixels, words)
