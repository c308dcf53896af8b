"""Inception-I3D: an Inception network inflated to clips of frames or of optical flow."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import DataError
from striate.nets.zoo.same import MaxPoolSame, pad_same

Triple = tuple[int, int, int]
Widths = tuple[int, int, int, int, int, int]
Clips = Float[Tensor, "stimulus channel frame height width"]

STEM: tuple[tuple[str, Triple, Triple, int], ...] = (
    ("Conv3d_1a_7x7", (7, 7, 7), (2, 2, 2), 64),
    ("MaxPool3d_2a_3x3", (1, 3, 3), (1, 2, 2), 0),
    ("Conv3d_2b_1x1", (1, 1, 1), (1, 1, 1), 64),
    ("Conv3d_2c_3x3", (3, 3, 3), (1, 1, 1), 192),
    ("MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2), 0),
)
"""Name, kernel, stride, channels (none for a maximum), in order."""

MIXED: dict[str, Widths | tuple[Triple, Triple]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Name → channels of the convolutions of a block, or kernel and stride of a maximum, in order."""

TAPS = ("MaxPool3d_3a_3x3", "MaxPool3d_4a_3x3", "MaxPool3d_5a_2x2", "Mixed_5c", "pooled")
"""Ends of the five stages: 192, 480, 832, 1024 and 1024 channels, the last without positions."""

WINDOW = (2, 7, 7)
"""Frames, rows and columns of the last mean."""


class Unit3D(nn.Module):
    """A convolution with TensorFlow's padding, batch normalisation and ReLU."""

    def __init__(
        self, channels: int, out: int, kernel: Triple, stride: Triple, epsilon: float
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out, eps=epsilon)
        self.kernel, self.stride = kernel, stride
        nn.init.kaiming_normal_(self.conv3d.weight, nonlinearity="relu")

    def forward(self, x: Clips) -> Float[Tensor, "stimulus out frames rows columns"]:
        """(n, channels, T, H, W) → (n, out, ...), each axis ceil(size / stride) long."""
        return functional.relu(self.bn(self.conv3d(pad_same(x, self.kernel, self.stride))))


class Inception(nn.Module):
    """Four branches, joined: 1×1×1; 1×1×1 and 3×3×3, twice; a 3×3×3 maximum and 1×1×1."""

    def __init__(self, channels: int, widths: Widths, epsilon: float) -> None:
        super().__init__()
        w0, w1a, w1b, w2a, w2b, w3 = widths
        point, cube = (1, 1, 1), (3, 3, 3)
        self.b0 = Unit3D(channels, w0, point, point, epsilon)
        self.b1a = Unit3D(channels, w1a, point, point, epsilon)
        self.b1b = Unit3D(w1a, w1b, cube, point, epsilon)
        self.b2a = Unit3D(channels, w2a, point, point, epsilon)
        self.b2b = Unit3D(w2a, w2b, cube, point, epsilon)
        self.b3a = MaxPoolSame(cube, point)
        self.b3b = Unit3D(channels, w3, point, point, epsilon)
        self.channels = w0 + w1b + w2b + w3

    def forward(self, x: Clips) -> Float[Tensor, "stimulus joined frame height width"]:
        """(n, channels, T, H, W) → (n, sum of the branches' channels, T, H, W)."""
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x))]
        return torch.cat([*branches, self.b3b(self.b3a(x))], dim=1)


class WindowedMean(nn.Module):
    """The mean over each window of 2 frames × 7 × 7, at every position; smaller maps are whole."""

    def forward(self, x: Clips) -> Float[Tensor, "stimulus channel frames rows columns"]:
        """(n, channels, T, H, W) → (n, channels, T - 1, H - 6, W - 6), at least 1 each."""
        window = [min(k, n) for k, n in zip(WINDOW, x.shape[2:], strict=True)]
        return functional.avg_pool3d(x, window, stride=1)


