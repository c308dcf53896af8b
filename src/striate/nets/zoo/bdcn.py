"""BDCN: edges of many scales, each layer of a VGG supervised by the edges of its own scale."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import DataError, RecipeError, unknown

MEAN = (0.4810938, 0.45752459, 0.40787055)
"""Mean red, green and blue, of values between 0 and 1, that are taken off an image."""

STD = (1 / 255, 1 / 255, 1 / 255)
"""What the difference is divided by: the network knows values between 0 and 255."""

ORDERS = ("rgb", "bgr")
SMALLEST = 9
"""Below this height or width nothing is left for the fifth stage."""

TRUNK = (
    (64, ("conv1_1", "conv1_2")),
    (128, ("conv2_1", "conv2_2")),
    (256, ("conv3_1", "conv3_2", "conv3_3")),
    (512, ("conv4_1", "conv4_2", "conv4_3")),
    (512, ("conv5_1", "conv5_2", "conv5_3")),
)
"""Channels and convolutions of the five stages."""

UPSAMPLE = {2: ("upsample_2", 2, 1), 3: ("upsample_4", 4, 2), 4: ("upsample_8", 8, 4)}
UPSAMPLE[5] = ("upsample_8_5", 8, 0)
"""Stage → its transposed convolution, stride, and how many rows and columns are cut off before.

The fifth stage is cut nowhere: the maximum before it, of 2 × 2 at stride 1, has moved it by half a
cell, which are the 4 pixels that the fourth is cut by.
"""

INNER = 21
"""Channels in which the layers of a stage are added up."""

Maps = Float[Tensor, "stimulus channel height width"]


class Trunk(nn.Module):
    """VGG16-C: the convolutions of VGG-16 without a fourth halving, conv5 dilated by 2 instead."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for stage, (width, names) in enumerate(TRUNK, 1):
            dilation = 2 if stage == 5 else 1
            for name in names:
                conv = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                self.add_module(name, conv)
                self.add_module(name.replace("conv", "relu"), nn.ReLU())
                channels = width
            if stage < 5:
                pool = nn.MaxPool2d(2, stride=2 if stage < 4 else 1, ceil_mode=True)
                self.add_module(f"pool{stage}", pool)

    def forward(self, images: Maps) -> dict[str, Tensor]:
        """Convolution → its rectified output, for images (n, 3, height, width)."""
        found = {}
        x = images
        for name, part in self.named_children():
            x = part(x)
            if name.startswith("relu"):
                found[name.replace("relu", "conv")] = x
        return found


class ScaleEnhancement(nn.Module):
    """Σₖ relu(wₖ ∗ o) + o for o = relu(w ∗ x): 3×3 kernels, dilated by rate, 2 rate, 3 rate."""

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 32, 3, padding=1)
        for k in (1, 2, 3):
            dilation = max(k * rate, 1)
            conv = nn.Conv2d(32, 32, 3, padding=dilation, dilation=dilation)
            self.add_module(f"conv{k}", conv)

    def forward(self, x: Maps) -> Float[Tensor, "stimulus 32 height width"]:
        """(n, channels, height, width) → (n, 32, height, width)."""
        o = self.conv(x).relu()
        return o + sum(self.get_submodule(f"conv{k}")(o).relu() for k in (1, 2, 3))


class Cascade(nn.Module):
    """Every stage with all shallower ones, and every stage with all deeper ones.

    For side outputs s (shallow to deep) and d (deep to shallow) of stages 1 … 5:
    pₖ = s₁ + … + sₖ and qₖ = dₖ + … + d₅.
    """

    def forward(
        self,
        shallow: Float[Tensor, "stimulus 5 height width"],
        deep: Float[Tensor, "stimulus 5 height width"],
    ) -> Float[Tensor, "stimulus 10 height width"]:
        """The ten maps p₁ … p₅, q₁ … q₅."""
        return torch.cat([shallow.cumsum(1), deep.flip(1).cumsum(1).flip(1)], dim=1)


