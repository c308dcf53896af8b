"""How much of what feature spaces explain is each one's own, and how much they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, combinations

import numpy as np
from jaxtyping import Float

from striate.errors import StriateError

SHARED = "shared"
"""What no space explains alone, where it cannot be told which spaces share it."""

Spaces = frozenset[str]


def partition(
    explained: Mapping[Spaces, Float[np.ndarray, " target"]],
) -> dict[Spaces, Float[np.ndarray, " target"]]:
    """Return the share of variance that belongs to exactly the spaces named, for every target.

    `explained` holds the variance explained out of fold (R^2) by models of subsets of spaces, the
    union of all among them. With every subset present, the part of a set T of spaces is

    part(T) = sum over S within T of (-1)^(|S| + 1) R^2(S and all spaces outside of T)

    (commonality analysis; Borcard, Legendre & Drapeau 1992, doi:10.2307/1940179, and Lescroart,
    Stansbury & Gallant 2015, doi:10.3389/fncom.2015.00135). With the union and every subset that
    lacks one space, there are a part of each space alone, which is the union's R^2 minus that of
    the rest, and one of the key ``{"shared"}``. Either way parts add up to the union's R^2.
    Negative parts are kept: a shared part below zero means that spaces help each other
    (suppression) or that a model of both fits worse, a unique one that the space only adds noise.

    Raises `StriateError` when the subsets do not allow it, naming one that is missing.

    >>> r2 = {"a": 0.3, "b": 0.2, "ab": 0.4}
    >>> parts = partition({frozenset(k): np.array([v]) for k, v in r2.items()})
    >>> {"".join(sorted(k)): v.round(9).tolist() for k, v in parts.items()}
    {'a': [0.2], 'b': [0.1], 'ab': [0.1]}
    """
    union = frozenset().union(*explained) if explained else frozenset()
    if len(union) < 2:
        raise StriateError("variance partitioning needs models of two feature spaces or more")
    missing = [s for s in _needed(union) if s not in explained]
    if missing:
        raise StriateError(
            f"variance partitioning of {' + '.join(sorted(union))} lacks the model of"
            f" {' + '.join(sorted(missing[0]))}: fit the union, and the union without each space"
        )
    order = sorted(union)
    if all(s in explained for s in subsets(order)):
        return {t: _part(explained, union, t) for t in subsets(order)}
    whole = explained[union]
    parts = {frozenset({s}): whole - explained[union - {s}] for s in order}
    return parts | {frozenset({SHARED}): whole - sum(parts.values())}


def partitionable(models: Iterable[Spaces]) -> list[Spaces]:
    """Return the largest unions among sets of spaces that `partition` can take apart.

    >>> found = partitionable([frozenset("a"), frozenset("b"), frozenset("ab"), frozenset("c")])
    >>> [sorted(union) for union in found]
    [['a', 'b']]
    """
    have = set(models)
    found = [u for u in have if len(u) > 1 and all(s in have for s in _needed(u))]
    largest = [u for u in found if not any(u < other for other in found)]
    return sorted(largest, key=sorted)


def subsets(spaces: Iterable[str]) -> list[Spaces]:
    """Return all subsets of spaces but the empty one, the smallest first.

    >>> [sorted(s) for s in subsets("ab")]
    [['a'], ['b'], ['a', 'b']]
    """
    order = list(spaces)
    sizes = (combinations(order, k) for k in range(1, len(order) + 1))
    return [frozenset(s) for s in chain.from_iterable(sizes)]


def _needed(union: Spaces) -> list[Spaces]:
    return [union, *(union - {s} for s in sorted(union) if len(union) > 1)]


def _part(
    explained: Mapping[Spaces, Float[np.ndarray, " target"]], union: Spaces, own: Spaces
) -> Float[np.ndarray, " target"]:
    total = np.zeros_like(next(iter(explained.values())))
    for s in [frozenset(), *subsets(sorted(own))]:
        model = s | (union - own)
        if model:
            total = total - (-1.0) ** len(s) * explained[model]
    return total
