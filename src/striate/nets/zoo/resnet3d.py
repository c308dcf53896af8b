"""A ResNet-50 whose kernels have a time axis, as trained on Multi-Moments in Time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import DataError

EXPANSION = 4
"""A bottleneck gives this many times the channels of its inner convolution."""


class Bottleneck(nn.Module):
    """relu(x' + f(x)), with f of a 1×1×1, a strided 3×3×3 and a 1×1×1 convolution.

    x' is x, or its projection by a strided 1×1×1 convolution where the shapes differ.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * width
        self.conv1 = nn.Conv3d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(wide)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != wide:
            project = nn.Conv3d(channels, wide, 1, stride, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm3d(wide))

    def forward(
        self, x: Float[Tensor, "stimulus channel frame height width"]
    ) -> Float[Tensor, "stimulus wide frames rows columns"]:
        """(n, channels, T, H, W) → (n, 4 width, T/stride, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet3D(nn.Module):
    """The Multi-Moments ResNet3D-50 (Monfort et al. 2021; He et al. 2016, inflated).

    A 7×7×7 convolution of stride (1, 2, 2), a 3×3×3 maximum of stride 2 and four stages of
    bottlenecks. Nodes ``layer1`` … ``layer4`` give, for a clip of 16 frames of 288 × 288,
    256×8×72×72, 512×4×36×36, 1024×2×18×18 and 2048×1×9×9; ``last_linear`` (the output) one logit
    per label.

    Weights: ``multi_moments_v2_RGB_imagenet_resnet3d50_segment16.pth.tar`` of the Moments in Time
    project, and ``moments_v2_RGB_imagenet_resnet3d50_segment16.pth.tar`` with `num_classes` 305.
    Clips are RGB between 0 and 1, minus ImageNet's mean, divided by its standard deviation.

    Parameters
    ----------
    num_classes
        Labels of the head: 292 for Multi-Moments.
    depths
        Bottlenecks per stage.
    width
        Channels of the first convolution.

    """

    def __init__(
        self, num_classes: int = 292, depths: Sequence[int] = (3, 4, 6, 3), width: int = 64
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool3d(3, 2, padding=1)
        channels = width
        for stage, depth in enumerate(depths):
            inner = width * 2**stage
            blocks = []
            for block in range(depth):
                blocks.append(Bottleneck(channels, inner, 2 if stage and not block else 1))
                channels = EXPANSION * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = tuple(f"layer{stage + 1}" for stage in range(len(depths)))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.last_linear = nn.Linear(channels, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, clips: Float[Tensor, "stimulus channel frame height width"]
    ) -> Float[Tensor, "stimulus label"]:
        """Logits (n, num_classes) of clips (n, 3, T, H, W) of any length and size.

        Raises
        ------
        DataError
            When the clips have other than three channels.

        """
        if clips.shape[1] != 3:
            raise DataError(
                f"ResNet3D takes clips (n, 3, frames, height, width), and was given"
                f" {tuple(clips.shape)}"
            )
        x = self.maxpool(self.relu(self.bn1(self.conv1(clips))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.last_linear(self.avgpool(x).flatten(1))


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of a file of the Moments project as names of `ResNet3D`.

    Those files were saved from several GPUs (``module.``), and some call the head ``fc``.
    """
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {
        f"last_linear.{name[3:]}" if name.startswith("fc.") else name: tensor
        for name, tensor in plain.items()
    }
