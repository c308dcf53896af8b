"""Partial least squares of many targets: directions of features that share most with the targets.

With X and Y centred, each component takes the weights w of largest |Y'X w|, |w| = 1, where X has
lost what earlier components explained. Only G = X'X and M = X'Y Y'X are needed for that (Dayal &
MacGregor 1997, doi:10.1002/(SICI)1099-128X(199701)11:1<73::AID-CEM435>3.0.CO;2-#):

    r = w - R P'w, scaled to r'G r = 1;  p = G r;  q = Y'X r;  M <- (I - p r') M (I - r p')

and the coefficients of the first a components are R_a Q_a'. Folds change G and M by what their own
rows add, and one path of components answers for all numbers of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import (
    Array,
    Workers,
    double,
    eigh,
    gram,
    intercept_of,
    on_cpu,
    rounded,
    workers,
)
from striate.solvers._budget import Need, fitting
from striate.solvers._ridge_asked import check, check_folds, check_penalty, choose

NOTHING = 1e-12
"""Squared covariance with the targets, in parts of the first, below which a component is noise."""


@dataclass(frozen=True)
class PLSFit:
    """A fitted PLS: predictions are `(x - center) @ coef + level`.

    All have the type of the input. `components` is the number of each target's components, and
    `loss` its mean squared error on held-out rows with each number that was tried (None where none
    was chosen), both in float64.
    """

    coef: Float[Array, "feature target"]
    center: Float[Array, " feature"]
    level: Float[Array, " target"]
    components: Float[Array, " target"]
    loss: Float[Array, "number target"] | None = None

    @property
    def intercept(self) -> Float[Array, " target"]:
        """The predictions where all features are zero."""
        return intercept_of(self.coef, self.center, self.level)

    def predict(self, x: Float[Array, "row feature"]) -> Float[Array, "row target"]:
        """Return the predictions for `x`."""
        return (x - self.center) @ self.coef + self.level


def pls_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    components: int | Sequence[int],
    folds: Int[np.ndarray, " row"],
    *,
    choice: Literal["target", "global"] | Int[np.ndarray, " target"] = "target",
    memory: int = 2 << 30,
    threads: int | None = None,
) -> PLSFit:
    """Fit PLS with the number of components that predicts held-out rows best.

    The components serve all targets together; each target's coefficients use the first so many.
    Predictions are those of scikit-learn's `PLSRegression(scale=False)`.

    - `x`, `y`: float32 or float64, both the same; NumPy arrays or torch tensors, and the result is
      of the same kind. Targets of larger variance have a larger say in the components.
    - `components`: numbers to choose from, or the largest of 1, 2, …; 0 predicts the mean. Of
      numbers with equal errors the smallest is chosen.
    - `folds`: a label per row; rows with the same label are held out together.
    - `choice`: a number per "target", one "global" number, or one for targets with equal labels.
    - `memory`: bytes beyond a centred copy of `x` and the result. `threads`: workers on the CPU.

    Where the features explain nothing more, further components are zero. Raises `DataError` for
    shapes that do not fit, NaN, fewer than two folds or a negative number of components. Wold,
    Sjöström & Eriksson 2001, doi:10.1016/S0169-7439(01)00155-1.

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    >>> fit = pls_cv(x, 2 * x[:, :1] + 1, 2, np.arange(4))
    >>> fit.predict(x).round(9).ravel().tolist()
    [1.0, 3.0, 5.0, 7.0]
    """
    order, bounds = check_folds(folds, x.shape[0])
    return _fitted(x, y, _numbers(components), order, bounds, choice, memory, threads)


def pls(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    components: int,
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> PLSFit:
    """Fit PLS with a given number of components. Everything else as for `pls_cv`.

    >>> x = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> pls(x, 3 * x.sum(axis=1, keepdims=True), 2).coef.round(9).ravel().tolist()
    [3.0, 3.0]
    """
    numbers = _numbers([components])
    return _fitted(x, y, numbers, None, [(0, x.shape[0])], "target", memory, threads)


def pls_need(rows: int, features: int, components: int, folds: int) -> Need:
    """Return the bytes that a fit takes beyond a centred copy of x, `each` for one target."""
    rank = min(rows, features)
    fixed = 8 * ((folds + 5) * rank * rank + 2 * rows * rank)
    fixed += 8 * components * (folds + 1) * 3 * (rows + rank) + 16 * components * features
    each = 8 * (3 * rows + 3 * rank + 6 * components) + 8 * features
    return Need(f"PLS of {features:,} features on {rows:,} rows", fixed, each)


def _numbers(components: int | Sequence[int]) -> np.ndarray:
    given = [components] if isinstance(components, int) else list(components)
    if not given or min(given) < (1 if isinstance(components, int) else 0):
        raise DataError(f"components {components!r}: give a number of 1 or more, or several")
    if isinstance(components, int):
        return np.arange(1, components + 1)
    return np.unique(np.asarray(given))


def _fitted(
    x: Array,
    y: Array,
    numbers: np.ndarray,
    order: np.ndarray | None,
    bounds: list[tuple[int, int]],
    choice: str | np.ndarray,
    memory: int,
    threads: int | None,
) -> PLSFit:
    (x, y), back = on_cpu(x, y)
    check(x, y)
    shared = check_penalty(choice, y.shape[1])
    xp, gpu = array_namespace(x), not is_numpy_array(x)
    n, p = x.shape
    need = pls_need(n, p, int(numbers[-1]), len(bounds))
    many = len(bounds) > 1
    with workers(fitting(threads, 2.0 * n * min(n, p) * (p + y.shape[1])), gpu=gpu) as crew:
        blocks = [slice(*b) for b in need.batches(y.shape[1], memory, shares=crew.threads)]
        fit = _Fit(x, y, order, bounds if many else [], blocks, crew)
        paths = fit.paths(int(numbers[-1]))
        tried = xp.asarray(numbers, dtype=xp.float64, device=device(x))
        loss = None
        best = xp.broadcast_to(tried[-1], (y.shape[1],))
        if many:
            loss = fit.losses(paths[1:], numbers)
            best = choose(loss, tried, shared)
        coef, level = fit.solve(paths[0], best)
    center, level = rounded(fit.mean, level, coef, x.dtype)
    coef, center, level, best = map(back, (coef, center, level, xp.asarray(best, copy=True)))
    return PLSFit(coef, center, level, best, None if loss is None else back(loss / n))


@dataclass(frozen=True, eq=False)
class _Path:
    """The components of one training set: scores of rows are `(z - mean) @ turn`."""

    held_out: slice | None
    rows: int
    mean: Float[Array, " rank"]
    turn: Float[Array, "rank component"]


class _Fit:
    """All training sets of one problem: x turned into at most as many columns as rows, and y.

    Turning the rows changes no prediction: where features outnumber rows, X = Z B' with orthonormal
    B is fitted by Z.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        order: np.ndarray | None,
        bounds: list[tuple[int, int]],
        blocks: list[slice],
        crew: Workers,
    ) -> None:
        xp = array_namespace(x)
        self.y, self.blocks, self.crew = y, blocks, crew
        self.order = None if order is None else xp.asarray(order, device=device(x))
        self.mean = xp.mean(x, axis=0, dtype=xp.float64)
        x = x if self.order is None else xp.take(x, self.order, axis=0)
        x = x - xp.astype(self.mean, x.dtype)
        rest = xp.mean(x, axis=0, dtype=xp.float64)  # what rounding left of the mean
        if x.shape[1] <= x.shape[0]:
            self.z, self.x, self.turn = double(x) - rest, None, None
        else:
            x -= xp.astype(rest, x.dtype)
            kernel = gram(x.T)
            values, vectors = eigh(kernel - xp.mean(kernel, axis=0)[:, None] - _rows(kernel))
            alive = xp.nonzero(values > values[-1] * x.shape[0] * 2.3e-16)[0]
            size = xp.sqrt(xp.take(values, alive))
            vectors = xp.take(vectors, alive, axis=1)
            self.z, self.x, self.turn = vectors * size, x, vectors / size
        self.total = gram(self.z)
        self.sets: list[tuple[slice | None, int, Any]] = [(None, x.shape[0], 0 * self.z[0, :])]
        for a, b in bounds:
            rows = x.shape[0] - (b - a)
            self.sets.append((slice(a, b), rows, -xp.sum(self.z[a:b, :], axis=0) / rows))

    def _block(self, at: slice) -> tuple[Any, Any]:
        """Targets in the order of the folds, centred over all rows, in float64; and their means."""
        xp = array_namespace(self.y)
        block = self.y[:, at]
        mean = xp.mean(block, axis=0, dtype=xp.float64)
        block = block if self.order is None else xp.take(block, self.order, axis=0)
        return double(block) - mean, mean

    def _shared(self, y: Array, products: Array, at: int) -> tuple[Array, Any]:
        """Z'Y of a training set, both centred over it; and the means of its targets."""
        held_out, rows, mean = self.sets[at]
        if held_out is None:
            return products, 0.0
        xp, left = array_namespace(y), y[held_out, :]
        level = -xp.sum(left, axis=0) / rows
        return products - self.z[held_out, :].T @ left - rows * mean[:, None] * level, level

    def paths(self, count: int) -> list[_Path]:
        """The components of every training set, all rows first."""
        xp, rank = array_namespace(self.z), self.z.shape[1]
        squares = [
            xp.zeros((rank, rank), dtype=xp.float64, device=device(self.z)) for _ in self.sets
        ]
        for at in self.blocks:
            y, _ = self._block(at)
            products = self.z.T @ y

            def add(k: int, y: Array = y, products: Array = products) -> None:
                own, _ = self._shared(y, products, k)
                squares[k] += own @ own.T

            self.crew.map(add, range(len(self.sets)))

        def path(k: int) -> _Path:
            held_out, rows, mean = self.sets[k]
            own = self.total
            if held_out is not None:
                left = self.z[held_out, :]
                own = own - left.T @ left - rows * mean[:, None] * mean
            return _Path(held_out, rows, mean, _components(own, squares[k], min(count, rows - 1)))

        return self.crew.map(path, range(len(self.sets)))

    def losses(self, paths: list[_Path], numbers: np.ndarray) -> Float[Array, "number target"]:
        """Squared errors of held-out rows, summed over rows, with each number of components."""
        xp = array_namespace(self.z)
        shape = (len(numbers), self.y.shape[1])
        total = xp.zeros(shape, dtype=xp.float64, device=device(self.z))

        def job(at: slice) -> None:
            y, _ = self._block(at)
            products = self.z.T @ y
            for k, path in enumerate(paths, start=1):
                own, level = self._shared(y, products, k)
                scores = (self.z[path.held_out, :] - path.mean) @ path.turn
                error = y[path.held_out, :] - level
                total[:, at] += _errors(path.turn.T @ own, scores, error, numbers)

        self.crew.map(job, self.blocks)
        return total

    def solve(self, path: _Path, best: Float[Array, " target"]) -> tuple[Array, Array]:
        """Coefficients and means of all targets, each with its own number of components."""
        xp = array_namespace(self.z)
        turn = path.turn
        if self.x is not None:
            turn = double(self.x.T @ xp.astype(self.turn @ turn, self.x.dtype))
        coef = xp.empty((turn.shape[0], self.y.shape[1]), dtype=self.y.dtype, device=device(self.y))
        level = xp.empty((self.y.shape[1],), dtype=xp.float64, device=device(self.y))
        place = xp.arange(turn.shape[1], device=device(turn))[:, None]

        def job(at: slice) -> None:
            y, level[at] = self._block(at)
            loads = path.turn.T @ (self.z.T @ y)
            loads = loads * xp.astype(place < best[at], xp.float64)
            coef[:, at] = xp.astype(turn @ loads, coef.dtype, copy=False)

        self.crew.map(job, self.blocks)
        return coef, level


