"""Optical flow of films: what moves where and how fast, in each cell of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import RecipeError
from striate.media import Frames
from striate.nets import looks
from striate.nets.flow import colours, summary
from striate.nets.forward import check_dtype
from striate.nets.inputs.flows import flow_method, flow_of, method_identity, moving
from striate.nets.inputs.pictures import expected
from striate.nets.passes import check_time, one_pass, reduced
from striate.nets.preprocessing import Preprocessing

SPACES = ("summary", "field")


@dataclass(frozen=True)
class Flow:
    """Optical flow between frames, in two spaces, pooled over time.

    ``summary`` is an array (stimulus, feature, row, column) over a grid: mean speed, speed by
    direction, divergence and curl; see `striate.nets.flow.summary`. ``field`` is the flow itself
    (stimulus, 2, row, column), averaged within cells, in pixels. A picture does not move.

    Parameters
    ----------
    method
        ``lucas-kanade``, which has no weights, or ``raft_large`` or ``raft_small`` of torchvision.
    options
        Of the method: see `striate.nets.flow.LucasKanade` and `striate.nets.raft.Raft`, such as
        ``{weights = "raft.pth", updates = 6}``.
    size
        Frames are resized to size × size pixels.
    frames
        Which frames; speeds are pixels from one to the next.
    grid, directions
        Cells along an edge, and directions, of ``summary``.
    cells
        Cells along an edge of ``field``.
    time
        What becomes of the pairs of frames: ``mean``, ``max`` or ``keep``.
    dtype
        Of the stored features: ``float32`` or ``float16``.

    """

    method: str = "lucas-kanade"
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 128
    frames: int | dict[str, Any] = field(default_factory=lambda: {"rate": 12})
    grid: int = 4
    directions: int = 8
    cells: int = 16
    time: str = "mean"
    dtype: str = "float32"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        flow_method(self.method, self.options)
        check_time(self.time)
        check_dtype(self.dtype)
        for name in ("grid", "directions", "cells"):
            if not 0 < getattr(self, name) <= self.size:
                raise RecipeError(f"{name} {getattr(self, name)} of flow: 1 to size ({self.size})")

    def names(self) -> tuple[str, ...]:
        """The two spaces."""
        return SPACES

    def identity(self) -> Mapping[str, Any]:
        """Method with the digest of its weights, and all other fields."""
        told: dict[str, Any] = {
            n: getattr(self, n) for n in ("size", "grid", "directions", "cells", "time", "dtype")
        }
        method = method_identity(flow_method(self.method, self.options))
        return told | {"method": method, "frames": Frames.parse(self.frames).identity()}

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"]:
        """Some of the fields: hue is direction, depth of colour is speed."""
        shape = Preprocessing((self.size, self.size))
        pixels = torch.from_numpy(moving(stimuli.shown()[0], Frames.parse(self.frames), shape))
        with torch.inference_mode():
            fields = flow_of(pixels, flow_method(self.method, self.options))
            return looks.strip(colours(fields).numpy())

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array (stimulus, feature, row, column)."""
        frames, shape = Frames.parse(self.frames), Preprocessing((self.size, self.size))
        method = flow_method(self.method, self.options)

        def read(shown: Shown) -> UInt8[np.ndarray, "1 frame height width 3"]:
            return moving(shown, frames, shape)[None]

        def compute(clips: Tensor) -> dict[str, Tensor]:
            fields = [flow_of(clip, method) for clip in clips]
            small = (self.cells, self.cells)
            told = [summary(f, self.grid, self.directions) for f in fields]
            cells = [torch.nn.functional.adaptive_avg_pool2d(f, small) for f in fields]
            return {
                "summary": torch.stack([reduced(t, self.time) for t in told]),
                "field": torch.stack([reduced(c, self.time) for c in cells]),
            }

        return one_pass(stimuli.shown(), read, compute, cost=max(2, expected(frames)))
