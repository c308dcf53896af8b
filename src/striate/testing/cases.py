"""Small made-up problems on which encoders and steps are checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from striate.data import (
    ArraySpace,
    Features,
    Order,
    Responses,
    assemble,
    label_responses,
    row_table,
    slots,
)
from striate.interfaces import Group


@dataclass(frozen=True, eq=False)
class Case:
    """A small problem: features of all stimuli, responses to learn from, rows to predict.

    Rows carry no targets; `groups` are as in `striate.interfaces.Encoder.fit`.
    """

    features: Features
    groups: tuple[Group, ...]
    rows: Responses

    @property
    def seen(self) -> tuple[str, ...]:
        """The training stimuli."""
        return tuple(
            dict.fromkeys(s for g in self.groups for b in g for s in slots(b).ravel().tolist())
        )


def stimuli_case(seed: int = 0) -> Case:
    """A row is a stimulus; two groups of targets are linear in two spaces of maps.

    The stimuli are chunks of two movies.
    """
    rng = np.random.default_rng(seed)
    ids = [f"im{k}" for k in range(72)]
    arrays = {n: rng.standard_normal((72, 3, 2, 2)).astype(np.float32) for n in ("a", "b")}
    x = np.concatenate([v.reshape(72, -1) for v in arrays.values()], axis=1)
    y = x @ rng.standard_normal((x.shape[1], 5)) + 0.3 * rng.standard_normal((72, 5))
    block = label_responses(
        y.astype(np.float32), ids, subject="sub01", rois={"V1": [True] * 3 + [False] * 2}
    )
    spaces = {n: ArraySpace(tuple(ids), v, f"made-up {n} {seed}") for n, v in arrays.items()}
    train = block.isel(row=slice(0, 54))
    groups = ([train.isel(target=slice(0, 3))], [train.isel(target=slice(3, 5))])
    order = Order({i: (f"movie{k // 36}", k % 36) for k, i in enumerate(ids)})
    features = Features(spaces, tuple(ids), order=order)
    return Case(features, groups, without_targets(block.isel(row=slice(54, 72))))


def pairs_case(seed: int = 0) -> Case:
    """A row is a pair; the RDMs of two subjects in two regions mix the distances of two spaces."""
    rng = np.random.default_rng(seed)
    sides = {"train": 16, "test": 8}
    ids = [f"{side}{k}" for side, count in sides.items() for k in range(count)]
    arrays = {n: rng.standard_normal((len(ids), 6)) for n in ("a", "b")}
    far = {n: np.linalg.norm(v[:, None] - v[None], axis=2) for n, v in arrays.items()}
    blocks, start = {}, 0
    for side, count in sides.items():
        i, j = np.triu_indices(count, 1)
        i, j, start = i + start, j + start, start + count
        signal = np.stack([far["a"][i, j], far["a"][i, j] + far["b"][i, j]], axis=1)
        pairs = np.stack([np.array(ids, dtype=object)[k] for k in (i, j)], axis=1)
        blocks[side] = [
            label_responses(
                signal + 0.3 * rng.standard_normal(signal.shape),
                pairs,
                ["EVC", "IT"],
                subject=f"sub{k + 1:02d}",
                rois={"EVC": [True, False], "IT": [False, True]},
            )
            for k in range(2)
        ]
    spaces = {n: ArraySpace(tuple(ids), v, f"made-up {n} {seed}") for n, v in arrays.items()}
    groups = tuple([b.isel(target=[t]) for b in blocks["train"]] for t in range(2))
    return Case(Features(spaces, tuple(ids)), groups, without_targets(blocks["test"][0]))


def members_case(seed: int = 0) -> Case:
    """Features are the predictions of two members, each better at some of the targets."""
    base = stimuli_case(seed)
    rng = np.random.default_rng(seed)
    rows, targets = 72, 5
    truth = rng.standard_normal((rows, targets))
    labelled = label_responses(truth, list(base.features.ids), subject="sub01")
    noise = {"one": [0.2] * 3 + [2.0] * 2, "two": [1.0] * 3 + [0.2] * 2}
    members = {
        name: {"sub01": labelled.copy(data=truth + level * rng.standard_normal(truth.shape))}
        for name, level in ((n, np.array(v)) for n, v in noise.items())
    }
    train = labelled.isel(row=slice(0, 54))
    groups = ([train.isel(target=slice(0, 3))], [train.isel(target=slice(3, 5))])
    return Case(Features({}, base.features.ids, members), groups, base.rows)


def without_targets(rows: Responses) -> Responses:
    """The labels of rows to predict."""
    empty = pd.DataFrame(index=pd.Index([], name="target", dtype=object))
    return assemble(np.empty((len(rows), 0), dtype=np.float32), row_table(rows), empty)
