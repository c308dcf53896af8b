"""Edges with nothing learned: oriented energy, gradients, or Canny's lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets import looks
from striate.nets.edges import OrientedEnergy, canny, sobel
from striate.nets.forward import check_dtype
from striate.nets.inputs.pictures import count_of, pixels_of
from striate.nets.passes import check_time, one_pass
from striate.nets.pooling import Pool
from striate.nets.preprocessing import Preprocessing

KINDS = ("oriented", "sobel", "canny")


@dataclass(frozen=True)
class Edges:
    """Edges of each frame, pooled over positions; one space, ``edges``.

    An array (stimulus, channel, row, column): of ``oriented``, each scale's orientations; of
    ``sobel``, the magnitude of the gradient; of ``canny``, where lines are.

    Parameters
    ----------
    kind
        ``oriented``, ``sobel`` or ``canny``. For learned edges use ``zoo`` with model ``bdcn``.
    size
        Frames are resized to size × size pixels.
    sigmas, orientations, length
        Of ``oriented``; see `striate.nets.edges.OrientedEnergy`.
    sigma, low, high
        Of ``canny``; see `striate.nets.edges.canny`.
    pool
        Over positions, such as ``mean:16`` cells; see `striate.nets.pooling.Pool`.
    frames, time
        Which frames of a film, and what becomes of them: ``mean``, ``max`` or ``keep``.
    dtype
        Of the stored features: ``float32`` or ``float16``.

    """

    kind: str = "oriented"
    size: int = 128
    sigmas: tuple[float | int, ...] = (1.0, 2.0, 4.0)
    orientations: int = 8
    length: float | int = 2.0
    sigma: float | int = 1.4
    low: float | int = 0.05
    high: float | int = 0.15
    pool: str | dict[str, str | int] = "mean:16"
    frames: int | dict[str, Any] = 16
    time: str = "mean"
    dtype: str = "float32"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(unknown("kind of edges", self.kind, KINDS))
        if not self.sigma > 0 or not 0 <= self.low <= self.high:
            raise RecipeError(
                f"sigma {self.sigma}, low {self.low}, high {self.high} of Canny's edges: sigma is"
                " above 0, and low is between 0 and high"
            )
        self.bank()
        Pool.parse(self.pool)
        check_time(self.time)
        check_dtype(self.dtype)

    def names(self) -> tuple[str, ...]:
        """The one space."""
        return ("edges",)

    def identity(self) -> Mapping[str, Any]:
        """All fields."""
        numbers: dict[str, Any] = {
            n: float(getattr(self, n)) for n in ("length", "sigma", "low", "high")
        }
        numbers |= {"sigmas": [float(s) for s in self.sigmas]}
        numbers |= {"pool": asdict(Pool.parse(self.pool))}
        return asdict(self) | numbers | {"frames": Frames.parse(self.frames).identity()}

    def bank(self) -> OrientedEnergy:
        """The oriented filters."""
        return OrientedEnergy(self.sigmas, self.orientations, self.length)

    def maps(
        self, images: Float32[Tensor, "frame 3 height width"]
    ) -> Float32[Tensor, "frame channel height width"]:
        """Edges of images with values from 0 to 1, at every pixel."""
        if self.kind == "oriented":
            return self.bank()(images)
        if self.kind == "sobel":
            return sobel(images)[:, :1]
        return canny(images, self.sigma, self.low, self.high)

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"]:
        """The strongest edge at every pixel of some frames."""
        shape = Preprocessing((self.size, self.size))
        pixels = pixels_of(stimuli.shown()[0], Frames.parse(self.frames), shape)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        lines = [looks.grey(m) for m in self.maps(images).amax(1).numpy()]
        return looks.strip(np.stack(lines))

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: array (stimulus, channel, row, column)."""
        frames, shape = Frames.parse(self.frames), Preprocessing((self.size, self.size))
        pool = Pool.parse(self.pool)

        def read(shown: Shown) -> UInt8[np.ndarray, "frame height width 3"]:
            return pixels_of(shown, frames, shape)

        def compute(pixels: Tensor) -> dict[str, Tensor]:
            images = pixels.permute(0, 3, 1, 2).float() / 255
            return {"edges": pool(self.maps(images), "edges", patches=False)}

        count = partial(count_of, frames=frames)
        return one_pass(stimuli.shown(), read, compute, self.time, count)
