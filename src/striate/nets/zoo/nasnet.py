"""NASNet-A: one searched cell that keeps the size of its maps and one that halves it, repeated."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import DataError, RecipeError
from striate.nets.zoo.same import AvgPoolSame, MaxPoolSame, pad_same

Maps = Float[Tensor, "stimulus channel height width"]

EPSILON = 1e-3
"""Of batch normalisation, as in the weights' first home."""

STAGES = 3
"""Stages of normal cells, with a reduction cell between two."""

NUMBERS = 6
"""A stage's cells are numbered from a multiple of this, as in the larger network."""

SMALLEST = 3
"""Below this height or width the first convolution, which adds no border, has no output."""


class Separable(nn.Module):
    """Twice: ReLU, a depthwise k×k convolution, a pointwise one, batch normalisation."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.separable_1 = DepthwisePointwise(channels, out, kernel, stride)
        self.bn_sep_1 = nn.BatchNorm2d(out, eps=EPSILON)
        self.separable_2 = DepthwisePointwise(out, out, kernel, 1)
        self.bn_sep_2 = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Maps) -> Float[Tensor, "stimulus out rows columns"]:
        """(n, channels, height, width) → (n, out, ...), each axis ceil(size / stride) long."""
        x = self.bn_sep_1(self.separable_1(x.relu()))
        y: Tensor = self.bn_sep_2(self.separable_2(x.relu()))
        return y


class DepthwisePointwise(nn.Module):
    """A convolution of each channel by itself, then one that mixes channels."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel, kernel), (stride, stride)
        self.depthwise_conv2d = nn.Conv2d(
            channels, channels, kernel, stride, groups=channels, bias=False
        )
        self.pointwise_conv2d = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Maps) -> Float[Tensor, "stimulus out rows columns"]:
        """(n, channels, height, width) → (n, out, ...), each axis ceil(size / stride) long."""
        y: Tensor = self.depthwise_conv2d(pad_same(x, self.kernel, self.stride))
        return self.pointwise_conv2d(y)


