"""Encoders of representational dissimilarity: rows are pairs of stimuli, features are distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.data import (
    Features,
    Responses,
    assemble,
    row_table,
    slots,
    target_table,
    target_tables,
)
from striate.encoders.targets import from_nothing
from striate.errors import DataError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers import distances, rank_similarity, similarity, whitened
from striate.solvers.similarity import nonnegative_layers

Distance: TypeAlias = Literal["correlation", "euclidean", "squared_euclidean", "cosine"]

Similarity: TypeAlias = Literal[
    "spearman",
    "pearson",
    "cosine",
    "rho_a",
    "kendall_tau_a",
    "kendall_tau_b",
    "whitened_cosine",
    "whitened_pearson",
]

MEASURES: dict[str, Callable[..., Any]] = {
    "correlation": distances.correlation_distances,
    "cosine": distances.cosine_distances,
    "euclidean": distances.euclidean_distances,
    "squared_euclidean": distances.squared_euclidean_distances,
}
SIMILARITIES: dict[str, Callable[..., Any]] = {
    "spearman": rank_similarity.spearman,
    "pearson": similarity.pearson,
    "cosine": similarity.cosine,
    "rho_a": rank_similarity.rho_a,
    "kendall_tau_a": rank_similarity.kendall_tau_a,
    "kendall_tau_b": rank_similarity.kendall_tau_b,
    "whitened_cosine": whitened.whitened_cosine,
    "whitened_pearson": whitened.whitened_pearson,
}

LARGEST = 1 << 28
"""Bytes of RDMs that are remembered."""
_REMEMBERED: dict[tuple[tuple[str, ...], str, tuple[str, ...]], np.ndarray] = {}


def layer_distances(
    features: Features, rows: Responses, distance: str, joint: bool = False
) -> Float[np.ndarray, "layer row"]:
    """Distance between the two stimuli of each row, in every space, or in all side by side."""
    pairs = slots(rows)
    if pairs.shape[1] != 2:
        raise DataError(
            f"RDM encoders predict pairs of stimuli, but a row names {pairs.shape[1]}; use an"
            " encoder of responses, such as ridge"
        )
    ids, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    view = features.rows(ids.tolist())
    if not view.names:
        raise DataError("an RDM encoder was given no feature spaces: name some under `features`")
    sets = [view.names] if joint else [(name,) for name in view.names]
    return np.stack([_rdm(view, names, distance)[first, second] for names in sets])


def _rdm(
    view: Features, names: Sequence[str], distance: str
) -> Float[np.ndarray, "stimulus stimulus"]:
    """Distances of all stimuli in view; the last RDMs are remembered.

    Targets, members and folds ask for the same RDMs again, and a layer may be gigabytes wide.
    """
    keys = tuple(view.spaces[n].key for n in names)
    place = (keys, distance, view.ids)
    if place in _REMEMBERED:
        return _REMEMBERED[place]
    layers = [view.matrix(n) for n in names]
    wide = layers[0] if len(layers) == 1 else np.concatenate(layers, axis=1)
    rdm: np.ndarray = MEASURES[distance](wide.astype(np.float64))
    if all(keys):
        while _REMEMBERED and sum(r.nbytes for r in _REMEMBERED.values()) + rdm.nbytes > LARGEST:
            _REMEMBERED.pop(next(iter(_REMEMBERED)), None)
        _REMEMBERED[place] = rdm
    return rdm


def _targets(group: Group) -> pd.DataFrame:
    """The targets of a group: one predicted RDM answers for all its subjects and times."""
    table = target_tables([target_table(b) for b in group])
    table = table.drop(columns="ceiling", errors="ignore")
    for label in ("subject", "time"):
        if label in table and len(set(table[label])) > 1:
            table = table.drop(columns=label)
    return table[~table.index.duplicated()]


def _measured(group: Group, target: str) -> list[Responses]:
    """Blocks with the columns (subjects, times) that measured one target, and its measured rows."""
    found = []
    for block in group:
        own = block.isel(target=np.flatnonzero(block.target.values == target))
        own = own.isel(row=np.flatnonzero(~np.isnan(own.values).any(axis=1)))
        if own.size:
            found.append(own)
    if not found:
        raise DataError(
            f"target {target!r} was measured on no training pairs: leave it out with responses.keep"
        )
    return found


def _triangle(rows: Responses) -> Int[np.ndarray, " row"]:
    """The order of rows that makes them the upper triangle of one RDM of all their stimuli."""
    ids, place = np.unique(slots(rows), return_inverse=True)
    first, second = np.sort(place.reshape(-1, 2), axis=1).T
    code = first * len(ids) + second
    order = np.argsort(code)
    every = len(ids) * (len(ids) - 1) // 2
    if len(np.unique(code[first != second])) != every or len(code) != every:
        raise DataError(
            f"a whitened similarity needs all {every} pairs of {len(ids)} stimuli, but a target was"
            f" measured on {len(code)}: choose another similarity, such as spearman"
        )
    return order


def _sets(blocks: Sequence[Responses]) -> list[list[Responses]]:
    """Blocks gathered by their rows: the subjects of each image set."""
    sets: dict[tuple[str, ...], list[Responses]] = {}
    for block in blocks:
        sets.setdefault(tuple(block.row.values), []).append(block)
    return list(sets.values())


@dataclass(frozen=True)
class RDM(Encoder):
    """The distances of one space, or of several side by side; nothing is learned.

    Kriegeskorte, Mur & Bandettini (2008); `distance` ``correlation`` is 1 − Pearson.
    """

    learns: ClassVar[bool] = False
    distance: Distance = "correlation"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> RDM:
        """A copy that knows its targets."""
        from_nothing(self, start)
        targets = target_tables([_targets(g) for g in groups])
        return with_learned(self, targets_=targets)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """The model RDM, for every target."""
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        model = layer_distances(features, rows, self.distance, joint=True)[0]
        values = np.repeat(model[:, None], len(targets), axis=1)
        return assemble(values, row_table(rows), targets)


@dataclass(frozen=True)
class BestRDM(Encoder):
    """For each target, the space whose distances agree best with the training pairs.

    Agreement is the mean `similarity` with the RDMs of subjects and times, the Spearman correlation
    unless another is asked for. The whitened ones (Diedrichsen et al. 2021, arXiv:2007.02789) need
    every pair of an image set: a target with pairs that were not measured is an error.
    """

    distance: Distance = "correlation"
    similarity: Similarity = "spearman"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> BestRDM:
        """A copy that knows each target's space."""
        from_nothing(self, start)
        names, choice, note = features.names, [], {}
        targets = [_targets(g) for g in groups]
        for group, table in zip(groups, targets, strict=True):
            for target in table.index:
                scores = [
                    self._agreement(features, same) for same in _sets(_measured(group, target))
                ]
                choice.append(names[int(np.argmax(np.concatenate(scores, axis=1).mean(axis=1)))])
                note[f"space of {target}"] = choice[-1]
        return with_learned(  # type: ignore[no-any-return]
            self, choice_=choice, targets_=target_tables(targets), note_=note
        )

    def _agreement(
        self, features: Features, same: Sequence[Responses]
    ) -> Float[np.ndarray, "layer subject"]:
        """How alike each layer and each measured RDM of one image set are."""
        layers = layer_distances(features, same[0], self.distance)
        brain = np.concatenate([b.values.T for b in same]).astype(np.float64)
        if self.similarity.startswith("whitened"):
            order = _triangle(same[0])
            layers, brain = layers[:, order], brain[:, order]
        asked = {"threads": here().threads}
        if self.similarity not in ("pearson", "cosine"):
            asked["memory"] = here().memory
        return np.asarray(SIMILARITIES[self.similarity](layers, brain, **asked))

    def predict(self, features: Features, rows: Responses) -> Responses:
        """The RDM of each target's space."""
        choice: list[str] = self.choice_  # type: ignore[attr-defined]
        columns = {
            n: layer_distances(features.select([n]), rows, self.distance)[0]
            for n in dict.fromkeys(choice)
        }
        values = np.stack([columns[n] for n in choice], axis=1)
        return assemble(values, row_table(rows), self.targets_)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class WeightedRDM(Encoder):
    """Non-negative weights of layer RDMs for each target (Khaligh-Razavi & Kriegeskorte 2014).

    Layer and brain RDMs are z-scored within each image set, subjects and times are averaged, and
    the weights solve a non-negative least-squares problem over the training pairs. Layers of new
    pairs are scaled by the mean and deviation of the training pairs, averaged over image sets, so
    that a prediction does not depend on what else is predicted.
    """

    distance: Distance = "correlation"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> WeightedRDM:
        """A copy with weights, means and deviations (target × layer)."""
        from_nothing(self, start)
        targets = [_targets(g) for g in groups]
        found = [
            self._weigh(features, _measured(group, target))
            for group, table in zip(groups, targets, strict=True)
            for target in table.index
        ]
        weights, means, deviations = (np.stack(part) for part in zip(*found, strict=True))
        table = target_tables(targets)
        note = {
            f"weight of {n} for {t}": round(float(w), 4)
            for t, row in zip(table.index, weights, strict=True)
            for n, w in zip(features.names, row, strict=True)
            if w > 0
        }
        return with_learned(  # type: ignore[no-any-return]
            self,
            weights_=weights,
            means_=means,
            deviations_=deviations,
            targets_=table,
            note_=note,
        )

    def _weigh(
        self, features: Features, blocks: Sequence[Responses]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        layers, brain, scales = [], [], []
        for same in _sets(blocks):
            measured = [_zscored(b.values.T.astype(np.float64)) for b in same]
            distance = layer_distances(features, same[0], self.distance)
            scales.append((distance.mean(axis=1), distance.std(axis=1)))
            layers.append(_zscored(distance))
            brain.append(_zscored(np.concatenate(measured).mean(axis=0)[None])[0])
        weights = nonnegative_layers(np.concatenate(layers, axis=1), np.concatenate(brain))[0]
        mean, deviation = np.mean(scales, axis=0)
        return weights, mean, np.where(deviation > 0, deviation, 1.0)

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums of the layers' standardised RDMs."""
        learned: Any = self
        layers = layer_distances(features, rows, self.distance)
        slope = learned.weights_ / learned.deviations_
        values = layers.T @ slope.T - (slope * learned.means_).sum(axis=1)
        return assemble(values, row_table(rows), learned.targets_)


def _zscored(x: Float[np.ndarray, "layer row"]) -> Float[np.ndarray, "layer row"]:
    spread = x.std(axis=1, keepdims=True)
    return np.asarray((x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1))
