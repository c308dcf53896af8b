"""Words as the numbers of their tokens, for networks of language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from striate.data import Shown
from striate.errors import DataError
from striate.nets.inputs import Input

_ONE = Lock()
"""Tokenizers keep state while they work, and stimuli are read in several threads."""


@dataclass(frozen=True)
class Texts(Input):
    """The text of a stimulus is one item; an empty text is one too.

    Parameters
    ----------
    encode
        Text → the network's arguments, one line each; where texts differ in their number of
        tokens, a pool over tokens is needed.
    arguments
        Names of the network's arguments. The first are the numbers of the tokens; a second,
        ``attention_mask``, is 1 for tokens and 0 behind their end.
    told
        What decides the tokens, JSON-able: tokenizer and length.

    """

    encode: Callable[[str], Int64[np.ndarray, "argument token"]] = field(compare=False)
    arguments: tuple[str, ...]
    told: Mapping[str, Any]
    kind: ClassVar[str] = "text"

    def read(self, shown: Shown) -> Int64[np.ndarray, "1 argument token"]:
        """The tokens of the stimulus' text.

        Raises
        ------
        DataError
            When the stimuli have no text at all.

        """
        if shown.text is None:
            raise DataError(
                f"stimulus {shown.id!r} has no text: a network of language needs stimuli with a"
                " label 'text', which may be empty"
            )
        return self._encoded(shown.text)

    def __call__(self, items: Shaped[Tensor, "item argument token"]) -> Any:
        """The tokens, or tokens and mask by name."""
        if len(self.arguments) == 1:
            return items[:, 0]
        return {name: items[:, i] for i, name in enumerate(self.arguments)}

    def blank(self) -> Shaped[Tensor, "1 argument token"]:
        """An empty text."""
        return torch.from_numpy(self._encoded(""))

    def identity(self) -> dict[str, Any]:
        """Tokenizer and length."""
        return {"kind": self.kind, **self.told}

    def mask(self, items: Shaped[Tensor, "item argument token"]) -> Bool[Tensor, "item token"]:
        """Where there are tokens of the text and no padding; everywhere without a mask."""
        last = items[:, -1]
        return last.bool() if len(self.arguments) > 1 else torch.ones_like(last, dtype=torch.bool)

    def _encoded(self, text: str) -> Int64[np.ndarray, "1 argument token"]:
        with _ONE:
            return np.ascontiguousarray(self.encode(text)[None], dtype=np.int64)
