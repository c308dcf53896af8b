"""What the families of networks share: a network's nodes as named feature spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from striate.data import Stimuli
from striate.media import Frames
from striate.nets.forward import Kept, check_dtype, features, node_names, nodes_of
from striate.nets.inputs import Input
from striate.nets.loading import Network
from striate.nets.pooling import Pool
from striate.nets.projection import Projection
from striate.registry import key_of


@dataclass(frozen=True)
class Nodes:
    """Outputs of a network's nodes for each stimulus; a family says where networks come from.

    Parameters
    ----------
    model
        Name of the network, in the words of its family.
    nodes
        Paths of submodules (``features.9``), patterns of them, or ``output``.
    weights
        ``default``, a tag of the family's, a file of weights, or ``none`` (random, by `seed`).
    pool
        Over positions: ``none``, ``flatten``, ``mean:6``, ``max:6``, ``pyramid``, ``token``,
        ``last token``, ``mean tokens``.
    time
        Over the frames of a film or the windows of a sound: ``mean``, ``max``, or ``keep``, an
        axis of its own. A still image is one frame.
    frames
        Which frames of a film: a number of evenly spaced ones, ``{rate = 4}`` per second,
        ``{rate = 22, count = 65}``, ``{times = [0.5, 1.5]}``; see `striate.media.Frames`. Not
        stated: as many as the network takes, or 16.
    size
        One number or (height, width): images get exactly this size. Not stated: resized and
        cropped as the weights were trained.
    crop
        With a `size` of one number: that is the shorter edge, and this centre is kept.
    interpolation, mean, std
        In place of those of the weights.
    projection
        Columns of a random projection (by `seed`) of each node, made before features are copied
        from the device; 0: none.
    precision
        ``float32``, or ``bfloat16`` or ``float16`` where torch's autocast uses them.
    dtype
        Of the stored features: ``float32`` or ``float16``.
    options
        Arguments of the network's constructor.

    """

    model: str
    nodes: tuple[str, ...]
    weights: str = "default"
    pool: str | dict[str, str | int] = "none"
    time: str = "mean"
    frames: int | dict[str, Any] | None = None
    size: int | tuple[int, int] | None = None
    crop: int | None = None
    interpolation: str | None = None
    mean: tuple[float | int, ...] | None = None
    std: tuple[float | int, ...] | None = None
    projection: int = 0
    precision: str = "float32"
    dtype: str = "float32"
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    version: ClassVar[int] = 3
    family: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.kept()
        check_dtype(self.dtype)

    def names(self) -> tuple[str, ...]:
        """The nodes, with patterns expanded."""
        return node_names(self.network(), self.shows(), self.nodes)

    def identity(self) -> Mapping[str, Any]:
        """Network, weights' digest, resolved preprocessing, nodes, and what is kept of them."""
        kept = self.kept()
        told: dict[str, Any] = {"nodes": sorted(self.nodes), "pool": asdict(kept.pool)}
        told |= {"time": self.time, "precision": self.precision, "dtype": self.dtype}
        if self.projection:
            told["projection"] = asdict(kept.projection)
        return {**self.network().identity(), "input": self.shows().identity(), **told}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: node → array (stimulus, …)."""
        network, shows = self.network(), self.shows()
        return features(network, shows, self.names(), self.kept(), stimuli.shown())

    def describe(self) -> list[tuple[str, tuple[int, ...]]]:
        """Every node that answers, with the shape of its output per image, clip or window."""
        return list(nodes_of(self.network(), self.shows()).items())

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"] | None:
        """What the network is shown, resized and cropped."""
        return self.shows().picture(stimuli.shown()[0])

    def kept(self) -> Kept:
        """What is kept of the nodes' outputs."""
        projection = Projection(self.projection, self.seed)
        return Kept(Pool.parse(self.pool), self.time, projection, self.precision)

    def shows(self) -> Input:
        """What the network is shown of a stimulus."""
        return self.network().input(None if self.frames is None else Frames.parse(self.frames))

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


class Worded(Nodes):
    """A family with networks of language among its own: their rows are made of words, not files."""

    def content(self, stimuli: Stimuli) -> list[str]:
        """A digest of the words of each stimulus, or of its file for other networks."""
        if self.shows().kind != "text":
            return [str(d) for d in stimuli.table["digest"]]
        return ["" if s.text is None else key_of("text", s.text) for s in stimuli.shown()]
