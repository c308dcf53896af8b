"""What is kept of a node's output: all of it, a grid of means or maxima, a pyramid, a token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn import functional

from striate.errors import DataError, RecipeError, unknown

KINDS = ("none", "flatten", "mean:K", "max:K", "pyramid", "token", "last token", "mean tokens")
LEVELS = (1, 2, 4)
PREFIXES = 8
"""At most so many tokens before those of the patches: class, distillation, registers."""


@dataclass(frozen=True)
class Pool:
    """How outputs become features.

    ``none`` keeps the output, ``flatten`` makes it one line. ``mean`` and ``max`` reduce maps to
    ``grid × grid`` cells as torch's adaptive pooling does; ``pyramid`` joins the maxima of 1×1,
    2×2 and 4×4 cells (Lazebnik et al. 2006). Tokens of a transformer count as a map when, after
    the class token and registers, a square number is left; ``token`` is the first token, ``last
    token`` the last, and ``mean tokens`` the mean over the patches' tokens. Maps that go on in time
    (channel × frame × height × width) are pooled frame by frame. Outputs without positions stay as
    they are.
    """

    kind: str = "none"
    grid: int = 1

    @classmethod
    def parse(cls, value: str | Mapping[str, Any]) -> Pool:
        """A pool from its line in a recipe: ``"mean:6"`` or ``{kind = "mean", grid = 6}``.

        >>> Pool.parse("mean:6")
        Pool(kind='mean', grid=6)
        """
        if isinstance(value, str):
            kind, mark, grid = value.partition(":")
            fields: dict[str, Any] = {"kind": kind} | ({"grid": grid} if mark else {})
        else:
            fields = dict(value)
        extra = set(fields) - {"kind", "grid"}
        if extra:
            raise RecipeError(unknown("field of pool", extra.pop(), ["kind", "grid"]))
        kind, grid = fields.get("kind", "none"), str(fields.get("grid", 1))
        plain = [k for k in KINDS if not k.endswith(":K")]
        if kind not in ("mean", "max", *plain):
            raise RecipeError(unknown("pool", str(value), KINDS))
        if not grid.isdigit() or int(grid) < 1 or (kind in plain and "grid" in fields):
            raise RecipeError(f"pool {value!r}: write {kind}" + (":6" if kind not in plain else ""))
        return cls(kind, int(grid))

    def __call__(
        self, output: Shaped[Tensor, "stimulus ..."], where: str = "output", patches: bool = True
    ) -> Shaped[Tensor, "stimulus ..."]:
        """The features of one node's output, one row per stimulus; may share its memory.

        `patches` says whether tokens are those of an image, with a class token in front of a
        square; all tokens of a sound or a text are alike.

        Raises
        ------
        DataError
            When the output has no tokens or maps where the pool needs them.

        """
        if self.kind == "none":
            return output
        if self.kind == "flatten":
            return output.reshape(len(output), -1)
        if self.kind in ("token", "last token", "mean tokens"):
            if output.ndim != 3:
                raise DataError(
                    f"node {where!r} gives {tuple(output.shape[1:])} per stimulus, which are no"
                    f" tokens: pool {self.kind!r} needs (token, feature)"
                )
            if self.kind != "mean tokens":
                return output[:, 0 if self.kind == "token" else -1]
            first = (_prefix(output.shape[1]) or 0) if patches else 0
            return output[:, first:].mean(1)
        if output.ndim <= 2:
            return output
        if output.ndim == 5:
            frames = output.transpose(1, 2)  # (stimulus, frame, channel, height, width)
            pooled = self(frames.flatten(0, 1), where, patches)
            return pooled.unflatten(0, frames.shape[:2]).transpose(1, 2)
        if output.ndim == 3 and not patches:
            raise DataError(
                f"node {where!r} gives tokens {tuple(output.shape[1:])} of a clip, sound or text,"
                f" which are no map: pool {self.kind!r} needs one; use 'mean tokens', 'token',"
                " 'last token' or 'flatten'"
            )
        maps = _as_maps(output, where)
        if self.kind == "pyramid":
            cells = [functional.adaptive_max_pool2d(maps, k).flatten(1) for k in LEVELS]
            return torch.cat(cells, dim=1)
        adaptive = (
            functional.adaptive_avg_pool2d
            if self.kind == "mean"
            else functional.adaptive_max_pool2d
        )
        return adaptive(maps, self.grid)


def _prefix(tokens: int) -> int | None:
    """How many tokens stand before a square number of patches; nothing when there is no square."""
    rest = tokens - math.isqrt(tokens) ** 2
    return rest if rest <= PREFIXES else None


def _as_maps(
    output: Shaped[Tensor, "stimulus ..."], where: str
) -> Shaped[Tensor, "stimulus channel height width"]:
    if output.ndim == 4:
        channels_end = output.shape[1] == output.shape[2] != output.shape[3]
        return output.permute(0, 3, 1, 2) if channels_end else output
    prefix = _prefix(output.shape[1]) if output.ndim == 3 else None
    if prefix is None:
        raise DataError(
            f"node {where!r} gives {tuple(output.shape[1:])} per stimulus, which is no map: use"
            " pool 'flatten', 'token', 'last token' or 'mean tokens'"
        )
    side = math.isqrt(output.shape[1] - prefix)
    return output[:, prefix:].transpose(1, 2).unflatten(2, (side, side))
