"""Energy of moving gratings: Gabor wavelets in space and time, as direction cells of V1 and MT."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from striate.errors import DataError, RecipeError, unknown
from striate.nets.gabor import Pyramid

NONLINEARITIES = ("energy", "log", "magnitude")

WIDEST = 0.3
"""Greatest standard deviation of an envelope, as a part of the image (Nishimoto et al. 2011)."""

BLOCK = 64
"""Windows that are computed at once."""


@dataclass(frozen=True)
class MotionEnergy:
    r"""Spatio-temporal Gabor wavelets in quadrature (Adelson & Bergen 1985, Nishimoto et al. 2011).

    A wavelet at position :math:`p` with wave vector :math:`k` and temporal frequency
    :math:`\omega` is

    .. math:: w(x, t) = g(x - p)\,(e^{i k \cdot (x - p)} - c_p) \; h(t)\,(e^{-i \omega t} - d)

    with Gaussians :math:`g` and :math:`h`; :math:`c_p` makes its sum over space zero, and
    :math:`d` that over time where :math:`\omega > 0`: what does not vary in space drives no
    grating, what stands still drives no motion. Magnitudes are scaled such that a grating of
    amplitude 1 that drifts as the wavelet does gives 1, whatever its phase, away from borders.

    A spatial frequency has one channel per temporal frequency and direction; at 0 Hz a direction
    and its opposite are one, which leaves half as many. With `flicker` it also has one per temporal
    frequency that answers to luminance under the envelope and knows no direction. The defaults with
    2, 4, 8, 16 and 32 cycles per image are the 6555 channels of the paper.

    Parameters
    ----------
    size
        Pixels along an edge of the frames.
    fps
        Frames per second.
    directions
        Evenly spaced over a turn, an even number. The first moves to the right, later ones turn
        towards the bottom.
    speeds
        Temporal frequencies in Hz, below half of fps.
    window
        Frames that a wavelet spans.
    spacing
        Least distance of positions, in standard deviations of the envelope.
    sigma
        Standard deviation of the envelope in space, in wavelengths, but at most 0.3 of the image.
    duration
        Standard deviation of the envelope in time, as a part of the window.
    flicker
        With channels for spatial frequency 0.
    nonlinearity
        ``energy`` (summed squares of both phases), ``magnitude`` (its root), or ``log`` (log of
        1 + magnitude × 100, that is of contrast in percent).

    """

    size: int = 96
    fps: float | int = 15.0
    directions: int = 8
    speeds: tuple[float | int, ...] = (0.0, 2.0, 4.0)
    window: int = 10
    spacing: float | int = 3.5
    sigma: float | int = 0.6
    duration: float | int = 0.3
    flicker: bool = True
    nonlinearity: str = "log"

    def __post_init__(self) -> None:
        if self.nonlinearity not in NONLINEARITIES:
            raise RecipeError(unknown("nonlinearity", self.nonlinearity, NONLINEARITIES))
        for name in ("size", "fps", "directions", "window", "spacing", "sigma", "duration"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"{name} {getattr(self, name)} of motion energy: must be > 0")
        if self.directions % 2:
            raise RecipeError(
                f"{self.directions} directions of motion energy: each one needs its opposite, give"
                " an even number"
            )
        if not self.speeds or len(set(self.speeds)) < len(self.speeds):
            raise RecipeError(f"speeds {list(self.speeds)} of motion energy: name each one once")
        wrong = [s for s in self.speeds if not 0 <= s < self.fps / 2]
        if wrong:
            raise RecipeError(
                f"speed {wrong[0]:g} Hz must lie between 0 and fps / 2 = {self.fps / 2:g}: lower it"
                " or raise fps"
            )

    def check(self, frequency: float | int) -> None:
        """Refuse a spatial frequency that the pixels cannot show."""
        self.pyramid(frequency).check(frequency)

    def pyramid(self, frequency: float | int) -> Pyramid:
        """The wavelets in space."""
        if not frequency > 0:
            raise RecipeError(f"frequency {frequency:g} of motion energy: must be > 0")
        sigma = min(self.sigma, WIDEST * frequency)
        count = max(1, math.floor(frequency / (self.spacing * sigma)))
        return Pyramid(self.size, self.directions // 2, frequency / count, sigma)

    def channels(self) -> tuple[tuple[float, float | None], ...]:
        """Temporal frequency (Hz) and direction (degrees) of each channel, in order.

        >>> MotionEnergy(directions=4, speeds=(0, 2)).channels()
        ((0.0, 0.0), (0.0, 90.0), (2.0, 0.0), (2.0, 90.0), (2.0, 180.0), (2.0, 270.0),
        (0.0, None), (2.0, None))
        """
        half = [360 * d / self.directions for d in range(self.directions // 2)]
        return (
            *(
                (float(s), a + t)
                for s in self.speeds
                for t in ((0, 180) if s else (0,))
                for a in half
            ),
            *((float(s), None) for s in self.speeds if self.flicker),
        )

    def times(self, frames: int) -> Float32[Tensor, " time"]:
        """Middles of the windows, in seconds after the first frame."""
        self._check_length(frames)
        first = torch.arange(frames - self.window + 1, dtype=torch.float32)
        return (first + (self.window - 1) / 2) / self.fps

    def __call__(
        self, frames: Float32[Tensor, "frame height width"], frequency: float | int
    ) -> Float32[Tensor, "time channel row column"]:
        """Responses of all wavelets of one spatial frequency (cycles per image), per window.

        There are frames − window + 1 windows. The mean over them is that of the clip.

        Raises
        ------
        DataError
            When there are fewer frames than a window has, or they are not size × size.

        """
        self.check(frequency)
        self._check_length(len(frames))
        more = self.window - 1
        blocks = (frames[i : i + BLOCK + more] for i in range(0, len(frames) - more, BLOCK))
        return torch.cat([self._compressed(self._waves(b, frequency)) for b in blocks])

    def _waves(
        self, frames: Float32[Tensor, "frame height width"], frequency: float | int
    ) -> Complex64[Tensor, "time channel row column"]:
        """Both phases, as real and imaginary part: products over space, then over time."""
        pyramid, count = self.pyramid(frequency), len(frames)
        drift, flicker = (t.to(frames.device) for t in _over_time(self, count))
        waves = pyramid.waves(frames, frequency)
        made = [_product(d, waves) for d in drift.unbind(1)]
        if self.flicker:
            glow = pyramid.luminance(frames, frequency).to(waves.dtype)
            made += [_product(f, glow.unsqueeze(1)) for f in flicker.unbind(1)]
        return torch.cat(made, dim=1)

    def _compressed(
        self, waves: Complex64[Tensor, "time channel row column"]
    ) -> Float32[Tensor, "time channel row column"]:
        energy = waves.real.square() + waves.imag.square()
        if self.nonlinearity == "energy":
            return energy
        magnitude = energy.sqrt()
        return torch.log1p(100 * magnitude) if self.nonlinearity == "log" else magnitude

    def _check_length(self, frames: int) -> None:
        if frames < self.window:
            raise DataError(
                f"{frames} frames are fewer than the {self.window} of a window of motion energy:"
                " give a longer clip, more frames per second, or a smaller window"
            )


def _product(
    over_time: Complex64[Tensor, "time frame"],
    waves: Complex64[Tensor, "frame orientation row column"],
) -> Complex64[Tensor, "time orientation row column"]:
    return (over_time @ waves.flatten(1)).unflatten(1, waves.shape[1:])


@lru_cache(maxsize=32)
def _over_time(
    energy: MotionEnergy, frames: int
) -> tuple[Complex64[Tensor, "time function frame"], Complex64[Tensor, "time speed frame"]]:
    """Functions of time, one row per window: for both senses of each motion, and for flicker."""
    frame = torch.arange(energy.window, dtype=torch.float64) - (energy.window - 1) / 2
    gauss = torch.exp(-(frame**2) / (2 * (energy.duration * energy.window) ** 2))
    gauss = gauss / gauss.sum()
    drift, flicker = [], []
    for speed in energy.speeds:
        turn = 2 * math.pi * speed / energy.fps * frame
        wave = torch.polar(gauss, -turn)
        if speed:
            wave = wave - gauss * wave.sum()
            # What the function answers to a wave of its own frequency becomes 1.
            wave = wave / (wave * torch.polar(torch.ones_like(turn), turn)).sum().abs()
        # The opposite direction is the same wavelet with time run backwards. Flicker has half of
        # its amplitude in each sense.
        drift += [wave, wave.conj()] if speed else [wave]
        flicker.append(2 * wave if speed else wave)

    def placed(functions: list[Tensor]) -> Complex64[Tensor, "time function frame"]:
        count = frames - energy.window + 1
        made = torch.zeros(count, len(functions), frames, dtype=torch.complex64)
        for i in range(count):
            made[i, :, i : i + energy.window] = torch.stack(functions)
        return made

    return placed(drift), placed(flicker)
