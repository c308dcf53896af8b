"""Optical flow with nothing learned, and what fields of flow are made into: how far pixels move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor
from torch.nn import functional

from striate.errors import DataError, RecipeError


@dataclass(frozen=True)
class LucasKanade:
    r"""Dense Lucas–Kanade flow from coarse to fine, with nothing learned.

    Around each pixel the displacement :math:`d` minimises

    .. math:: \sum_q g(q - p)\,\big(I_1(q) - I_2(q + d)\big)^2

    by Gauss–Newton steps :math:`(G + \lambda 1)\,\delta = \sum g\,\nabla I\,(I_1 - I_2(\cdot + d))`
    with :math:`G = \sum g\,\nabla I \nabla I^\top` (Lucas & Kanade 1981), on a pyramid of halved
    sizes, whose small frames hold large motions (Bouguet 2001). Frames are first divided by their
    local contrast, so that changes of light are no motion. On each level, what fits better where
    it was starts from rest again. Where there is nothing to see, the ridge :math:`\lambda` keeps
    the flow of the coarser level, and smoothing after each step carries flow in from around.

    Parameters
    ----------
    window
        Standard deviation of the weights g, in pixels.
    smooth
        That of the smoothing of the flow.
    steps
        Gauss–Newton steps per level.
    smallest
        Levels are halved until the shorter edge would be below so many pixels.
    ridge
        The ridge λ, per unit of squared local contrast.
    contrast
        Standard deviation in pixels of the weights of the local contrast.

    """

    window: float | int = 2.5
    smooth: float | int = 2.0
    steps: int = 3
    smallest: int = 16
    ridge: float | int = 0.01
    contrast: float | int = 4.0

    def __post_init__(self) -> None:
        for name in ("window", "smooth", "steps", "smallest", "ridge", "contrast"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} {getattr(self, name)} of optical flow: must be > 0")

    def __call__(
        self,
        first: Float32[Tensor, "pair height width"],
        second: Float32[Tensor, "pair height width"],
    ) -> Float32[Tensor, "pair 2 height width"]:
        """Displacements (x, y) in pixels that lead from the first frames to the second.

        Parameters
        ----------
        first, second
            Luminance, in any unit.

        """
        both = torch.stack([first, second])
        levels = [both]
        while min(levels[-1].shape[-2:]) >= 2 * self.smallest:
            levels.append(_halved(levels[-1]))
        flow = first.new_zeros(len(first), 2, *levels[-1].shape[-2:])
        for level in reversed(levels):
            flow = resized(flow, (level.shape[-2], level.shape[-1]))
            flow = self._refined(flow, *self._even(level).unbind(0))
        return flow

    def _even(
        self, frames: Float32[Tensor, "2 pair height width"]
    ) -> Float32[Tensor, "2 pair height width"]:
        """Frames without local mean, over their local contrast."""
        centred = frames - _blurred(frames, self.contrast)
        power = _blurred(centred.square(), self.contrast)
        floor = 1e-6 + 0.01 * power.mean(dim=(0, 2, 3), keepdim=True)
        return centred / (power + floor).sqrt()

    def _refined(
        self,
        flow: Float32[Tensor, "pair 2 height width"],
        first: Float32[Tensor, "pair height width"],
        second: Float32[Tensor, "pair height width"],
    ) -> Float32[Tensor, "pair 2 height width"]:
        # What stands still beside what moves was carried along at the coarser level.
        moving = first - warped(second[:, None], flow)[:, 0]
        moving, still = _blurred(torch.stack([moving, first - second]).square(), self.window)
        flow = torch.where((still < 0.25 * moving).unsqueeze(1), 0, flow)
        gx, gy = _gradient(first)
        xx, xy, yy = _blurred(torch.stack([gx * gx, gx * gy, gy * gy]), self.window)
        xx, yy = xx + self.ridge, yy + self.ridge
        determinant = xx * yy - xy * xy
        for _ in range(self.steps):
            missing = first - warped(second[:, None], flow)[:, 0]
            # What has left the frame tells nothing.
            missing = missing.where(_inside(flow), 0)
            bx, by = _blurred(torch.stack([gx * missing, gy * missing]), self.window)
            step = torch.stack([yy * bx - xy * by, xx * by - xy * bx], 1)
            step = step / determinant.unsqueeze(1)
            # Farther than 2 pixels is beyond what a gradient tells.
            flow = _blurred(flow + step.clamp(-2, 2), self.smooth)
        return flow


def warped(
    images: Float32[Tensor, "pair channel height width"],
    flow: Float32[Tensor, "pair 2 height width"],
) -> Float32[Tensor, "pair channel height width"]:
    """Images as seen from where the flow starts: value (x, y) is that of (x, y) + flow there.

    Interpolation is linear; beyond the border the border's value is taken.
    """
    height, width = flow.shape[-2:]
    x, y = _ends(flow)
    # grid_sample counts from -1 to 1 between the outer edges of the outer pixels.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def resized(
    flow: Float32[Tensor, "pair 2 height width"], size: tuple[int, int]
) -> Float32[Tensor, "pair 2 row column"]:
    """Flow for frames of another size (height, width): its vectors grow with the frames."""
    height, width = flow.shape[-2:]
    if size == (height, width):
        return flow
    made = functional.interpolate(
        flow, size, mode="bilinear", align_corners=False, antialias=size[0] < height
    )
    return made * made.new_tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)


def scaled(
    flow: Float32[Tensor, "pair 2 height width"],
    crop: int | None = None,
    limit: float | int = 20.0,
    quantised: bool = False,
) -> Float32[Tensor, "pair 2 row column"]:
    """Flow as networks take it: the middle of each field, in parts of a limit, from −1 to 1.

    Parameters
    ----------
    flow
        In pixels.
    crop
        Pixels along an edge of the middle that is kept; None keeps all.
    limit
        Longer components are cut to so many pixels.
    quantised
        Round to the 256 grey values as which I3D stored flow: 2 round(127.5 (1 + f)) / 255 − 1
        (Carreira & Zisserman 2017). No motion then becomes 1 / 255.

    Raises
    ------
    DataError
        When the crop is larger than the flow.

    """
    height, width = flow.shape[-2:]
    if crop is not None:
        if not 0 < crop <= min(height, width):
            raise DataError(
                f"crop {crop} of flow of {height} × {width} pixels: must be > 0 and fit in it;"
                " compute the flow of larger frames"
            )
        top, left = (height - crop) // 2, (width - crop) // 2
        flow = flow[..., top : top + crop, left : left + crop]
    made = flow.clamp(-limit, limit) / limit
    return ((made + 1) * 127.5).round() * (2 / 255) - 1 if quantised else made


def summary(
    flow: Float32[Tensor, "pair 2 height width"], grid: int = 4, directions: int = 8
) -> Float32[Tensor, "pair feature row column"]:
    """What moves how, in each cell of a grid.

    The features, in order: the mean speed (pixels); that speed by direction, the first to the
    right, later ones turned towards the bottom, shared between the nearest two, so that they sum
    to the mean speed; mean divergence (how fast it expands); and mean curl (how fast it turns, to
    the right and then down).
    """
    if not 0 < grid <= min(flow.shape[-2:]):
        raise DataError(
            f"a grid of {grid} × {grid} cells over flow of {flow.shape[-2]} × {flow.shape[-1]}"
            " pixels: name one that fits"
        )
    x, y = flow.unbind(1)
    speed = torch.hypot(x, y)
    place = torch.atan2(y, x) * (directions / (2 * math.pi))
    names = torch.arange(directions, device=flow.device).view(-1, 1, 1)
    away = (place.unsqueeze(1) - names).remainder(directions)
    share = (1 - torch.minimum(away, directions - away)).clamp(min=0)
    (xx, xy), (yx, yy) = _gradient(x), _gradient(y)
    planes = [speed.unsqueeze(1), share * speed.unsqueeze(1)]
    planes += [(xx + yy).unsqueeze(1), (yx - xy).unsqueeze(1)]
    return functional.adaptive_avg_pool2d(torch.cat(planes, 1), grid)


def colours(
    flow: Float32[Tensor, "pair 2 height width"], limit: float | int | None = None
) -> UInt8[Tensor, "pair height width 3"]:
    """RGB pictures: the hue is the direction (red: right), the colour's depth the speed.

    Parameters
    ----------
    flow
        In pixels.
    limit
        Pixels that are of full colour; by default the 99th percentile of each pair's speeds.

    """
    x, y = flow.unbind(1)
    speed = torch.hypot(x, y)
    if limit is None:
        # Each by itself and every 7th pixel: quantile takes no more than some millions.
        most = torch.stack([one.flatten()[::7].quantile(0.99) for one in speed])
        most = most.clamp(min=1e-6).view(-1, 1, 1)
    else:
        most = speed.new_tensor(limit)
    depth = (speed / most).clamp(max=1)
    hue = torch.atan2(y, x) * (3 / math.pi)  # in sixths of a turn
    away = (hue.unsqueeze(-1) - hue.new_tensor([0.0, 2.0, 4.0])).remainder(6)
    away = torch.minimum(away, 6 - away)  # from red, green and blue
    pure = (2 - away).clamp(0, 1)
    return ((1 - depth.unsqueeze(-1) * (1 - pure)) * 255).round().to(torch.uint8)


def _ends(
    flow: Float32[Tensor, "pair 2 height width"],
) -> tuple[Float32[Tensor, "pair height width"], Float32[Tensor, "pair height width"]]:
    """Where (x, y) in the second frame the pixels of the first are."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device).unsqueeze(1) + flow[:, 1]
    return x, y


