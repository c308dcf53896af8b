"""Edges with nothing learned: gradients, Canny's lines, and oriented energy at several scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from scipy import ndimage
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from striate.errors import DataError, RecipeError
from striate.nets.gabor import COLOURS


def luminance(
    images: Float32[Tensor, "stimulus *colour height width"],
) -> Float32[Tensor, "stimulus height width"]:
    """Luminance of RGB images (ITU-R BT.601); images of one plane stay as they are.

    Raises
    ------
    DataError
        When there are neither one plane nor three.

    """
    if images.ndim == 3:
        return images
    if images.ndim != 4 or images.shape[1] != 3:
        raise DataError(
            f"images of shape {tuple(images.shape)} have no edges here: give (stimulus, height,"
            " width) or (stimulus, 3, height, width)"
        )
    return torch.einsum("nchw,c->nhw", images, images.new_tensor(COLOURS["luminance"][0]))


def sobel(
    images: Float32[Tensor, "stimulus *colour height width"],
) -> Float32[Tensor, "stimulus 2 height width"]:
    """Magnitude and direction of the gradient, by Sobel's operator.

    The magnitude is per pixel; the direction, that in which it gets lighter, in radians from −π to
    π: 0 is to the right, π / 2 to the bottom.
    """
    plane = luminance(images).unsqueeze(1)
    wide = functional.pad(plane, (1, 1, 1, 1), mode="replicate")
    along = wide.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    x, y = functional.conv2d(wide, torch.stack([along, along.T]).unsqueeze(1)).unbind(1)
    return torch.stack([torch.hypot(x, y), torch.atan2(y, x)], 1)


def canny(
    images: Float32[Tensor, "stimulus *colour height width"],
    sigma: float | int = 1.4,
    low: float | int = 0.05,
    high: float | int = 0.15,
) -> Float32[Tensor, "stimulus 1 height width"]:
    """Lines one pixel wide where luminance changes most: 1 on them, 0 elsewhere (Canny 1986).

    Parameters
    ----------
    images
        Luminance or RGB, from 0 to 1.
    sigma
        Standard deviation in pixels of the Gaussian that images are smoothed with.
    low, high
        Heights of steps. A line is where the slope is greater than a pixel away on both sides,
        greater than that of a step of `low`, and connected to a place where it is greater than
        that of a step of `high`.

    Raises
    ------
    RecipeError
        When sigma is not above 0, or low above high.

    """
    if not sigma > 0 or not 0 <= low <= high:
        raise RecipeError(
            f"sigma {sigma}, low {low} and high {high} of Canny's edges: must be > 0, and ≥ 0 in"
            " ascending order"
        )
    x, y = _slopes(luminance(images), float(sigma))
    # At its place a smoothed step of height 1 has the slope 1 / (sigma √2π).
    strength = torch.hypot(x, y) * (sigma * math.sqrt(2 * math.pi))
    thin = _ridges(strength, x, y)
    weak, strong = thin & (strength > low), thin & (strength > high)
    return _connected(weak, strong).unsqueeze(1).float()


@dataclass(frozen=True)
class OrientedEnergy:
    r"""Energy of even and odd filters across edges: lines and steps alike, at several scales.

    The even filter is the second derivative of a Gaussian across the edge, which is longer along
    it; the odd one is its Hilbert transform (Morrone & Owens 1987; Martin, Fowlkes & Malik 2004).
    Over frequencies :math:`u` across and :math:`v` along an edge both are one complex filter,

    .. math:: F(u, v) = 2 \pi \sigma^2 u^2 e^{-\sigma^2 (u^2 + a^2 v^2) / 2} \quad (u > 0)

    whose response has the even part as its real and the odd as its imaginary part. The magnitude
    of a step of height 1 at its place is 1 at every scale (0.8 at a sigma of one pixel).

    Parameters
    ----------
    sigmas
        Standard deviations across the edge, in pixels, of the scales.
    orientations
        Evenly spaced over half a turn. The first varies along x, so its edges are vertical; later
        ones turn towards the bottom.
    length
        Length of the filters in their widths (a).

    """

    sigmas: tuple[float | int, ...] = (1.0, 2.0, 4.0)
    orientations: int = 8
    length: float | int = 2.0

    def __post_init__(self) -> None:
        if not self.sigmas or not min(self.sigmas) > 0:
            raise RecipeError(f"sigmas {list(self.sigmas)} of oriented energy: name some above 0")
        for name in ("orientations", "length"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} {getattr(self, name)} of oriented energy: must be > 0")

    def __call__(
        self, images: Float32[Tensor, "stimulus *colour height width"]
    ) -> Float32[Tensor, "stimulus channel height width"]:
        """Magnitudes: for each scale, all orientations. Images are mirrored at their borders."""
        plane = luminance(images)
        count, height, width = plane.shape
        pad = math.ceil(3 * max(self.sigmas) * max(1.0, self.length))
        rows, columns = (_mirrored(n, pad).to(plane.device) for n in (height, width))
        spectrum = torch.fft.fft2(plane[:, rows][:, :, columns])
        top, left = (len(rows) - height) // 2, (len(columns) - width) // 2
        bank = _bank(self, (len(rows), len(columns))).to(plane.device)
        made = plane.new_empty(count, len(bank), height, width)
        for channel, filter_ in enumerate(bank):  # one at a time: all would not fit a cache
            response = torch.fft.ifft2(spectrum * filter_)
            response = response[:, top : top + height, left : left + width]
            made[:, channel] = (response.real.square() + response.imag.square()).sqrt()
        return made


def _mirrored(count: int, pad: int) -> Int64[Tensor, " place"]:
    """Which pixels an edge of `count` becomes when it is mirrored at both ends, at least by `pad`.

    Lengths without large prime factors transform four times faster.
    """
    length = next_fast_len(count + 2 * pad, True)
    while (length - count) % 2:
        length = next_fast_len(length + 1, True)
    place = torch.arange(length) - (length - count) // 2
    turn = max(1, 2 * (count - 1))
    place = place.remainder(turn)
    return torch.minimum(place, turn - place).clamp(max=count - 1)


@lru_cache(maxsize=4)
def _bank(
    energy: OrientedEnergy, shape: tuple[int, int]
) -> Float32[Tensor, "channel height width"]:
    """The filters over the frequencies of a Fourier transform."""
    y = 2 * math.pi * torch.fft.fftfreq(shape[0], dtype=torch.float64)[:, None]
    x = 2 * math.pi * torch.fft.fftfreq(shape[1], dtype=torch.float64)[None]
    made = []
    for sigma in energy.sigmas:
        for k in range(energy.orientations):
            angle = math.pi * k / energy.orientations
            across = math.cos(angle) * x + math.sin(angle) * y
            along = math.cos(angle) * y - math.sin(angle) * x
            falls = (sigma * across) ** 2 + (energy.length * sigma * along) ** 2
            shape_ = 2 * math.pi * sigma**2 * across.clamp(min=0) ** 2 * torch.exp(-falls / 2)
            made.append(shape_)
    return torch.stack(made).float()


def _slopes(
    images: Float32[Tensor, "stimulus height width"], sigma: float
) -> tuple[Float32[Tensor, "stimulus height width"], Float32[Tensor, "stimulus height width"]]:
    """Derivatives along x and y of the smoothed images: products of one function of x, one of y."""
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    gauss = torch.exp(-(at**2) / (2 * sigma**2))
    gauss = gauss / gauss.sum()
    slope = at * gauss
    slope = slope / (at * slope).sum()  # a ramp of 1 per pixel has the slope 1

    def along(plane: Tensor, function: Tensor, axis: int) -> Tensor:
        sides = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
        wide = functional.pad(plane, sides, mode="replicate")
        return functional.conv2d(wide, function.view((1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1)))

    plane = images.unsqueeze(1)
    x = along(along(plane, slope, 3), gauss, 2)[:, 0]
    y = along(along(plane, slope, 2), gauss, 3)[:, 0]
    return x, y


def _ridges(
    strength: Float32[Tensor, "stimulus height width"],
    x: Float32[Tensor, "stimulus height width"],
    y: Float32[Tensor, "stimulus height width"],
) -> Bool[Tensor, "stimulus height width"]:
    """Where the strength is greater than a pixel away along the gradient, on both sides."""
    height, width = strength.shape[-2:]
    wide = functional.pad(strength, (1, 1, 1, 1)).flatten(1)
    rows = torch.arange(1, height + 1, device=strength.device).unsqueeze(1)
    place = rows * (width + 2) + torch.arange(1, width + 1, device=strength.device)

    def at(down: Tensor | int, right: Tensor | int) -> Tensor:
        index = (place + down * (width + 2) + right).expand(strength.shape)
        return wide.gather(1, index.flatten(1)).view_as(strength)

    # Ahead is to the right, or to the bottom where the gradient is steeper.
    sense = torch.where(x.abs() >= y.abs(), x, y).sign()
    right, down = (x.sign() * sense).long(), (y.sign() * sense).long()
    size = torch.hypot(x, y).clamp(min=1e-12)
    wide_share, tall_share = x.abs() / size, y.abs() / size
    ends = [
        (1 - wide_share) * (1 - tall_share) * strength
        + wide_share * (1 - tall_share) * at(0, way * right)
        + (1 - wide_share) * tall_share * at(way * down, 0)
        + wide_share * tall_share * at(way * down, way * right)
        for way in (1, -1)
    ]
    # Two equal pixels, as on either side of a step, are one line: the second of them.
    return (strength > ends[0] * (1 + 1e-5)) & (strength >= ends[1] * (1 - 1e-5))


def _connected(
    weak: Bool[Tensor, "stimulus height width"], strong: Bool[Tensor, "stimulus height width"]
) -> Bool[Tensor, "stimulus height width"]:
    """Weak places that hang together, by edges or corners, with a strong one."""
    touching = np.zeros((3, 3, 3), dtype=bool)
    touching[1] = True
    names, count = ndimage.label(weak.cpu().numpy(), touching)
    kept = np.zeros(count + 1, dtype=bool)
    kept[names[strong.cpu().numpy()]] = True
    kept[0] = False
    return torch.from_numpy(kept[names]).to(weak.device)
