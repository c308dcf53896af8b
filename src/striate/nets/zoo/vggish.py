"""VGGish: a VGG that hears 0.96 s of log-mel spectrogram as if it were a small image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import DataError
from striate.nets.spectra import VGGISH_MEL

RATE = VGGISH_MEL.rate
"""Samples per second of the sound, mono."""

FRAMES = 96
"""Frames of 10 ms in a patch."""

BANDS = VGGISH_MEL.bands
EMBEDDING = 128

_STACK = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
_CLIP = 2.0


def patches(
    waveform: Shaped[Tensor, "..."] | Shaped[np.ndarray, "..."],
) -> Float32[Tensor, "patch 96 64"]:
    """Log-mel patches of one sound, side by side in time: what `VGGish` is fed.

    Parameters
    ----------
    waveform
        Samples of a mono sound at 16 kHz, between -1 and 1.

    Returns
    -------
    Tensor
        (patch, frame, band). What does not fill a last patch is dropped, unless nothing else is
        there: then silence is added until it does. Three seconds give three patches.

    Raises
    ------
    DataError
        When the waveform is not one row of finite floating-point numbers.

    """
    sound = torch.as_tensor(waveform)
    if sound.ndim != 1 or not sound.is_floating_point():
        raise DataError(
            f"a waveform of {sound.dtype} and shape {tuple(sound.shape)}: VGGish hears one channel"
            " of floating-point samples between -1 and 1"
        )
    sound = sound.double()  # as the published front end; costs little
    if not bool(torch.isfinite(sound).all()):
        raise DataError("a waveform holds samples that are not finite: decode the sound again")
    least = VGGISH_MEL.length + (FRAMES - 1) * VGGISH_MEL.hop
    sound = functional.pad(sound, (0, max(0, least - len(sound))))
    bands = VGGISH_MEL(sound[None])[0]
    count = len(bands) // FRAMES
    return bands[: count * FRAMES].reshape(count, FRAMES, BANDS).float()


class VGGish(nn.Module):
    """Configuration A of VGG with four pools and an embedding of 128 (Hershey et al. 2017).

    As in the released PyTorch version (``vggish-10086976.pth``, whose names these are), a ReLU
    follows every linear layer, the embedding too: it has no negative values. ``embeddings.4`` is
    the embedding before that ReLU.

    Nodes are ``features.N`` (``features.15`` is the last pool: 512 channels, 6 × 4), and
    ``embeddings.N`` (``embeddings.5`` is the output).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in _STACK:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * (FRAMES // 16) * (BANDS // 16), 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, EMBEDDING),
            nn.ReLU(),
        )

    def forward(self, inputs: Float[Tensor, "patch 96 64"]) -> Float[Tensor, "patch 128"]:
        """Embeddings of log-mel patches, see `patches`."""
        maps = self.features(inputs.unsqueeze(1))
        # The linear layers were trained by TensorFlow, whose maps have their channels last.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


@dataclass(frozen=True)
class Whitening:
    r"""The principal components that were released with VGGish, for use with AudioSet's features.

    .. math:: y = E\,(x - \mu)

    Parameters
    ----------
    eigen_vectors
        E above, one component per row (``pca_eigen_vectors``).
    means
        μ above (``pca_means``); a last axis of length 1 does not matter.

    """

    eigen_vectors: Float[Tensor, "component feature"]
    means: Float[Tensor, "feature *one"]

    def __post_init__(self) -> None:
        rows, means = tuple(self.eigen_vectors.shape), self.means.numel()
        if rows != (EMBEDDING, EMBEDDING) or means != EMBEDDING:
            raise DataError(
                f"principal components of VGGish are 128 × 128 with 128 means, not {rows} with"
                f" {means}: take vggish_pca_params"
            )

    def __call__(self, embedding: Float[Tensor, "patch 128"]) -> Float[Tensor, "patch 128"]:
        """Whitened embeddings."""
        vectors, means = self.eigen_vectors.to(embedding), self.means.to(embedding)
        return (embedding - means.flatten()) @ vectors.T


def quantise(whitened: Float[Tensor, "patch 128"]) -> Float[Tensor, "patch 128"]:
    """Eight bits of -2 … 2, as whole numbers between 0 and 255, rounded to the nearest.

    TensorFlow's version rounds down, so that a value of it may be one less.

    >>> quantise(torch.linspace(-4, 4, 128)[None])[0, [0, 127]].tolist()
    [0.0, 255.0]
    """
    return torch.round((whitened.clamp(-_CLIP, _CLIP) + _CLIP) * (255 / (2 * _CLIP)))