class BDCN(nn.Module):
    """Bi-directional cascade network for edges (He et al. 2019).

    Nodes: ``cascade`` (the edge maps of the five scales, in both directions: 10 channels) and
    ``fuse``, the output: one logit per pixel of an edge there, of the images' height and width.

    Weights: ``bdcn_pretrained_on_bsds500.pth`` of the authors. Images are RGB between 0 and 1,
    minus `MEAN`, divided by `STD`; the weights want blue first, and the network turns them round.

    Parameters
    ----------
    rate
        Dilation of the scale enhancement: `rate`, 2 `rate` and 3 `rate`.
    order
        ``rgb`` or ``bgr``: the channels of the images given.

    """

    def __init__(self, rate: int = 4, order: str = "rgb") -> None:
        super().__init__()
        if order not in ORDERS:
            raise RecipeError(unknown("order of channels", order, ORDERS))
        self.order = order
        self.features = Trunk()
        for stage, (width, names) in enumerate(TRUNK, 1):
            for name in names:
                block = ScaleEnhancement(width, rate)
                self.add_module(name.replace("conv", "msblock"), block)
                self.add_module(f"{name}_down", nn.Conv2d(32, INNER, 1))
            self.add_module(f"score_dsn{stage}", nn.Conv2d(INNER, 1, 1))
            self.add_module(f"score_dsn{stage}_1", nn.Conv2d(INNER, 1, 1))
        for name, stride, _ in UPSAMPLE.values():
            up = nn.ConvTranspose2d(1, 1, 2 * stride, stride, bias=False)
            with torch.no_grad():
                up.weight.copy_(bilinear_kernel(stride))
            self.add_module(name, up)
        self.cascade = Cascade()
        self.fuse = nn.Conv2d(2 * len(TRUNK), 1, 1)
        nn.init.constant_(self.fuse.weight, 1 / (2 * len(TRUNK)))

    def forward(self, images: Maps) -> Float[Tensor, "stimulus 1 height width"]:
        """Logits of edges (n, 1, height, width) in images (n, 3, height, width).

        Raises
        ------
        DataError
            When the images have other than three channels, or are smaller than 9 × 9.

        """
        channels, height, width = images.shape[1:]
        if channels != 3 or min(height, width) < SMALLEST:
            raise DataError(
                f"BDCN takes images (n, 3, height, width) of {SMALLEST} × {SMALLEST} pixels or"
                f" more, and was given {tuple(images.shape)}"
            )
        maps = self.features(images.flip(1) if self.order == "rgb" else images)
        shallow: list[Tensor] = []
        deep: list[Tensor] = []
        for stage, (_, names) in enumerate(TRUNK, 1):
            total = sum(self._described(name, maps[name]) for name in names)
            for side, found in (("", shallow), ("_1", deep)):
                score = self.get_submodule(f"score_dsn{stage}{side}")(total)
                found.append(self._upsampled(stage, score)[..., :height, :width])
        fused: Tensor = self.fuse(self.cascade(torch.cat(shallow, 1), torch.cat(deep, 1)))
        return fused

    def _described(self, name: str, maps: Maps) -> Tensor:
        enhanced = self.get_submodule(name.replace("conv", "msblock"))(maps)
        reduced: Tensor = self.get_submodule(f"{name}_down")(enhanced)
        return reduced

    def _upsampled(self, stage: int, score: Maps) -> Tensor:
        """The score at the images' resolution, its first pixel over the images' first."""
        if stage not in UPSAMPLE:
            return score
        name, _, cut = UPSAMPLE[stage]
        upsampled: Tensor = self.get_submodule(name)(score)[..., cut:, cut:]
        return upsampled


def bilinear_kernel(stride: int) -> Float[Tensor, "size size"]:
    """The kernel of 2·stride cells by which a transposed convolution interpolates linearly.

    k(i, j) = h(i) h(j), h(i) = 1 − |i − (2·stride − 1)/2| / stride.

    >>> bilinear_kernel(2)[0]
    tensor([0.0625, 0.1875, 0.1875, 0.0625])
    """
    places = torch.arange(2 * stride) - (2 * stride - 1) / 2
    line = 1 - places.abs() / stride
    return line[:, None] * line[None]