def _rows(kernel: Float[Array, "n n"]) -> Float[Array, "1 n"]:
    """What is left to subtract of a matrix whose columns lost their means, so that rows do too."""
    xp = array_namespace(kernel)
    return (xp.mean(kernel, axis=0) - xp.mean(kernel))[None, :]


def _components(
    gram: Float[Array, "rank rank"], squares: Float[Array, "rank rank"], count: int
) -> Float[Array, "rank component"]:
    """Return R: weights of the components, whose scores are orthonormal. Overwrites `squares`."""
    xp = array_namespace(gram)
    found: list[Any] = []
    loads: list[Any] = []
    first, length = 0.0, float(xp.sum(xp.linalg.diagonal(gram)))
    for _ in range(min(count, gram.shape[0])):
        value, r = _dominant(squares)
        first = max(first, value)
        if not value > NOTHING * first:
            break
        for _ in range(2):  # once more for what rounding left
            for one, load in zip(found, loads, strict=True):
                r = r - one * (load @ r)
        size = float(r @ gram @ r)
        if not size > 2.3e-16 * gram.shape[0] * length * float(r @ r):
            break
        r = r / size**0.5
        p = gram @ r
        found.append(r)
        loads.append(p)
        s = squares @ r
        squares -= p[:, None] * s + s[:, None] * p - p[:, None] * (p * (r @ s))
    if not found:
        return gram[:, :0]
    return xp.stack(found, axis=1)


