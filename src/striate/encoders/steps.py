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


def transformed(features: Features, arrays: Mapping[str, np.ndarray]) -> Features:
    """Features in view with arrays in the place of spaces; empty spaces are left out."""
    spaces = {n: ArraySpace(features.ids, a) for n, a in arrays.items() if a.size}
    return replace(features, spaces=spaces)


def _floats(features: Features, name: str) -> np.ndarray:
    """A space in its own shape, float32 unless it is float64."""
    values = features[name]
    return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Power(Step):
    """Every value to a power, sign kept: 0.5 tames the long tails of rectified activations."""

    exponent: float = 0.5

    def fit(self, features: Features) -> Power:
        """A copy; nothing is learned."""
        return with_learned(self)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Compressed features, in the shape they came in."""
        done = {}
        for name in features.names:
            x = _floats(features, name)
            size = np.sqrt(np.abs(x)) if self.exponent == 0.5 else np.abs(x) ** self.exponent
            done[name] = np.copysign(size, x)
        return transformed(features, done)


@dataclass(frozen=True)
class Window(Step):
    """A Gaussian window over maps: features near a place weigh more, as in a receptive field.

    Put it behind ``zscore``, which would undo it. Spaces must be maps (channel × height × width).

    Parameters
    ----------
    x, y
        Centre, from −1 (left, top) to 1 (right, bottom).
    width
        Standard deviation, in halves of the map.
    least
        Cells that weigh less than this are left out.

    """

    x: float = 0.0
    y: float = 0.0
    width: float = 0.45
    least: float = 0.01

    def fit(self, features: Features) -> Window:
        """A copy; nothing is learned."""
        return with_learned(self)  # type: ignore[no-any-return]

    def weights(self, height: int, width: int) -> Float[np.ndarray, "height width"]:
        """exp(−d² / 2 width²), with d the distance of each cell's middle from the centre.

        >>> Window(width=1.0).weights(1, 3).round(3)
        array([[0.801, 1.   , 0.801]])
        """
        down = (2 * np.arange(height) + 1) / height - 1 - self.y
        across = (2 * np.arange(width) + 1) / width - 1 - self.x
        return np.exp(-(down[:, None] ** 2 + across**2) / (2 * self.width**2))

    def transform(self, features: Features) -> Features:
        """Weighted cells of every map, side by side."""
        done = {}
        for name in features.names:
            x = _floats(features, name)
            if x.ndim != 4:
                raise RecipeError(
                    f"window needs maps, but {name!r} has shape {x.shape[1:]} per stimulus; pool"
                    ' features to a grid (pool = "mean:6") and put zscore, not pca, before it'
                )
            weight = self.weights(*x.shape[2:]).astype(x.dtype)
            down, across = np.nonzero(weight >= self.least)
            done[name] = (x[:, :, down, across] * weight[down, across]).reshape(len(x), -1)
        return transformed(features, done)


@dataclass(frozen=True)
class ZScore(Step):
    """Each column minus its mean, divided by its standard deviation, both of the training rows.

    Columns nearly constant in training are dropped and counted: a unit that is silent but for a
    handful of stimuli becomes a spike of tens of standard deviations that wrecks a ridge. Maps
    keep their shape: what is dropped of them is zero everywhere.

    Parameters
    ----------
    active
        Drop a column that leaves its most frequent end (its minimum or maximum, within `tolerance`
        of its range) in less than this fraction of the training rows.
    tolerance
        Values within this fraction of the range count as equal.
    refit
        Standardise whatever is transformed by its own mean and deviation, as the kit of Algonauts
        2021 does with test clips: what is predicted for a row then depends on the rows beside it.

    """

    active: float = 0.01
    tolerance: float = 1e-6
    refit: bool = False

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
            x = _floats(features, name)
            shape, x = x.shape, x.reshape(len(x), -1)
            columns = x.shape[1]
            whole = len(s["kept"]) == columns
            x = x if whole else x[:, s["kept"]]
            mean, scale = self._own(x) if self.refit else (s["mean"], s["scale"])
            z = x - mean
            z *= scale
            if len(shape) > 2:
                if not whole:
                    full = np.zeros((len(x), columns), dtype=x.dtype)
                    full[:, s["kept"]] = z
                    z = full
                z = z.reshape(shape)
            done[name] = z
        return transformed(features, done)

    @staticmethod
    def _own(x: Float[np.ndarray, "stimulus feature"]) -> tuple[np.ndarray, np.ndarray]:
        """Means of these rows, and what to multiply with; 0 where they never vary."""
        mean = x.mean(axis=0, dtype=np.float64)
        spread = _deviation(x, mean)
        varies = spread > 1e-7 * np.maximum(np.abs(mean), 1e-30)
        scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
        return mean.astype(x.dtype), scale.astype(x.dtype)


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
                # Centred rows have one dimension less than there are rows.
                count = int(max(1, min(count, x.shape[0] - 1, x.shape[1])))
            solver = Solver(
                n_components=count,
                whiten=self.whiten,
                svd_solver=_solver(count, x.shape),
                random_state=self.seed,
            ).fit(x)
            basis = solver.components_.T
            if self.whiten:
                # Directions without variance in training would blow up rounding: they become 0.
                variance = solver.explained_variance_
                real = variance > 1e-10 * variance.max(initial=0)
                basis = basis * np.where(real, 1 / np.sqrt(np.where(real, variance, 1)), 0)
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


def _solver(count: float | int, shape: tuple[int, ...]) -> str:
    """The cheapest exact solver, or the randomised one where exact ones take minutes."""
    least = min(shape)
    if count < 1 or count > 0.3 * least:
        return "full"
    return "arpack" if least <= 5000 else "randomized"


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
