"""How much is said: words and letters per second, the simplest account of speech."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32

from striate.data import Shown, Stimuli
from striate.errors import DataError
from striate.machine import here
from striate.registry import key_of

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class Words:
    """Rates of speech of stimuli with a label ``text`` and a ``duration``; one space, ``words``.

    An array (stimulus, 3): words per second, letters per second, and letters per word (0 where
    nothing is said). For what words mean, see ``transformers`` and ``open_clip``.
    """

    version: ClassVar[int] = 1

    def names(self) -> tuple[str, ...]:
        """The one space."""
        return ("words",)

    def identity(self) -> Mapping[str, Any]:
        """Nothing decides the numbers but the text and its duration."""
        return {}

    def content(self, stimuli: Stimuli) -> Sequence[str]:
        """Digests of the text and its duration."""
        return [key_of(s.text, s.duration) for s in _worded(stimuli)]

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: array (stimulus, 3)."""
        shown, size = _worded(stimuli), max(1, here().batch)
        for start in range(0, len(shown), size):
            yield {"words": np.stack([rates(s) for s in shown[start : start + size]])}


def words_of(text: str) -> list[str]:
    """Words of a text: letters and digits, with apostrophes and hyphens inside.

    >>> words_of("Well — don't, Mr. Half-way!")
    ['Well', "don't", 'Mr', 'Half-way']
    """
    # A letter and its accent may be two characters, of which one is no letter.
    return _WORD.findall(unicodedata.normalize("NFC", text))


def rates(shown: Shown) -> Float32[np.ndarray, " rate"]:
    """Words per second, letters per second and letters per word."""
    words = words_of(shown.text or "")
    letters = sum(c.isalnum() for w in words for c in w)
    seconds = float(shown.duration or 0)
    found = (len(words) / seconds, letters / seconds, letters / max(1, len(words)))
    return np.array(found, dtype=np.float32)


def _worded(stimuli: Stimuli) -> list[Shown]:
    shown = stimuli.shown()
    silent = [s.id for s in shown if s.text is None]
    if silent:
        raise DataError(
            f"stimulus {silent[0]!r} has no text: words need stimuli with a label 'text', which may"
            " be empty"
        )
    endless = [s.id for s in shown if not s.duration or s.duration <= 0]
    if endless:
        raise DataError(
            f"stimulus {endless[0]!r} has no duration: words per second need stimuli with a label"
            " 'duration' in seconds"
        )
    return shown
