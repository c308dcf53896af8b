"""Transformations of features that learn nothing: powers, windows over maps, polynomials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from jaxtyping import Float

from striate.data import ArraySpace, Features
from striate.encoders.rowwise import changed, matrix, rows_of
from striate.errors import RecipeError
from striate.interfaces import Step, with_learned


def transformed(features: Features, arrays: Mapping[str, np.ndarray]) -> Features:
    """Features in view with arrays in the place of spaces; empty spaces are left out."""
    spaces = {n: ArraySpace(features.ids, a) for n, a in arrays.items() if a.size}
    return replace(features, spaces=spaces)


@dataclass(frozen=True)
class Power(Step):
    """Every value to a power, sign kept: 0.5 tames the long tails of rectified activations."""

    exponent: float = 0.5

    def fit(self, features: Features) -> Power:
        """A copy; nothing is learned."""
        return with_learned(self)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Compressed features, in the shape they came in."""
        return changed(features, rows_of(features), dict.fromkeys(features.names, self._power))

    def _power(self, x: Float[np.ndarray, "stimulus ..."]) -> Float[np.ndarray, "stimulus ..."]:
        size = np.sqrt(np.abs(x)) if self.exponent == 0.5 else np.abs(x) ** self.exponent
        return np.copysign(size, x)


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
        rows = rows_of(features)
        for name, have in rows.items():
            if have.first.ndim != 4:
                raise RecipeError(
                    f"window needs maps, but {name!r} has shape {have.first.shape[1:]} per"
                    ' stimulus; pool features to a grid (pool = "mean:6") and put zscore, not pca,'
                    " before it"
                )
        return changed(features, rows, dict.fromkeys(rows, self._weigh))

    def _weigh(
        self, x: Float[np.ndarray, "stimulus channel height width"]
    ) -> Float[np.ndarray, "stimulus feature"]:
        weight = self.weights(*x.shape[2:]).astype(x.dtype)
        down, across = np.nonzero(weight >= self.least)
        return (x[:, :, down, across] * weight[down, across]).reshape(len(x), -1)


@dataclass(frozen=True)
class Polynomial(Step):
    """Every column, its powers, and products of columns, as scikit-learn's `PolynomialFeatures`.

    The columns of each space grow from p to (p + degree)! / (p! degree!) - 1, so put it behind
    ``pca`` and put ``zscore`` behind it.

    Parameters
    ----------
    degree
        The largest power, and the most columns of a product.
    interactions
        Products of different columns as well as powers of each.
    joint
        All spaces side by side become the one space ``polynomial``.
    limit
        The most columns that may come out of a space.

    Raises
    ------
    RecipeError
        When `degree` is below 1, and in `fit` when a space would have more columns than `limit`.

    """

    degree: int = 2
    interactions: bool = True
    joint: bool = False
    limit: int = 50_000

    def __post_init__(self) -> None:
        if self.degree < 1:
            raise RecipeError(f"polynomial: degree {self.degree} must be 1 or more")

    def fit(self, features: Features) -> Polynomial:
        """A copy; nothing is learned but the number of columns."""
        columns = {}
        for name, have in rows_of(features, self._together).items():
            columns[name] = self.columns(have.width)
            if columns[name] > self.limit:
                raise RecipeError(
                    f"polynomial: the {have.width} columns of {name!r} would become"
                    f" {columns[name]:,}, more than {self.limit:,}: put pca before it with fewer"
                    " components, or raise its `limit`"
                )
        note = {f"columns of {n}": c for n, c in columns.items()}
        return with_learned(self, columns_=columns, note_=note)  # type: ignore[no-any-return]

    @property
    def _together(self) -> str:
        return "polynomial" if self.joint else ""

    def columns(self, width: int) -> int:
        """How many columns so many become.

        >>> Polynomial().columns(100), Polynomial(interactions=False).columns(100)
        (5150, 200)
        """
        if not self.interactions:
            return width * self.degree
        return comb(width + self.degree, self.degree) - 1

    def transform(self, features: Features) -> Features:
        """All columns, then all products of two, of three, and so on."""
        rows = rows_of(features, self._together)
        return changed(features, rows, dict.fromkeys(rows, self._products))

    def _products(
        self, x: Float[np.ndarray, "stimulus ..."]
    ) -> Float[np.ndarray, "stimulus feature"]:
        x = matrix(x)
        width = x.shape[1]
        out = np.empty((len(x), self.columns(width)), dtype=x.dtype)
        out[:, :width] = x
        low, high = 0, width
        # Where in the products of the last degree those begin that start with each column.
        starts = list(range(width))
        for _ in range(self.degree - 1):
            end, begins = high, []
            for column, start in enumerate(starts):
                stop = high if self.interactions else low + column + 1
                begins.append(end - high)
                first = low + start
                out[:, end : end + stop - first] = out[:, first:stop] * x[:, column, None]
                end += stop - first
            low, high, starts = high, end, begins
        return out