class Cell(nn.Module):
    """NASNet-A's normal or reduction cell (Zoph et al. 2018, figure 4).

    Of the maps h of the cell before and g of the one before that, both brought to `filters`
    channels and h's size, with s(k) a separable convolution, a and m the mean and the maximum over
    3 × 3:

    normal: g, s₅h + s₃g, s₅g + s₃g, a h + g, a g + a g, s₃h + h, joined;

    reduction, with stride 2 wherever h or g is read: u = s₅h + s₇g, v = m h + s₇g, w = a h + s₅g;
    v, w, a u + v, s₃u + m h, joined.

    Parameters
    ----------
    channels, previous
        Channels of h and of g.
    filters
        Channels of each part of the output.
    reduction
        Halve the maps.
    halve
        g is twice as large as h, and is halved without looking at only every second pixel.
    raw
        g is read as it comes, with all of its channels (the first cell, where g is h itself).

    """

    def __init__(
        self,
        channels: int,
        previous: int,
        filters: int,
        reduction: bool = False,
        halve: bool = False,
        raw: bool = False,
    ) -> None:
        super().__init__()
        self.reduction, self.halve, self.raw = reduction, halve, raw
        self.channels = (4 if reduction else 6) * filters
        self.conv_1x1 = _squeeze(channels, filters)
        if halve:
            self.path_1 = nn.Sequential(OrderedDict(conv=_pointwise(previous, filters // 2)))
            self.path_2 = nn.Sequential(OrderedDict(conv=_pointwise(previous, filters // 2)))
            self.final_path_bn = nn.BatchNorm2d(filters, eps=EPSILON)
        elif not raw:
            self.conv_prev_1x1 = _squeeze(previous, filters)
        g = previous if raw else filters
        if reduction:
            self.comb_iter_0_left = Separable(filters, filters, 5, 2)
            self.comb_iter_0_right = Separable(g, filters, 7, 2)
            self.comb_iter_1_right = Separable(g, filters, 7, 2)
            self.comb_iter_2_right = Separable(g, filters, 5, 2)
            self.maximum = MaxPoolSame((3, 3), (2, 2))
            self.half_mean = AvgPoolSame((3, 3), (2, 2))
        else:
            self.comb_iter_0_left = Separable(filters, filters, 5)
            self.comb_iter_0_right = Separable(filters, filters, 3)
            self.comb_iter_1_left = Separable(filters, filters, 5)
            self.comb_iter_1_right = Separable(filters, filters, 3)
        self.comb_iter_4_left = Separable(filters, filters, 3)
        self.mean = AvgPoolSame((3, 3), (1, 1))

    def forward(
        self, now: Maps, before: Float[Tensor, "stimulus previous rows columns"]
    ) -> Float[Tensor, "stimulus joined height_out width_out"]:
        """Joined maps, of the size of `now` or (reduction) of half of it, rounded up."""
        h, g = self.conv_1x1(now), self._previous(before)
        return self._reduced(h, g) if self.reduction else self._normal(h, g)

    def _previous(self, before: Tensor) -> Tensor:
        if self.raw:
            return before
        if not self.halve:
            squeezed: Tensor = self.conv_prev_1x1(before)
            return squeezed
        before = before.relu()
        # One path reads even pixels, the other odd ones, with a border of zeros at the end.
        odd = nn.functional.pad(before, (0, 1, 0, 1))[:, :, 1:, 1:]
        paths = [self.path_1(before[:, :, ::2, ::2]), self.path_2(odd[:, :, ::2, ::2])]
        joined: Tensor = self.final_path_bn(torch.cat(paths, 1))
        return joined

    def _normal(self, h: Tensor, g: Tensor) -> Tensor:
        parts = [
            g,
            self.comb_iter_0_left(h) + self.comb_iter_0_right(g),
            self.comb_iter_1_left(g) + self.comb_iter_1_right(g),
            self.mean(h) + g,
            2 * self.mean(g),
            self.comb_iter_4_left(h) + h,
        ]
        return torch.cat(parts, 1)

    def _reduced(self, h: Tensor, g: Tensor) -> Tensor:
        highest = self.maximum(h)
        u = self.comb_iter_0_left(h) + self.comb_iter_0_right(g)
        v = highest + self.comb_iter_1_right(g)
        w = self.half_mean(h) + self.comb_iter_2_right(g)
        return torch.cat([v, w, self.mean(u) + v, self.comb_iter_4_left(u) + highest], 1)


class NASNetA(nn.Module):
    """NASNet-A (Zoph et al. 2018); as it stands NASNet-A (4 @ 1056), called mobile.

    Nodes, in order: ``conv0``, ``cell_stem_0``, ``cell_stem_1``, ``cell_0`` … ``cell_3``,
    ``reduction_cell_0``, ``cell_6`` … ``cell_9``, ``reduction_cell_1``, ``cell_12`` …
    ``cell_15``, ``last_linear`` (the output): eighteen, listed in `taps`; and ``features``, the
    mean over positions before the logits.

    Weights: ``nasnetamobile-7e03cead.pth`` of pretrained-models.pytorch. Images are RGB, the
    shorter edge 256, the centre 224 × 224, between 0 and 1, minus 0.5, divided by 0.5. With
    `penultimate` 4032, `stem` 96, `cells` 6 and `skip` it is NASNet-A (6 @ 4032), called large, and
    takes the weights of timm's ``nasnetalarge``.

    Parameters
    ----------
    num_classes
        Logits.
    penultimate
        Features before the logits, 24 times the filters of the first stage.
    stem
        Channels of the first convolution.
    cells
        Normal cells per stage, 6 at most.
    skip
        The cell after a reduction reads, beside it, what the reduction itself read second, and
        not what it read first.

    """

    def __init__(
        self,
        num_classes: int = 1000,
        penultimate: int = 1056,
        stem: int = 32,
        cells: int = 4,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if penultimate < 96 or penultimate % 96 or not 1 <= cells <= NUMBERS:
            raise RecipeError(
                f"NASNetA with penultimate = {penultimate} and cells = {cells}: take a multiple of"
                f" 96, such as 1056, and 1 to {NUMBERS} cells"
            )
        filters = penultimate // 24
        conv = nn.Conv2d(3, stem, 3, stride=2, bias=False)
        norm = nn.BatchNorm2d(stem, eps=EPSILON)
        self.conv0 = nn.Sequential(OrderedDict(conv=conv, bn=norm))
        self.cell_stem_0 = Cell(stem, stem, filters // 4, reduction=True, raw=True)
        self.cell_stem_1 = Cell(filters, stem, filters // 2, reduction=True, halve=True)
        before, now = filters, 2 * filters  # channels
        names = ["cell_stem_1"]
        for stage in range(STAGES):
            width = filters * 2**stage
            if stage:
                name = f"reduction_cell_{stage - 1}"
                cell = Cell(now, before, width, reduction=True)
                self.add_module(name, cell)
                names.append(name)
                before, now = (before if skip else now), cell.channels
            for k in range(cells):
                name = f"cell_{NUMBERS * stage + k}"
                cell = Cell(now, before, width, halve=k == 0)
                self.add_module(name, cell)
                names.append(name)
                before, now = now, cell.channels
        self.cells, self.skip = tuple(names), skip
        self.features = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(now, num_classes)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the nodes whose outputs are the network's stations, in order."""
        return ("conv0", "cell_stem_0", *self.cells, "last_linear")

    def forward(self, images: Maps) -> Float[Tensor, "stimulus label"]:
        """Logits (n, num_classes) of images (n, 3, height, width) of any size.

        Raises
        ------
        DataError
            When the images have other than three channels, or are smaller than 3 × 3.

        """
        if images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST:
            raise DataError(
                f"NASNetA takes images (n, 3, height, width) of {SMALLEST} × {SMALLEST} pixels or"
                f" more, and was given {tuple(images.shape)}"
            )
        before = self.conv0(images)
        now = self.cell_stem_0(before, before)
        for name in self.cells:
            kept = before if self.skip and name.startswith("reduction") else now
            before, now = kept, self.get_submodule(name)(now, before)
        logits: Tensor = self.last_linear(self.features(now.relu()).flatten(1))
        return logits


def _squeeze(channels: int, out: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(out, eps=EPSILON)
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=_pointwise(channels, out), bn=norm))


def _pointwise(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 1, bias=False)
