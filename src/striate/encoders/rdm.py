"""Encoders of representational dissimilarity: rows are pairs of stimuli, features are distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Features, Responses, assemble, row_table, slots, target_table
from striate.errors import DataError
from striate.interfaces import Encoder, Group, with_learned
from striate.solvers import distances
from striate.solvers.similarity import nonnegative_layers, spearman

Distance: TypeAlias = Literal["correlation", "euclidean", "squared_euclidean", "cosine"]

MEASURES: dict[str, Callable[..., Any]] = {
    "correlation": distances.correlation_distances,
    "cosine": distances.cosine_distances,
    "euclidean": distances.euclidean_distances,
    "squared_euclidean": distances.squared_euclidean_distances,
}


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
    layers = [view.matrix(n) for n in view.names]
    if not layers:
        raise DataError("an RDM encoder was given no feature spaces: name some under `features`")
    if joint:
        layers = [np.concatenate(layers, axis=1)]
    return np.stack([MEASURES[distance](x.astype(np.float64))[first, second] for x in layers])


def _targets(groups: Sequence[Group]) -> pd.DataFrame:
    """The targets of all groups without subject and time: one predicted RDM answers for all."""
    table = pd.concat([target_table(b) for g in groups for b in g])
    table = table.drop(columns=[c for c in ("subject", "time", "ceiling") if c in table])
    return table[~table.index.duplicated()]


def _measured(groups: Sequence[Group], target: str) -> list[Responses]:
    """Blocks with the columns (subjects, times) that measured one target."""
    found = []
    for block in (b for g in groups for b in g):
        columns = np.flatnonzero(block.target.values == target)
        if len(columns):
            found.append(block.isel(target=columns))
    return found


@dataclass(frozen=True)
class RDM(Encoder):
    """The distances of one space, or of several side by side; nothing is learned.

    Kriegeskorte, Mur & Bandettini (2008); `distance` ``correlation`` is 1 − Pearson.
    """

    learns: ClassVar[bool] = False
    distance: Distance = "correlation"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Self:
        """A copy that knows its targets."""
        return with_learned(self, targets_=_targets(groups))  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """The model RDM, for every target."""
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        model = layer_distances(features, rows, self.distance, joint=True)[0]
        values = np.repeat(model[:, None], len(targets), axis=1)
        return assemble(values, row_table(rows), targets)


@dataclass(frozen=True)
class BestRDM(Encoder):
    """For each target, the space whose distances agree best with the training pairs.

    Agreement is the mean Spearman correlation with the RDMs of subjects and times.
    """

    distance: Distance = "correlation"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Self:
        """A copy that knows each target's space."""
        targets = _targets(groups)
        scores = {}
        for target in targets.index:
            per_block = []
            for block in _measured(groups, target):
                layers = layer_distances(features, block, self.distance)
                per_block.append(spearman(layers, block.values.T.astype(np.float64)))
            scores[target] = np.concatenate(per_block, axis=1).mean(axis=1)
        names = features.names
        choice = {t: names[int(np.argmax(s))] for t, s in scores.items()}
        note = {f"space of {t}": n for t, n in choice.items()}
        return with_learned(self, choice_=choice, targets_=targets, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """The RDM of each target's space."""
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        choice: dict[str, str] = self.choice_  # type: ignore[attr-defined]
        columns = {
            n: layer_distances(features.select([n]), rows, self.distance)[0]
            for n in dict.fromkeys(choice.values())
        }
        values = np.stack([columns[choice[t]] for t in targets.index], axis=1)
        return assemble(values, row_table(rows), targets)


@dataclass(frozen=True)
class WeightedRDM(Encoder):
    """Non-negative weights of layer RDMs for each target (Khaligh-Razavi & Kriegeskorte 2014).

    Layer and brain RDMs are z-scored within each image set, subjects and times are averaged, and
    the weights solve a non-negative least-squares problem over the training pairs.
    """

    distance: Distance = "correlation"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Self:
        """A copy with weights (target × layer)."""
        targets = _targets(groups)
        weights = np.empty((len(targets), len(features.names)))
        for k, target in enumerate(targets.index):
            layers, brain = [], []
            sets: dict[tuple[str, ...], list[np.ndarray]] = {}
            blocks = {}
            for block in _measured(groups, target):
                rows = tuple(block.row.values)
                sets.setdefault(rows, []).append(_zscored(block.values.T.astype(np.float64)))
                blocks[rows] = block
            for rows, measured in sets.items():
                layers.append(_zscored(layer_distances(features, blocks[rows], self.distance)))
                brain.append(_zscored(np.concatenate(measured).mean(axis=0)[None])[0])
            weights[k] = nonnegative_layers(np.concatenate(layers, axis=1), np.concatenate(brain))[
                0
            ]
        note = {
            f"weight of {n} for {t}": round(float(w), 4)
            for t, row in zip(targets.index, weights, strict=True)
            for n, w in zip(features.names, row, strict=True)
            if w > 0
        }
        return with_learned(self, weights_=weights, targets_=targets, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums of the layers' z-scored RDMs."""
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        layers = _zscored(layer_distances(features, rows, self.distance))
        values = layers.T @ self.weights_.T  # type: ignore[attr-defined]
        return assemble(values, row_table(rows), targets)


def _zscored(x: Float[np.ndarray, "layer row"]) -> Float[np.ndarray, "layer row"]:
    spread = x.std(axis=1, keepdims=True)
    return np.asarray((x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1))
