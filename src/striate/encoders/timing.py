"""Steps over time: what was shown before a chunk of a movie stands beside it, or in its place.

The brain answers seconds after it sees, so a chunk's response follows from earlier chunks. These
steps look chunks up by movie and index and never leave the movie. They come behind ``zscore`` or
``pca``, which are fitted on the training stimuli as ever: only what they are applied to grows, by
the chunks that a step's `reach` names. Those are features, not responses, so they may belong to
stimuli of the other side of a split; splits keep the chunks of a movie together.

Where a chunk is missing, `edge` decides: ``zero`` puts zeros, which behind ``zscore`` are the
means of the training stimuli; ``hold`` puts the nearest earlier chunk of the movie, and its first
one before the start.

`spaces` (globs, empty for all) names the feature spaces that a step is for; the others pass through
it as they are. Two steps behind each other then give language another window than vision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from striate.data import Features, Order
from striate.encoders.steps import transformed
from striate.errors import DataError, RecipeError
from striate.interfaces import Step, with_learned

Near: TypeAlias = Sequence[Sequence[str | None]]
"""For each lag, the chunk that stands there for each stimulus; None where there is none."""

Lags: TypeAlias = Iterator[Float[np.ndarray, "stimulus feature"]]
"""Features of the chunks at each lag, one lag at a time."""


@dataclass(frozen=True)
class Delays(Step):
    """Features of earlier chunks side by side: a finite impulse response for each feature.

    All columns of the first delay come first, then all of the second, and so on. Maps are
    flattened.

    Parameters
    ----------
    delays
        How many chunks before; 0 is the chunk itself.
    edge
        What stands where a chunk is missing.
    spaces
        Globs of the spaces that are delayed; all when empty.

    """

    delays: tuple[int, ...] = (1, 2, 3, 4)
    edge: Literal["zero", "hold"] = "zero"
    spaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.delays or min(self.delays) < 0 or len(set(self.delays)) < len(self.delays):
            raise RecipeError(
                f"delays: delays = {list(self.delays)} must be different numbers of chunks, 0 or"
                " more; `context` looks ahead"
            )

    def fit(self, features: Features) -> Delays:
        """A copy; nothing is learned."""
        _meant(features, self.spaces)
        return with_learned(self)  # type: ignore[no-any-return]

    def reach(self, ids: Sequence[str], order: Order) -> tuple[str, ...]:
        """The chunks that the features of some stimuli are made of."""
        return _reached(self._near(ids, order))

    def transform(self, features: Features) -> Features:
        """Features of the stimuli in view, delay by delay."""
        near = self._near(features.ids, features.order)
        return _made(features, near, lambda lags: np.concatenate([*lags], axis=1), self.spaces)

    def _near(self, ids: Sequence[str], order: Order) -> Near:
        return _neighbours(ids, order, [-d for d in self.delays], self.edge)


@dataclass(frozen=True)
class Context(Step):
    """A window of chunks around a moment: from `before` to `after`, counted from `delay` ago.

    For chunk i these are the chunks i − delay − before … i − delay + after.

    Parameters
    ----------
    before, after
        Chunks before and after the one that was shown `delay` chunks ago.
    delay
        Chunks from the stimulus to the response: 3 chunks of 1.5 seconds are about the
        haemodynamic delay.
    reduce
        ``mean`` or ``max`` over the chunks, or ``flatten``: all of them side by side, oldest
        first.
    edge
        What stands where a chunk is missing, or ``shift``: the whole window moves until it lies
        between the first and the last chunk of the movie, and what is missing inside is held. With
        ``before = 4, delay = 3``, the first eight chunks of a movie share one window.
    spaces
        Globs of the spaces that the window is for; all when empty.

    """

    before: int = 4
    after: int = 0
    delay: int = 0
    reduce: Literal["mean", "flatten", "max"] = "mean"
    edge: Literal["zero", "hold", "shift"] = "zero"
    spaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.before + self.after < 0:
            raise RecipeError(
                f"context: before = {self.before} and after = {self.after} leave no chunk in the"
                " window; their sum must be 0 or more"
            )

    def fit(self, features: Features) -> Context:
        """A copy; nothing is learned."""
        _meant(features, self.spaces)
        return with_learned(self)  # type: ignore[no-any-return]

    def reach(self, ids: Sequence[str], order: Order) -> tuple[str, ...]:
        """The chunks in the windows of some stimuli."""
        return _reached(self._near(ids, order))

    def transform(self, features: Features) -> Features:
        """Windows of the stimuli in view, reduced."""
        near = self._near(features.ids, features.order)
        return _made(features, near, self._reduced, self.spaces)

    def _reduced(self, lags: Lags) -> Float[np.ndarray, "stimulus column"]:
        if self.reduce == "flatten":
            return np.concatenate(list(lags), axis=1)
        total = next(lags)
        for x in lags:
            if self.reduce == "max":
                np.maximum(total, x, out=total)
            else:
                total += x
        return total if self.reduce == "max" else total / (self.before + self.after + 1)

    def _near(self, ids: Sequence[str], order: Order) -> Near:
        offsets = range(-self.delay - self.before, -self.delay + self.after + 1)
        return _neighbours(ids, order, offsets, self.edge)


@dataclass(frozen=True)
class HRF(Step):
    """Features convolved with the canonical haemodynamic response, one value per chunk.

    y[i] = Σ_k h(k · tr) x[i − k] / Σ_k h(k · tr), with h as `haemodynamic_response`. Maps are
    flattened.

    Parameters
    ----------
    tr
        Seconds from chunk to chunk.
    length
        Seconds of the response that are used.
    edge
        What stands where a chunk is missing.
    spaces
        Globs of the spaces that are convolved; all when empty.

    """

    tr: float
    length: float = 30.0
    edge: Literal["zero", "hold"] = "zero"
    spaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.tr <= self.length / 2:
            raise RecipeError(
                f"hrf: tr = {self.tr} must be the seconds of a chunk, above 0 and at most half of"
                f" length = {self.length}"
            )

    def fit(self, features: Features) -> HRF:
        """A copy; nothing is learned."""
        _meant(features, self.spaces)
        return with_learned(self)  # type: ignore[no-any-return]

    def weights(self) -> Float[np.ndarray, " lag"]:
        """The weight of each earlier chunk; they sum to 1.

        >>> HRF(tr=2.0).weights()[:6].round(2)
        array([ 0.  ,  0.08,  0.55,  0.63,  0.26, -0.07])
        """
        response = haemodynamic_response(np.arange(0, self.length, self.tr))
        return response / response.sum()

    def reach(self, ids: Sequence[str], order: Order) -> tuple[str, ...]:
        """The chunks that the features of some stimuli are made of."""
        return _reached(self._near(ids, order))

    def transform(self, features: Features) -> Features:
        """Convolved features of the stimuli in view."""

        def convolved(lags: Lags) -> Float[np.ndarray, "stimulus feature"]:
            terms = (x * x.dtype.type(w) for x, w in zip(lags, self.weights(), strict=True))
            total = next(terms)
            for term in terms:
                total += term
            return total

        near = self._near(features.ids, features.order)
        return _made(features, near, convolved, self.spaces)

    def _near(self, ids: Sequence[str], order: Order) -> Near:
        return _neighbours(ids, order, range(0, -len(self.weights()), -1), self.edge)


def haemodynamic_response(seconds: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """Response of blood oxygenation to a brief event, by seconds after it (Glover 1999).

    h(t) = (t / a₁b)^a₁ exp(a₁ − t / b) − c (t / a₂b)^a₂ exp(a₂ − t / b), with a₁ = 6, a₂ = 12,
    b = 0.9 s and c = 0.35: a peak at about 5 seconds and an undershoot at about 12.

    >>> haemodynamic_response(np.array([0.0, 5.0, 11.0, 30.0])).round(2)
    array([ 0.  ,  0.96, -0.21, -0.  ])
    """

    def gamma(a: float) -> Float[np.ndarray, " time"]:
        return (seconds / (a * 0.9)) ** a * np.exp(a - seconds / 0.9)

    return gamma(6.0) - 0.35 * gamma(12.0)


def _neighbours(ids: Sequence[str], order: Order, offsets: Sequence[int], edge: str) -> Near:
    """The chunks at some offsets from each stimulus, in its own movie."""
    places = [order.place(i) for i in ids]
    if edge == "shift":
        spans = [order.span(movie) for movie, _ in places]
        ends = offsets[0], offsets[-1]
        # Where the movie is shorter than the window, the start counts.
        places = [
            (movie, max(first - ends[0], min(index, last - ends[1])))
            for (movie, index), (first, last) in zip(places, spans, strict=True)
        ]
    hold = edge != "zero"
    return [[order.at(movie, index + o, hold) for movie, index in places] for o in offsets]


def _reached(near: Near) -> tuple[str, ...]:
    return tuple(dict.fromkeys(i for line in near for i in line if i is not None))


def _meant(features: Features, patterns: Sequence[str]) -> tuple[str, ...]:
    """Names of the spaces that a step is for.

    Raises
    ------
    RecipeError
        When a pattern matches none of them.

    """
    try:
        return features.select(patterns).names if patterns else features.names
    except DataError as error:
        raise RecipeError(f"spaces = {list(patterns)} of a step over time: {error}") from error


def _made(
    features: Features, near: Near, make: Callable[[Lags], np.ndarray], patterns: Sequence[str]
) -> Features:
    """Each space that is meant made anew of its values at all lags, the others as they were."""
    wanted = _reached(near) or features.ids
    place = {i: k for k, i in enumerate(wanted)}
    at = [np.array([-1 if i is None else place[i] for i in line], dtype=np.int64) for line in near]

    def lags(name: str) -> Lags:
        values = features.rows(wanted).matrix(name)
        for index in at:
            x = values[index]
            x[index < 0] = 0
            yield x

    meant = _meant(features, patterns)
    made = transformed(features, {n: make(lags(n)) for n in meant}).spaces
    kept = {n: s for n, s in features.spaces.items() if n in made or n not in meant}
    return replace(features, spaces={**kept, **made})
