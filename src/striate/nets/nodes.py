"""What the families of networks share: a network's nodes as named feature spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from striate.data import Stimuli
from striate.nets.forward import check_kept, features, files_of, node_names, nodes_of
from striate.nets.loading import Network
from striate.nets.pooling import Pool


@dataclass(frozen=True)
class Nodes:
    """Outputs of a network's nodes for each image, pooled; a family says where networks come from.

    Parameters
    ----------
    model
        Name of the network, in the words of its family.
    nodes
        Paths of submodules (``features.9``), patterns of them, or ``output``.
    weights
        ``default``, a tag of the family's, a file of weights, or ``none`` (random, by `seed`).
    pool
        ``none``, ``flatten``, ``mean:6``, ``max:6``, ``pyramid``, ``token``, ``mean tokens``.
    size
        One number or (height, width): images get exactly this size. Not stated: resized and
        cropped as the weights were trained.
    crop
        With a `size` of one number: that is the shorter edge, and this centre is kept.
    interpolation, mean, std
        In place of those of the weights.
    dtype
        Of the stored features: ``float32`` or ``float16``.
    options
        Arguments of the network's constructor.

    """

    model: str
    nodes: tuple[str, ...]
    weights: str = "default"
    pool: str | dict[str, str | int] = "none"
    size: int | tuple[int, int] | None = None
    crop: int | None = None
    interpolation: str | None = None
    mean: tuple[float | int, ...] | None = None
    std: tuple[float | int, ...] | None = None
    dtype: str = "float32"
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    version: ClassVar[int] = 1
    family: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_kept(self.pool, self.dtype)

    def names(self) -> tuple[str, ...]:
        """The nodes, with patterns expanded."""
        return node_names(self.network(), self.nodes)

    def identity(self) -> Mapping[str, Any]:
        """Network, weights' digest, resolved preprocessing, nodes, pool and stored type."""
        kept = {"nodes": sorted(self.nodes), "pool": asdict(Pool.parse(self.pool))}
        return {**self.network().identity(), **kept, "dtype": self.dtype}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: node → array (stimulus, …)."""
        files = files_of(stimuli.ids, stimuli.table["file"])
        pool = Pool.parse(self.pool)
        return features(self.network(), self.names(), pool, self.dtype, files)

    def describe(self) -> list[tuple[str, tuple[int, ...]]]:
        """Every node that answers, with the shape of its output per image."""
        return list(nodes_of(self.network()).items())

    def network(self) -> Network:
        """Which network, weights and preprocessing."""
        return Network(
            self.family,
            self.model,
            self.weights,
            self.seed,
            self.size,
            self.crop,
            self.interpolation,
            self.mean,
            self.std,
            self.options,
        )
