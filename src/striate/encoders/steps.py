"""Transformations of features, fitted on the training stimuli of each fit and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from striate.data import ArraySpace, Features
from striate.errors import RecipeError
from striate.interfaces import Step, with_learned


def transformed(
    features: Features, arrays: Mapping[str, Float[np.ndarray, "stimulus feature"]]
) -> Features:
    """Features in view with arrays in the place of spaces; empty spaces are left out."""
    spaces = {n: ArraySpace(features.ids, a) for n, a in arrays.items() if a.shape[1]}
    return replace(features, spaces=spaces)


@dataclass(frozen=True)
class ZScore(Step):
    """Each column minus its mean, divided by its standard deviation, both of the training rows.

    Columns nearly constant in training are dropped and counted: a unit that is silent but for a
    handful of stimuli becomes a spike of tens of standard deviations that wrecks a ridge.

    Parameters
    ----------
    active
        Drop a column that leaves its most frequent end (its minimum or maximum, within `tolerance`
        of its range) in less than this fraction of the training rows.
    tolerance
        Values within this fraction of the range count as equal.

    """

    active: float = 0.01
    tolerance: float = 1e-6

    def fit(self, features: Features) -> ZScore:
        """A copy with means, deviations and the columns kept."""
        learned: dict[str, Any] = {}
        seen = dropped = 0
        for name in features.names:
            x = features.matrix(name)
            low, high = x.min(axis=0), x.max(axis=0)
            slack = (high - low) * self.tolerance
            rare = np.minimum((x > low + slack).mean(axis=0), (x < high - slack).mean(axis=0))
            mean = x.mean(axis=0, dtype=np.float64)
            spread = _deviation(x, mean)
            kept = (rare >= self.active) & (spread > 1e-7 * np.maximum(np.abs(mean), 1e-30))
            seen, dropped = seen + x.shape[1], dropped + int((~kept).sum())
            learned[name] = {
                "kept": np.flatnonzero(kept),
                "mean": mean[kept].astype(x.dtype),
                "scale": (1 / spread[kept]).astype(x.dtype),
            }
        if seen == dropped:
            raise RecipeError(f"zscore: all {seen} columns are nearly constant in training")
        note = {"columns": seen, "columns dropped": dropped}
        return with_learned(self, spaces_=learned, note_=note)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Standardised features of the stimuli in view."""
        done = {}
        for name, s in self.spaces_.items():  # type: ignore[attr-defined]
            x = features.matrix(name)
            x = x - 0 if len(s["kept"]) == x.shape[1] else x[:, s["kept"]]
            x -= s["mean"]
            x *= s["scale"]
            done[name] = x
        return transformed(features, done)


def _deviation(
    x: Float[np.ndarray, "stimulus feature"], mean: Float[np.ndarray, " feature"]
) -> Float[np.ndarray, " feature"]:
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), 256):
        centred = x[start : start + 256] - mean
        total += np.einsum("ij,ij->j", centred, centred)
    return np.maximum(np.sqrt(total / len(x)), 1e-300)


@dataclass(frozen=True)
class PCA(Step):
    """Principal components of the training rows, of each space or of all spaces side by side.

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

    """

    components: float = 100
    joint: bool = False
    whiten: bool = False
    seed: int = 0

    def fit(self, features: Features) -> PCA:
        """A copy with means and components."""
        from sklearn.decomposition import PCA as Solver  # noqa: N811

        learned = {}
        for name, x in _spaces(features, self.joint).items():
            count = float(self.components)
            if count >= 1:
                count = int(min(count, *x.shape))
            # Exact where it is cheap; otherwise randomised with a fixed seed.
            exact = count < 1 or min(x.shape) <= 2000
            solver = Solver(
                n_components=count,
                whiten=self.whiten,
                svd_solver="full" if exact else "randomized",
                random_state=self.seed,
            ).fit(x)
            basis = solver.components_.T
            if self.whiten:
                basis = basis / np.sqrt(np.maximum(solver.explained_variance_, 1e-30))
            learned[name] = {
                "mean": solver.mean_.astype(x.dtype),
                "basis": np.ascontiguousarray(basis).astype(x.dtype),
                "explained": float(solver.explained_variance_ratio_.sum()),
            }
        note = {f"variance kept of {n}": s["explained"] for n, s in learned.items()}
        return with_learned(self, spaces_=learned, note_=note)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Component scores of the stimuli in view."""
        x = _spaces(features, self.joint)
        learned: dict[str, Any] = self.spaces_  # type: ignore[attr-defined]
        done = {n: (x[n] - s["mean"]) @ s["basis"] for n, s in learned.items()}
        return transformed(features, done)


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
        widths = {n: int(features.matrix(n).shape[1]) for n in features.names}
        return with_learned(self, widths_=widths)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Projected features of the stimuli in view."""
        from sklearn.random_projection import SparseRandomProjection

        done = {}
        for name, width in self.widths_.items():  # type: ignore[attr-defined]
            x = features.matrix(name)
            if width > self.components:
                # The matrix follows from the seed and the width alone, so it is never stored.
                solver = SparseRandomProjection(self.components, random_state=self.seed)
                solver.fit(np.zeros((1, width), dtype=x.dtype))
                x = np.asarray(solver.transform(x)).astype(x.dtype, copy=False)
            done[name] = x
        return transformed(features, done)


def _spaces(features: Features, joint: bool) -> dict[str, np.ndarray]:
    arrays = {n: features.matrix(n) for n in features.names}
    return {"pca": np.concatenate(list(arrays.values()), axis=1)} if joint else arrays
