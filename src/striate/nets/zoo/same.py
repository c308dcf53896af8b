"""TensorFlow's "SAME" padding: as little as gives ceil(size / stride) outputs, the odd one last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Maps = Float[Tensor, "stimulus channel *places"]


def same_padding(
    sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
) -> list[tuple[int, int]]:
    """Cells to add before and after each axis.

    For n cells, a kernel of k and a stride of s, max((ceil(n/s) - 1) s + k - n, 0) in all, half
    of them before the first cell and the larger half after the last.

    >>> same_padding([224, 225], [7, 7], [2, 2])
    [(2, 3), (3, 3)]
    """
    pads = []
    for n, k, s in zip(sizes, kernel, stride, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def pad_same(
    maps: Maps, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0
) -> Float[Tensor, "stimulus channel *padded"]:
    """The maps with a border, so that a convolution without padding gives the "SAME" outputs."""
    pads = same_padding(maps.shape[2:], kernel, stride)
    if not any(before or after for before, after in pads):
        return maps
    # torch counts axes from the last
    return functional.pad(maps, [n for pair in reversed(pads) for n in pair], value=value)


class MaxPoolSame(nn.Module):
    """The maximum over the cells of a window that are inside of the map (2-D or 3-D)."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, maps: Maps) -> Float[Tensor, "stimulus channel *pooled"]:
        """(n, channels, ...) → the same with each axis ceil(size / stride) long."""
        pool = functional.max_pool2d if len(self.kernel) == 2 else functional.max_pool3d
        padded = pad_same(maps, self.kernel, self.stride, -torch.inf)
        return pool(padded, self.kernel, self.stride)


class AvgPoolSame(nn.Module):
    """The mean over the cells of a window that are inside of the map (2-D)."""

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(
        self, maps: Float[Tensor, "stimulus channel height width"]
    ) -> Float[Tensor, "stimulus channel rows columns"]:
        """(n, channels, height, width) → the same with each axis ceil(size / stride) long."""
        total, share = (
            functional.avg_pool2d(pad_same(t, self.kernel, self.stride), self.kernel, self.stride)
            for t in (maps, torch.ones_like(maps[:1, :1]))
        )
        return total / share