def _inside(
    flow: Float32[Tensor, "pair 2 height width"],
) -> Bool[Tensor, "pair height width"]:
    height, width = flow.shape[-2:]
    x, y = _ends(flow)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _halved(
    frames: Float32[Tensor, "2 pair height width"],
) -> Float32[Tensor, "2 pair row column"]:
    size = [(n + 1) // 2 for n in frames.shape[-2:]]
    return functional.interpolate(
        frames, size, mode="bilinear", align_corners=False, antialias=True
    )


def _gradient(
    images: Float32[Tensor, "pair height width"],
) -> tuple[Float32[Tensor, "pair height width"], Float32[Tensor, "pair height width"]]:
    """Central differences along x and y."""
    wide = functional.pad(images.unsqueeze(1), (1, 1, 1, 1), mode="replicate")[:, 0]
    return (
        (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2,
        (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2,
    )


def _blurred(
    images: Float32[Tensor, "*many height width"], sigma: float | int
) -> Float32[Tensor, "*many height width"]:
    """Gaussian means; weights sum to 1 at the borders too."""
    rows, columns = (_weights(n, float(sigma)).to(images) for n in images.shape[-2:])
    return rows @ (images @ columns.T)


@lru_cache(maxsize=64)
def _weights(count: int, sigma: float) -> Float32[Tensor, "place place"]:
    places = torch.arange(count, dtype=torch.float32)
    distance = (places[:, None] - places) / sigma
    weights = torch.where(distance.abs() <= 4, torch.exp(-distance.square() / 2), 0)
    return functional.normalize(weights, p=1, dim=1)
