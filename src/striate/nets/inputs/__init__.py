"""What a network is shown of a stimulus: pictures, clips, sound or text, each in its own form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Shaped, UInt8
from torch import Tensor

from striate.data import Shown


class Input(ABC):
    """How a stimulus becomes items, and items become what a network's forward pass takes.

    An image is one item. Of a film, every frame is an item for a network of single images, and all
    frames together are one for a network of clips. Windows of a sound are items, and so is a text.
    """

    kind: ClassVar[str]
    """``image``, ``clip``, ``sound`` or ``text``."""

    @abstractmethod
    def read(self, shown: Shown) -> Shaped[np.ndarray, "item ..."]:
        """The items of one stimulus, one at least; called in a thread of its own.

        Raises
        ------
        FileError
            When the file cannot be read; it names the file.

        """

    @abstractmethod
    def __call__(self, items: Shaped[Tensor, "item ..."]) -> Any:
        """Items on the device as the network takes them: a tensor, or arguments by name."""

    @abstractmethod
    def blank(self) -> Shaped[Tensor, "1 ..."]:
        """One item of nothing, in the form that `read` gives, to learn the shapes of outputs."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that decides numbers, JSON-able."""

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "row column 3"] | None:
        """What is shown of a stimulus, for people to look at; nothing where there is no such."""
        return None

    def count(self, shown: Shown) -> int:
        """How many items a stimulus has, as far as that is known beforehand."""
        return 1

    @property
    def cost(self) -> int:
        """How many images an item counts as in the size of a batch."""
        return 1
