"""The things one can plug in: a dataset, an extractor, an encoder, and an encoder's steps.

A component is a dataclass whose fields never change after construction: they are its
configuration, its line in a recipe and its key. `fit` returns a copy that carries what was learned
in attributes ending in ``_``. A class attribute ``version`` (default 1) is part of the key: raise
it when a change of code changes numbers. `striate.machine.here()` tells device, batch and memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from striate.data import Features, Responses, Stimuli
from striate.errors import StriateError
from striate.splits import Parts, Split

Group: TypeAlias = Sequence[Responses]
"""Blocks (one per subject) that share one fit; they need not share rows."""


@runtime_checkable
class Dataset(Protocol):
    """One corpus or challenge: what was shown, what was measured, how it is judged.

    Further methods, and a class attribute, count where there are any:

    ``facts``
        A `striate.datasets.facts.Facts`: where to get the corpus, under which agreement, how large
        it is, what to cite, the expected tree.
    ``inspect()``
        Goes through a copy file by file and yields `striate.datasets.facts.Finding`; it goes on
        behind what is wrong. For ``striate check``.
    ``check_submission(path)``
        Raises for the first thing for which the challenge would refuse a file.
    ``submission_warnings(path="")``
        Lines about what this copy lacks of the challenge, or what could not be checked against it.
    ``ceilings()``
        A table of noise ceilings, with their unit.
    ``twin(folder, size, seed)``
        A static method that writes a made-up copy whose right answers are known, and returns them.

    """

    def stimuli(self) -> Stimuli:
        """What was shown."""
        ...

    def responses(self) -> Mapping[str, Responses]:
        """Measurements by subject, rows × targets (× repeats).

        Rows of a hidden test are present and NaN. What is large is a `striate.data.Opened` of
        blocks whose values are a `striate.data.OnDisk`: nothing is read that nobody asks for.
        """
        ...

    def split(self) -> Split:
        """The split that recipes use unless they name one."""
        return Parts()

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """The corpus's own score: a mapping of scores, each with ``value``, ``unit``, ``by_roi``.

        ``official`` is exactly as published, ``corrected`` the same without its faults. Where
        whole targets or subjects are not predicted, ``partial`` stands in the place of
        ``official``, the same over the others, and both tell ``not_predicted`` and ``of``; see
        `striate.datasets.scored.Share`. Nothing where the corpus has none, or there is no truth.
        """
        return {}

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write the file that the challenge asks for and return its path."""
        raise StriateError(
            f"{type(self).__name__} has no submission format; predictions are in `predictions/`"
        )


@runtime_checkable
class Extractor(Protocol):
    """Stimuli → arrays, frozen and cached: sees no responses and learns nothing.

    Further methods, and a field, count where there are any:

    ``content(stimuli)``
        A digest per stimulus of what its row is made of, such as its words, and empty where there
        is nothing to make a row of. Not there: a row is made of the file, or a piece of it.
    ``open_spaces(name, stimuli)``
        All spaces of the table `name` (``<name>.<space>``, or just `name` for a space without a
        name) as `striate.data.Space`, which read themselves: nothing is stored.
    ``picture(stimuli)``
        What it sees of the first stimulus, for people to look at: an array (row, column, 3) of 8
        bits, or None. The first line of the method's docstring is its caption.
    ``dtype``
        A field: floating values are stored as ``float32`` or ``float16``.

    """

    def names(self) -> Sequence[str]:
        """Names of the spaces that one pass fills, such as node names."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """What stands for the fields in the key: no paths, but digests of weights and the like."""
        ...

    def __call__(self, stimuli: Stimuli) -> Iterator[Mapping[str, np.ndarray]]:
        """Batches in the order of the stimuli: space name → array (stimulus, …)."""
        ...


@runtime_checkable
class Step(Protocol):
    """A transformation of features that is fitted on the stimuli of each fit.

    A step over time also has a method ``reach(ids, order)``: the stimuli whose features `transform`
    reads for `ids`, by a `striate.data.Order`. It is then given features of these too (those of
    `ids` by ``features.rows``), but is fitted on the training stimuli alone.
    """

    def fit(self, features: Features) -> Step:
        """A copy that has seen the training stimuli in view."""
        ...

    def transform(self, features: Features) -> Features:
        """The transformed features of the stimuli in view."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Fits features to responses and predicts rows.

    A further method counts where there is one:

    ``check(members, regions)``
        Raises a `striate.errors.RecipeError` where the configuration does not fit the names of the
        members that are its features, or the regions of the responses (of any subject). It is
        asked before anything is fitted.

    """

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Encoder:
        """A fitted copy.

        `features` sees the training stimuli; all `groups` share the same rows unless a group joins
        subjects who saw different stimuli. Rows carry a label ``unit``: rows of one unit must not
        be parted by inner folds. `start` is another fitted encoder to begin from.
        """
        ...

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses for `rows`, whose values are ignored, for all targets fitted."""
        ...


def with_learned(component: Any, **values: Any) -> Any:
    """A copy of `component` that carries learned attributes, whose names end in ``_``."""
    fitted = copy(component)
    for name, value in values.items():
        if not name.endswith("_"):
            raise ValueError(f"learned attributes end in '_', but {name!r} does not")
        object.__setattr__(fitted, name, value)
    return fitted


def learned(component: Any) -> dict[str, Any]:
    """The learned attributes of a component, by name."""
    return {n: v for n, v in vars(component).items() if n.endswith("_") and not n.startswith("_")}
