"""What a cochlea does to a sound, roughly: power per frequency band and moment, on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from striate.errors import DataError, RecipeError, unknown

SCALES = ("htk", "slaney")
COMPRESSIONS = ("log", "decibel")

_LINEAR = 200 / 3
"""Hertz per mel below the corner of Slaney's scale."""

_CORNER = 1000.0
_STEP = math.log(6.4) / 27
"""Natural logarithm of the frequency per mel above it."""


def _known(scale: str) -> str:
    if scale not in SCALES:
        raise RecipeError(unknown("mel scale", scale, SCALES))
    return scale


def hertz_to_mel(
    hertz: Float64[np.ndarray, " frequency"], scale: str
) -> Float64[np.ndarray, " frequency"]:
    r"""Pitch of a frequency.

    ``htk`` is :math:`1127 \ln(1 + f/700)` (O'Shaughnessy 1987); ``slaney`` is linear up to
    1000 Hz, which is 15, and logarithmic above (Slaney's Auditory Toolbox, 1998).

    >>> hertz_to_mel(np.array([1000.0]), "slaney").round(6).tolist()
    [15.0]
    """
    if _known(scale) == "htk":
        return 1127 * np.log1p(hertz / 700)
    above = np.log(np.maximum(hertz, _CORNER) / _CORNER) / _STEP
    return np.minimum(hertz, _CORNER) / _LINEAR + above


def mel_to_hertz(
    mel: Float64[np.ndarray, " frequency"], scale: str
) -> Float64[np.ndarray, " frequency"]:
    """The inverse of `hertz_to_mel`."""
    if _known(scale) == "htk":
        return 700 * np.expm1(mel / 1127)
    corner = _CORNER / _LINEAR
    return np.minimum(mel, corner) * _LINEAR * np.exp(np.maximum(mel - corner, 0) * _STEP)


