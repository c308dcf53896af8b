"""Optical flow by RAFT, a network that was trained on made-up scenes and looks at two frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import FileError, RecipeError, unknown
from striate.nets.repair import repair
from striate.nets.weights import file_identity, is_file, line_of, load_weights

MODELS = ("raft_large", "raft_small")
SMALLEST = 128
"""Pixels along an edge that RAFT needs: it compares frames at a 64th of their size."""


@dataclass(frozen=True)
class Raft:
    """Which RAFT of torchvision (Teed & Deng 2020); nothing is built yet.

    Parameters
    ----------
    model
        ``raft_large`` or ``raft_small``.
    weights
        ``default``, a tag of torchvision (``C_T_SKHT_V2``), a file, or ``none`` (random, by
        `seed`).
    updates
        Times that the flow is updated; fewer are faster.

    """

    model: str = "raft_large"
    weights: str = "default"
    updates: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise RecipeError(unknown("RAFT", self.model, MODELS))
        if self.updates < 1:
            raise RecipeError(f"{self.updates} updates of RAFT: must be > 0")

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, JSON-able: a digest in place of a file."""
        made: dict[str, Any] = {"model": self.model, "updates": self.updates}
        if self.weights == "none":
            return made | {"weights": "none", "seed": self.seed}
        if is_file(self.weights):
            return made | {"weights": file_identity(self.weights)}
        return made | {"weights": f"torchvision:{str(self._tag().url).rpartition('/')[2]}"}

    def build(self) -> nn.Module:
        """The network in evaluation mode, on the CPU.

        Raises
        ------
        RecipeError
            When there are no such weights.
        FileError
            When weights cannot be had or do not fit.

        """
        repair()
        import torchvision.models as zoo

        own = self.weights != "none" and not is_file(self.weights)
        tag = self._tag() if own else None
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(self.seed)
            try:
                module: nn.Module = zoo.get_model(self.model, weights=tag)
            except Exception as error:
                raise FileError(
                    f"weights {self.weights!r} of {self.model!r} are not on this computer and could"
                    f" not be downloaded ({type(error).__name__}: {line_of(error)}); fetch them"
                    " where there is a network and give their file as weights, or use striate's"
                    " Lucas–Kanade flow, which needs none"
                ) from error
        if is_file(self.weights):
            load_weights(module, self.weights, self.model)
        return module.eval().requires_grad_(False)

    def _tag(self) -> Any:
        repair()
        import torchvision.models as zoo

        choices = zoo.get_model_weights(self.model)
        name = "DEFAULT" if self.weights == "default" else self.weights.rpartition(".")[2]
        if name not in choices.__members__:
            valid = [*choices.__members__, "default", "none", "a file"]
            raise RecipeError(unknown(f"weights of {self.model}", self.weights, valid))
        return choices[name]


def raft_flow(
    module: nn.Module,
    first: Float32[Tensor, "pair 3 height width"],
    second: Float32[Tensor, "pair 3 height width"],
    updates: int = 12,
) -> Float32[Tensor, "pair 2 height width"]:
    """Displacements (x, y) in pixels that lead from the first frames to the second.

    Parameters
    ----------
    module
        What `Raft.build` made.
    first, second
        RGB from 0 to 1. Their borders are repeated to multiples of 8 pixels and at least 128; the
        flow is that of the frames themselves.
    updates
        See `Raft`.

    """
    height, width = first.shape[-2:]
    tall, wide = (max(SMALLEST, -8 * (-n // 8)) for n in (height, width))
    top, left = (tall - height) // 2, (wide - width) // 2
    sides = (left, wide - width - left, top, tall - height - top)
    a, b = (functional.pad(2 * f - 1, sides, mode="replicate") for f in (first, second))
    flow: Tensor = module(a, b, num_flow_updates=updates)[-1]
    return flow[..., top : top + height, left : left + width]
