"""Spectra of sound: loudness of mel bands, and their cepstral coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import RecipeError, unknown
from striate.nets import looks
from striate.nets.forward import check_dtype
from striate.nets.inputs.waveforms import fitted, waveform
from striate.nets.passes import check_time, one_pass, reduced
from striate.nets.spectra import LogMel, Mfcc

KINDS = ("log-mel", "mfcc")


@dataclass(frozen=True)
class Sound:
    """Log-mel bands or MFCC of a soundtrack; one space, ``log-mel`` or ``mfcc``.

    An array (stimulus, band), or (stimulus, frame, band) with time ``keep``. A film without a
    sound stream is silent. The defaults with ``kind = "mfcc"`` are the twenty coefficients of the
    Algonauts 2025 baseline.

    Parameters
    ----------
    kind
        ``log-mel`` or ``mfcc``.
    rate
        Samples per second to which sound is resampled.
    length, hop
        Of a frame and between frames, in samples.
    bands, low, high, scale
        Mel bands between two frequencies in Hz, on the scale ``slaney`` or ``htk``.
    coefficients
        Of MFCC.
    seconds
        Sound is cut, or continued in silence, to so many; not stated: as long as it is.
    time
        What becomes of the frames: ``mean``, ``max`` or ``keep``.
    dtype
        Of the stored features: ``float32`` or ``float16``.

    """

    kind: str = "log-mel"
    rate: int = 22050
    length: int = 2048
    hop: int = 512
    bands: int = 128
    low: float | int = 0.0
    high: float | int | None = None
    scale: str = "slaney"
    coefficients: int = 20
    seconds: float | int | None = None
    time: str = "mean"
    dtype: str = "float32"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(unknown("kind of sound features", self.kind, KINDS))
        if self.seconds is not None and not self.seconds > 0:
            raise RecipeError(f"seconds {self.seconds} of sound must be more than 0")
        check_time(self.time)
        check_dtype(self.dtype)
        self.spectrum()
        self.mel().filters()

    def names(self) -> tuple[str, ...]:
        """The one space."""
        return (self.kind,)

    def identity(self) -> Mapping[str, Any]:
        """All fields."""
        return asdict(self) | {
            "low": float(self.low),
            "high": None if self.high is None else float(self.high),
            "seconds": None if self.seconds is None else float(self.seconds),
        }

    def spectrum(self) -> LogMel | Mfcc:
        """The front end."""
        return self.mel() if self.kind == "log-mel" else Mfcc(self.mel(), self.coefficients)

    def mel(self) -> LogMel:
        """Its bands."""
        return LogMel(
            self.rate,
            self.length,
            self.hop,
            self.length,
            self.bands,
            self.low,
            self.high,
            self.scale,
            centred=True,
        )

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"]:
        """Bands, or coefficients each scaled by itself, over time."""
        heard = waveform(stimuli.shown()[0], self.rate)
        sound = fitted(heard, self.seconds, self.rate, self.length)
        found = self.spectrum()(torch.from_numpy(sound[None]))[0].numpy()
        if self.kind == "mfcc":  # the first coefficient, loudness, would outshine all others
            spread = np.maximum(found.std(0), 1e-6)
            found = ((found - found.mean(0)) / spread).clip(-2.5, 2.5)
        return looks.spectrum(found)

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array (stimulus, …)."""
        spectrum = self.spectrum()

        def read(shown: Shown) -> Float32[np.ndarray, "1 sample"]:
            return fitted(waveform(shown, self.rate), self.seconds, self.rate, self.length)[None]

        def compute(sounds: Tensor) -> dict[str, Tensor]:
            # One at a time: the frames of a long sound take a lot of memory.
            found = [reduced(spectrum(sound[None])[0], self.time) for sound in sounds]
            return {self.kind: torch.stack(found)}

        return one_pass(stimuli.shown(), read, compute)