@lru_cache(maxsize=16)
def mel_filters(
    scale: str, bands: int, low: float | int, high: float | int, rate: int, fft: int
) -> Float64[np.ndarray, "frequency band"]:
    """Weights of the frequencies of a Fourier transform in each band: triangles, half overlapping.

    Parameters
    ----------
    scale
        ``htk``: sides are straight in mel and peaks are 1, as in TensorFlow and VGGish.
        ``slaney``: sides are straight in hertz and areas are equal, as in librosa.
    bands
        How many, evenly spaced in mel.
    low, high
        Edges of the lowest and the highest band, in hertz.
    rate
        Samples per second.
    fft
        Length of the Fourier transform; it has ``fft // 2 + 1`` frequencies.

    Raises
    ------
    RecipeError
        For an unknown scale, edges beyond half the rate, or a band that holds no frequency.

    """
    if not 0 <= low < high <= rate / 2:
        raise RecipeError(
            f"mel bands from {low:g} to {high:g} Hz: edges must rise and lie between 0 and half the"
            f" sampling rate, {rate / 2:g} Hz"
        )
    first, last = hertz_to_mel(np.array([low, high], dtype=np.float64), scale).tolist()
    edges = np.linspace(first, last, bands + 2)
    places = np.arange(fft // 2 + 1) * (rate / fft)
    if scale == "slaney":
        edges = mel_to_hertz(edges, scale)
    else:
        places = hertz_to_mel(places, scale)
    below, centre, above = edges[:-2], edges[1:-1], edges[2:]
    rising = (places[:, None] - below) / (centre - below)
    falling = (above - places[:, None]) / (above - centre)
    weights = np.maximum(0, np.minimum(rising, falling))
    empty = np.flatnonzero(weights.sum(0) == 0)
    if len(empty):
        raise RecipeError(
            f"mel band {empty[0]} of {bands} lies between two frequencies of a Fourier transform of"
            f" {fft} samples at {rate} Hz: use fewer bands or a longer transform"
        )
    if scale == "slaney":
        weights = weights * (2 / (above - below))
    weights.flags.writeable = False  # it is remembered
    return weights


def spectrogram(
    waveform: Float[Tensor, "stimulus sample"],
    length: int,
    hop: int,
    fft: int | None = None,
    power: float | int = 2.0,
    centred: bool = False,
) -> Float[Tensor, "stimulus frame frequency"]:
    r"""Magnitudes of short-time Fourier transforms, to a power.

    .. math:: S_{tk} = \Big|\sum_{n=0}^{L-1} x_{tH+n}\, w_n\, e^{-2\pi i k n / N}\Big|^{p}, \quad
              w_n = \tfrac12 - \tfrac12 \cos(2\pi n / L)

    Parameters
    ----------
    waveform
        Samples.
    length, hop
        Of a frame and between starts of frames, in samples (L and H above). What is left after
        the last whole frame is dropped.
    fft
        Length of the transform (N above), at least `length`, which is the default.
    power
        1 for magnitudes, 2 for power.
    centred
        Frame t is centred on sample t × hop, in silence before and after, rather than starting
        there.

    Raises
    ------
    DataError
        When the sound is shorter than a frame.

    """
    fft = length if fft is None else fft
    if hop < 1 or not 1 <= length <= fft:
        raise RecipeError(
            f"frames of {length} samples every {hop}, transformed as {fft}: all are 1 or more, and"
            " the transform is no shorter than the frame"
        )
    if centred:
        waveform = functional.pad(waveform, (length // 2, length // 2))
    if waveform.shape[1] < length:
        raise DataError(
            f"a sound of {waveform.shape[1]} samples is shorter than one frame of {length}: pad it"
        )
    window = torch.hann_window(length, dtype=waveform.dtype, device=waveform.device)
    frames = waveform.unfold(1, length, hop) * window
    magnitude = torch.fft.rfft(frames, n=fft).abs()
    return magnitude if power == 1 else magnitude**power


def decibels(
    power: Float[Tensor, "stimulus *rest"],
    floor: float | int = 1e-10,
    dynamic: float | int | None = 80.0,
) -> Float[Tensor, "stimulus *rest"]:
    """Ten times the decimal logarithm, at most `dynamic` below the loudest value of the stimulus.

    The loudest is that of each stimulus, not of the batch, so that company does not matter.

    >>> decibels(torch.tensor([[1.0, 1e-3, 0.0]])).tolist()
    [[0.0, -30.0, -80.0]]
    """
    level = 10 * torch.log10(power.clamp(min=floor))
    if dynamic is None:
        return level
    loudest = level.flatten(1).amax(1).view(-1, *[1] * (level.ndim - 1))
    return torch.maximum(level, loudest - dynamic)


@dataclass(frozen=True)
class LogMel:
    """Loudness of mel bands over time.

    Parameters
    ----------
    rate
        Samples per second of the waveforms.
    length, hop, fft, power, centred
        See `spectrogram`.
    bands, low, high, scale
        See `mel_filters`; `high` of ``None`` is half the rate.
    compression
        ``log``: natural logarithm of the band plus `offset`. ``decibel``: see `decibels`.
    offset, dynamic
        Of the compression.

    """

    rate: int
    length: int
    hop: int
    fft: int
    bands: int
    low: float | int = 0.0
    high: float | int | None = None
    scale: str = "slaney"
    power: float | int = 2.0
    centred: bool = False
    compression: str = "decibel"
    offset: float | int = 0.01
    dynamic: float | int | None = 80.0

    def __post_init__(self) -> None:
        _known(self.scale)
        if self.compression not in COMPRESSIONS:
            raise RecipeError(unknown("compression", self.compression, COMPRESSIONS))

    def filters(self) -> Float64[np.ndarray, "frequency band"]:
        """Weights of the frequencies in each band."""
        high = self.rate / 2 if self.high is None else self.high
        return mel_filters(self.scale, self.bands, self.low, high, self.rate, self.fft)

    def __call__(
        self, waveform: Float[Tensor, "stimulus sample"]
    ) -> Float[Tensor, "stimulus frame band"]:
        """Bands of waveforms that are sampled at `rate`, in the precision of the waveforms."""
        spectrum = spectrogram(waveform, self.length, self.hop, self.fft, self.power, self.centred)
        mel = spectrum @ torch.tensor(self.filters(), dtype=spectrum.dtype, device=spectrum.device)
        if self.compression == "log":
            return torch.log(mel + self.offset)
        return decibels(mel, dynamic=self.dynamic)


@dataclass(frozen=True)
class Mfcc:
    r"""Mel-frequency cepstral coefficients (Davis & Mermelstein 1980), without liftering.

    .. math:: c_{tj} = s_j \sum_{b=0}^{B-1} m_{tb} \cos\frac{\pi j (2b + 1)}{2B}, \quad
              s_0 = \sqrt{1/B},\; s_{j>0} = \sqrt{2/B}

    is the orthonormal DCT-II of the log-mel bands. Their mean over time is what the baseline of
    Algonauts 2025 takes from sound.
    """

    mel: LogMel
    coefficients: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.coefficients <= self.mel.bands:
            raise RecipeError(
                f"{self.coefficients} coefficients of {self.mel.bands} mel bands: between 1 and"
                f" {self.mel.bands}"
            )

    def __call__(
        self, waveform: Float[Tensor, "stimulus sample"]
    ) -> Float[Tensor, "stimulus frame coefficient"]:
        """Coefficients of waveforms that are sampled at ``mel.rate``."""
        bands = self.mel(waveform)
        basis = cosines(self.mel.bands, self.coefficients)
        return bands @ torch.tensor(basis, dtype=bands.dtype, device=bands.device)


def cosines(bands: int, coefficients: int) -> Float64[np.ndarray, "band coefficient"]:
    """The first columns of the orthonormal DCT-II, see `Mfcc`."""
    angle = np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(coefficients)
    basis = np.cos(angle) * np.sqrt(2 / bands)
    basis[:, 0] = np.sqrt(1 / bands)
    return basis


def librosa_mel(rate: int = 22050) -> LogMel:
    """Librosa's own settings: 128 Slaney bands in decibels, frames of 2048 samples every 512."""
    return LogMel(rate, length=2048, hop=512, fft=2048, bands=128, centred=True)


LIBROSA_MFCC = Mfcc(librosa_mel())
"""What ``librosa.feature.mfcc`` gives by default at 22 050 Hz, frames first."""

VGGISH_MEL = LogMel(
    rate=16000,
    length=400,
    hop=160,
    fft=512,
    bands=64,
    low=125,
    high=7500,
    scale="htk",
    power=1,
    compression="log",
)
"""The front end of VGGish (Hershey et al. 2017): 25 ms every 10 ms, log of magnitudes + 0.01."""
