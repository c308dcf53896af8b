"""A network by name from a library or a file of the user's, with weights that run no code."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from striate.errors import FileError, RecipeError, StriateError
from striate.media import Frames
from striate.nets import libraries
from striate.nets.inputs import Input
from striate.nets.layout import channels_last
from striate.nets.preprocessing import Preprocessing, Size
from striate.nets.weights import file_identity, is_file, line_of, load_weights

T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """Which network, which weights, and what it is shown; nothing is built yet.

    Parameters
    ----------
    library
        A name in `striate.nets.libraries.LIBRARIES`.
    model
        Its name in the library; for ``module``, ``package.module:Class`` or ``./file.py:Class``.
    weights
        ``none`` (random, by `seed`), ``default``, a tag of the library (``IMAGENET1K_V1``,
        ``a1_in1k``), or a file (``.safetensors``, ``.pth``, ``.pth.tar``, ``.pt``,
        ``.bin``).
    size, crop, interpolation, mean, std
        Stated preprocessing; what is not stated is that of the weights, or the library's default
        for the architecture. See `striate.nets.preprocessing.resolve`.
    options
        Arguments of the network's constructor.
    tower
        ``image`` or ``text``, of networks that have both.
    seconds
        Length of the windows of a sound; not stated: as the network was trained.
    length
        Tokens of a text; not stated: as many as the network takes.

    """

    library: str
    model: str
    weights: str = "default"
    seed: int = 0
    size: Size = None
    crop: int | None = None
    interpolation: str | None = None
    mean: tuple[float | int, ...] | None = None
    std: tuple[float | int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tower: str = ""
    seconds: float | int | None = None
    length: int | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the weights are the library's, neither random nor of a file."""
        return self.weights != "none" and not is_file(self.weights)

    @property
    def stated(self) -> dict[str, Any]:
        """Preprocessing in place of the library's; nothing where none is stated."""
        return {n: getattr(self, n) for n in ("size", "crop", "interpolation", "mean", "std")}

    def input(self, frames: Frames | None = None) -> Input:
        """What the network is shown of a stimulus: pictures, clips, sound or text.

        Parameters
        ----------
        frames
            Which frames of a film; not stated: as many as a network of clips was trained with,
            and the rule's own default for a network of single images.

        Raises
        ------
        RecipeError
            When there is no such network, or it is shown something else.

        """
        return self._library().input(self, frames)

    def preprocessing(self) -> Preprocessing:
        """What is done to an image, or to a frame, before the network sees it."""
        shows = self.input()
        found = getattr(shows, "preprocessing", None)
        if not isinstance(found, Preprocessing):
            raise RecipeError(
                f"{self.model!r} of {self.library} is shown {shows.kind}, not images: its input has"
                " no size, crop, mean or std"
            )
        return found

    def identity(self) -> dict[str, Any]:
        """What decides the network's numbers, JSON-able: digests in place of files.

        The rule of frames is not in it; that of ``input(frames).identity()`` is to be added.
        """
        library, shows = self._library(), self.input()
        made: dict[str, Any] = {"library": self.library, "model": self.model}
        made |= {"options": json.loads(json.dumps(dict(self.options), default=str))}
        made |= {"weights": self.weights_identity()}
        if self.weights == "none":
            made["seed"] = self.seed
        if self.tower:
            made["tower"] = self.tower
        made |= library.identity(self)
        told = shows.identity()
        told.pop("frames", None)
        return made | (told if "preprocessing" in told else {"input": told})

    def weights_identity(self) -> str:
        """What stands for the weights in a key: a digest, a library's tag, or ``none``."""
        if is_file(self.weights):
            return file_identity(self.weights)
        return self._library().weights(self) if self.pretrained else self.weights

    def build(self) -> nn.Module:
        """The network in evaluation mode, on the CPU, in channels-last memory.

        Raises
        ------
        RecipeError
            When there is no such model or weights.
        FileError
            When weights cannot be had or do not fit.

        """
        library = self._library()
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(self.seed)
            module = self._had(lambda: library.build(self, self.pretrained))
        if is_file(self.weights):
            load_weights(module, self.weights, self.model, partial(library.renamed, self))
        module = library.part(self, module)
        return channels_last(module.eval().requires_grad_(False))

    def _library(self) -> Library:
        found: Library = libraries.find(self.library)
        return found

    def _had(self, build: Callable[[], T]) -> T:
        """What `build` makes, or one sentence on why it does not."""
        try:
            return build()
        except StriateError:
            raise
        except Exception as error:  # each library fails in its own way
            if not self.pretrained or isinstance(error, TypeError):
                raise RecipeError(
                    f"{self.model!r} of {self.library} cannot be built with options"
                    f" {dict(self.options)}: {line_of(error)}; correct them"
                ) from error
            raise FileError(
                f"weights {self.weights!r} of {self.library} {self.model!r} are not on this"
                f" computer and could not be downloaded ({type(error).__name__}: {line_of(error)});"
                " fetch them where there is a network and give their file as weights, or use"
                " weights = 'none'"
            ) from error


class Library(ABC):
    """How networks of one library are built, and what they are shown."""

    @abstractmethod
    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The network, with the library's weights or with random ones, to be filled from a file.

        Raises
        ------
        RecipeError
            When there is no such model or weights.

        """

    @abstractmethod
    def weights(self, network: Network) -> str:
        """What stands for the library's own weights in a key."""

    @abstractmethod
    def input(self, network: Network, frames: Frames | None) -> Input:
        """What the network is shown of a stimulus."""

    def renamed(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file under the names that they have in the network."""
        return tensors

    def part(self, network: Network, module: nn.Module) -> nn.Module:
        """The part of the filled network that is shown stimuli."""
        return module

    def identity(self, network: Network) -> dict[str, Any]:
        """What else decides numbers; may put another name in the place of ``model``."""
        return {}

    def names(self) -> tuple[str, ...]:
        """Models that the library has, as far as it can tell."""
        return ()