def _dominant(a: Float[Array, "n n"]) -> tuple[float, Float[Array, " n"]]:
    """Return the largest eigenvalue of a symmetric matrix, and its vector."""
    n = a.shape[0]
    if not is_numpy_array(a):
        values, vectors = array_namespace(a).linalg.eigh(a)
        return float(values[-1]), vectors[:, -1]
    if n > 300:
        begin = a[:, int(np.diagonal(a).argmax())]
        try:
            values, vectors = scipy.sparse.linalg.eigsh(a, k=1, which="LA", v0=begin)
            return float(values[0]), vectors[:, 0]
        except scipy.sparse.linalg.ArpackError:  # it found no gap: the slower way needs none
            pass
    values, vectors = scipy.linalg.eigh(
        a, subset_by_index=[n - 1, n - 1], driver="evr", check_finite=False
    )
    return float(values[0]), vectors[:, 0]


def _errors(
    loads: Float[Array, "component target"],
    scores: Float[Array, "row component"],
    error: Float[Array, "row target"],
    numbers: np.ndarray,
) -> Float[Array, "number target"]:
    """Return |error - sum of the first a scores times loads|^2 for each number a.

    From the products of scores with each other and with the targets, not from the predictions.
    """
    xp = array_namespace(error)
    own, both = scores.T @ scores, scores.T @ error
    loss = xp.sum(error * error, axis=0)
    found, done = [], 0
    for number in numbers.tolist():
        for a in range(done, min(number, loads.shape[0])):
            within = own[a, a] * loads[a, :] + 2 * (own[a, :a] @ loads[:a, :])
            loss = loss + loads[a, :] * (within - 2 * both[a, :])
            done = a + 1
        found.append(loss)
    return xp.stack(found)
