"""A pyramid of Gabor wavelets in quadrature: what simple and complex cells of V1 respond to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor
from torch.nn import functional

from striate.errors import DataError, RecipeError, unknown

NONLINEARITIES = ("energy", "log", "magnitude", "normalised")

COLOURS: Mapping[str, tuple[tuple[float, float, float], ...]] = {
    "luminance": ((0.299, 0.587, 0.114),),
    "rgb": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "opponent": (
        (3**-0.5, 3**-0.5, 3**-0.5),
        (2**-0.5, -(2**-0.5), 0.0),
        (-(6**-0.5), -(6**-0.5), 2 * 6**-0.5),
    ),
}
"""Planes of an image as sums of its red, green and blue.

``luminance`` is that of ITU-R BT.601. ``opponent`` is luminance, red minus green, and blue minus
yellow: the axes L + M + S, L − M and S − (L + M) / 2 along which the cones' answers to natural
scenes do not correlate (Ruderman, Cronin & Chiao 1998), with red, green and blue in place of the
cones (van de Sande, Gevers & Snoek 2010). Its rows are orthonormal: energies over its planes sum
to those of ``rgb``.
"""


@dataclass(frozen=True)
class Pyramid:
    r"""Gabor wavelets at every frequency, orientation and position.

    A wavelet at position :math:`p` with wave vector :math:`k` is

    .. math:: w(x) = g(x - p)\,(e^{i k \cdot (x - p)} - c_p), \quad
              g(x) = e^{-|x|^2 / 2\sigma^2}

    where :math:`c_p` makes its sum over the image zero, at the borders too, so that a uniform
    image gives no response. Magnitudes are scaled such that a grating of amplitude 1 and the
    wavelet's own frequency and orientation gives 1, whatever its phase (Kay et al. 2008).

    Parameters
    ----------
    size
        Pixels along an edge of the images.
    orientations
        Evenly spaced over half a turn. The first varies along x, so its bars are vertical.
    spacing
        Distance of positions, in wavelengths: at 1, frequency f has f × f positions.
    sigma
        Standard deviation of the envelope, in wavelengths; 0.5 is a bandwidth of 1.1 octaves.
    nonlinearity
        ``magnitude`` (root of the summed squares of both phases), ``energy`` (without the root),
        ``log`` (log of 1 + magnitude × 100, that is of contrast in percent), or ``normalised``
        (see `normalised`).
    semisaturation
        For ``normalised``: the contrast at which a grating reaches half of its greatest response.
    surround
        For ``normalised``: standard deviation of the pool, in positions; 0 pools a position's
        orientations alone.

    """

    size: int = 128
    orientations: int = 8
    spacing: float | int = 1.0
    sigma: float | int = 0.5
    nonlinearity: str = "magnitude"
    semisaturation: float | int = 0.1
    surround: float | int = 1.0

    def __post_init__(self) -> None:
        if self.nonlinearity not in NONLINEARITIES:
            raise RecipeError(unknown("nonlinearity", self.nonlinearity, NONLINEARITIES))
        for name in ("size", "orientations", "spacing", "sigma", "semisaturation"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} {getattr(self, name)} of a Gabor pyramid: must be > 0")
        if not self.surround >= 0:
            raise RecipeError(f"surround {self.surround} of a Gabor pyramid: must be ≥ 0")

    def check(self, frequency: float | int) -> None:
        """Refuse a frequency that the pixels cannot show."""
        if not 0 < frequency < self.size / 2:
            raise RecipeError(
                f"frequency {frequency:g} (cycles per image) must lie between 0 and size / 2 ="
                f" {self.size / 2:g}: lower it or raise size"
            )

    def positions(self, frequency: float | int) -> Float32[Tensor, " position"]:
        """Centres of the wavelets along one edge, in pixels."""
        self.check(frequency)
        count = max(1, round(frequency / self.spacing))
        return (torch.arange(count, dtype=torch.float32) + 0.5) * (self.size / count) - 0.5

    def __call__(
        self, images: Float32[Tensor, "stimulus height width"], frequency: float | int
    ) -> Float32[Tensor, "stimulus orientation row column"]:
        """Responses of all wavelets of one frequency (cycles per image)."""
        return self.compressed(self.waves(images, frequency))

    def waves(
        self, images: Float32[Tensor, "stimulus height width"], frequency: float | int
    ) -> Complex64[Tensor, "stimulus orientation row column"]:
        """Products of the images with the wavelets: both phases, as real and imaginary part.

        A wavelet is the product of one function of x and one of y, so two matrix products do for
        every position at once.
        """
        along_x, along_y, gauss, uniform = (
            t.to(images.device) for t in _bank(self, float(frequency))
        )
        self._check_shape(images)
        images = images - images.mean(dim=(1, 2), keepdim=True)
        count, places = len(images), len(gauss)
        # x: all orientations as columns of one product, real parts, imaginary parts, the envelope
        columns = torch.cat([along_x.real, along_x.imag]).flatten(0, 1)
        rows = images.reshape(-1, self.size) @ torch.cat([columns, gauss]).T
        parts = rows.view(count, self.size, -1, places)
        n = self.orientations
        waves = torch.complex(parts[:, :, :n], parts[:, :, n : 2 * n]).permute(2, 1, 0, 3)
        # y: per orientation, one product for the columns of all images
        responses = torch.bmm(along_y, waves.flatten(2)).unflatten(2, (count, places))
        responses = responses.permute(2, 0, 1, 3)  # (stimulus, orientation, row, column)
        envelope = gauss @ parts[:, :, -1]
        return responses - uniform * envelope.unsqueeze(1)

    def luminance(
        self, images: Float32[Tensor, "stimulus height width"], frequency: float | int
    ) -> Float32[Tensor, "stimulus row column"]:
        """Means of the images under the envelopes of the wavelets of one frequency."""
        self._check_shape(images)
        gauss = functional.normalize(_bank(self, float(frequency))[2], p=1, dim=1)
        gauss = gauss.to(images.device)
        return gauss @ images @ gauss.T

    def compressed(
        self, waves: Complex64[Tensor, "stimulus orientation row column"]
    ) -> Float32[Tensor, "stimulus orientation row column"]:
        """What the nonlinearity makes of both phases."""
        energy = waves.real.square() + waves.imag.square()
        if self.nonlinearity == "energy":
            return energy
        if self.nonlinearity == "normalised":
            return normalised(energy, self.semisaturation, self.surround)
        magnitude = energy.sqrt()
        return torch.log1p(100 * magnitude) if self.nonlinearity == "log" else magnitude

    def _check_shape(self, images: Float32[Tensor, "stimulus height width"]) -> None:
        if images.shape[1:] != (self.size, self.size):
            raise DataError(
                f"images of {images.shape[1]} × {images.shape[2]} pixels for Gabor wavelets of size"
                f" {self.size}: resize them to {self.size} × {self.size}"
            )


def planes(
    images: Float32[Tensor, "stimulus height width 3"], colour: str
) -> Float32[Tensor, "stimulus colour height width"]:
    """Luminance, colours or opponent colours of RGB images: see `COLOURS`.

    Raises
    ------
    RecipeError
        When there is no such colour space.

    """
    if colour not in COLOURS:
        raise RecipeError(unknown("colour", colour, COLOURS))
    weights = images.new_tensor(COLOURS[colour])
    return (images @ weights.T).permute(0, 3, 1, 2).contiguous()


def normalised(
    energy: Float32[Tensor, "stimulus orientation row column"],
    semisaturation: float | int,
    surround: float | int = 0.0,
) -> Float32[Tensor, "stimulus orientation row column"]:
    r"""Energy divided by that of its neighbours (Heeger 1992).

    .. math:: r_{op} = \frac{e_{op}}{c_{50}^2 + \sum_{p'} w_{pp'} \sum_{o'} e_{o'p'}}

    where the weights of neighbouring positions are a Gaussian of standard deviation `surround`
    (in positions; 0: the position alone) and sum to 1, at the borders too.

    >>> alone = torch.tensor([0.01, 0.09, 1.0]).view(3, 1, 1, 1)  # energies of three contrasts
    >>> normalised(alone, semisaturation=0.3).flatten()
    tensor([0.1000, 0.5000, 0.9174])
    """
    pool = energy.sum(1, keepdim=True)
    if surround > 0:
        rows, columns = (_weights(n, float(surround)).to(energy) for n in energy.shape[-2:])
        pool = rows @ pool @ columns.T
    return energy / (semisaturation**2 + pool)


def _weights(count: int, surround: float) -> Float32[Tensor, "position position"]:
    """Gaussian weights of positions along one edge, rows summing to 1."""
    places = torch.arange(count, dtype=torch.float32)
    weights = torch.exp(-((places[:, None] - places).square()) / (2 * surround**2))
    return functional.normalize(weights, p=1, dim=1)


@lru_cache(maxsize=32)
def _bank(
    pyramid: Pyramid, frequency: float | int
) -> tuple[
    Complex64[Tensor, "orientation position x"],
    Complex64[Tensor, "orientation position y"],
    Float32[Tensor, "position x"],
    Complex64[Tensor, "orientation row column"],
]:
    """Factors along x and y, the envelope, and the response to a uniform image (`c` above)."""
    wavelength = pyramid.size / frequency
    pixels = torch.arange(pyramid.size, dtype=torch.float64)
    distance = pixels[None] - pyramid.positions(frequency).double()[:, None]
    sigma = pyramid.sigma * wavelength
    gauss = torch.exp(-(distance**2) / (2 * sigma**2))
    # Tails below the smallest normal number make a product forty times slower.
    gauss = torch.where(gauss < 1e-12, 0, gauss)
    # The sum of a whole envelope, which borders do not cut: half of it is the response of the
    # wavelet to a grating of amplitude 1.
    reach = torch.arange(-math.ceil(8 * sigma), math.ceil(8 * sigma) + 1, dtype=torch.float64)
    scale = math.sqrt(2) / float(torch.exp(-(reach**2) / (2 * sigma**2)).sum())
    angles = torch.arange(pyramid.orientations, dtype=torch.float64) * math.pi
    angles = angles / pyramid.orientations
    wave = 2 * math.pi / wavelength * torch.stack([angles.cos(), angles.sin()])
    along_x, along_y = (
        torch.polar(gauss.expand(len(angles), -1, -1), w[:, None, None] * distance) for w in wave
    )
    total = gauss.sum(1)
    uniform = along_y.sum(2)[:, :, None] * along_x.sum(2)[:, None, :]
    uniform = uniform / (total[:, None] * total[None])
    return (
        (along_x * scale).to(torch.complex64),
        (along_y * scale).to(torch.complex64),
        (gauss * scale).float(),
        uniform.to(torch.complex64),
    )
