"""Fewer columns that tell most of what all do: principal components and random projections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from striate.data import Features
from striate.encoders.linear import lent, on_cpu
from striate.encoders.rowwise import Change, Rows, changed, matrix, rows_of
from striate.errors import RecipeError
from striate.interfaces import Step, with_learned
from striate.machine import here
from striate.solvers.components import (
    Components,
    Solver,
    principal_components,
    streamed_components,
)

Basis: TypeAlias = dict[str, Any]
"""Of one space: ``mean``, ``basis`` (feature × component), ``rest`` and ``explained``."""


@dataclass(frozen=True)
class PCA(Step):
    """Principal components of the training rows, of each space or of all spaces side by side.

    Spaces larger than the machine's memory are read in blocks of rows.

    Parameters
    ----------
    components
        How many, or (below 1) the fraction of variance to keep.
    joint
        All spaces side by side become the one space ``pca``.
    whiten
        Unit variance of every component in training.
    seed
        Of the randomised solver.
    solver
        ``exact``, ``randomized``, or ``auto``: exact unless rows and columns are both above 5,000
        and the components few.

    """

    components: float = 100
    joint: bool = False
    whiten: bool = False
    seed: int = 0
    solver: Solver = "auto"

    version = 2

    def __post_init__(self) -> None:
        if not self.components > 0:
            raise RecipeError(
                f"pca: components {self.components} must be a number of 1 or more, or a fraction"
                " of variance"
            )
        if self.solver == "randomized" and self.components < 1:
            raise RecipeError(
                f"pca: the randomized solver cannot find {self.components} of the variance: ask"
                ' for a number of components, or take solver = "exact"'
            )

    def fit(self, features: Features) -> PCA:
        """A copy with means and components."""
        learned: dict[str, Basis] = {}
        for name, rows in rows_of(features, "pca" if self.joint else "").items():
            found = self._found(rows)
            kind, variance = rows.first.dtype, on_cpu(found.variance)
            basis, mean = on_cpu(found.basis), on_cpu(found.mean)
            if self.whiten:
                # Directions without variance in training would blow up rounding: they become 0.
                real = variance > 1e-10 * variance.max(initial=0)
                basis = basis * np.where(real, 1 / np.sqrt(np.where(real, variance, 1)), 0)
            near = mean.astype(kind)
            learned[name] = {
                "mean": near,
                "basis": np.ascontiguousarray(basis).astype(kind),
                # What rounding left of the mean, where it is rounded at all.
                "rest": ((mean - near) @ basis).astype(kind),
                "explained": float(variance.sum() / found.total),
            }
        note = {f"variance kept of {n}": s["explained"] for n, s in learned.items()}
        return with_learned(self, spaces_=learned, note_=note)  # type: ignore[no-any-return]

    def _found(self, rows: Rows) -> Components:
        count = self.components if self.components < 1 else int(self.components)
        memory = here().memory
        if not rows.large:
            (x,) = lent(matrix(rows.whole))
            return principal_components(x, count, solver=self.solver, seed=self.seed, memory=memory)

        def read(part: slice) -> Any:
            return lent(rows.part(part))[0]

        return streamed_components(
            read,
            len(rows),
            rows.width,
            count,
            solver=self.solver,
            seed=self.seed,
            memory=memory,
            itemsize=rows.first.itemsize,
        )

    def transform(self, features: Features) -> Features:
        """Component scores of the stimuli in view."""
        learned: dict[str, Basis] = self.spaces_  # type: ignore[attr-defined]
        rows = rows_of(features, "pca" if self.joint else "")
        return changed(features, rows, {n: partial(_scores, s) for n, s in learned.items()})


def _scores(
    learned: Basis, x: Float[np.ndarray, "stimulus ..."]
) -> Float[np.ndarray, "stimulus component"]:
    return (matrix(x) - learned["mean"]) @ learned["basis"] - learned["rest"]


@dataclass(frozen=True)
class Projection(Step):
    """Sparse random projection of each space (Li, Hastie & Church 2006).

    Parameters
    ----------
    components
        Columns of each projected space; spaces with fewer columns stay as they are.
    seed
        Of the random matrix.

    """

    components: int = 2000
    seed: int = 0

    def fit(self, features: Features) -> Projection:
        """A copy that knows the width of every space."""
        widths = {n: rows.width for n, rows in rows_of(features).items()}
        return with_learned(self, widths_=widths)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Projected features of the stimuli in view."""
        rows = rows_of(features)
        widths: dict[str, int] = self.widths_  # type: ignore[attr-defined]
        return changed(features, rows, {n: self._change(w, rows[n]) for n, w in widths.items()})

    def _change(self, width: int, rows: Rows) -> Change:
        from sklearn.random_projection import SparseRandomProjection

        if width <= self.components:
            return matrix
        # The matrix follows from the seed and the width alone, so it is never stored.
        solver = SparseRandomProjection(self.components, random_state=self.seed)
        solver.fit(np.zeros((1, width), dtype=rows.first.dtype))

        def project(x: Float[np.ndarray, "stimulus ..."]) -> Float[np.ndarray, "stimulus feature"]:
            return np.asarray(solver.transform(matrix(x))).astype(x.dtype, copy=False)

        return project