class MeanOverClip(nn.Module):
    """The mean over all frames and positions."""

    def forward(self, x: Clips) -> Float[Tensor, "stimulus channel"]:
        """(n, channels, T, H, W) → (n, channels)."""
        return x.mean(dim=(2, 3, 4))


class Pointwise(nn.Module):
    """The logits' 1×1×1 convolution, with bias, on features without positions."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, out, 1)

    def forward(self, x: Float[Tensor, "stimulus channel"]) -> Float[Tensor, "stimulus label"]:
        """(n, channels) → (n, out)."""
        return self.conv3d(x[:, :, None, None, None]).flatten(1)


class I3D(nn.Module):
    """Two-stream inflated Inception-v1, one stream of it (Carreira & Zisserman 2017).

    Nodes are named as in the paper: ``Conv3d_1a_7x7`` … ``Mixed_5c``, ``avg_pool``, ``pooled``
    (1024 features, the mean over time), ``logits`` (the output); `TAPS` are the five stages' ends.
    The paper's logits are a mean over time of a 1×1×1 convolution; the convolution of the mean is
    the same.

    Weights: ``rgb_imagenet.pt`` and ``flow_imagenet.pt`` of pytorch-i3d as they are;
    ``i3d_rgb.pt`` and ``i3d_flow.pt`` of video_features (from kinetics_i3d_pytorch) through
    `rename`. The latter code normalises with an `epsilon` of 1e-5. Clips are scaled to −1…1, in a
    centre of 224 × 224 of frames whose shorter edge is 256; optical flow by
    `striate.nets.flow.scaled`.

    Parameters
    ----------
    num_classes
        Logits: 400 for Kinetics-400.
    in_channels
        3 for frames (RGB), 2 for optical flow (x, y).
    epsilon
        Added to the variance in batch normalisation: 1e-3 in the paper's code.

    """

    def __init__(self, num_classes: int = 400, in_channels: int = 3, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.in_channels = in_channels
        channels = in_channels
        for name, kernel, stride, out in STEM:
            if out:
                self.add_module(name, Unit3D(channels, out, kernel, stride, epsilon))
                channels = out
            else:
                self.add_module(name, MaxPoolSame(kernel, stride))
        for name, row in MIXED.items():
            if len(row) == 2:
                self.add_module(name, MaxPoolSame(*row))
            else:
                block = Inception(channels, row, epsilon)
                self.add_module(name, block)
                channels = block.channels
        self.avg_pool = WindowedMean()
        self.pooled = MeanOverClip()
        self.logits = Pointwise(channels, num_classes)

    def forward(self, clips: Clips) -> Float[Tensor, "stimulus label"]:
        """Logits (n, num_classes) of clips (n, in_channels, T, H, W) of any length and size.

        Raises
        ------
        DataError
            When the clips have other channels than the network.

        """
        if clips.shape[1] != self.in_channels:
            raise DataError(
                f"I3D takes clips (n, {self.in_channels}, frames, height, width), and was given"
                f" {tuple(clips.shape)}: set in_channels to 3 for RGB, to 2 for optical flow"
            )
        x = clips
        for part in self.children():
            x = part(x)
        return x


_BRANCHES = {
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
}


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of ``i3d_flow.pt`` and ``i3d_rgb.pt`` as names of `I3D`; others stay.

    >>> list(rename({"mixed_3b.branch_1.0.batch3d.bias": torch.zeros(96)}))
    ['Mixed_3b.b1a.bn.bias']
    """
    return {_renamed(name.removeprefix("module.")): tensor for name, tensor in state.items()}


def _renamed(name: str) -> str:
    name = re.sub(r"^conv3d_0c_1x1\.", "logits.", name)
    name = re.sub(r"^(conv3d|mixed)_", lambda m: m[0].capitalize(), name)
    name = re.sub(r"\.(branch_0|branch_[123]\.[01])\.", lambda m: f".{_BRANCHES[m[1]]}.", name)
    return name.replace(".batch3d.", ".bn.")
