"""Could the score be chance: permutation tests, and the false discoveries among many targets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int, Real, Shaped
from scipy import stats

from striate.errors import StriateError
from striate.scores.correlation import FEWEST_ROWS, batches, load, ranks, unit

# Permuted columns of this size stay in the processor's cache between draws.
CACHE_BYTES = 2**20
# So many rows are summed in single precision at once.
STRETCH = 512
# No such sum of products of two unit vectors can be further off: each of its roundings is at most
# half a unit in the last place of what Cauchy and Schwarz bound by 1.
DOUBT = 2 * (STRETCH + 4) * 2.0**-24
# A permutation that reproduces the observed arrangement must count in spite of rounding.
TIE = 1e-10


def permutation_p(
    truth: Real[np.ndarray, "row target"],
    predicted: Real[np.ndarray, "row target"],
    draws: int = 1000,
    groups: Shaped[np.ndarray, " row"] | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Float[np.ndarray, " target"]:
    """P value of every target's Pearson correlation, one-sided: prediction better than chance.

    p = (1 + draws with r at least the observed) / (1 + draws) (Phipson & Smyth, 2010), with rows
    of the prediction permuted, all targets alike, against the truth. With `groups` whole groups
    change places in one piece, among those of the same number of rows, so that what is correlated
    inside a group (a movie) stays so. Flat targets have p = 1, targets with fewer than three rows
    NaN. Raises StriateError when no two groups have the same size; otherwise as `pearson`.

    >>> x = np.arange(20.0)[:, None]
    >>> permutation_p(x, x, draws=99)
    array([0.01])
    """
    rows, targets = truth.shape
    orders = permutations(rows, draws, groups, seed)
    result = np.empty(targets)

    def fill(columns: slice) -> None:
        t, p, kept = load(truth, predicted, columns)
        x = unit(t, kept)[0]
        y = unit(p, np.ones(p.shape, dtype=bool))[0]
        complete = bool(kept.all())
        least = _correlate(x, y, kept, complete) - TIE
        if complete:
            above = _above(x, y, least, orders)
        else:
            above = np.zeros(x.shape[1], dtype=np.int64)
            for order in orders:
                above += _correlate(x, y[order], kept, complete) >= least
        enough = kept.sum(axis=0) >= FEWEST_ROWS
        result[columns] = np.where(enough, (1.0 + above) / (1.0 + draws), np.nan)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(fill, batches(rows, targets, CACHE_BYTES)))
    return result


def permutation_p_rdm(
    model: Real[np.ndarray, "stimulus stimulus"],
    subjects: Real[np.ndarray, "subject pair"],
    draws: int = 1000,
    seed: int = 0,
) -> float:
    """P value of a model RDM's mean Spearman correlation with subjects (Nili et al., 2014).

    The images of the model are permuted: rows and columns together, because the pairs of one image
    are not independent. One-sided, (1 + count) / (1 + draws). `subjects` are strict upper
    triangles, row by row, of the same images. Raises StriateError for NaN and for sizes that do
    not fit.

    >>> x = np.arange(8.0) ** 2
    >>> model = np.abs(x[:, None] - x)
    >>> permutation_p_rdm(model, model[np.triu_indices(8, 1)][None], draws=99)
    0.01
    """
    images = len(model)
    first, second = np.triu_indices(images, k=1)
    if subjects.shape[1] != len(first):
        raise StriateError(
            f"an RDM of {images} images has {len(first)} pairs and the subjects' have "
            f"{subjects.shape[1]}: give strict upper triangles of RDMs of the same images"
        )
    missing = int((~np.isfinite(model[first, second])).sum() + (~np.isfinite(subjects)).sum())
    if missing:
        raise StriateError(f"{missing} RDM values are NaN or infinite: select complete images")
    y = _ranked_unit(model[first, second][:, None])[:, 0]
    square = np.zeros((images, images))
    square[first, second] = square[second, first] = y
    # A mean of correlations with unit vectors is a product with the mean of these vectors.
    x = _ranked_unit(subjects.T).mean(axis=1)
    observed = x @ y
    orders = permutations(images, draws, None, seed)
    above = 0
    for some in np.array_split(orders, max(1, draws * len(first) // 2**22)):
        above += int((square[some[:, first], some[:, second]] @ x >= observed - TIE).sum())
    return (1.0 + above) / (1.0 + draws)


def fdr(p: Float[np.ndarray, " target"]) -> Float[np.ndarray, " target"]:
    """False discovery rate q of every target (Benjamini & Hochberg, 1995).

    Keeping the targets with q <= 0.05 makes one in twenty of them false, on average. NaN is no
    test: it stays NaN and does not count among the tests.

    >>> fdr(np.array([0.01, 0.04, np.nan, 0.03]))
    array([0.03, 0.04,  nan, 0.04])
    """
    tested = ~np.isnan(p)
    outside = p[tested & ((p < 0) | (p > 1))]
    if outside.size:
        raise StriateError(f"{outside[0]:g} is no p value: give probabilities from 0 to 1")
    q = np.full(p.shape, np.nan)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested])
    return q


def permutations(
    rows: int, draws: int, groups: Shaped[np.ndarray, " row"] | None = None, seed: int = 0
) -> Int[np.ndarray, "draw row"]:
    """Random orders of rows; with `groups`, groups of the same size trade places whole.

    >>> sorted(permutations(6, 1, np.array([0, 0, 1, 1, 2, 2]))[0].reshape(3, 2).tolist())
    [[0, 1], [2, 3], [4, 5]]
    """
    if draws < 1:
        raise StriateError(f"draws = {draws} permutes nothing: ask for 1000 or so")
    rng = np.random.default_rng(seed)
    identity = np.tile(np.arange(rows), (draws, 1))
    if groups is None:
        return rng.permuted(identity, axis=1)
    _, label, size = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.argsort(label.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(size)])[:-1]
    alone = True
    for length in np.unique(size):
        same = np.flatnonzero(size == length)
        alone = alone and len(same) < 2
        places = members[starts[same][:, None] + np.arange(length)]
        which = rng.permuted(np.tile(np.arange(len(same)), (draws, 1)), axis=1)
        identity[:, places.ravel()] = places[which].reshape(draws, -1)
    if alone:
        raise StriateError(
            f"the {len(size)} groups all differ in size, so none can trade places: "
            "cut them into blocks of equal length, or test without groups"
        )
    return identity


def _above(
    x: Float[np.ndarray, "row target"],
    y: Float[np.ndarray, "row target"],
    least: Float[np.ndarray, " target"],
    orders: Int[np.ndarray, "draw row"],
) -> Int[np.ndarray, " target"]:
    """In how many orders of the rows of y the products with x, both of length 1, reach `least`.

    Single precision decides what it can, at half the traffic; the few sums that come as close to
    `least` as its rounding are summed anew in double precision.
    """
    rows, targets = x.shape
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    moved = np.empty((min(rows, STRETCH), targets), dtype=np.float32)
    count = np.zeros(targets, dtype=np.int64)
    for order in orders:
        over = -least
        for start in range(0, rows, STRETCH):
            some = order[start : start + STRETCH]
            part = moved[: len(some)]
            # Without the mode, numpy would go through another copy.
            np.take(y32, some, axis=0, out=part, mode="clip")
            over += np.einsum("rt,rt->t", x32[start : start + STRETCH], part)
        near = np.flatnonzero(np.abs(over) <= DOUBT)
        if len(near):
            over[near] = np.einsum("rt,rt->t", x[:, near], y[np.ix_(order, near)]) - least[near]
        count += over >= 0
    return count


def _correlate(x: np.ndarray, y: np.ndarray, kept: np.ndarray, complete: bool) -> np.ndarray:
    """Correlation with a unit x that is 0 outside its kept rows; y is of length 1 over all rows."""
    shared = np.einsum("rt,rt->t", x, y)
    if complete:
        return shared
    # Other predictions meet the kept rows in every draw, so their length differs.
    z = np.where(kept, y, 0.0)
    length = np.einsum("rt,rt->t", z, z) - z.sum(axis=0) ** 2 / np.maximum(kept.sum(axis=0), 1)
    return shared / np.sqrt(np.where(length > 1e-12, length, np.inf))


def _ranked_unit(columns: np.ndarray) -> np.ndarray:
    every = np.ones(columns.shape, dtype=bool)
    return unit(ranks(columns, every), every)[0]
