"""Fields of optical flow between the frames of a film, as networks of motion are shown them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor, nn

from striate.data import Shown
from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets import looks
from striate.nets.edges import luminance
from striate.nets.flow import LucasKanade, colours, scaled
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import count_of, expected, pixels_of
from striate.nets.preprocessing import Preprocessing
from striate.nets.raft import MODELS as RAFTS
from striate.nets.raft import Raft, raft_flow
from striate.registry import make

LUCAS_KANADE = "lucas-kanade"
TOGETHER = 16
"""Pairs of frames whose flow is computed at once."""

Method = LucasKanade | Raft


@dataclass(frozen=True)
class Flows(Input):
    """Clips (clip, 2, pair, height, width): flow of whole frames first, then its middle, scaled.

    Parameters
    ----------
    preprocessing
        Resize of the frames; its crop is that of the flow, for what enters at a border moves too.
    frames
        Which frames of a film; there is one field less. An image stands still.
    method
        Weightless, or RAFT.
    limit
        Pixels of motion that become 1; longer components are cut.
    steps
        Round to 256 grey values, as the flow that I3D was trained on had been stored.

    """

    preprocessing: Preprocessing
    frames: Frames = field(default_factory=Frames)
    method: Method = field(default_factory=LucasKanade)
    limit: float = 20.0
    steps: bool = False
    kind: ClassVar[str] = "clip"

    def read(self, shown: Shown) -> UInt8[np.ndarray, "1 frame height width 3"]:
        """The resized frames of the film, not yet cropped."""
        return moving(shown, self.frames, self._whole())[None]

    def __call__(
        self, items: Shaped[Tensor, "item frame height width 3"]
    ) -> Float32[Tensor, "item 2 pair row column"]:
        """Scaled flow of every clip."""
        crop = self.preprocessing.crop
        found = [
            scaled(flow_of(clip, self.method), crop and crop[0], self.limit, self.steps)
            for clip in items
        ]
        return torch.stack(found).transpose(1, 2)

    def blank(self) -> Shaped[Tensor, "1 frame height width 3"]:
        """One black clip."""
        return torch.zeros(1, self.cost, *self._whole().shape, 3, dtype=torch.uint8)

    def identity(self) -> dict[str, Any]:
        """Preprocessing, frame rule, method and scale."""
        told: dict[str, Any] = {"preprocessing": self.preprocessing.identity()}
        told |= {"frames": self.frames.identity(), "flow": method_identity(self.method)}
        return told | {"limit": float(self.limit), "steps": self.steps}

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "row column 3"]:
        """Some of the fields: hue is direction, depth of colour is speed."""
        with torch.inference_mode():
            fields = self(torch.from_numpy(self.read(shown)))[0].transpose(0, 1)
            return looks.strip(colours(fields.contiguous()).numpy())

    @property
    def cost(self) -> int:
        """Frames of a clip."""
        return max(2, expected(self.frames))

    def _whole(self) -> Preprocessing:
        size = self.preprocessing.resize
        square = (size, size) if isinstance(size, int) else size
        return Preprocessing(square, interpolation=self.preprocessing.interpolation)


def moving(
    shown: Shown, frames: Frames, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "frame height width 3"]:
    """Two frames of a stimulus at least; an image stands still for as many as the rule expects."""
    pixels = pixels_of(shown, frames, preprocessing)
    if len(pixels) > 1:
        return pixels
    return np.repeat(pixels, max(2, count_of(shown, frames), expected(frames)), axis=0)


def flow_of(
    pixels: Shaped[Tensor, "frame height width 3"], method: Method
) -> Float32[Tensor, "pair 2 height width"]:
    """Flow from each frame to the next, in pixels."""
    images = pixels.permute(0, 3, 1, 2).float() / 255
    compute = _ready(method, str(pixels.device))
    pieces = [images[k : k + TOGETHER + 1] for k in range(0, len(images) - 1, TOGETHER)]
    return torch.cat([compute(p[:-1], p[1:]) for p in pieces])


def flow_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of that name, with options in place of its defaults.

    Raises
    ------
    RecipeError
        When there is no such method or option.

    """
    if name == LUCAS_KANADE:
        return make(LucasKanade, options, "flow")  # type: ignore[no-any-return]
    if name not in RAFTS:
        raise RecipeError(unknown("method of optical flow", name, [LUCAS_KANADE, *RAFTS]))
    return make(Raft, {"model": name, **options}, "flow")  # type: ignore[no-any-return]


def method_identity(method: Method) -> dict[str, Any]:
    """What decides the numbers of a method, JSON-able."""
    if isinstance(method, Raft):
        return method.identity()
    numbers = {n: float(v) for n, v in asdict(method).items()}
    return {"model": LUCAS_KANADE, **numbers}


def _ready(method: Method, device: str) -> Callable[[Tensor, Tensor], Tensor]:
    if isinstance(method, LucasKanade):
        return lambda a, b: method(luminance(a), luminance(b))
    module = _raft(method, device, str(method.identity()["weights"]))
    return lambda a, b: raft_flow(module, a, b, method.updates)


@lru_cache(maxsize=1)
def _raft(method: Raft, device: str, weights: str) -> nn.Module:
    """The network as long as its `weights`, a digest or a tag, are the same."""
    return method.build().to(device)
