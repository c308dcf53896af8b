"""Features that draw a picture of what they see, or fail to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from striate.interfaces import Extractor


@dataclass(frozen=True)
class Draws(Extractor):
    """Features whose picture is as wide as the stimulus' id is long, or something else."""

    what: str = "right"

    def names(self):
        return ["a"]

    def identity(self):
        return {"what": self.what}

    def __call__(self, stimuli):
        for shown in stimuli.shown():
            value = [float(ord(c)) for c in f"{shown.id:5s}"[:5]]
            yield {"a": np.array([value], dtype=np.float32)}

    def picture(self, stimuli):
        """Nothing but
        light.
        """
        (shown,) = stimuli.shown()
        if self.what == "broken":
            raise ZeroDivisionError
        if self.what == "none":
            return None
        right = np.full((4, len(shown.id), 3), 9, np.uint8)
        return right if self.what == "right" else right / 255
